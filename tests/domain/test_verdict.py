"""What a finished call means: one way to pass, and trouble is never blamed on the agent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.observation import CallObservation, CallStatus
from orchestrator.domain.verdict import Outcome, judge

FINISHED = [status for status in CallStatus if status.finished]


def a_call(status, *, success=False, **changes):
    return CallObservation(cekura_run_id=7, status=status, raw_status=status.value, success=success, **changes)


def test_four_statuses_are_finished_and_an_unknown_word_is_not():
    assert set(FINISHED) == {CallStatus.COMPLETED, CallStatus.FAILED, CallStatus.TIMED_OUT, CallStatus.CANCELLED}


@pytest.mark.parametrize(
    ("call", "outcome", "reason", "retry"),
    [
        (a_call(CallStatus.COMPLETED, success=True), Outcome.PASSED, "", False),
        (a_call(CallStatus.COMPLETED), Outcome.FAILED, "Cekura judged the run a failure", False),
        (a_call(CallStatus.COMPLETED, explanation="outcome missed"), Outcome.FAILED, "outcome missed", False),
        (a_call(CallStatus.COMPLETED, error_message="no connection"), Outcome.INCONCLUSIVE, "no connection", True),
        (a_call(CallStatus.FAILED), Outcome.INCONCLUSIVE, "Cekura ended the run as failed", True),
        (a_call(CallStatus.FAILED, ended_reason="sip-call-failed"), Outcome.INCONCLUSIVE, "sip-call-failed", True),
        (
            a_call(CallStatus.FAILED, ended_reason="sip-call-failed", error_message="no media"),
            Outcome.INCONCLUSIVE,
            "no media",
            True,
        ),
        # Neither is repeated: a timeout has cost its whole length, a cancellation was somebody's wish.
        (a_call(CallStatus.TIMED_OUT), Outcome.INCONCLUSIVE, "Cekura ended the run as timed_out", False),
        (a_call(CallStatus.CANCELLED), Outcome.INCONCLUSIVE, "Cekura ended the run as cancelled", False),
    ],
)
def test_a_finished_call_has_one_meaning(call, outcome, reason, retry):
    verdict = judge(call)
    assert (verdict.outcome, verdict.reason, verdict.retry) == (outcome, reason, retry)


@pytest.mark.parametrize("status", [CallStatus.FAILED, CallStatus.TIMED_OUT, CallStatus.CANCELLED])
def test_success_counts_only_on_a_completed_call(status):
    assert judge(a_call(status, success=True)).outcome is Outcome.INCONCLUSIVE


TEXTS = st.sampled_from(["", "some words"])


@given(st.sampled_from(FINISHED), st.booleans(), TEXTS, TEXTS, TEXTS)
def test_only_infrastructure_trouble_is_retried_and_only_a_pass_needs_no_reason(status, success, error, ended, why):
    verdict = judge(a_call(status, success=success, error_message=error, ended_reason=ended, explanation=why))
    assert bool(verdict.reason) == (verdict.outcome is not Outcome.PASSED)
    assert not verdict.retry or verdict.outcome is Outcome.INCONCLUSIVE
