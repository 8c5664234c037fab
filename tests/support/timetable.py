"""Schedules over a real store, on a clock that a test moves."""

from datetime import UTC, datetime, timedelta

from orchestrator.domain.schedule import Missed, Overlap, Schedule
from orchestrator.plans import plan_from_text
from orchestrator.store import batches as batch_rows
from orchestrator.store import fires as fire_rows

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAN = """\
version: 1
name: small
agent: {kind: pipecat_cloud, name: support-bot}
cekura: {agent: 5, mock_tool_names: []}
scenarios: [{scenario: 101, repeat: 2}]
"""


def a_schedule(name="nightly", *, plan=PLAN, environ=None, **changes):
    """Every ten minutes, the plan of two runs."""
    values = {
        "plan_document": plan_from_text(plan, environ=environ or {}).document,
        "cron": None,
        "every": 600.0,
        "timezone": "UTC",
        "jitter": 0.0,
        "overlap": Overlap.SKIP,
        "missed": Missed.ONE,
        "window": 3600.0,
        "blackouts": (),
    }
    return Schedule(name=name, **{**values, **changes})


class SetClock:
    """A clock that stands where it was set."""

    def __init__(self, at=NOON):
        self.at = at

    def now(self):
        return self.at

    def monotonic(self):
        return self.at.timestamp()

    async def sleep(self, seconds):
        self.at += timedelta(seconds=seconds)


async def fires_in(store, name="nightly"):
    """All fires of a schedule in order."""
    found = await store.read(lambda connection: fire_rows.list_fires(connection, name, limit=10_000))
    return found[::-1]


async def batches_in(store):
    """All batches in order of their creation."""
    found = await store.read(lambda connection: batch_rows.page_batches(connection, limit=10_000))
    return found[::-1]
