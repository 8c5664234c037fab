"""What a finished Cekura run means. "Passed" has exactly one meaning: completed, and judged a success."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.domain.observation import CallObservation, CallStatus


class Outcome(StrEnum):
    """How a run, or a batch, came out."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An outcome with its reason; `retry` marks infrastructure trouble that a new session may cure."""

    outcome: Outcome
    reason: str
    retry: bool = False


PASSED: Final = Verdict(outcome=Outcome.PASSED, reason="")


def judge(call: CallObservation) -> Verdict:
    """Classify a finished call (CallStatus.finished); never call it for one that is not.

    Cekura's `success` is false both for a failed check and for a connection failure; the latter carries an error
    message (run schema of the bulk endpoint), and is not the agent's fault.
    """
    if call.status is CallStatus.COMPLETED:
        if call.success:
            return PASSED
        if call.error_message:
            return Verdict(outcome=Outcome.INCONCLUSIVE, reason=call.error_message, retry=True)
        return Verdict(outcome=Outcome.FAILED, reason=call.explanation or "Cekura judged the run a failure")
    reason = call.error_message or call.ended_reason or f"Cekura ended the run as {call.raw_status}"
    # A timeout has already cost its whole length and a cancellation was somebody's wish: neither is repeated.
    return Verdict(outcome=Outcome.INCONCLUSIVE, reason=reason, retry=call.status is CallStatus.FAILED)
