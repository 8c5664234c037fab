"""The command line on a shared state: one command beside workers that serve, and nothing of theirs is touched."""

from functools import partial

import pytest

from orchestrator.clock import SystemClock
from orchestrator.domain.batch import Origin
from orchestrator.plans import new_batch, plan_from_text
from orchestrator.store import batches
from orchestrator.store.database import open_store
from tests.support.play import SPEED

from .conftest import PLAN


@pytest.fixture
def shared(shell, play, postgres_url):
    """The shell on PostgreSQL."""
    shell.environment["ORCHESTRATOR_DATABASE_URL"] = postgres_url
    shell.environment["ORCHESTRATOR_LEASE_SECONDS"] = "2"
    return play()


def test_a_batch_runs_to_its_end_and_is_shown_from_the_shared_state(shell, shared, is_clean):
    ended = shell.run("--json")
    assert ended.code == 0, ended
    assert is_clean(shared.world())
    shown = shell.look("batches", "show", "latest", "--json")
    assert shown.document["totals"]["passed"] == 2
    assert "Nothing was left behind" in shell.look("gc", "--dry-run").out


@pytest.mark.long
async def test_a_run_leaves_what_waits_for_a_worker_that_serves(shell, shared, postgres_url):
    store = open_store(postgres_url, driving=None)
    waiting, planned = new_batch(plan_from_text(PLAN), now=SystemClock().now(), speed=SPEED, origin=Origin.API)
    await store.write(partial(batches.record_batch, batch=waiting, planned=planned))
    ended = shell.run("--json")
    assert ended.code == 0, ended
    left = await store.read(partial(batches.get_batch, batch_id=waiting.batch_id))
    store.close()
    assert (left.owner, left.cancel_asked_at, left.closed_at) == (None, None, None)


def test_a_run_cancels_what_a_killed_run_left_once_its_lease_is_over(shell, shared, steps, is_clean):
    killed = shell.start_run()
    steps.wait_for(lambda: shared.world()["calls"]["active"])
    killed.kill()
    steps.finish(killed)
    refused = shell("gc")
    if refused.code == 2:  # its lease may be over by now
        assert "is being driven by process" in refused.err
    steps.wait_for(lambda: shell.look("gc", "--dry-run").code == 0 and shell("gc").code != 2)
    assert is_clean(shared.world())
    assert shell.look("batches", "show", "latest", "--json").document["batch"]["cancelled"]


def test_a_database_that_is_not_there_is_an_error_with_what_to_do(shell, play):
    play()
    shell.environment["ORCHESTRATOR_DATABASE_URL"] = "postgresql://me:hush@127.0.0.1:1/nowhere"
    ended = shell.run()
    assert ended.code == 2
    assert "postgresql://127.0.0.1:1/nowhere" in ended.err
    assert "PostgreSQL runs" in ended.err
    assert "hush" not in ended.err
