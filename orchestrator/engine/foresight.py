"""Looks ahead for one batch: how many call slots will be free by the time a bot started now is ready.

It learns from this batch alone, as it runs: how long starts take to become ready, how long calls and evaluations last.
A batch taken up again after a crash learns from its rows. Until something was learnt nothing is foreseen, and a session
is started when a slot is free.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from statistics import median
from typing import Final

from orchestrator.clock import Clock
from orchestrator.domain.forecast import Forecast, Lasting, Outlook
from orchestrator.domain.plan import SlotRule
from orchestrator.domain.run import WITH_CEKURA, Run, RunStatus
from orchestrator.engine.roster import Roster

RECENT: Final = 50  # starts whose lead counts: a cold pool warms up
MEMORY: Final = 1000  # calls whose length counts
DOUBT: Final = 5.0  # calls that never end, added to those seen (simulated: 0 lets 20 s of waiting pass, 10 starts late)
LOOKS: Final = 10  # per poll interval: in between, what was foreseen holds unless a run moved
NEVER: Final = Forecast()
ON_CALL: Final = (RunStatus.SUBMITTED, RunStatus.IN_CALL, RunStatus.CALL_ENDED, RunStatus.JUDGED)


class Foresight:
    """What one batch has shown so far."""

    def __init__(self, *, roster: Roster, clock: Clock) -> None:
        self._roster = roster
        self._clock = clock
        self._leads: deque[float] = deque(maxlen=RECENT)
        self._calls: deque[float] = deque(maxlen=MEMORY)
        self._evaluations: deque[float] = deque(maxlen=MEMORY)
        self._followed: dict[str, set[RunStatus]] = {}  # runs on call, and what was learnt from each
        self._foreseen = NEVER
        self._looked: tuple[int, ...] = ()
        self._look_again = float("-inf")
        self._follow(RunStatus.JUDGED)  # those that an earlier process brought to their end

    @property
    def look_every(self) -> float:
        """Seconds for which a look ahead holds good while nothing moves."""
        return self._roster.plan.timing.poll_interval / LOOKS

    def freed(self, rule: SlotRule) -> Forecast:
        """How many of the call slots taken now will be free when a bot that is started now is ready."""
        moved = tuple(self._roster.statuses[status] for status in ON_CALL)
        if moved != self._looked or self._clock.monotonic() >= self._look_again:
            self._looked, self._look_again = moved, self._clock.monotonic() + self.look_every
            self._foreseen = self._look(rule)
        return self._foreseen

    def _look(self, rule: SlotRule) -> Forecast:
        self._learn()
        if not self._leads:
            return NEVER
        within, until_judged = median(self._leads), rule is not SlotRule.CALL_ENDED
        if until_judged:
            # A poll tells of a verdict half an interval late on average: by then the slot has been free for as long.
            within += self._roster.plan.timing.poll_interval / 2
        return self._outlook().freed(within=within, until_judged=until_judged)

    def _outlook(self) -> Outlook:
        now = self._clock.now()
        calls = [_age(run, RunStatus.IN_CALL, now) for run in self._roster.of_status(RunStatus.IN_CALL)]
        judging = [_age(run, RunStatus.CALL_ENDED, now) for run in self._roster.of_status(RunStatus.CALL_ENDED)]
        return Outlook(
            calls=Lasting.of(self._calls, calls, doubt=DOUBT),
            evaluations=Lasting.of(self._evaluations, judging),
            call_ages=calls,
            evaluation_ages=judging,
        )

    def _learn(self) -> None:
        self._follow(*WITH_CEKURA)
        for run_id, learnt in list(self._followed.items()):
            run = self._roster.runs[run_id]
            self._note(run, learnt, self._leads, RunStatus.STARTING, RunStatus.READY)
            self._note(run, learnt, self._calls, RunStatus.IN_CALL, RunStatus.CALL_ENDED)
            self._note(run, learnt, self._evaluations, RunStatus.CALL_ENDED, RunStatus.JUDGED)
            if run.status not in WITH_CEKURA:
                del self._followed[run_id]

    def _follow(self, *statuses: RunStatus) -> None:
        for run in self._roster.of_status(*statuses):
            self._followed.setdefault(run.run_id, set())

    @staticmethod
    def _note(run: Run, learnt: set[RunStatus], into: deque[float], since: RunStatus, until: RunStatus) -> None:
        begun, ended = run.since(since), run.since(until)
        if until in learnt or begun is None or ended is None or ended <= begun:
            return  # known, of an earlier attempt, or of two states that one poll showed at once
        learnt.add(until)
        into.append((ended - begun).total_seconds())


def _age(run: Run, status: RunStatus, now: datetime) -> float:
    return (now - (run.since(status) or now)).total_seconds()
