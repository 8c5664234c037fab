"""The two budgets, never confused: sessions alive at once, and calls that Cekura runs at once.

Above its limit Cekura queues a run while the bot waits alone and bills, so a session is started only when a call slot
is free for it, or will be by the time its bot is ready. When Cekura frees a slot is unknown (at call end, or at the
verdict): `auto` assumes the verdict until a poll shows more runs in calls and evaluations than there are slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.observation import CallObservation, CallStatus
from orchestrator.domain.plan import Limits, SlotRule
from orchestrator.domain.run import RunStatus

RAISE_AFTER: Final = timedelta(seconds=60)
FEWEST_BEYOND: Final = 2
PROOF: Final = 2  # polls: one may have been answered in the middle of a dispatch
SHARE_BEYOND: Final = 0.25  # of the working budget: how far exploring goes at most
_COMING_OR_CALLED: Final = (
    RunStatus.STARTING,
    RunStatus.STARTED,
    RunStatus.READY,
    RunStatus.SUBMITTED,
    RunStatus.IN_CALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBudget:
    """How many calls we count on. `working` moves between 1 and `limit`; `rule` is learned where the plan says AUTO.

    While AUTO is not learnt, now and then `beyond` runs more than the judged rule allows may go, until the first of
    them, the `explorer`, is called; the next time twice as many (`further`). `behind` counts the polls that showed a
    queue behind evaluations. `waited` are the Cekura runs that the last poll showed queued although we used fewer slots
    than we count on, and `in_call` how many calls it showed. `level`: how many runs a ramp lets be on their way to a
    call or in it, those started ahead included; None without one. `reached`: the highest level so far; fewer calls and
    evaluations than that prove nothing, for the level may have fallen.
    """

    limit: int
    working: int
    rule: SlotRule
    changed_at: datetime
    learns: bool = False
    beyond: int = 0
    further: int = 1
    explorer: str | None = None
    behind: int = 0
    waited: frozenset[int] = frozenset()
    in_call: int = 0
    level: int | None = None
    reached: int = 0

    @staticmethod
    def of(limits: Limits, now: datetime) -> CallBudget:
        """The budget a plan begins with."""
        rule = limits.call_slot_until
        return CallBudget(
            limit=limits.calls, working=limits.calls, rule=rule, changed_at=now, learns=rule is SlotRule.AUTO
        )

    def at_level(self, level: int) -> CallBudget:
        """The budget at this level of a ramp; what was learnt of others' calls stays, and so do calls under way."""
        working = self.working + level - self.limit if level > self.limit else min(self.working, level)
        return replace(self, limit=level, working=working, level=level, reached=max(self.reached, level))

    def used(self, statuses: Counter[RunStatus]) -> int:
        """How many slots are taken or spoken for."""
        return _coming(statuses) + (0 if self.rule is SlotRule.CALL_ENDED else statuses[RunStatus.CALL_ENDED])

    def free(self, statuses: Counter[RunStatus], *, soon: int = 0) -> int:
        """How many more runs may be started towards a call.

        `soon`: how many of the slots taken now will be free by the time a bot started now is ready. While exploring it
        is more than the judged rule allows: by one at first, then by more, because bots on their way fill no slots.
        """
        free = self.working + self.beyond - self.used(statuses) + soon
        free = max(free, self.further if free == 0 and self._may_explore(statuses) else 0)
        return free if self.level is None else max(0, min(free, self.level - _coming(statuses)))

    def callable(self, statuses: Counter[RunStatus], *, posting: int) -> int:
        """How many more rooms may be handed to Cekura now: `working` calls at once, were there place for more.

        A bot that was started ahead and is early waits here. `posting`: rooms whose runs are not known yet.
        """
        return max(0, self.working - statuses[RunStatus.SUBMITTED] - statuses[RunStatus.IN_CALL] - posting)

    def exploring(self, run_id: str, statuses: Counter[RunStatus], *, soon: int = 0) -> CallBudget:
        """Note `run_id` as the explorer if its start went further beyond the judged rule (`statuses` before it)."""
        if self.working + self.beyond - self.used(statuses) + soon > 0 or not self._may_explore(statuses):
            return self
        return replace(self, explorer=run_id, beyond=self.further)

    def _may_explore(self, statuses: Counter[RunStatus]) -> bool:
        return self.rule is SlotRule.AUTO and self.explorer is None and statuses[RunStatus.CALL_ENDED] > 0

    def without(self, run_id: str) -> CallBudget:
        """The run ended without a call; if it was the explorer, it taught nothing, and another goes as far."""
        return replace(self, explorer=None, beyond=0) if run_id == self.explorer else self

    def called(self, run_id: str) -> CallBudget:
        """The run's call began; if it was the explorer, the next goes further, to a limit."""
        if run_id != self.explorer:
            return self
        if self.further >= max(FEWEST_BEYOND, SHARE_BEYOND * self.working):
            return self._learned(SlotRule.JUDGED)
        return replace(self, explorer=None, beyond=0, further=2 * self.further)

    def polled(self, calls: Sequence[CallObservation], *, at: datetime) -> CallBudget:
        """Learn from what one poll showed of all our runs: which slot rule holds, and whether others use our slots.

        More calls and evaluations than slots prove that an evaluation holds none; a queue while both together take
        exactly the slots says that it does. A run that waits at two polls in a row beside slots we believed free, while
        none was begun, says that the organisation is fuller than we think; any other queue, only that we were early.
        """
        seen = Counter(call.status for call in calls)
        in_call, busy = seen[CallStatus.IN_CALL], seen[CallStatus.IN_CALL] + seen[CallStatus.EVALUATING]
        queued = frozenset(call.cekura_run_id for call in calls if call.status is CallStatus.QUEUED)
        stuck = in_call < self.working and in_call <= self.in_call
        behind = bool(queued) and in_call < self.working == busy
        again = stuck and not queued.isdisjoint(self.waited)
        waited = queued if stuck else frozenset[int]()
        polled = replace(self, waited=waited, in_call=in_call, behind=self.behind + behind)
        if self.learns and busy > max(self.working, self.reached):
            return replace(polled._learned(SlotRule.CALL_ENDED), behind=0)  # noqa: SLF001  its own
        if self.learns and polled.behind >= PROOF:
            return polled._learned(SlotRule.JUDGED)  # noqa: SLF001  its own
        if not again or (behind and self.rule is not SlotRule.CALL_ENDED):
            return polled
        return replace(polled, working=max(1, self.working - 1), changed_at=at)

    def _learned(self, rule: SlotRule) -> CallBudget:
        return replace(self, rule=rule, explorer=None, beyond=0)

    def rested(self, *, at: datetime) -> CallBudget:
        """Raise by one after a quiet minute."""
        if self.working >= self.limit or at - self.changed_at < RAISE_AFTER:
            return self
        return replace(self, working=self.working + 1, changed_at=at)


def _coming(statuses: Counter[RunStatus]) -> int:
    return sum(statuses[status] for status in _COMING_OR_CALLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLimits:
    """What all batches and pools of one state may take together, over all workers; None: no limit but their own.

    `sessions` alive at once, as the provider allows; `calls` at once, as Cekura allows the organisation.
    """

    sessions: int | None = None
    calls: int | None = None


NO_LIMITS: Final = SharedLimits()


def plan_starts(
    *, planned: int, statuses: Counter[RunStatus], calls: CallBudget, soon: int, sessions_held: int, limits: Limits
) -> int:
    """How many sessions to start now: limited by what is left to do, by free call slots and by the session budget."""
    return max(0, min(planned, calls.free(statuses, soon=soon), limits.concurrency - sessions_held))


def count_statuses(statuses: Iterable[RunStatus]) -> Counter[RunStatus]:
    """Count runs by status."""
    return Counter(statuses)
