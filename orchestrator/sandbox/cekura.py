"""Cekura as the sandbox plays it: results, their runs, the queue in front of its calls.

Above `calls_limit`, one for all channels, or above its result's own limit a run waits `in_queue`. Calls begin at most
`dispatch_per_second`, and a slot is free again when the call ended or when it was judged, as the slot rule says (which
of the two is not documented).
"""

from __future__ import annotations

import random
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from orchestrator.sandbox.calls import CANCELLED, TERMINAL, Call, CallSurroundings, Numbers, Run
from orchestrator.sandbox.catalogue import Channel, scenario_of
from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.daily import Daily
from orchestrator.sandbox.faults import Faults
from orchestrator.sandbox.hosted_call import HostedCall
from orchestrator.sandbox.room_call import RoomCall
from orchestrator.sandbox.sessions import Sessions
from orchestrator.sandbox.settings import SandboxSettings

QUEUED_LONG_SECONDS: Final = 60.0
DEFAULT_AGENT: Final = 1


@dataclass(slots=True, kw_only=True, eq=False)
class Result:
    """One submission's parent of runs."""

    id: int
    agent: int
    channel: Channel
    created_at: float
    updated_at: float
    name: str = ""
    calls_limit: int | None = None
    holding: int = 0
    runs: list[Run] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether as many of its calls are on as its own limit allows."""
        return self.calls_limit is not None and self.holding >= self.calls_limit

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
class SubmittedRun:
    """One run to be made; only the manual flow names a room. Without a personality or profile it has the scenario's."""

    scenario: int
    room_url: str | None = None
    token: str | None = None
    message: Any = None
    personality: int | None = None
    profile: int | None = None
    numbers: Numbers = field(default_factory=Numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A run request that was understood; `calls_limit` is the result's own, None for none."""

    channel: Channel
    runs: Sequence[SubmittedRun]
    agent: int | None = None
    name: str = ""
    calls_limit: int | None = None


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
        self.calls_by_channel: Counter[str] = Counter()
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

    def submit(self, submission: Submission) -> Result:
        """A new result with its runs, queued for their calls."""
        now = self.clock.now()
        result = Result(
            id=self._new_id(),
            agent=submission.agent or DEFAULT_AGENT,
            channel=submission.channel,
            name=submission.name,
            calls_limit=submission.calls_limit,
            created_at=now,
            updated_at=now,
        )
        result.runs = [self._new_run(result, run) for run in submission.runs]
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
            run.call = self._new_call(run, fate=None)
        run.call.hang_up(CANCELLED)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _new_run(self, result: Result, submitted: SubmittedRun) -> Run:
        scenario = scenario_of(submitted.scenario)
        run = Run(
            id=self._new_id(),
            ordinal=len(self.runs),
            result_id=result.id,
            agent=result.agent,
            scenario=scenario.id,
            channel=result.channel,
            room_url=submitted.room_url,
            token=submitted.token,
            message=submitted.message,
            personality=submitted.personality or scenario.personality,
            profile=submitted.profile or scenario.profile,
            numbers=submitted.numbers,
            created_at=result.created_at,
        )
        self.runs[run.id] = run
        if run.room_url is not None:
            self.coming_by_room.setdefault(run.room_url, set()).add(run.id)
        return run

    def _new_call(self, run: Run, *, fate: str | None) -> Call:
        if run.room_url is None:
            return HostedCall(run=run, around=self._around, fate=fate)
        return RoomCall(run=run, around=self._around, fate=fate, room_url=run.room_url)

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
        run.call = self._new_call(run, fate=fate)
        self._wait_for_slot(run)

    def _wait_for_slot(self, run: Run) -> None:
        if not run.coming:
            return
        run.call = run.call or self._new_call(run, fate=None)
        self._queue.append(run)
        self._fill_slots()
        if not run.holds_slot:
            run.status = "in_queue"
            self._changed(run)

    def _fill_slots(self) -> None:
        while self._holding < self.settings.calls_limit and (run := self._take_next()) is not None:
            run.holds_slot = True
            self._holding += 1
            self.results[run.result_id].holding += 1
            self._dispatch_in_turn(run)

    def _take_next(self) -> Run | None:
        """The first in the queue whose result may have one more call; who no longer waits for one is dropped."""
        passed_over: list[Run] = []
        taken: Run | None = None
        while taken is None and self._queue:
            run = self._queue.popleft()
            if run.coming and self.results[run.result_id].is_full:
                passed_over.append(run)
            elif run.coming:
                taken = run
        self._queue.extendleft(reversed(passed_over))
        return taken

    def _dispatch_in_turn(self, run: Run) -> None:
        moment = max(self.clock.now(), self._next_dispatch)
        self._next_dispatch = moment + self.clock.scaled(1.0 / self.settings.dispatch_per_second)
        self.clock.at(moment, lambda: self._dispatch(run))

    def _dispatch(self, run: Run) -> None:
        if run.coming and run.call is not None:
            self.calls_total += 1
            self.calls_by_channel[run.channel] += 1
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
        if run.room_url is None:
            return
        coming = self.coming_by_room.get(run.room_url, set())
        coming.discard(run.id)
        if not coming:
            self.coming_by_room.pop(run.room_url, None)

    def _free_slot(self, run: Run) -> None:
        if run.holds_slot:
            run.holds_slot = False
            self._holding -= 1
            self.results[run.result_id].holding -= 1
            self._fill_slots()
