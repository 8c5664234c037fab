"""The life of a run under any sequence of facts: what holds whatever the remotes do and in whatever order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain import run as rules  # whole: pytest takes an imported TesterLeft for a test class
from orchestrator.domain.observation import CallObservation, CallStatus
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import (
    TRANSITIONS,
    BotReady,
    CallSeen,
    CancelAsked,
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
    next_step,
)
from orchestrator.domain.verdict import Outcome

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OURS, SOMEBODY_ELSES = 7, 8
HAS_SESSION = {
    RunStatus.STARTING,
    RunStatus.STARTED,
    RunStatus.READY,
    RunStatus.SUBMITTED,
    RunStatus.IN_CALL,
}
REASONS = st.sampled_from(["agent at capacity", "the bot did not join", "no verdict came"])
AT = st.just(NOW)
CALLS = st.builds(
    CallObservation,
    cekura_run_id=st.sampled_from([OURS, OURS, OURS, SOMEBODY_ELSES]),
    status=st.sampled_from(CallStatus),
    raw_status=st.just("word"),
    success=st.booleans(),
    error_message=st.sampled_from(["", "connection failure"]),
)
ANY_FACT = st.one_of(
    st.builds(StartIntended, at=AT, nonce=st.uuids().map(str)),
    st.builds(StartRefused, at=AT, reason=REASONS, for_now=st.booleans()),
    st.builds(StartUnsettled, at=AT, reason=REASONS),
    st.builds(SessionStarted, at=AT),
    st.builds(SessionLost, at=AT, reason=REASONS, retry=st.booleans()),
    st.builds(BotReady, at=AT, evidence=st.sampled_from(Evidence)),
    st.builds(SubmissionAccepted, at=AT, cekura_run_id=st.just(OURS), cekura_result_id=st.just(70)),
    st.builds(SubmissionFailed, at=AT, reason=REASONS),
    st.builds(CallSeen, at=AT, call=CALLS),
    st.builds(rules.TesterLeft, at=AT),
    st.builds(Overdue, at=AT, reason=REASONS),
    st.builds(CancelAsked, at=AT, reason=REASONS),
)
# Facts that take a run on: without them a random walk seldom leaves the first statuses.
ONWARD = {
    RunStatus.PLANNED: st.builds(StartIntended, at=AT, nonce=st.uuids().map(str)),
    RunStatus.STARTING: st.builds(SessionStarted, at=AT),
    RunStatus.STARTED: st.builds(BotReady, at=AT, evidence=st.sampled_from(Evidence)),
    RunStatus.READY: st.builds(SubmissionAccepted, at=AT, cekura_run_id=st.just(OURS), cekura_result_id=st.just(70)),
    RunStatus.SUBMITTED: st.builds(CallSeen, at=AT, call=CALLS),
    RunStatus.IN_CALL: st.builds(CallSeen, at=AT, call=CALLS),
    RunStatus.CALL_ENDED: st.builds(CallSeen, at=AT, call=CALLS),
}
PATIENCE = st.builds(Patience, retries=st.integers(0, 3))


@st.composite
def lives(draw):
    """A patience, and the steps (before, fact, step) of one run from its plan on, in order of time."""
    patience = draw(PATIENCE)
    run = Run(run_id="r", batch_id="b", index=1, scenario_id=101, scenario_position=0, timeline={"planned": NOW})
    at, steps = NOW, []
    for _ in range(draw(st.integers(1, 30))):
        facts = ANY_FACT if run.status.final or draw(st.integers(0, 2)) == 0 else ONWARD[run.status]
        at += timedelta(seconds=draw(st.integers(0, 20)))
        fact = replace(draw(facts), at=at)
        step = next_step(run, fact, patience)
        steps.append((run, fact, step))
        run = step.run
    return patience, steps


@settings(max_examples=60, deadline=None)
@given(lives())
def test_outcome_and_reason_tell_the_end_and_nothing_but_the_end(life):
    for _, _, step in life[1]:
        run = step.run
        assert (run.outcome is not None) == run.status.final
        assert not run.status.final or bool(run.reason) == (run.outcome is not Outcome.PASSED)


@settings(max_examples=60, deadline=None)
@given(lives())
def test_passed_means_completed_and_judged_a_success_and_nothing_else(life):
    for before, fact, step in life[1]:
        if step.run.outcome is Outcome.PASSED and before.outcome is None:
            assert isinstance(fact, CallSeen)
            assert fact.call.status is CallStatus.COMPLETED
            assert fact.call.success
            assert fact.call.cekura_run_id == before.cekura_run_id


@settings(max_examples=60, deadline=None)
@given(lives())
def test_a_final_run_never_changes_again(life):
    for before, _, step in life[1]:
        if before.status.final:
            assert step.run is before
            assert (step.condemn, step.end_call) == (None, False)


@settings(max_examples=60, deadline=None)
@given(lives())
def test_every_move_is_in_the_table(life):
    for before, _, step in life[1]:
        after = step.run
        if after is not before:
            assert after.status in TRANSITIONS[before.status]


@settings(max_examples=60, deadline=None)
@given(lives())
def test_retries_stay_within_their_budget_and_sessions_within_retries(life):
    patience, steps = life
    for before, _, step in steps:
        after = step.run
        assert before.retries_used <= after.retries_used <= patience.retries
        assert after.attempt <= after.retries_used + 1


@settings(max_examples=60, deadline=None)
@given(lives())
def test_an_attempt_is_a_session_that_was_not_refused_for_now(life):
    begun = refused = 0
    for before, fact, step in life[1]:
        if step.run is not before:
            begun += isinstance(fact, StartIntended)
            refused += isinstance(fact, StartRefused) and step.run.status is RunStatus.PLANNED
        assert step.run.attempt == begun - refused


@settings(max_examples=60, deadline=None)
@given(lives())
def test_a_run_that_leaves_its_session_condemns_it(life):
    for before, fact, step in life[1]:
        left = before.status in HAS_SESSION and step.run.status not in HAS_SESSION
        never_began = isinstance(fact, StartRefused) and step.run.status is RunStatus.PLANNED
        if left and not never_began:
            assert step.condemn
        if step.condemn is not None:
            assert step.run is not before
            assert step.run.status not in HAS_SESSION


@settings(max_examples=60, deadline=None)
@given(lives())
def test_a_call_is_ended_by_us_only_while_cekura_may_still_place_or_hold_it(life):
    for before, _, step in life[1]:
        calling = before.status in {RunStatus.SUBMITTED, RunStatus.IN_CALL}
        ended_by_us = calling and step.run.status in {RunStatus.CANCELLED, RunStatus.ABANDONED}
        assert step.end_call == ended_by_us


@settings(max_examples=60, deadline=None)
@given(lives())
def test_a_session_and_cekuras_ids_are_held_exactly_while_they_mean_something(life):
    for _, _, step in life[1]:
        run = step.run
        if run.status is RunStatus.PLANNED:
            assert run.nonce is None
        if run.status in HAS_SESSION | {RunStatus.CALL_ENDED}:
            assert run.nonce is not None
            called = run.status not in {RunStatus.STARTING, RunStatus.STARTED, RunStatus.READY}
            assert (run.cekura_run_id is not None) == called
            assert (run.cekura_result_id is not None) == called


@settings(max_examples=60, deadline=None)
@given(lives())
def test_the_timeline_follows_the_facts(life):
    for before, fact, step in life[1]:
        after = step.run
        if after is not before:
            assert after.since(after.status) == fact.at == max(after.timeline.values())
            kept = {status: at for status, at in before.timeline.items() if after.timeline[status] != at}
            assert set(kept) <= {after.status.value, RunStatus.CALL_ENDED.value}
