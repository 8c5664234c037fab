"""One POST to Cekura and the pairing rule that makes its answer readable.

Cekura's answer names scenarios, never rooms, and promises no order. One submission of rooms therefore never holds the
same scenario twice: then `scenario` pairs runs with rooms whatever the order. On automated channels there are no rooms
to confuse: there one submission carries each scenario many times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestrator.domain.observation import AcceptedRun, AcceptedSubmission
from orchestrator.domain.run import Run


class SubmissionStatus(StrEnum):
    """What is known of the POST."""

    INTENT = "intent"
    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"  # certainly not taken; its rooms may be submitted again
    REJECTED = "rejected"  # understood and refused for good
    UNKNOWN = "unknown"  # the answer was lost and looking did not settle it: never sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One POST; `scenario_ids` are distinct by construction.

    On an automated channel it bears a `name` that no other has, by which a lost answer is found, and `calls`, how many
    of its calls there are at once. Whoever knows `shared_url` may read its result.
    """

    submission_id: str
    batch_id: str
    status: SubmissionStatus
    intended_at: datetime
    cekura_agent_id: int | None
    scenario_ids: tuple[int, ...]
    sent_at: datetime | None = None
    cekura_result_id: int | None = None
    note: str = ""
    name: str = ""
    calls: int | None = None
    shared_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A ready session waiting to be submitted."""

    nonce: str
    scenario_id: int
    ready_at: datetime


def plan_submissions(
    candidates: Iterable[Candidate], *, now: datetime, gather: timedelta, rate: float = 0.0, most: int = 50
) -> list[tuple[Candidate, ...]]:
    """Group ready sessions into submissions without a repeated scenario, oldest first, `most` rooms each.

    Nothing is submitted while it is worth waiting for one more, `rate` being how many are expected to become ready in a
    second; then all that are ready go, in as few requests as the pairing rule allows.
    """
    waiting = sorted(candidates, key=lambda candidate: candidate.ready_at)
    waited = [(now - candidate.ready_at).total_seconds() for candidate in waiting]
    if not waiting or worth_waiting(waited, rate=rate, gather=gather.total_seconds()):
        return []
    groups: list[dict[int, Candidate]] = []
    for candidate in waiting:
        open_groups = (group for group in groups if candidate.scenario_id not in group and len(group) < most)
        group = next(open_groups, None)
        if group is None:
            groups.append({candidate.scenario_id: candidate})
        else:
            group[candidate.scenario_id] = candidate
    return [tuple(group.values()) for group in groups]


def worth_waiting(waited: Sequence[float], *, rate: float, gather: float) -> bool:
    """Whether ready bots should wait for one more to share their request: that spares one, and they bill meanwhile.

    It is worth `gather` seconds of a bot's time: what they have `waited`, and will until the next is ready, in all.
    """
    return rate > 0 and sum(waited) + len(waited) / rate <= gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Which room got which run; `unpaired` nonces got none, `strangers` are runs no room of ours explains."""

    paired: tuple[tuple[str, AcceptedRun], ...]
    unpaired: tuple[str, ...]
    strangers: tuple[AcceptedRun, ...]


def pair(candidates: Sequence[Candidate], runs: Sequence[AcceptedRun]) -> Pairing:
    """Pair rooms with runs by scenario; a scenario that comes back twice pairs with nothing."""
    by_scenario: dict[int, list[AcceptedRun]] = {}
    for run in runs:
        if run.scenario_id is not None:
            by_scenario.setdefault(run.scenario_id, []).append(run)
    certain = {scenario: found[0] for scenario, found in by_scenario.items() if len(found) == 1}
    paired = tuple((item.nonce, certain[item.scenario_id]) for item in candidates if item.scenario_id in certain)
    taken = {run.cekura_run_id for _, run in paired}
    return Pairing(
        paired=paired,
        unpaired=tuple(item.nonce for item in candidates if item.scenario_id not in certain),
        strangers=tuple(run for run in runs if run.cekura_run_id not in taken),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What one POST of an automated channel carries: each scenario equally often, for one personality and profile.

    Then the number of runs it makes is scenarios times frequency, however lists of them may multiply elsewhere.
    """

    personality_id: int | None
    test_profile_id: int | None
    scenario_ids: tuple[int, ...]
    frequency: int
    run_ids: tuple[str, ...]


def plan_portions(runs: Iterable[Run], *, most_frequent: int) -> list[Portion]:
    """Which POSTs carry these runs; what one of them cannot express, another one does."""
    combinations: dict[tuple[int | None, int | None], dict[int, list[str]]] = {}
    for run in runs:
        by_scenario = combinations.setdefault((run.personality_id, run.test_profile_id), {})
        by_scenario.setdefault(run.scenario_id, []).append(run.run_id)
    return [
        Portion(personality_id=personality_id, test_profile_id=test_profile_id, **portion)
        for (personality_id, test_profile_id), by_scenario in combinations.items()
        for portion in _portions(by_scenario, most_frequent)
    ]


def _portions(by_scenario: Mapping[int, Sequence[str]], most_frequent: int) -> Iterator[Any]:
    """Level after level: every scenario as often as the rarest, then what is left of the others."""
    left = {scenario_id: list(run_ids) for scenario_id, run_ids in by_scenario.items()}
    while left:
        frequency = min(most_frequent, *(len(run_ids) for run_ids in left.values()))
        carried = [run_id for run_ids in left.values() for run_id in run_ids[:frequency]]
        yield {"scenario_ids": tuple(left), "frequency": frequency, "run_ids": tuple(carried)}
        left = {scenario_id: run_ids[frequency:] for scenario_id, run_ids in left.items() if run_ids[frequency:]}


def least_calls(wanted: int) -> int:
    """With how many free calls a POST that could use `wanted` is worth making.

    Its bound is fixed for as long as it lasts: half of them now beats one now, and all of them after a while.
    """
    return (wanted + 1) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPairing:
    """Which of our runs got which of Cekura's; `missing` got none, `surplus` were not asked for."""

    paired: tuple[tuple[str, AcceptedRun], ...]
    missing: tuple[str, ...]
    surplus: tuple[AcceptedRun, ...]


def pair_runs(ours: Iterable[Run], accepted: Iterable[AcceptedRun]) -> RunPairing:
    """Pair the runs of an automated submission with those of its answer: runs of one scenario in it are all alike."""
    waiting: dict[int, list[str]] = {}
    for one in ours:
        waiting.setdefault(one.scenario_id, []).append(one.run_id)
    only = next(iter(waiting)) if len(waiting) == 1 else None
    paired, surplus = [], []
    for run in sorted(accepted, key=lambda accepted_run: accepted_run.cekura_run_id):
        scenario_id = only if run.scenario_id is None else run.scenario_id
        candidates = waiting.get(scenario_id, []) if scenario_id is not None else []
        if candidates:
            paired.append((candidates.pop(0), run))
        else:
            surplus.append(run)
    missing = tuple(run_id for run_ids in waiting.values() for run_id in run_ids)
    return RunPairing(paired=tuple(paired), missing=missing, surplus=tuple(surplus))


def find_lost(
    submission: Submission,
    results: Iterable[AcceptedSubmission],
    *,
    known_result_ids: frozenset[int],
    slack: timedelta = timedelta(seconds=5),
) -> list[AcceptedSubmission]:
    """The results that could be what a lost submission created: same agent, same scenarios, not before it was sent.

    `slack` allows for the two clocks differing. Exactly one result may be adopted; more are ambiguous.
    """
    if submission.sent_at is None:
        return []
    earliest = submission.sent_at - slack
    wanted = sorted(submission.scenario_ids)
    return [
        result
        for result in results
        if result.cekura_result_id not in known_result_ids
        and result.created_at is not None  # without a time it proves nothing
        and result.created_at >= earliest
        and submission.cekura_agent_id in {None, result.cekura_agent_id}
        and sorted(run.scenario_id or 0 for run in result.runs) == wanted
    ]
