"""Rows as the store's tests write them; each takes the changes a test is about."""

from datetime import UTC, datetime, timedelta

from orchestrator.domain.batch import Batch, BatchStatus
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.run import Run
from orchestrator.domain.session import Session, SessionStatus
from orchestrator.domain.submission import Submission, SubmissionStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_batch(**changes):
    values = {"batch_id": "b1", "name": "nightly", "status": BatchStatus.OPEN, "created_at": NOW, "document": {}}
    return Batch(**{**values, "digest": "d", **changes})


def a_run(index=1, **changes):
    return Run(run_id=f"b1-{index}", batch_id="b1", index=index, scenario_id=101, scenario_position=0, **changes)


def a_session(nonce="n1", **changes):
    values = {
        "nonce": nonce,
        "batch_id": "b1",
        "run_id": "b1-1",
        "attempt": 1,
        "agent_kind": AgentKind.PIPECAT_CLOUD,
        "agent_address": "support-bot",
        "status": SessionStatus.INTENT,
        "intended_at": NOW,
        "ends_by": "the platform's session limit",
        "ends_at": NOW + timedelta(hours=2),
        "room_expires_at": NOW + timedelta(hours=1),
    }
    return Session(**{**values, **changes})


def a_submission(name):
    return Submission(
        submission_id=name,
        batch_id="b1",
        status=SubmissionStatus.INTENT,
        intended_at=NOW,
        cekura_agent_id=5,
        scenario_ids=(101,),
    )
