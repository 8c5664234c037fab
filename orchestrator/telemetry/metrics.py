"""The numbers a process publishes: it is told of what happened with plain values, and renders them for Prometheus.

One object per process, made by whoever serves `/metrics`; a process without one counts nothing. Every method answers
at once and may be called from any thread.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from orchestrator.domain.budget import SharedLimits
from orchestrator.domain.notice import NoticeKind
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.run import FINAL, Run, RunStatus
from orchestrator.domain.schedule import FireDecision
from orchestrator.domain.session import End, Session, Teardown
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.domain.tally import SessionTally, Tally
from orchestrator.domain.verdict import Outcome
from orchestrator.telemetry.instruments import Instruments
from orchestrator.telemetry.names import OTHER, FirstNames

RUNNER: Final = "runner"  # a runner has no name, only an address
START_OUTCOMES: Final = ("answered", "busy", "refused", "lost")
SUBMISSION_OUTCOMES: Final = (
    *(SubmissionStatus.ACCEPTED, SubmissionStatus.REFUSED, SubmissionStatus.REJECTED, SubmissionStatus.UNKNOWN),
    "lost",
)
IDLE_CAUSES: Final = ("submission", "call", "nothing")
THINGS: Final = ("session", "room")
NOT_YET: Final = End()
POLL_RESULTS: Final = ("news", "nothing", "failed")
CALL_MISSED: Final = frozenset({RunStatus.CALL_ENDED, RunStatus.JUDGED})  # between two polls: nobody saw it begin
BUDGETS: Final = ("sessions", "calls")
ROUTES: Final = 80
WEBHOOK_RESULTS: Final = 10
NOTICE_RESULTS: Final = ("sent", "failed", "given_up", "unsendable")
CLASS: Final = 100


class Metrics:
    """Counts what it hears of; see docs/metrics.md for what each number means."""

    def __init__(self, *, version: str) -> None:
        self._of = Instruments()
        self._agents = FirstNames()
        self._pools = FirstNames()
        self._schedules = FirstNames()
        self._routes = FirstNames(ROUTES)
        self._webhook_results = FirstNames(WEBHOOK_RESULTS)
        self._begin()
        self._of.build_info.labels(version, platform.python_version()).set(1)

    def _begin(self) -> None:
        """Numbers that were never counted are shown as 0: a series that appears with its first trouble has no rate."""
        of = self._of
        for counter, words in (
            (of.starts, START_OUTCOMES),
            (of.runs, tuple(Outcome)),
            (of.submissions, SUBMISSION_OUTCOMES),
            (of.polls, POLL_RESULTS),
        ):
            for word in words:
                counter.labels(str(word))
        for kind in NoticeKind:
            for result in NOTICE_RESULTS:
                of.notices.labels(kind.value, result)
        for thing in THINGS:
            of.teardown_lag_seconds.labels(thing)
            for end in (Teardown.CONFIRMED, Teardown.BOUNDED):
                of.teardowns.labels(thing, end.value)
        for cause in IDLE_CAUSES:
            of.idle_seconds.labels(cause)

    def render(self) -> tuple[bytes, str]:
        """All numbers in Prometheus' text format, and the content type to send them with."""
        return generate_latest(self._of.registry), CONTENT_TYPE_LATEST

    # --- what the engine tells (engine/observer) --------------------------------------------------------------------

    def heard(self, before: Run, after: Run) -> None:
        """One run moved: how long its bot idled, how long its call was, what came of it."""
        at = after.since(after.status)
        if at is None:
            return
        if before.status is RunStatus.READY:
            cause = "submission" if after.status is RunStatus.SUBMITTED else "nothing"
            self._idled(cause, before.since(RunStatus.READY), at)
        elif before.status is RunStatus.SUBMITTED and after.status not in CALL_MISSED:
            cause = "call" if after.status is RunStatus.IN_CALL else "nothing"
            self._idled(cause, before.since(RunStatus.SUBMITTED), at)
        elif before.status is RunStatus.IN_CALL:
            self._of.call_seconds.observe(_seconds(before.since(RunStatus.IN_CALL), at))
        if after.retries_used > before.retries_used:
            self._of.retries.inc()
        if after.status in FINAL and after.outcome is not None:
            self._of.runs.labels(after.outcome.value).inc()

    def session_moved(self, before: Session | None, after: Session) -> None:
        """One session moved: when its bot was ready, and how and when it ended."""
        taken = before is None and after.taken_at is not None and not after.torn_down  # its pool saw it become ready
        if after.ready_at is not None and (taken or (before is not None and before.ready_at is None)):
            evidence = after.evidence.value if after.evidence else OTHER
            waited = _seconds(after.answered_at, after.ready_at)
            self._of.ready_seconds.labels(self._agent(after), evidence).observe(waited)
        settled = after.exists and after.torn_down and not (before is not None and before.torn_down)
        was = (before.session_end, before.room_end) if before is not None else (NOT_YET, NOT_YET)
        for thing, old, new in zip(THINGS, was, (after.session_end, after.room_end), strict=True):
            if new.state is Teardown.CONFIRMED and old.state is not Teardown.CONFIRMED:
                self._of.teardowns.labels(thing, Teardown.CONFIRMED.value).inc()
                lag = _seconds(after.teardown_from, new.at) if new.at is not None else 0.0
                self._of.teardown_lag_seconds.labels(thing).observe(lag)
            elif new.state is Teardown.BOUNDED and settled:
                self._of.teardowns.labels(thing, Teardown.BOUNDED.value).inc()

    def resumed(self, runs: Iterable[Run], sessions: Iterable[Session]) -> None:
        """A batch is driven from these rows on: what is in them was counted by whoever drove it before."""

    def let_go(self, batch_id: str) -> None:
        """A batch is driven here no longer: what was counted stays counted."""

    def polled(self, asked: int, news: int | None) -> None:
        """One poll of so many runs: it brought news of some, of none, or failed (None)."""
        self._of.polls.labels("failed" if news is None else "news" if news else "nothing").inc()
        self._of.polled_runs.inc(asked)

    def submission(self, outcome: str) -> None:
        """One POST of rooms came to this."""
        self._of.submissions.labels(outcome).inc()

    def _idled(self, cause: str, since: datetime | None, at: datetime) -> None:
        self._of.idle_seconds.labels(cause).observe(_seconds(since, at))

    # --- what the clients tell (clients/observer) -------------------------------------------------------------------

    def request(self, remote: str, operation: str, status: int | None, seconds: float) -> None:
        """One request to a remote; `status` None: no whole answer came."""
        self._of.requests.labels(remote, operation, _status_class(status)).inc()
        self._of.request_seconds.labels(remote, operation).observe(seconds)

    def start(self, outcome: str) -> None:
        """One start of a session came to this."""
        self._of.starts.labels(outcome).inc()

    # --- what a look at the state shows -----------------------------------------------------------------------------

    def looked(self, tally: Tally) -> None:
        """One look at the state: what is not in it any more counts 0."""
        sessions: Counter[tuple[str, ...]] = Counter()
        for one in tally.sessions:
            agent = self._agent(one)
            numbers = {"alive": one.alive, "unsettled": one.unsettled, "bounded": one.bounded, "left": one.left}
            sessions.update({(agent, state): number for state, number in numbers.items()})
        _replace(self._of.sessions, sessions)
        warm: Counter[tuple[str, ...]] = Counter()
        for pool in tally.pools:
            name = self._pools(pool.pool)
            warm.update({(name, "ready"): pool.ready, (name, "alive"): pool.warm})
        _replace(self._of.pool_sessions, warm)
        self._of.batches.labels("waiting").set(tally.waiting)
        self._of.batches.labels("driven").set(tally.driven)
        self._of.queue_oldest_seconds.set(_seconds(tally.oldest_waiting, tally.at))
        self._of.looked_at.set(tally.at.timestamp())

    def count_driven(self, runs: Mapping[RunStatus, int], *, sessions: tuple[int, int], calls: tuple[int, int]) -> None:
        """What this process drives: runs by status; sessions and calls held, and how many of each may be."""
        for status in RunStatus:
            if not status.final:
                self._of.runs_under_way.labels(status.value).set(runs.get(status, 0))
        for budget, (used, limit) in zip(BUDGETS, (sessions, calls), strict=True):
            self._of.budget_used.labels(budget).set(used)
            self._of.budget_limit.labels(budget).set(limit)

    def limited(self, shared: SharedLimits) -> None:
        """What all batches and pools of the state may take together; a budget without such a limit has no number."""
        for budget, limit in zip(BUDGETS, (shared.sessions, shared.calls), strict=True):
            if limit is not None:
                self._of.shared_limit.labels(budget).set(limit)

    # --- what else a service does -----------------------------------------------------------------------------------

    def committed(self, units: int, seconds: float) -> None:
        """One commit of so many units of work."""
        self._of.commit_units.observe(units)
        self._of.commit_seconds.observe(seconds)

    def pool_left(self, pool: str, *, served: bool, waited: timedelta) -> None:
        """A warm session left its pool: a run took it, or it was let go; it had waited so long."""
        label = (self._pools(pool), "run" if served else "waste")
        self._of.pool_left.labels(*label).inc()
        self._of.pool_idle_seconds.labels(*label).inc(max(0.0, waited.total_seconds()))

    def fired(self, schedule: str, decision: FireDecision, lag: timedelta | None) -> None:
        """One fire was decided, so long after it was due; None where it had waited for another's batch."""
        self._of.fires.labels(self._schedules(schedule), decision.value).inc()
        if lag is not None:
            self._of.schedule_lag_seconds.observe(max(0.0, lag.total_seconds()))

    def delivered(self, result: str) -> None:
        """One delivery of Cekura's webhook came to this (a word of ours)."""
        self._of.webhooks.labels(self._webhook_results(result)).inc()

    def noticed(self, kind: str, result: str) -> None:
        """One try of a notice of this kind came to this."""
        self._of.notices.labels(kind, result).inc()

    def api_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request to our API. `route` is the template (`/batches/{batch_id}`), empty where none matched."""
        label = self._routes(route)
        known = method if method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} else OTHER
        self._of.api_requests.labels(known, label, str(status)).inc()
        self._of.api_seconds.labels(label).observe(seconds)

    def loop_late(self, seconds: float) -> None:
        """The event loop came so much later than it was asked to."""
        self._of.loop_late_seconds.observe(max(0.0, seconds))

    def _agent(self, of: Session | SessionTally) -> str:
        return RUNNER if of.agent_kind is AgentKind.PIPECAT_RUNNER else self._agents(of.agent_address)


def _replace(gauge: Gauge, found: Mapping[tuple[str, ...], float]) -> None:
    """Set what was found, and to 0 what was there before and is no longer; never a moment without a value."""
    gone = {tuple(sample.labels.values()) for metric in gauge.collect() for sample in metric.samples} - set(found)
    for labels, number in {**dict.fromkeys(gone, 0.0), **found}.items():
        gauge.labels(*labels).set(number)


def _seconds(since: datetime | None, at: datetime) -> float:
    return max(0.0, (at - since).total_seconds()) if since is not None else 0.0


def _status_class(status: int | None) -> str:
    """`2xx`, `4xx`, ... with 429 apart, because it is about us; `none` where no answer came."""
    if status is None:
        return "none"
    return "429" if status == HTTPStatus.TOO_MANY_REQUESTS else f"{status // CLASS}xx"
