"""`pools`: what a person sees of them, and lets rest."""

import asyncio
from functools import partial

import pytest

from orchestrator.clock import SystemClock
from orchestrator.store import pools as pool_rows
from orchestrator.store import warm_sessions as warm_rows
from orchestrator.store.database import open_store
from tests.store.rows import a_session
from tests.support.pools import a_pool, define

CLOCK = SystemClock()


@pytest.fixture
def defined(shell, tmp_path):
    """A pool of two sessions on their way, kept by nobody."""

    url = f"sqlite:///{tmp_path}/pools.db"
    shell.environment |= {"ORCHESTRATOR_DATABASE_URL": url}

    async def make():
        store = open_store(url, driving=None)
        await define(store, a_pool(), at=CLOCK.now())
        await store.write(partial(pool_rows.claim_pool, name="support", worker_id="w1"))
        for number in range(2):
            session = a_session(f"n{number}", batch_id="", run_id="", pool="support", intended_at=CLOCK.now())
            unit = partial(warm_rows.record_warm_intent, session=session, worker_id="w1", most=9)
            await store.write(unit)
        trouble = "Pipecat Cloud start (HTTP 404): no such agent"
        await store.write(partial(pool_rows.record_trouble, name="support", worker_id="w1", trouble=trouble))
        store.close()

    asyncio.run(make())


def test_pools_are_listed_with_what_they_hold_and_why_one_is_not_filled(shell, defined):
    shown, listed = shell.look("pools", "list"), shell.look("pools", "list", "--json")
    assert (shown.code, listed.code) == (0, 0)
    assert "support" in shown.out
    (pool,) = listed.document["pools"]
    assert pool["sessions"] == {"ready": 0, "coming": 2, "with_runs": 0, "ending": 0}
    assert "no such agent" in pool["trouble"]


def test_one_is_shown_with_its_cost(shell, defined):
    shown = shell.look("pools", "show", "support")
    assert shown.code == 0, shown
    assert "support: open, made by the service file" in shown.out
    assert "keeps 2 ready of support-bot, at most 4 alive" in shown.out
    assert "trouble: Pipecat Cloud start (HTTP 404): no such agent" in shown.out
    assert "0 s of waiting paid" in shown.out
    document = shell.look("pools", "show", "support", "--json").document
    assert document["cost"]["idle_seconds"] == 0
    assert len(document["waiting"]) == 2


def test_a_pool_is_paused_and_resumed(shell, defined):
    paused = shell.look("pools", "pause", "support")
    assert (paused.code, "lets its waiting sessions go" in paused.out) == (0, True)
    assert shell.look("pools", "show", "support", "--json").document["paused_by"].startswith("command:")
    assert "paused" in shell.look("pools", "list").out
    assert shell.look("pools", "resume", "support").code == 0
    assert shell.look("pools", "show", "support", "--json").document["paused_at"] is None


@pytest.mark.parametrize("verb", ["show", "pause", "resume"])
def test_a_pool_that_is_not_there_is_told_with_where_pools_come_from(shell, defined, verb):
    ended = shell.look("pools", verb, "other")
    assert ended.code == 2
    assert "no pool other" in ended.err
    assert "service file" in ended.err


def test_without_any_state_there_are_no_pools(shell):
    assert shell.look("pools", "list", "--json").document == {"pools": []}
