"""The life of a run: the transition table as data, and `next_step`, which says what one new fact means.

    planned -> starting -> started -> ready -> submitted -> in_call -> call_ended -> judged
    any of them -> cancelled | abandoned(reason)

A run that loses its session for an infrastructure reason goes back to `planned` while its retry budget lasts; each
attempt has a session of its own, and a session is submitted at most once. Teardown is not a state of the run: it
belongs to the session, which is condemned here and torn down by the reaper.

On an automated channel there is no session of ours: a submission takes up a planned run, and the run is submitted when
Cekura accepts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestrator.domain.observation import CallObservation, CallStatus
from orchestrator.domain.plan import Evidence
from orchestrator.domain.verdict import Outcome, Verdict, judge


class RunStatus(StrEnum):
    """How far a run has come; separate from its outcome."""

    PLANNED = "planned"
    STARTING = "starting"
    STARTED = "started"
    READY = "ready"
    SUBMITTED = "submitted"
    IN_CALL = "in_call"
    CALL_ENDED = "call_ended"
    JUDGED = "judged"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"

    @property
    def final(self) -> bool:
        """True when nothing more will happen to the run itself."""
        return self in FINAL


FINAL: Final = frozenset({RunStatus.JUDGED, RunStatus.CANCELLED, RunStatus.ABANDONED})
WITH_CEKURA: Final = frozenset({RunStatus.SUBMITTED, RunStatus.IN_CALL, RunStatus.CALL_ENDED})

_ENDS = frozenset({RunStatus.CANCELLED, RunStatus.ABANDONED})
TRANSITIONS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.PLANNED: _ENDS | {RunStatus.STARTING, RunStatus.SUBMITTED},
    RunStatus.STARTING: _ENDS | {RunStatus.STARTED, RunStatus.PLANNED},
    RunStatus.STARTED: _ENDS | {RunStatus.READY, RunStatus.PLANNED},
    RunStatus.READY: _ENDS | {RunStatus.SUBMITTED, RunStatus.PLANNED},
    # A poll may miss what lies between two observations, so later states can be reached directly.
    RunStatus.SUBMITTED: _ENDS | {RunStatus.IN_CALL, RunStatus.CALL_ENDED, RunStatus.JUDGED, RunStatus.PLANNED},
    RunStatus.IN_CALL: _ENDS | {RunStatus.CALL_ENDED, RunStatus.JUDGED, RunStatus.PLANNED},
    RunStatus.CALL_ENDED: _ENDS | {RunStatus.JUDGED, RunStatus.PLANNED},
    RunStatus.JUDGED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
    RunStatus.ABANDONED: frozenset(),
}


class IllegalTransition(ValueError):
    """A move the table does not hold: a defect of ours, never a remote's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One scenario executed once. `attempt` counts the sessions begun for it; `nonce` names the current one.

    On an automated channel `attempt` counts submissions, and `submission_id` names the one that carries the run;
    personality and test profile are those it asks for. `timeline` maps a status to the UTC time it was last reached.
    """

    run_id: str
    batch_id: str
    index: int
    scenario_id: int
    scenario_position: int
    status: RunStatus = RunStatus.PLANNED
    outcome: Outcome | None = None
    reason: str = ""
    attempt: int = 0
    retries_used: int = 0
    nonce: str | None = None
    cekura_run_id: int | None = None
    cekura_result_id: int | None = None
    timeline: Mapping[str, datetime] = field(default_factory=dict)
    submission_id: str | None = None
    personality_id: int | None = None
    test_profile_id: int | None = None

    @property
    def waits(self) -> bool:
        """True while nothing was begun for it: neither a session nor a submission."""
        return self.status is RunStatus.PLANNED and self.submission_id is None

    @property
    def taken_up(self) -> bool:
        """True while a submission carries it whose answer is not known."""
        return self.status is RunStatus.PLANNED and self.submission_id is not None

    def since(self, status: RunStatus) -> datetime | None:
        """When the run last reached `status`."""
        return self.timeline.get(status.value)


# --- facts: what happened, and when (UTC) --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartIntended:
    """A session row was committed for the run; its start call may now be made."""

    at: datetime
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRefused:
    """The remote certainly started nothing; `for_now` when asking again may help (capacity, rate, unreachable)."""

    at: datetime
    reason: str
    for_now: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverStarted:
    """The remote has refused every start for longer than the plan waits; the run was never begun."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUnsettled:
    """The start's answer was lost and looking did not settle what it did: never started again."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted:
    """The start was answered, or its session was found by its mark."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost:
    """The session is of no use before any call was placed (bot never came, left early, shared room)."""

    at: datetime
    reason: str
    retry: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BotReady:
    """The bot is believed to be in its room, on this evidence."""

    at: datetime
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionIntended:
    """A submission of an automated channel was committed that carries the run; its POST may now be made."""

    at: datetime
    submission_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionReturned:
    """That submission certainly did nothing: another one may carry the run."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionAccepted:
    """Cekura created a run, for the session's room or on an automated channel."""

    at: datetime
    cekura_run_id: int
    cekura_result_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionFailed:
    """Cekura refused the submission, or nobody can say whether it took it: the room is never submitted again."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSeen:
    """A poll showed the Cekura run."""

    at: datetime
    call: CallObservation


@dataclass(frozen=True, slots=True, kw_only=True)
class TesterLeft:
    """Presence showed Cekura's tester in the room, and then no longer: the call is over."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A deadline of ours passed while Cekura still had the run."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked:
    """The batch is being cancelled, or its ramp was stopped before the run was called."""

    at: datetime
    reason: str


Fact = (
    StartIntended
    | StartRefused
    | NeverStarted
    | StartUnsettled
    | SessionStarted
    | SessionLost
    | BotReady
    | SubmissionIntended
    | SubmissionReturned
    | SubmissionAccepted
    | SubmissionFailed
    | CallSeen
    | TesterLeft
    | Overdue
    | CancelAsked
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How much a run may still ask for: infrastructure retries in all."""

    retries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a fact means: the run as it is now, whether its session is condemned (why), whether its call must be ended.

    `run` is the same object where the fact changes nothing.
    """

    run: Run
    condemn: str | None = None
    end_call: bool = False


def next_step(run: Run, fact: Fact, patience: Patience) -> Step:  # noqa: C901, PLR0911, PLR0912  one case per fact
    """Decide what `fact` means for `run`; facts that come too late or too early change nothing."""
    if run.status.final:
        return Step(run=run)
    match fact:
        case CancelAsked(at=at, reason=reason):
            return _cancelled(run, at, reason)
        case StartIntended(at=at, nonce=nonce) if run.status is RunStatus.PLANNED:
            begun = replace(run, attempt=run.attempt + 1, nonce=nonce, cekura_run_id=None, cekura_result_id=None)
            return Step(run=_moved(begun, RunStatus.STARTING, at))
        case SubmissionIntended(submission_id=submission_id) if run.waits:
            return Step(run=_taken_up(run, submission_id))
        case SubmissionReturned(reason=reason) if run.taken_up:
            return Step(run=replace(run, attempt=run.attempt - 1, submission_id=None, reason=reason))
        case StartRefused() if run.status is RunStatus.STARTING:
            return _refused(run, fact)
        case NeverStarted(at=at, reason=reason) if run.waits:
            return _abandoned(run, at, reason)
        case StartUnsettled(at=at, reason=reason) if run.status is RunStatus.STARTING:
            return _abandoned(run, at, reason)
        case SessionStarted(at=at) if run.status is RunStatus.STARTING:
            return Step(run=_moved(run, RunStatus.STARTED, at))
        case SessionLost(at=at, reason=reason, retry=retry) if run.status in _BEFORE_SUBMISSION:
            return _retried_or_abandoned(run, at, reason, patience, retry=retry)
        case BotReady(at=at) if run.status is RunStatus.STARTED:
            return Step(run=_moved(run, RunStatus.READY, at))
        case SubmissionAccepted(at=at) if run.status is RunStatus.READY or run.taken_up:
            named = replace(run, cekura_run_id=fact.cekura_run_id, cekura_result_id=fact.cekura_result_id)
            return Step(run=_moved(named, RunStatus.SUBMITTED, at))
        case SubmissionFailed(at=at, reason=reason) if run.status is RunStatus.READY or run.taken_up:
            return _abandoned(run, at, reason)
        case CallSeen(at=at, call=call) if run.status in WITH_CEKURA and call.cekura_run_id == run.cekura_run_id:
            return _call_seen(run, at, call, patience)
        case TesterLeft(at=at) if run.status in {RunStatus.SUBMITTED, RunStatus.IN_CALL}:
            return Step(run=_moved(run, RunStatus.CALL_ENDED, at), condemn="call ended")
        case Overdue(at=at, reason=reason) if run.status in WITH_CEKURA:
            return replace(_abandoned(run, at, reason), end_call=run.status is not RunStatus.CALL_ENDED)
        case _:
            return Step(run=run)


_BEFORE_SUBMISSION = frozenset({RunStatus.STARTING, RunStatus.STARTED, RunStatus.READY})


def _taken_up(run: Run, submission_id: str) -> Run:
    return replace(run, attempt=run.attempt + 1, submission_id=submission_id, cekura_run_id=None, cekura_result_id=None)


def _moved(run: Run, status: RunStatus, at: datetime) -> Run:
    if status not in TRANSITIONS[run.status]:
        message = f"run {run.run_id}: {run.status} -> {status}"
        raise IllegalTransition(message)
    return replace(run, status=status, timeline={**run.timeline, status.value: at})


def _ended(run: Run, status: RunStatus, at: datetime, verdict: Verdict) -> Run:
    return replace(_moved(run, status, at), outcome=verdict.outcome, reason=verdict.reason)


def _abandoned(run: Run, at: datetime, reason: str) -> Step:
    verdict = Verdict(outcome=Outcome.INCONCLUSIVE, reason=reason)
    return Step(run=_ended(run, RunStatus.ABANDONED, at, verdict), condemn=reason)


def _cancelled(run: Run, at: datetime, reason: str) -> Step:
    verdict = Verdict(outcome=Outcome.INCONCLUSIVE, reason=reason)
    ended = _ended(run, RunStatus.CANCELLED, at, verdict)
    in_cekura = run.status in {RunStatus.SUBMITTED, RunStatus.IN_CALL}
    return Step(run=ended, condemn=reason, end_call=in_cekura)


def _refused(run: Run, fact: StartRefused) -> Step:
    if not fact.for_now:
        return _abandoned(run, fact.at, fact.reason)
    again = replace(run, reason=fact.reason, attempt=run.attempt - 1, nonce=None)
    return Step(run=_moved(again, RunStatus.PLANNED, fact.at))


def _retried_or_abandoned(run: Run, at: datetime, reason: str, patience: Patience, *, retry: bool = True) -> Step:
    if not retry or run.retries_used >= patience.retries:
        return _abandoned(run, at, reason)
    again = replace(run, retries_used=run.retries_used + 1, reason=reason, nonce=None, submission_id=None)
    return Step(run=_moved(again, RunStatus.PLANNED, at), condemn=reason)


def _call_seen(run: Run, at: datetime, call: CallObservation, patience: Patience) -> Step:
    if call.status.finished:
        return _finished(run, at, call, patience)
    if call.status is CallStatus.EVALUATING and run.status is not RunStatus.CALL_ENDED:
        return Step(run=_moved(run, RunStatus.CALL_ENDED, at), condemn="call ended")
    if call.status is CallStatus.IN_CALL and run.status is RunStatus.SUBMITTED:
        return Step(run=_moved(run, RunStatus.IN_CALL, at))
    return Step(run=run)


def _finished(run: Run, at: datetime, call: CallObservation, patience: Patience) -> Step:
    verdict = judge(call)
    if verdict.retry and run.retries_used < patience.retries:
        return _retried_or_abandoned(run, at, verdict.reason, patience)
    ended = run if run.status is RunStatus.CALL_ENDED else _moved(run, RunStatus.CALL_ENDED, at)
    return Step(run=_ended(ended, RunStatus.JUDGED, at, verdict), condemn="call ended")
