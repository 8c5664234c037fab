"""The gate, and the order in which one exit code overrides another."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.batch import Batch, BatchStatus, ExitCode, Totals, count, exit_code, gate_outcome
from orchestrator.domain.plan import AgentKind, Gate
from orchestrator.domain.run import Run
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.domain.verdict import Outcome

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STRICT = Gate(min_pass_rate=1.0, max_inconclusive=0)
BATCH = Batch(batch_id="b1", name="nightly", status=BatchStatus.CLOSED, created_at=NOW, document={}, digest="d")
GONE = End(state=Teardown.CONFIRMED, how="its record shows its end", at=NOW)


def totals(passed, failed=0, inconclusive=0, *, running=0):
    runs = passed + failed + inconclusive + running
    return Totals(runs=runs, passed=passed, failed=failed, inconclusive=inconclusive)


def a_session(state=Teardown.CONFIRMED):
    return Session(
        nonce="n1",
        batch_id="b1",
        run_id="b1-001",
        attempt=1,
        agent_kind=AgentKind.PIPECAT_CLOUD,
        agent_address="support-bot",
        status=SessionStatus.ALIVE,
        intended_at=NOW,
        ends_by="Pipecat Cloud's session limit",
        ends_at=NOW + timedelta(hours=2),
        room_expires_at=NOW + timedelta(hours=1),
        session_end=End(state=state, how="in words", at=NOW),
        room_end=GONE,
    )


def a_run(outcome):
    run = Run(run_id="r", batch_id="b1", index=1, scenario_id=101, scenario_position=0)
    return replace(run, outcome=outcome)


def test_runs_are_counted_by_outcome_and_those_without_one_only_as_runs():
    runs = [a_run(outcome) for outcome in (Outcome.PASSED, Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE, None)]
    assert count(runs) == totals(2, 1, 1, running=1)


@pytest.mark.parametrize(
    ("counted", "rate"), [(totals(3, 1, 6), 0.75), (totals(2), 1.0), (totals(0, 2), 0.0), (totals(0, 0, 4), None)]
)
def test_the_pass_rate_is_over_conclusive_runs(counted, rate):
    assert counted.pass_rate == rate


@pytest.mark.parametrize(
    ("gate", "counted", "outcome"),
    [
        (STRICT, totals(4), Outcome.PASSED),
        (STRICT, totals(3, 1), Outcome.FAILED),
        (STRICT, totals(3, 0, 1), Outcome.INCONCLUSIVE),
        (STRICT, totals(3, 1, 1), Outcome.FAILED),
        (STRICT, totals(3, running=1), Outcome.INCONCLUSIVE),
        (STRICT, totals(0), Outcome.INCONCLUSIVE),
        (replace(STRICT, max_inconclusive=1), totals(3, 0, 1), Outcome.PASSED),
        (replace(STRICT, max_inconclusive=1), totals(2, 0, 2), Outcome.INCONCLUSIVE),
        (replace(STRICT, max_inconclusive=9), totals(0, 0, 2), Outcome.INCONCLUSIVE),
        (replace(STRICT, min_pass_rate=0.75), totals(3, 1), Outcome.PASSED),
        (replace(STRICT, min_pass_rate=0.75), totals(2, 1), Outcome.FAILED),
        (replace(STRICT, min_pass_rate=0.0), totals(0, 4), Outcome.PASSED),
    ],
)
def test_the_gate_passes_on_rate_and_on_how_many_runs_said_nothing(gate, counted, outcome):
    assert gate_outcome(gate, counted) is outcome


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 1), st.integers(0, 9))
def test_a_gate_never_passes_below_its_rate_or_on_nothing(passed, failed, inconclusive, rate, allowed):
    gate = Gate(min_pass_rate=rate, max_inconclusive=allowed)
    if gate_outcome(gate, totals(passed, failed, inconclusive)) is Outcome.PASSED:
        assert passed + failed > 0
        assert passed / (passed + failed) >= rate
        assert inconclusive <= allowed


def test_the_highest_exit_code_in_the_documented_order_wins():
    """130 cancelled, 2 refused before it cost anything, 1 gate failed, 3 inconclusive, 5 left behind, 0 passed."""
    for cancelled, refused, failed, inconclusive, left in product([False, True], repeat=5):
        batch = replace(
            BATCH, cancel_asked_at=NOW if cancelled else None, refusal="the key is refused" if refused else ""
        )
        conditions = [
            (cancelled, ExitCode.CANCELLED),
            (refused, ExitCode.BAD_INPUT),
            (failed, ExitCode.GATE_FAILED),
            (inconclusive, ExitCode.INCONCLUSIVE),
            (left, ExitCode.LEFT_BEHIND),
            (True, ExitCode.PASSED),
        ]
        code = exit_code(
            batch,
            gate=STRICT,
            totals=totals(3, int(failed), int(inconclusive)),
            sessions=[a_session(), a_session(Teardown.UNKNOWN if left else Teardown.CONFIRMED)],
        )
        assert code is next(code for holds, code in conditions if holds)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (Teardown.CONFIRMED, ExitCode.PASSED),
        (Teardown.BOUNDED, ExitCode.PASSED),
        (Teardown.OPEN, ExitCode.LEFT_BEHIND),
        (Teardown.UNKNOWN, ExitCode.LEFT_BEHIND),
    ],
)
def test_a_passed_gate_is_clean_only_if_everything_is_gone_or_bounded(state, code):
    assert exit_code(BATCH, gate=STRICT, totals=totals(1), sessions=[a_session(state)]) is code


def test_exit_codes_are_the_documented_numbers():
    assert {code.name: code.value for code in ExitCode} == {
        "PASSED": 0,
        "GATE_FAILED": 1,
        "BAD_INPUT": 2,
        "INCONCLUSIVE": 3,
        "BUDGET": 4,
        "LEFT_BEHIND": 5,
        "CANCELLED": 130,
    }
