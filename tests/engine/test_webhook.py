"""A webhook makes the next poll come sooner, however it comes and whatever it says, and does nothing else.

Whole batches in virtual time against a sandbox that sends Cekura's webhooks to our own route.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.app.batches import cancel_batch, create_batch, view_batch
from orchestrator.domain.run import RunStatus
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store.database import open_store
from tests.support.asked import Asked
from tests.support.bench import Bench
from tests.support.ordeal import virtually
from tests.support.receiver import SECRET, Receiver, listening
from tests.support.virtual import VirtualLoop, virtual_time

RUNS = 4
RARELY = 60.0  # seconds between polls
SOON = 2.5  # a look at the row, a second between polls, and what a tick of virtual time takes


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A batch's rows, the sandbox's own history, when it was polled, and what became of the webhooks."""

    view: object
    world: dict
    history: dict
    asked: Asked
    receiver: Receiver

    def outcomes(self):
        return [str(run.outcome) for run in self.view.runs]

    def lags(self):
        """Seconds from each verdict of Cekura's to ours."""
        judged = {run["id"]: run["judged_at"] for run in self.history["runs"]}
        return [run.timeline["judged"].timestamp() - judged[run.cekura_run_id] for run in self.view.runs]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is played. `elsewhere` lets another process than the batch's driver take the webhooks."""

    faults: tuple[str, ...] = ()
    interval: float = RARELY
    webhooks: bool = True
    elsewhere: bool = False
    beside: Callable[[Any], Awaitable[None]] | None = None
    call_seconds: tuple[float, float] = (70.0, 90.0)


def played(folder, *faults, **scene):
    """Run a batch to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, virtual_time(runner.get_loop()):
        return runner.run(_played(folder, Scene(faults=faults, **scene)))


async def _played(folder, scene):
    loop, bench = asyncio.get_running_loop(), Bench(folder=folder, speed=1.0)
    text = bench.plan(
        scenarios=f"[{{scenario: 101, repeat: {RUNS}}}]",
        concurrency=RUNS,
        calls=RUNS,
        more=f"timing: {{poll_interval: {scene.interval}}}\nretries: {{infrastructure: 0}}",
    )
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(listening())
        sandbox = {"faults": scene.faults, "call_seconds": scene.call_seconds}
        sandbox |= {"webhook_url": receiver.url} if scene.webhooks else {}
        box = await stack.enter_async_context(Sandbox(SandboxSettings(**sandbox)))
        worker = await stack.enter_async_context(bench.worker(box))
        asked = box._world.edge.requests = Asked()
        receiver.serve(_elsewhere(stack, folder, loop) if scene.elsewhere else worker.store, worker.clock)
        batch = await create_batch(worker, plan_from_text(text, name="test"))
        async with asyncio.timeout(3600), asyncio.TaskGroup() as both:
            both.create_task(worker.driver.drive(batch.batch_id))
            if scene.beside is not None:
                played = SimpleNamespace(box=box, worker=worker, receiver=receiver, asked=asked)
                both.create_task(scene.beside(played))
        view = await view_batch(worker.store, batch.batch_id)
        return Heard(view=view, world=box.world(), history=box._world.history(), asked=asked, receiver=receiver)


def _elsewhere(stack, folder, loop):
    store = open_store(f"sqlite:///{folder}/state.db", driving=None)
    stack.callback(store.close)
    return store


async def all_in_call(scene):
    """Once every run's call is on and known to be: the roster of the batch."""
    await virtually(
        lambda: [one for one in scene.worker.driver.rosters.values() if one.count(RunStatus.IN_CALL) == RUNS]
    )
    return next(iter(scene.worker.driver.rosters.values()))


def said_of(result_id, run_ids, *, success=True):
    runs = {str(one): {"id": one, "scenario": {"id": 101}, "success": success} for one in run_ids}
    return json.dumps(
        {"event_type": "result.completed", "data": {"id": result_id, "status": "completed", "runs": runs}}
    )


async def post(scene, body, secret=SECRET):
    async with scene.receiver.client() as client:
        headers = {"X-CEKURA-SECRET": secret.reveal()}
        return await client.post("/webhooks/cekura", content=body, headers=headers)


def assert_clean(heard):
    world = heard.world
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == world["submitted_twice"] == world["cut_short"] == []


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    return played(tmp_path_factory.mktemp("without"), webhooks=False)


def test_a_verdict_is_heard_sooner_with_a_webhook_than_without(tmp_path, without):
    heard = played(tmp_path)
    assert heard.outcomes() == without.outcomes() == ["passed"] * RUNS
    assert max(heard.lags()) < SOON < max(without.lags())
    assert heard.world["webhooks"] == {"202": 2 * RUNS}
    assert heard.receiver.verdicts().count("accepted") == RUNS
    assert_clean(heard)


def test_each_webhook_costs_at_most_one_poll(tmp_path, without):
    assert played(tmp_path).asked["poll"] <= without.asked["poll"] + RUNS


def test_a_webhook_that_another_process_took_is_seen_in_the_row(tmp_path):
    heard = played(tmp_path, elsewhere=True)
    assert heard.outcomes() == ["passed"] * RUNS
    assert max(heard.lags()) < SOON


def test_a_batch_that_drains_hears_webhooks_too(tmp_path):
    async def cancelled(scene):
        roster = await all_in_call(scene)
        store, clock = scene.worker.store, scene.worker.clock
        await cancel_batch(store, roster.batch.batch_id, clock=clock, reason="drained", drains=True)

    heard = played(tmp_path, beside=cancelled)
    assert heard.outcomes() == ["passed"] * RUNS
    assert max(heard.lags()) < SOON


def test_a_storm_of_webhooks_multiplies_no_polls(tmp_path):
    statuses = []

    async def storm(scene):
        await all_in_call(scene)
        before, began = scene.asked["poll"], asyncio.get_running_loop().time()
        ids = [(result.id, [run.id for run in result.runs]) for result in scene.box._world.cekura.results.values()]
        for number in range(1000):
            statuses.append((await post(scene, said_of(*ids[number % RUNS]))).status_code)
            await asyncio.sleep(0.01)
        statuses.append(scene.asked["poll"] - before)
        statuses.append(asyncio.get_running_loop().time() - began)

    heard = played(tmp_path, beside=storm, call_seconds=(100.0, 120.0))
    *answers, polls, seconds = statuses
    assert set(answers) == {202}
    assert len(answers) == 1000
    assert 0.8 * seconds - 2 <= polls <= seconds + 1
    assert heard.asked.most_within(0.99, "poll") == 1
    assert heard.outcomes() == ["passed"] * RUNS
    assert_clean(heard)


def test_a_poll_interval_below_a_second_stays_what_it_is(tmp_path):
    """News never slow polls down: with half a second between polls there is nothing left to bring forward."""
    heard = played(tmp_path, interval=0.5)
    assert max(heard.lags()) < 0.6
    assert heard.asked.most_within(0.49, "poll") == 1


def test_a_lie_never_changes_an_outcome_nor_ends_a_call(tmp_path):
    """Each result's only webhook comes in mid-call and says that all is well; two calls are judged a failure."""
    heard = played(tmp_path, f"webhook.early={RUNS}", "call.fails_evaluation=2")
    assert sorted(heard.outcomes()) == ["failed"] * 2 + ["passed"] * 2
    assert heard.receiver.verdicts().count("accepted") == RUNS
    ended = {run["id"]: run["call_ended_at"] for run in heard.history["runs"]}
    assert all(run.timeline["call_ended"].timestamp() >= ended[run.cekura_run_id] for run in heard.view.runs)
    assert_clean(heard)


def test_what_comes_without_the_secret_brings_no_poll(tmp_path):
    answers = []

    async def knock(scene):
        await all_in_call(scene)
        before = scene.asked["poll"]
        for result in scene.box._world.cekura.results.values():
            body = said_of(result.id, [run.id for run in result.runs])
            answers.append((await post(scene, body, type(SECRET)("guessed"))).status_code)
        await asyncio.sleep(10)
        answers.append(scene.asked["poll"] - before)

    heard = played(tmp_path, beside=knock, interval=300.0, webhooks=False, call_seconds=(320.0, 350.0))
    assert answers == [401] * RUNS + [0]
    assert heard.outcomes() == ["passed"] * RUNS


@pytest.mark.parametrize("fault", ["lost", "garbled", "wrong_secret", "stranger"])
def test_a_verdict_whose_webhook_goes_astray_is_polled_for_as_ever(tmp_path, fault):
    heard = played(tmp_path, f"webhook.{fault}={RUNS}")
    assert heard.outcomes() == ["passed"] * RUNS
    assert "accepted" not in heard.receiver.verdicts()
    assert_clean(heard)


def test_a_webhook_that_comes_twice_is_heard_once(tmp_path):
    heard = played(tmp_path, f"webhook.duplicate={RUNS}")
    assert heard.outcomes() == ["passed"] * RUNS
    assert heard.world["webhooks"] == {"202": 3 * RUNS}
    assert max(heard.lags()) < SOON
