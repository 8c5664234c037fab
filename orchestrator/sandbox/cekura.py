"""Cekura as the sandbox plays it: results, their runs, the queue in front of its calls.

Above `calls_limit` a run waits `in_queue`, calls begin at most `dispatch_per_second`, and a slot is free again when the
call ended or when it was judged, as the slot rule says (which of the two is not documented).
"""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from orchestrator.sandbox.calls import CANCELLED, TERMINAL, Call, CallSurroundings, Run
from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.daily import Daily
from orchestrator.sandbox.faults import Faults
from orchestrator.sandbox.sessions import Sessions
from orchestrator.sandbox.settings import SandboxSettings

QUEUED_LONG_SECONDS: Final = 60.0
DEFAULT_AGENT: Final = 1


@dataclass(slots=True, kw_only=True, eq=False)
class Result:
    """One submission's parent of runs."""

    id: int
    agent: int
    created_at: float
    updated_at: float
    name: str = ""
    runs: list[Run] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Not terminal until every run ended; then completed if any run completed (Cekura, results list)."""
        words = {run.status for run in self.runs}
        if not words <= TERMINAL:
            return "pending" if words == {"pending"} else "in_progress"
        for word in ("completed", "failed", "timeout"):
            if word in words:
                return word
        return "cancelled" if words else "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedScenario:
    """One element of a submission's `scenarios`."""

    scenario: int
    room_url: str
    token: str | None
    message: Any


class Listener(Protocol):
    """Who hears of results: webhooks are sent by it."""

    def made(self, result: Result, go: Callable[[], None]) -> None:
        """A result was made; its runs begin when `go` is called."""
        ...

    def talking(self, result: Result) -> None:
        """One of its calls began."""
        ...

    def finished(self, result: Result) -> None:
        """The last of its runs has its verdict."""
        ...


class Cekura:
    """Results and runs, and which calls are on."""

    def __init__(
        self,
        *,
        settings: SandboxSettings,
        clock: SandboxClock,
        faults: Faults,
        daily: Daily,
        sessions: Sessions,
        listener: Listener,
    ) -> None:
        self._listener = listener
        self.settings = settings
        self.clock = clock
        self.faults = faults
        self.results: dict[int, Result] = {}
        self.runs: dict[int, Run] = {}
        self.coming_by_room: dict[str, set[int]] = {}
        self.cut_short: list[int] = []
        self.calls_total = 0
        self.talking: set[int] = set()
        self.peak_talking = 0
        self._queue: deque[Run] = deque()
        self._holding = 0
        self._next_dispatch = 0.0
        self._random = random.Random(f"{settings.seed}:cekura")
        # Ids differ between sandboxes, so that a client's stored rows never meet another sandbox's runs.
        self._next_id = 10_000 + secrets.randbelow(90_000_000)
        self._around = CallSurroundings(
            settings=settings,
            clock=clock,
            daily=daily,
            sessions=sessions,
            changed=self._changed,
            ended=self._ended,
            judged=self._judged,
        )

    def submit(self, *, agent: int | None, scenarios: Iterable[SubmittedScenario]) -> Result:
        """A new result with one run per element, queued for their calls."""
        now = self.clock.now()
        result = Result(id=self._new_id(), agent=agent or DEFAULT_AGENT, created_at=now, updated_at=now)
        result.runs = [self._new_run(result, scenario) for scenario in scenarios]
        self.results[result.id] = result
        runs = list(result.runs)
        self._listener.made(result, lambda: self._enqueue_all(runs))
        if self.settings.shuffle_runs:
            self._random.shuffle(result.runs)
        return result

    def end_call(self, run: Run) -> None:
        """End one run's call, or its wait for one; nothing where it is over."""
        if not run.coming:
            return
        run.end_asked = True
        if run.call is None:
            run.call = Call(run=run, around=self._around, fate=None)
        run.call.hang_up(CANCELLED)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _new_run(self, result: Result, scenario: SubmittedScenario) -> Run:
        run = Run(
            id=self._new_id(),
            ordinal=len(self.runs),
            result_id=result.id,
            agent=result.agent,
            scenario=scenario.scenario,
            room_url=scenario.room_url,
            token=scenario.token,
            message=scenario.message,
            created_at=result.created_at,
        )
        self.runs[run.id] = run
        self.coming_by_room.setdefault(run.room_url, set()).add(run.id)
        return run

    def _enqueue_all(self, runs: Iterable[Run]) -> None:
        for run in runs:
            if run.coming:
                self._enqueue(run)

    def _enqueue(self, run: Run) -> None:
        fate = self.faults.take("call")
        if fate == "queued_long":
            run.status = "in_queue"
            self.clock.after(QUEUED_LONG_SECONDS, lambda: self._wait_for_slot(run))
            return
        run.call = Call(run=run, around=self._around, fate=fate)
        self._wait_for_slot(run)

    def _wait_for_slot(self, run: Run) -> None:
        if not run.coming:
            return
        run.call = run.call or Call(run=run, around=self._around, fate=None)
        self._queue.append(run)
        self._fill_slots()
        if not run.holds_slot:
            run.status = "in_queue"
            self._changed(run)

    def _fill_slots(self) -> None:
        while self._queue and self._holding < self.settings.calls_limit:
            run = self._queue.popleft()
            if run.coming:
                run.holds_slot = True
                self._holding += 1
                self._dispatch_in_turn(run)

    def _dispatch_in_turn(self, run: Run) -> None:
        moment = max(self.clock.now(), self._next_dispatch)
        self._next_dispatch = moment + self.clock.scaled(1.0 / self.settings.dispatch_per_second)
        self.clock.at(moment, lambda: self._dispatch(run))

    def _dispatch(self, run: Run) -> None:
        if run.coming and run.call is not None:
            self.calls_total += 1
            run.call.dispatch()

    def _changed(self, run: Run) -> None:
        run.cached = None
        result = self.results[run.result_id]
        result.updated_at = self.clock.now()
        if run.status == "in_progress":
            self.talking.add(run.id)
            self.peak_talking = max(self.peak_talking, len(self.talking))
            self._listener.talking(result)
        elif run.status in TERMINAL and all(one.status in TERMINAL for one in result.runs):
            self._listener.finished(result)

    def _ended(self, run: Run) -> None:
        self.talking.discard(run.id)
        self._forget_coming(run)
        if run.cut_short:
            self.cut_short.append(run.id)
        if self.settings.slot_rule == "call_ended":
            self._free_slot(run)

    def _judged(self, run: Run) -> None:
        self._free_slot(run)

    def _forget_coming(self, run: Run) -> None:
        coming = self.coming_by_room.get(run.room_url, set())
        coming.discard(run.id)
        if not coming:
            self.coming_by_room.pop(run.room_url, None)

    def _free_slot(self, run: Run) -> None:
        if run.holds_slot:
            run.holds_slot = False
            self._holding -= 1
            self._fill_slots()
