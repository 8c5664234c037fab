"""An example of each document that is sent or answered, by the name of its model; they reach the published document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.api.examples_service import ACTOR, DIGEST, PLAN, SERVICE_EXAMPLES

BATCH_ID: Final = "20261125-093000-4f2a"
NONCE: Final = "0b9f0e7c-2b1d-4a55-9c1e-3f5a7d9b1c2e"
CURSOR: Final = "WzEsImJhdGNoZXMiLDE3OTU1OTkwMDAwMDAwMDAsIjIwMjYxMTI1LTA5MzAwMC00ZjJhIl0"
CREATED_AT: Final = "2026-11-25T09:30:00+00:00"
CALLED_AT: Final = "2026-11-25T09:30:12+00:00"
ENDED_AT: Final = "2026-11-25T09:31:40+00:00"
BOUND_AT: Final = "2026-11-25T11:30:00+00:00"
OWN: Final = f"/v1/batches/{BATCH_ID}"
ROOM_URL: Final = "https://example.daily.co/room-1"

BATCH: Final = {
    "id": BATCH_ID,
    "name": "nightly",
    "status": "open",
    "outcome": None,
    "created_at": CREATED_AT,
    "closed_at": None,
    "cancelled": False,
    "reason": "",
    "stopped": None,
    "origin": "api",
    "schedule": None,
    "owner": "build-7-3f5a7d9b",
    "digest": DIGEST,
    "speed": 1.0,
    "totals": {"runs": 3, "passed": 1, "failed": 0, "inconclusive": 0},
    "links": {
        "self": OWN,
        "runs": f"{OWN}/runs",
        "report": f"{OWN}/report",
        "teardown": f"{OWN}/teardown",
        "events": f"{OWN}/events",
        "cancel": f"{OWN}/cancel",
    },
}
RUN: Final = {
    "run_id": f"{BATCH_ID}-001",
    "batch_id": BATCH_ID,
    "index": 1,
    "scenario_id": 101,
    "scenario_position": 0,
    "status": "in_call",
    "outcome": None,
    "reason": "",
    "attempt": 1,
    "retries_used": 0,
    "nonce": NONCE,
    "cekura_run_id": 9001,
    "cekura_result_id": 700,
    "timeline": {"planned": CREATED_AT, "in_call": CALLED_AT},
    "submission_id": None,
    "personality_id": None,
    "test_profile_id": None,
}
SESSION: Final = {
    "nonce": NONCE,
    "batch_id": BATCH_ID,
    "run_id": f"{BATCH_ID}-001",
    "attempt": 1,
    "agent_kind": "pipecat_cloud",
    "agent_address": "support-bot",
    "status": "alive",
    "intended_at": CREATED_AT,
    "ends_by": "Pipecat Cloud's session limit",
    "ends_at": BOUND_AT,
    "room_expires_at": BOUND_AT,
    "sent_at": CREATED_AT,
    "answered_at": CREATED_AT,
    "session_id": "5f0c1d2e-7a44-4c1b-8f0e-2d6b9a7c3e11",
    "room_url": ROOM_URL,
    "ready_at": CALLED_AT,
    "evidence": "presence",
    "seen_in_room_at": CALLED_AT,
    "submission_id": "9a7c3e11-5f0c-4c1b-8f0e-7a442d6b1d2e",
    "cekura_run_id": 9001,
    "condemned_at": None,
    "condemned_for": "",
    "teardown_from": None,
    "session_end": {"state": "open", "how": "", "at": None},
    "room_end": {"state": "open", "how": "", "at": None},
    "room_seen_by": "3f5a7d9b",
    "note": "",
    "pool": None,
    "fit_until": None,
    "checked_at": None,
}
END: Final = {
    "what": "session",
    "id": "5f0c1d2e-7a44-4c1b-8f0e-2d6b9a7c3e11",
    "state": "confirmed",
    "how": "its record shows an end",
    "at": ENDED_AT,
    "by": None,
    "until": None,
    "run": f"{BATCH_ID}-001",
    "attempt": 1,
    "mark": NONCE,
    "started_at": CREATED_AT,
}
STATEMENT: Final = {
    "sessions": 1,
    "rooms": 1,
    "confirmed": 1,
    "bounded": [],
    "left": [],
    "uncertain": [],
    "items": [END],
}
REPORT: Final = {
    "batch": {
        "id": BATCH_ID,
        "name": "nightly",
        "channel": "pipecat_v1",
        "status": "closed",
        "outcome": "passed",
        "created_at": CREATED_AT,
        "closed_at": ENDED_AT,
        "cancelled": False,
        "reason": "",
        "stopped": None,
        "stopped_at": None,
        "ramp": None,
        "exit_code": 0,
        "exit_meaning": "the gate passed; every session and room is confirmed gone or bounded",
        "speed": 1.0,
        "gate": {"min_pass_rate": 1.0, "max_inconclusive": 0},
    },
    "totals": {"runs": 1, "passed": 1, "failed": 0, "inconclusive": 0, "pass_rate": 1.0},
    "results": [{"id": 17759, "name": None, "url": None, "shared_url": None}],
    "runs": [
        {
            "id": f"{BATCH_ID}-001",
            "index": 1,
            "scenario": 101,
            "matrix": {"locale": "en"},
            "status": "judged",
            "outcome": "passed",
            "reason": "",
            "attempts": 1,
            "earlier_attempts": [],
            "cekura_run_id": 9001,
            "cekura_result_id": 700,
            "result_url": "https://dashboard.cekura.ai/results/700",
            "session_id": "5f0c1d2e-7a44-4c1b-8f0e-2d6b9a7c3e11",
            "room_url": ROOM_URL,
            "evidence": "presence",
            "call_seconds": 61.2,
            "timeline": {"planned": CREATED_AT, "in_call": CALLED_AT, "judged": ENDED_AT},
        }
    ],
    "teardown": {**STATEMENT, "by_cekura": False},
    "phases": {"call": {"count": 1, "median": 61.2, "p95": 61.2}},
}
PREVIEW: Final = {
    "plan": {"format": 1, "plan": {"name": "nightly"}},
    "digest": DIGEST,
    "runs": [{"index": 1, "scenario": 101, "matrix": {}, "body": {}}],
    "runs_left_out": 0,
    "rules": ["at most 2 sessions and 2 calls at once, 5 starts a second; a call slot frees: auto"],
    "arithmetic": "1 run: the repeats of 1 scenario entry",
    "ramp": None,
    "estimate": {
        "runs": 1,
        "call_seconds": 120.0,
        "worst_case_call_minutes": 30.0,
        "credits_low": 10.0,
        "credits_high": 150.0,
        "session_minutes": 2.2,
        "seconds": 120.0,
        "order": [[1, 101]],
        "room_seconds": 1152.0,
    },
    "warnings": [],
}
WORKER: Final = {
    "status": "alive",
    "worker_id": "build-7-3f5a7d9b",
    "host": "build-7",
    "pid": 4711,
    "version": "0.5.0",
    "started_at": CREATED_AT,
    "lease_until": "2026-11-25T09:30:10+00:00",
    "gone_at": None,
    "fenced_at": None,
    "fenced_by": None,
}
EXAMPLES: Final[Mapping[str, Any]] = {
    **SERVICE_EXAMPLES,
    "PlanDocument": {"plan": PLAN},
    "BatchOrder": {"plan": PLAN, "name": "release-7"},
    "CancelOrder": {"reason": "the release was withdrawn", "drain": False},
    "Problem": {
        "type": "urn:orchestrator:problem:not-found",
        "title": "There is no such thing",
        "status": 404,
        "detail": f"no batch {BATCH_ID} in this state",
        "instance": OWN,
        "next_step": "GET /v1/batches, /v1/schedules or /v1/pools lists what there is; /openapi.json lists every path.",
    },
    "BatchDocument": BATCH,
    "NewBatchDocument": {**BATCH, "owner": None, "warnings": []},
    "BatchPage": {"batches": [BATCH], "next_cursor": CURSOR},
    "RunPage": {"runs": [RUN], "next_cursor": None},
    "RunWithSessions": {**RUN, "result_url": "https://dashboard.cekura.ai/results/700", "sessions": [SESSION]},
    "SessionDocument": SESSION,
    "SessionPage": {"sessions": [SESSION], "next_cursor": None},
    "Report": REPORT,
    "Statement": STATEMENT,
    "Preview": PREVIEW,
    "Findings": {
        "valid": False,
        "name": None,
        "digest": None,
        "runs": None,
        "problems": [
            {"path": "scenarios.0.repeat", "line": 3, "message": "must be a whole number", "remedy": "write repeat: 3"}
        ],
        "problems_left_out": 0,
        "warnings": [],
    },
    "AuditPage": {
        "entries": [
            {
                "id": 7,
                "at": CREATED_AT,
                "actor": ACTOR,
                "action": "batch.create",
                "target": BATCH_ID,
                "detail": {"name": "nightly", "runs": 3, "digest": DIGEST, "key": None},
            }
        ],
        "next_cursor": None,
    },
    "WorkerList": {"workers": [WORKER]},
    "Alive": {"status": "alive", "version": "0.5.0"},
    "Readiness": {"status": "ready", "checks": {"state": "ok", "lease": "ok", "dispatcher": "ok"}},
    "Whoami": {"actor": ACTOR, "scope": "run"},
}
