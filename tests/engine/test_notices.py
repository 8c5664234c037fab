"""From the end of a batch to whoever is to hear of it: committed together, sent at least once, under one id."""

import asyncio
import base64
import json
import threading
from contextlib import ExitStack
from functools import partial
from random import Random

import pytest

from orchestrator.app.batches import create_batch, run_batch, view_batch
from orchestrator.app.notices import build_notifier
from orchestrator.app.service import build_service
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.notice import Delivery, DeliveryResult, NoticeStatus
from orchestrator.domain.verdict import Outcome
from orchestrator.engine.closing import close_batch
from orchestrator.engine.notifier import Notifier
from orchestrator.plans import new_batch, plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from orchestrator.store import batches as batch_rows
from orchestrator.store import notices as notice_rows
from orchestrator.store.database import open_store
from orchestrator.telemetry.metrics import Metrics
from tests.support.bench import SPEED, until
from tests.support.hand_clock import HandClock
from tests.support.mailbox import receiving

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PLAN = """
version: 1
name: nightly
env: [SLACK, HOOK, SECRET]
agent: {kind: pipecat_cloud, name: support-bot}
cekura: {agent: 5, mock_tool_names: []}
scenarios: [{scenario: 101}]
notifications:
"""
HOOK = "  - {kind: webhook, url: '{{ env.HOOK }}', secret: '{{ env.SECRET }}', on: [%s], include: [reasons, links]}\n"
SLACK = "  - {kind: slack, url: '{{ env.SLACK }}', on: [%s], include: [reasons]}\n"


@pytest.fixture
def box():
    with receiving() as opened:
        yield opened


@pytest.fixture
def environ(box):
    return {"SLACK": f"{box.url}/slack", "HOOK": f"{box.url}/hook", "SECRET": SECRET}


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/state.db", driving="test")
    yield opened
    opened.close()


class Series:
    """Batches of one plan that close one after the other."""

    def __init__(self, store, environ, entries):
        self.store, self.clock = store, SystemClock()
        self.loaded = plan_from_text(PLAN + entries, environ=environ)

    async def close(self, outcome, *, cancelled=False):
        """One more batch, closed with an outcome; returns its id."""
        batch, planned = new_batch(self.loaded, now=self.clock.now())
        await self.store.write(partial(batch_rows.record_batch, batch=batch, planned=planned))
        if cancelled:
            wish = partial(batch_rows.record_cancel, batch_id=batch.batch_id, reason="tired of it")
            await self.store.write(partial(wish, at=self.clock.now()))
        unit = partial(close_batch, batch_id=batch.batch_id, plan=self.loaded.plan, outcome=Outcome(outcome))
        await self.store.write(partial(unit, at=self.clock.now()))
        await self.store.write(partial(unit, at=self.clock.now()))  # a unit may be run again
        return batch.batch_id


def notifier(store, environ, clock=None):
    return build_notifier(store, clock=clock or SystemClock(), environ=environ, result_url=lambda _id: None)


async def rows(store):
    """Every notice, the oldest first, those of one batch in the plan's order."""
    found = await store.read(partial(notice_rows.page_notices, limit=100))
    return sorted(found, key=lambda one: (one.created_at, one.position))


async def test_over_a_series_of_batches_each_entry_is_told_what_it_asked_for(store, environ):
    series = Series(store, environ, HOOK % "failure, recovery" + SLACK % "change" + SLACK % "always")
    ids = [
        await series.close("passed"),
        await series.close("failed"),
        await series.close("failed"),
        await series.close("inconclusive"),
        await series.close("passed"),
        await series.close("passed", cancelled=True),
        await series.close("passed"),
    ]
    told = [
        [(one.batch_id, *(word.value for word in one.why)) for one in await rows(store) if one.position == position]
        for position in range(3)
    ]
    assert told[0] == [
        (ids[1], "failure"),
        (ids[2], "failure"),
        (ids[3], "failure"),
        (ids[4], "recovery"),
        (ids[5], "failure"),
        (ids[6], "recovery"),
    ]
    assert told[1] == [(name, "change") for name in (ids[1], ids[3], ids[4], ids[5], ids[6])]
    assert told[2] == [(name, "always") for name in ids]
    before = [one.before for one in await rows(store) if one.position == 2]
    assert before == [None, "passed", "failed", "failed", "inconclusive", "passed", "cancelled"]


async def test_a_notice_is_sent_again_under_the_same_id_until_it_is_taken(store, environ, box):
    box.answers = [500, 503]
    clock = HandClock()
    clock.at = SystemClock().now().timestamp()
    await Series(store, environ, HOOK % "always").close("failed")
    assert await notifier(store, environ, clock).settle(seconds=60) == []
    assert len(box.posted) == 3
    (row,) = await rows(store)
    assert {one.notice_id for one in box.posted} == {row.notice_id}
    assert len({one.body for one in box.posted}) == 1
    assert (row.status, row.tries, row.last_error) == (NoticeStatus.SENT, 3, "")


async def test_a_receiver_that_refuses_is_not_asked_again(store, environ, box):
    box.answers = [410]
    await Series(store, environ, HOOK % "always").close("failed")
    ours = notifier(store, environ)
    assert await ours.settle(seconds=60) == []
    assert (len(box.posted), [one.last_error for one in ours.given_up]) == (1, ["HTTP 410"])


async def test_what_a_process_did_not_get_to_say_the_next_one_says_under_the_same_id(store, environ, box):
    """The process is gone between the answer of the receiver and writing it down: it may be told twice, never not."""
    await Series(store, environ, HOOK % "always").close("failed")
    sent = asyncio.Event()

    async def die(_notice):
        sent.set()
        await asyncio.get_running_loop().create_future()

    dying = Notifier(store=store, clock=SystemClock(), send=die, random=Random(1))
    running = asyncio.create_task(dying.run())
    await sent.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert box.posted == []
    assert await notifier(store, environ).settle(seconds=20) == []
    (row,) = await rows(store)
    assert [one.notice_id for one in box.posted] == [row.notice_id]
    assert row.tries == 2


async def test_a_command_says_what_it_could_not_send_and_where_a_variable_is_missing_no_try_is_lost(
    store, environ, box
):
    await Series(store, environ, HOOK % "always" + SLACK % "always").close("failed")
    (left,) = await notifier(store, {**environ, "HOOK": ""}).settle(seconds=20)
    assert (left.tries, left.status) == (0, NoticeStatus.WAITING)
    assert left.last_error == "the environment variable HOOK is not set where it was to be sent from"
    assert [one.path for one in box.posted] == ["/slack"]
    assert await notifier(store, environ).settle(seconds=20) == []
    assert [one.path for one in box.posted] == ["/slack", "/hook"]


async def test_a_command_waits_no_longer_than_it_was_told(store, environ, box):
    box.hold = threading.Event()
    await Series(store, environ, HOOK % "always").close("failed")
    (left,) = await notifier(store, environ).settle(seconds=0.3)
    assert left.sent_at is None


async def test_a_defect_met_by_one_notice_does_not_stop_the_others(store, environ):
    await Series(store, environ, HOOK % "always" + SLACK % "always").close("failed")
    seen = []

    async def send(notice):
        seen.append(notice.position)
        if notice.position == 0:
            raise RuntimeError("a defect")
        return Delivery(result=DeliveryResult.SENT)

    await Notifier(store=store, clock=SystemClock(), send=send, random=Random(1)).look()
    assert sorted(seen) == [0, 1]
    assert {one.position: (one.status.value, one.last_error) for one in await rows(store)} == {
        0: ("waiting", "a defect: RuntimeError"),
        1: ("sent", ""),
    }


async def test_a_state_that_cannot_be_read_ends_no_worker(store, environ):
    ours = notifier(store, environ)
    store.close()
    await ours.look()
    await ours.look()
    with pytest.raises(StateUnusable):
        await rows(store)


async def test_two_workers_on_one_state_send_each_notice_once(postgres_url, environ, box):
    with ExitStack() as stack:
        stores = [open_store(postgres_url, driving=None) for _ in range(2)]
        for one in stores:
            stack.callback(one.close)
        series = Series(stores[0], environ, HOOK % "always")
        workers = [asyncio.create_task(notifier(one, environ).run()) for one in stores]
        for _ in range(8):
            await series.close("failed")
        await until(lambda: len(box.posted) >= 8)
        while any(one.sent_at is None for one in await rows(stores[0])):  # noqa: ASYNC110  rows have no event
            await asyncio.sleep(0.02)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        sent = [one.notice_id for one in box.posted]
        assert sorted(sent) == sorted(one.notice_id for one in await rows(stores[0]))
        assert [one.tries for one in await rows(stores[0])] == [1] * 8


def hidden_in(text, sandbox, view, environ):
    """What may never be told outside, and is."""
    keys = [value for name, value in sandbox.environment().items() if name.endswith("_KEY")]
    rooms = [session.room_url for session in view.sessions if session.room_url]
    assert rooms
    return [one for one in (*keys, *rooms, *environ.values(), "eyJ") if one in text]


async def test_a_whole_batch_ends_with_word_of_it_and_neither_word_nor_row_holds_a_secret(bench, environ, box):
    entries = HOOK % "always" + SLACK % "failure"
    settings = SandboxSettings(speed=SPEED, faults=("call.fails_evaluation=1",), call_seconds=(8.0, 16.0))
    async with Sandbox(settings) as sandbox, bench.worker(sandbox, CEKURA_PROJECT_ID="77") as worker:
        loaded = plan_from_text(PLAN + entries, environ=environ)
        batch = await create_batch(worker, loaded, speed=SPEED)
        # What the plan's variables are for: the driver renders bodies with the same environment.
        worker.driver._environ = environ
        await run_batch(worker, batch.batch_id)
        view = await view_batch(worker.store, batch.batch_id)
        sending = build_notifier(
            worker.store, clock=worker.clock, environ=environ, result_url=worker.remotes.cekura.result_url
        )
        assert await sending.settle(seconds=20) == []
        told = await rows(worker.store)
    by_position = {one.position: one.notice_id for one in told}
    (document,) = [one.document for one in box.at("/hook")]
    (slack,) = [one.document for one in box.at("/slack")]
    assert (document["type"], document["version"], document["id"]) == ("batch.closed", 1, by_position[0])
    assert document["batch"]["id"] == batch.batch_id
    assert (document["batch"]["outcome"], document["batch"]["exit_code"], document["came_to"]) == (
        "failed",
        1,
        "failed",
    )
    assert (document["before"], document["why"]) == (None, ["always"])
    assert document["totals"] == {"runs": 1, "passed": 0, "failed": 1, "inconclusive": 0, "pass_rate": 0.0}
    assert document["teardown"] == {"sessions": 1, "rooms": 1, "confirmed": 2, "bounded": 0, "left": 0, "uncertain": 0}
    assert document["leftovers"] == []
    assert "The outcome was not met" in document["runs"][0]["reason"]
    assert document["links"][0].startswith("https://dashboard.cekura.ai/77/results/")
    assert document["links"] == [worker.remotes.cekura.result_url(view.runs[0].cekura_result_id)]
    assert set(slack) == {"text", "blocks"}
    assert slack["text"] == "nightly failed: 0 passed, 1 failed, 0 inconclusive of 1"
    assert "The outcome was not met" in slack["blocks"][1]["text"]["text"]
    said = json.dumps([document, slack]) + repr(told)
    assert hidden_in(said, sandbox, view, environ) == []


async def test_a_worker_that_serves_sends_them_and_counts_each_try(bench, environ, box):
    metrics = Metrics(version="1")
    async with Sandbox(SandboxSettings(speed=SPEED)) as sandbox, bench.worker(sandbox, metrics=metrics) as worker:
        settings = load_settings(sandbox.environment())
        service = await build_service(worker, settings=settings, file=None, environ=environ, metrics=metrics)
        serving = asyncio.create_task(service.serve())
        box.answers = [410]
        await Series(worker.store, environ, HOOK % "always" + SLACK % "always").close("failed")
        await until(lambda: sum(counted(metrics).values()) == 2)  # a try is counted once its row is written
        assert not any(one.status is NoticeStatus.WAITING for one in await rows(worker.store))
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    assert len(box.posted) == 2
    assert {result for (_, result), count in counted(metrics).items() if count} == {"sent", "given_up"}


def counted(metrics):
    """How many tries of which kind ended how."""
    return {
        (sample.labels["kind"], sample.labels["result"]): sample.value
        for family in metrics._of.registry.collect()
        for sample in family.samples
        if sample.name == "orchestrator_notices_total"
    }
