"""What is done to results at Cekura once a batch is over: a name, where it could have none before, and a shared link.

Neither is worth holding a batch open for, nor does a failure of either change what came of it: each is tried once, all
of them for a while at most, and trouble is logged.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.submission import Submission, SubmissionStatus
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Roster
from orchestrator.store import submissions as submission_rows

LABEL_SECONDS: Final = 30.0  # for all results of a batch together


async def label_results(roster: Roster, *, remotes: Remotes, clock: Clock) -> None:
    """Name and share the results of a batch, as far as its plan asks for it."""
    plan = roster.plan
    named = plan.result_name is not None and not plan.channel.automated
    if not named and plan.share_seconds is None:
        return
    query = partial(submission_rows.list_submissions, batch_id=roster.batch.batch_id)
    accepted = [one for one in await roster.read(query) if one.status is SubmissionStatus.ACCEPTED]
    try:
        async with asyncio.timeout(LABEL_SECONDS):
            await asyncio.gather(*(_label(one, roster, remotes=remotes, clock=clock, named=named) for one in accepted))
    except TimeoutError:
        logger.warning("not every result was named and shared in time", seconds=LABEL_SECONDS)


async def _label(submission: Submission, roster: Roster, *, remotes: Remotes, clock: Clock, named: bool) -> None:
    result_id = submission.cekura_result_id
    if result_id is None:
        return
    try:
        if named:
            await remotes.cekura.rename_result(result_id, f"{roster.plan.result_name} {roster.batch.batch_id}")
        if roster.plan.share_seconds is not None and submission.shared_url is None:
            await _share(submission, result_id, roster, remotes=remotes, clock=clock)
    except OrchestratorError as error:
        logger.warning("a result could not be named or shared", result=result_id, error=str(error))


async def _share(submission: Submission, result_id: int, roster: Roster, *, remotes: Remotes, clock: Clock) -> None:
    """Make a link and keep it.

    May it be repeated: yes, a second link is harmless, and a lost answer means one that nobody knows. Committed first:
    nothing, for nothing is paid. If we die here: the link ends by itself.
    """
    expires_at = clock.now() + timedelta(seconds=roster.plan.share_seconds or 0.0)
    url = await remotes.cekura.share_result(result_id, expires_at=expires_at)
    await roster.write_unit(
        partial(submission_rows.record_shared, submission_id=submission.submission_id, shared_url=url)
    )
