"""The two budgets, never confused: sessions alive at once, and calls that Cekura runs at once.

Above its limit Cekura queues a run while the bot waits alone and bills, so a session is started only when a call slot
is free for it. When Cekura frees a slot is unknown (at call end, or at the verdict): `auto` assumes the verdict until
one run, started on purpose beyond that, was called without having been queued.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.plan import Limits, SlotRule
from orchestrator.domain.run import RunStatus

QUEUED_POLLS_TO_SHRINK: Final = 2
RAISE_AFTER: Final = timedelta(seconds=60)
_COMING_OR_CALLED: Final = (
    RunStatus.STARTING,
    RunStatus.STARTED,
    RunStatus.READY,
    RunStatus.SUBMITTED,
    RunStatus.IN_CALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBudget:
    """How many calls we count on. `working` moves between 1 and `limit`; `rule` may be learned under AUTO."""

    limit: int
    working: int
    rule: SlotRule
    changed_at: datetime
    explorer: str | None = None  # the run started beyond the judged rule, to learn which rule holds

    @staticmethod
    def of(limits: Limits, now: datetime) -> CallBudget:
        """The budget a plan begins with."""
        return CallBudget(limit=limits.calls, working=limits.calls, rule=limits.call_slot_until, changed_at=now)

    def used(self, statuses: Counter[RunStatus]) -> int:
        """How many slots are taken or spoken for."""
        coming = sum(statuses[status] for status in _COMING_OR_CALLED)
        return coming + (0 if self.rule is SlotRule.CALL_ENDED else statuses[RunStatus.CALL_ENDED])

    def free(self, statuses: Counter[RunStatus]) -> int:
        """How many more runs may be started towards a call; one more than the rule allows while exploring."""
        free = self.working - self.used(statuses)
        return max(free, 1 if free == 0 and self._may_explore(statuses) else 0)

    def exploring(self, run_id: str, statuses: Counter[RunStatus]) -> CallBudget:
        """Note `run_id` as the explorer if its start went beyond the judged rule (`statuses` before it)."""
        beyond = self.working - self.used(statuses) <= 0
        return replace(self, explorer=run_id) if beyond and self._may_explore(statuses) else self

    def _may_explore(self, statuses: Counter[RunStatus]) -> bool:
        return self.rule is SlotRule.AUTO and self.explorer is None and statuses[RunStatus.CALL_ENDED] > 0

    def called(self, run_id: str, *, was_queued: bool) -> CallBudget:
        """A run's call began; if it was the explorer, the rule is now known."""
        if run_id != self.explorer:
            return self
        return replace(self, explorer=None, rule=SlotRule.JUDGED if was_queued else SlotRule.CALL_ENDED)

    def without(self, run_id: str) -> CallBudget:
        """The run ended without a call; if it was the explorer, another may explore."""
        return replace(self, explorer=None) if run_id == self.explorer else self

    def queued(self, *, at: datetime) -> CallBudget:
        """A run was seen queued twice: the organisation is fuller than we thought."""
        return replace(self, working=max(1, self.working - 1), changed_at=at)

    def rested(self, *, at: datetime) -> CallBudget:
        """Raise by one after a quiet minute."""
        if self.working >= self.limit or at - self.changed_at < RAISE_AFTER:
            return self
        return replace(self, working=self.working + 1, changed_at=at)


def plan_starts(
    *, planned: int, statuses: Counter[RunStatus], calls: CallBudget, sessions_held: int, limits: Limits
) -> int:
    """How many sessions to start now: limited by what is left to do, by free call slots and by the session budget."""
    return max(0, min(planned, calls.free(statuses), limits.concurrency - sessions_held))


def count_statuses(statuses: Iterable[RunStatus]) -> Counter[RunStatus]:
    """Count runs by status."""
    return Counter(statuses)
