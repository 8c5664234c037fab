"""Examples of schedules, fires and pools, and the plan that all examples are of; `examples` publishes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ACTOR: Final = "token:nightly-ci:3f5a7d9b1c2e"
BATCH_ID: Final = "20261125-010000-4f2a"
CREATED_AT: Final = "2026-11-23T09:30:00+00:00"
DIGEST: Final = "3b9c3d1c49404e433d2778ba583928d93a99adde2a6e6c394f9e05e0eef8c854"
CURSOR: Final = "WzEsImZpcmVzIiwxNzk1NTY4NDAwMDAwMDAwLCI3Il0"
AGENT: Final = {"kind": "pipecat_cloud", "name": "support-bot"}

PLAN: Final = {
    "version": 1,
    "name": "nightly",
    "agent": AGENT,
    "cekura": {"agent": 5, "mock_tool_names": []},
    "scenarios": [{"scenario": 101, "repeat": 3}],
    "limits": {"concurrency": 2},
}
FIRE: Final = {
    "id": 7,
    "schedule": "nightly",
    "due_at": "2026-11-25T01:00:00+00:00",
    "decision": "fired",
    "reason": "",
    "decided_at": "2026-11-25T01:00:31+00:00",
    "batch": BATCH_ID,
    "manual": False,
}
SCHEDULE: Final = {
    "name": "nightly",
    "made_by": "api",
    "paused_at": None,
    "paused_by": None,
    "created_at": CREATED_AT,
    "updated_at": CREATED_AT,
    "trouble": None,
    "cron": "0 2 * * mon-fri",
    "every": None,
    "timezone": "Europe/Berlin",
    "jitter": 120.0,
    "overlap": "skip",
    "missed": "one",
    "window": 3600.0,
    "blackouts": [{"from": "2026-12-23T23:00:00+00:00", "until": "2027-01-01T23:00:00+00:00"}],
    "plan": {"name": "nightly", "digest": DIGEST, "runs": 3, "agent": "support-bot"},
    "next": [
        {
            "due_at": "2026-11-26T01:00:00+00:00",
            "due_local": "2026-11-26T02:00:00+01:00",
            "begins_at": "2026-11-26T01:01:12+00:00",
            "blacked_out": False,
        }
    ],
    "fires": [FIRE],
    "links": {
        "self": "/v1/schedules/nightly",
        "fires": "/v1/schedules/nightly/fires",
        "fire": "/v1/schedules/nightly/fire",
        "pause": "/v1/schedules/nightly/pause",
        "resume": "/v1/schedules/nightly/resume",
    },
}
POOL: Final = {
    "name": "support",
    "made_by": "api",
    "agent": {"kind": "pipecat_cloud", "address": "support-bot"},
    "min_ready": 2,
    "max_alive": 6,
    "max_age": 240.0,
    "check_every": 15.0,
    "starts_per_minute": 30.0,
    "ready": 120.0,
    "run": 900.0,
    "timezone": "Europe/Berlin",
    "hours": [{"days": ["mon", "tue", "wed", "thu", "fri"], "open": "08:00", "close": "18:00"}],
    "resting": None,
    "trouble": None,
    "owner": "build-7-3f5a7d9b",
    "paused_at": None,
    "paused_by": None,
    "created_at": CREATED_AT,
    "updated_at": CREATED_AT,
    "sessions": {"ready": 1, "coming": 0, "with_runs": 1, "ending": 0},
    "links": {
        "self": "/v1/pools/support",
        "sessions": "/v1/sessions?pool=support",
        "pause": "/v1/pools/support/pause",
        "resume": "/v1/pools/support/resume",
    },
}
POOL_DETAIL: Final = {
    **POOL,
    "cost": {
        "since": "2026-11-24T09:30:00+00:00",
        "hours": 24.0,
        "started": 150,
        "served": 140,
        "retired": 8,
        "idle_seconds": 21600.0,
        "idle_seconds_per_hour": 900.0,
    },
    "waiting": [
        {
            "session": "5f0c1d2e-7a44-4c1b-8f0e-2d6b9a7c3e11",
            "mark": "0b9f0e7c-2b1d-4a55-9c1e-3f5a7d9b1c2e",
            "status": "alive",
            "started_at": "2026-11-25T09:29:30+00:00",
            "ready_at": "2026-11-25T09:29:42+00:00",
            "evidence": "presence",
            "seen_at": "2026-11-25T09:29:57+00:00",
            "fit_until": "2026-11-25T09:33:42+00:00",
        }
    ],
    "unused": {"sessions": 0, "rooms": 0, "confirmed": 0, "bounded": [], "left": [], "uncertain": [], "items": []},
}
SERVICE_EXAMPLES: Final[Mapping[str, Any]] = {
    "ScheduleDefinition": {
        "cron": "0 2 * * mon-fri",
        "timezone": "Europe/Berlin",
        "jitter": "2m",
        "blackouts": [{"from": "2026-12-24T00:00", "until": "2027-01-02T00:00"}],
        "plan": PLAN,
    },
    "PoolDefinition": {
        "agent": AGENT,
        "min_ready": 2,
        "max_alive": 6,
        "timezone": "Europe/Berlin",
        "hours": [{"days": ["mon", "tue", "wed", "thu", "fri"], "open": "08:00", "close": "18:00"}],
    },
    "FireOrder": {"overlap": "queue"},
    "FireDocument": {**FIRE, "manual": True},
    "FirePage": {"fires": [FIRE], "next_cursor": CURSOR},
    "ScheduleDocument": SCHEDULE,
    "ScheduleList": {"schedules": [SCHEDULE]},
    "PoolDetail": POOL_DETAIL,
    "PoolList": {"pools": [POOL]},
}
