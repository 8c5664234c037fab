"""The life of a run: every status met by every fact, in tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain import run as rules  # whole: pytest takes an imported TesterLeft for a test class
from orchestrator.domain.observation import CallObservation, CallStatus
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import (
    FINAL,
    TRANSITIONS,
    BotReady,
    CallSeen,
    CancelAsked,
    IllegalTransition,
    NeverStarted,
    Overdue,
    Patience,
    Run,
    RunStatus,
    SessionLost,
    SessionStarted,
    StartIntended,
    StartRefused,
    StartUnsettled,
    SubmissionAccepted,
    SubmissionFailed,
    _moved,
    next_step,
)
from orchestrator.domain.verdict import Outcome

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OURS, SOMEBODY_ELSES = 7, 8
ONE_RETRY = Patience(retries=1)
NO_RETRY = Patience(retries=0)

P, STARTING, STARTED, READY = RunStatus.PLANNED, RunStatus.STARTING, RunStatus.STARTED, RunStatus.READY
SUBMITTED, IN_CALL, CALL_ENDED = RunStatus.SUBMITTED, RunStatus.IN_CALL, RunStatus.CALL_ENDED
JUDGED, CANCELLED, ABANDONED = RunStatus.JUDGED, RunStatus.CANCELLED, RunStatus.ABANDONED


def a_run(status=P, **changes):
    """A run as it stands in `status`: with a session from its start on, with Cekura's ids from its submission on."""
    started = {} if status is P else {"attempt": 1, "nonce": "n1"}
    called = {"cekura_run_id": OURS, "cekura_result_id": 70} if status in {SUBMITTED, IN_CALL, CALL_ENDED} else {}
    ended = {"outcome": Outcome.INCONCLUSIVE, "reason": "it ended"} if status in FINAL else {}
    values = {"run_id": "b1-001", "batch_id": "b1", "index": 1, "scenario_id": 101, "scenario_position": 0}
    return Run(**{**values, "status": status, **started, **called, **ended, **changes})


def seen(status, *, run_id=OURS, **changes):
    call = CallObservation(cekura_run_id=run_id, status=status, raw_status=status.value, success=False)
    return CallSeen(at=NOW, call=replace(call, **changes))


FACTS = {
    "start intended": StartIntended(at=NOW, nonce="n2"),
    "never started": NeverStarted(at=NOW, reason="agent at capacity"),
    "start refused for now": StartRefused(at=NOW, reason="agent at capacity", for_now=True),
    "start refused": StartRefused(at=NOW, reason="no such agent", for_now=False),
    "start unsettled": StartUnsettled(at=NOW, reason="its start answer was lost"),
    "session started": SessionStarted(at=NOW),
    "session lost": SessionLost(at=NOW, reason="the bot did not join"),
    "session lost for good": SessionLost(at=NOW, reason="a shared room", retry=False),
    "bot ready": BotReady(at=NOW, evidence=Evidence.PRESENCE),
    "submission accepted": SubmissionAccepted(at=NOW, cekura_run_id=OURS, cekura_result_id=70),
    "submission failed": SubmissionFailed(at=NOW, reason="scenario not found"),
    "seen queued": seen(CallStatus.QUEUED),
    "seen pending": seen(CallStatus.PENDING),
    "seen unrecognised": seen(CallStatus.UNRECOGNISED),
    "seen in call": seen(CallStatus.IN_CALL),
    "seen evaluating": seen(CallStatus.EVALUATING),
    "seen passed": seen(CallStatus.COMPLETED, success=True),
    "seen failing": seen(CallStatus.COMPLETED),
    "seen disconnected": seen(CallStatus.COMPLETED, error_message="connection failure"),
    "seen failed": seen(CallStatus.FAILED),
    "seen timed out": seen(CallStatus.TIMED_OUT),
    "seen cancelled": seen(CallStatus.CANCELLED),
    "somebody else's run seen": seen(CallStatus.COMPLETED, run_id=SOMEBODY_ELSES, success=True),
    "tester left": rules.TesterLeft(at=NOW),
    "overdue": Overdue(at=NOW, reason="the call had not ended 900 s after submission"),
    "cancel asked": CancelAsked(at=NOW, reason="cancelled by a person"),
}

KEPT, CONDEMNED, ENDED = (False, False), (True, False), (True, True)  # session condemned?  call to be ended?
RETRIED = (P, CONDEMNED)
GIVEN_UP = (ABANDONED, CONDEMNED)
LOST = {"session lost": RETRIED, "session lost for good": GIVEN_UP}
VERDICTS = {
    "seen passed": (JUDGED, CONDEMNED),
    "seen failing": (JUDGED, CONDEMNED),
    "seen timed out": (JUDGED, CONDEMNED),
    "seen cancelled": (JUDGED, CONDEMNED),
    "seen disconnected": RETRIED,
    "seen failed": RETRIED,
}
# What each fact does in each status, with one retry left; a fact that is not named changes nothing.
MOVES = {
    P: {"start intended": (STARTING, KEPT), "never started": GIVEN_UP, "cancel asked": (CANCELLED, CONDEMNED)},
    STARTING: {
        "start refused for now": (P, KEPT),  # there is no session to condemn
        "start refused": GIVEN_UP,
        "start unsettled": GIVEN_UP,
        "session started": (STARTED, KEPT),
        "cancel asked": (CANCELLED, CONDEMNED),
        **LOST,
    },
    STARTED: {"bot ready": (READY, KEPT), "cancel asked": (CANCELLED, CONDEMNED), **LOST},
    READY: {
        "submission accepted": (SUBMITTED, KEPT),
        "submission failed": GIVEN_UP,
        "cancel asked": (CANCELLED, CONDEMNED),
        **LOST,
    },
    SUBMITTED: {
        "seen in call": (IN_CALL, KEPT),
        "seen evaluating": (CALL_ENDED, CONDEMNED),
        "tester left": (CALL_ENDED, CONDEMNED),
        "overdue": (ABANDONED, ENDED),
        "cancel asked": (CANCELLED, ENDED),
        **VERDICTS,
    },
    IN_CALL: {
        "seen evaluating": (CALL_ENDED, CONDEMNED),
        "tester left": (CALL_ENDED, CONDEMNED),
        "overdue": (ABANDONED, ENDED),
        "cancel asked": (CANCELLED, ENDED),
        **VERDICTS,
    },
    CALL_ENDED: {"overdue": GIVEN_UP, "cancel asked": (CANCELLED, CONDEMNED), **VERDICTS},
    JUDGED: {},
    CANCELLED: {},
    ABANDONED: {},
}
CASES = [(status, name) for status in RunStatus for name in FACTS]


@pytest.mark.parametrize(("status", "name"), CASES, ids=str)
def test_each_fact_moves_a_run_as_tabled_or_changes_nothing(status, name):
    run = a_run(status)
    step = next_step(run, FACTS[name], ONE_RETRY)
    if name in MOVES[status]:
        moved_to, ends = MOVES[status][name]
        assert (step.run.status, (step.condemn is not None, step.end_call)) == (moved_to, ends)
        assert step.run.since(moved_to) == NOW
    else:
        assert step.run is run
        assert (step.condemn, step.end_call) == (None, False)


@pytest.mark.parametrize("before", RunStatus)
@pytest.mark.parametrize("after", RunStatus)
def test_a_move_outside_the_table_raises(before, after):
    run = a_run(before)
    if after in TRANSITIONS[before]:
        assert _moved(run, after, NOW).status is after
    else:
        with pytest.raises(IllegalTransition, match=rf"b1-001: {before} -> {after}"):
            _moved(run, after, NOW)


def test_every_status_can_be_reached_and_only_final_ones_are_left_by_nothing():
    reached, frontier = {P}, {P}
    while frontier:
        frontier = set().union(*(TRANSITIONS[status] for status in frontier)) - reached
        reached |= frontier
    assert reached == set(RunStatus) == set(TRANSITIONS)
    assert {status for status in RunStatus if not TRANSITIONS[status]} == FINAL
    assert {status for status in RunStatus if status.final} == FINAL


@pytest.mark.parametrize("status", [status for status in RunStatus if not status.final])
def test_every_unfinished_run_can_be_cancelled(status):
    run = next_step(a_run(status), FACTS["cancel asked"], ONE_RETRY).run
    assert (run.status, run.outcome, run.reason) == (CANCELLED, Outcome.INCONCLUSIVE, "cancelled by a person")


@pytest.mark.parametrize(
    ("status", "name"),
    [(status, name) for status, moves in MOVES.items() for name, move in moves.items() if move == RETRIED],
    ids=str,
)
def test_without_a_retry_left_a_run_ends_where_it_would_have_been_retried(status, name):
    step = next_step(a_run(status), FACTS[name], NO_RETRY)
    assert step.run.status is (JUDGED if name.startswith("seen") else ABANDONED)
    assert step.run.outcome is Outcome.INCONCLUSIVE
    assert step.run.reason
    assert step.condemn


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("seen passed", Outcome.PASSED),
        ("seen failing", Outcome.FAILED),
        ("seen disconnected", Outcome.INCONCLUSIVE),
        ("seen failed", Outcome.INCONCLUSIVE),
        ("seen timed out", Outcome.INCONCLUSIVE),
        ("seen cancelled", Outcome.INCONCLUSIVE),
    ],
)
def test_a_finished_call_is_judged_even_where_no_poll_saw_it_end(name, outcome):
    run = next_step(a_run(SUBMITTED), FACTS[name], NO_RETRY).run
    assert (run.status, run.outcome) == (JUDGED, outcome)
    assert run.since(CALL_ENDED) == run.since(JUDGED) == NOW
    assert run.since(IN_CALL) is None


def test_a_call_that_ended_keeps_the_time_at_which_it_was_first_seen_to_have_ended():
    ended = next_step(a_run(IN_CALL), FACTS["tester left"], ONE_RETRY).run
    later = replace(FACTS["seen passed"], at=NOW + timedelta(seconds=30))
    judged = next_step(ended, later, ONE_RETRY).run
    assert judged.since(CALL_ENDED) == NOW
    assert judged.since(JUDGED) == NOW + timedelta(seconds=30)


def test_a_retry_gets_a_session_and_ids_of_its_own_and_says_why():
    lost = next_step(a_run(IN_CALL), FACTS["seen failed"], ONE_RETRY).run
    assert (lost.nonce, lost.retries_used, lost.outcome) == (None, 1, None)
    assert lost.reason == "Cekura ended the run as failed"
    again = next_step(lost, FACTS["start intended"], ONE_RETRY).run
    assert (again.nonce, again.attempt) == ("n2", 2)
    assert (again.cekura_run_id, again.cekura_result_id) == (None, None)


def test_a_poll_of_the_former_attempt_does_not_touch_the_new_one():
    lost = next_step(a_run(IN_CALL), FACTS["seen failed"], ONE_RETRY).run
    again = next_step(lost, FACTS["start intended"], ONE_RETRY).run
    ready = replace(again, status=READY)
    new = next_step(ready, SubmissionAccepted(at=NOW, cekura_run_id=9, cekura_result_id=71), ONE_RETRY).run
    assert next_step(new, FACTS["seen passed"], ONE_RETRY).run is new


def test_a_start_refused_for_now_costs_neither_an_attempt_nor_a_retry():
    refused = next_step(a_run(STARTING), FACTS["start refused for now"], NO_RETRY).run
    assert (refused.attempt, refused.retries_used, refused.nonce) == (0, 0, None)
    assert refused.reason == "agent at capacity"


def test_a_run_that_was_never_started_says_why():
    given_up = next_step(a_run(), NeverStarted(at=NOW, reason="agent at capacity (waited 300 s)"), ONE_RETRY).run
    assert (given_up.status, given_up.outcome) == (ABANDONED, Outcome.INCONCLUSIVE)
    assert given_up.reason == "agent at capacity (waited 300 s)"


def test_an_overdue_verdict_needs_no_call_to_be_ended():
    assert not next_step(a_run(CALL_ENDED), FACTS["overdue"], ONE_RETRY).end_call
    assert next_step(a_run(IN_CALL), FACTS["overdue"], ONE_RETRY).end_call
