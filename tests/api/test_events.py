"""Events of a batch that is really driven: nothing missed, nothing told twice, and an end."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import httpx
import pytest

from orchestrator.api import events as sse
from orchestrator.api.context import ApiContext
from orchestrator.api.server import ApiServer
from orchestrator.app import following
from orchestrator.app.batches import run_batch
from orchestrator.app.following import Feeds
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.run import RunStatus
from orchestrator.domain.verdict import Outcome
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from tests.api.conftest import GENEROUS
from tests.api.stream import listening, runs_of
from tests.support.bench import SPEED, Bench, until

LOOPBACK = "127.0.0.1"


@pytest.fixture
def quick(monkeypatch):
    """Feeds that look often: a sandbox is faster than life."""
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)


@asynccontextmanager
async def serving(context, **options):
    """A served API, and a client of it."""
    async with (
        ApiServer(context, host=LOOPBACK, port=0, **options) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        yield client


def open_context(store, settings, clock):
    return ApiContext(store=store, clock=clock, settings=settings, variables={}, gatekeeper=None, limits=GENEROUS)


@asynccontextmanager
async def working(folder):
    """A worker on a sandbox with the API before it: `begin(text)` begins and drives a batch over HTTP."""
    bench = Bench(folder)
    async with (
        Sandbox(SandboxSettings(speed=SPEED, call_seconds=(8.0, 16.0))) as box,
        bench.worker(box) as worker,
    ):
        context = open_context(worker.store, load_settings(box.environment()), worker.clock)
        async with serving(replace(context, wake=worker.dispatcher.wake)) as client:
            dispatching = asyncio.create_task(worker.dispatcher.serve())
            try:
                yield Working(bench, worker, client)
            finally:
                dispatching.cancel()
                await asyncio.wait([dispatching])


class Working:
    def __init__(self, bench, worker, client):
        self.bench, self.worker, self.client = bench, worker, client

    async def begin(self, **plan):
        order = {"plan_yaml": self.bench.plan(**plan), "speed": SPEED}
        answer = await self.client.post("/v1/batches", json=order)
        assert answer.status_code == 201, answer.text
        return answer.json()


async def test_who_listens_from_the_beginning_is_told_of_every_run_until_the_end(tmp_path, quick):
    async with working(tmp_path) as service:
        batch = await service.begin(scenarios="[{scenario: 101, repeat: 4}]")
        async with listening(service.client, batch["links"]["events"]) as events:
            heard = [event async for event in events]
        report = (await service.client.get(batch["links"]["report"])).json()
    assert heard[0].kind == "batch"
    assert heard[-1].kind == "end"
    assert heard[-1].data["status"] == "closed"
    numbers = [event.number for event in runs_of(heard) if event.number is not None]
    assert numbers == sorted(set(numbers))
    last = {event.data["run_id"]: event.data for event in runs_of(heard)}
    assert {name: (run["status"], run["outcome"]) for name, run in last.items()} == {
        run["id"]: (run["status"], run["outcome"]) for run in report["runs"]
    }
    assert {run["status"] for run in last.values()} == {"judged"}
    assert heard[-1].data["totals"]["passed"] == report["totals"]["passed"]


async def test_who_is_cut_off_and_comes_again_misses_nothing_and_hears_nothing_twice(tmp_path, quick):
    """One listens throughout, one is cut off after every third event; what either knows at the end is the same."""
    async with working(tmp_path) as service:
        batch = await service.begin(scenarios="[{scenario: 101, repeat: 6}]", concurrency=3, calls=3)
        path = batch["links"]["events"]
        pieces, known, over = [], None, False
        while not over:
            async with listening(service.client, path, after=known) as events:
                piece = []
                async for event in events:
                    piece.append(event)
                    over = event.kind == "end"
                    if over or len(piece) == 4:
                        break
            known = max([event.number for event in piece if event.number is not None], default=known)
            pieces.append(piece)
        runs = (await service.client.get(batch["links"]["runs"])).json()["runs"]
    assert len(pieces) > 3
    heard = [event for piece in pieces for event in runs_of(piece)]
    numbers = [event.number for event in heard if event.number is not None]
    assert numbers == sorted(set(numbers))
    last = {event.data["run_id"]: event.data for event in heard}
    assert last == {run["run_id"]: run for run in runs}


async def test_a_cancelled_batch_is_told_of_and_ends(tmp_path, quick):
    async with working(tmp_path) as service:
        batch = await service.begin(scenarios="[{scenario: 101, repeat: 4}]", concurrency=2, calls=2)
        async with listening(service.client, batch["links"]["events"]) as events:
            heard = []
            async for event in events:
                heard.append(event)
                if event.kind == "run" and event.data["status"] == "in_call":
                    await service.client.post(batch["links"]["cancel"], json={"reason": "enough"})
    told = [event.data["cancelled"] for event in heard if event.kind == "batch"]
    assert told[0] is False
    assert told[-1] is True
    assert heard[-1].kind == "end"
    assert heard[-1].data["reason"] == "enough"


class TestFeed:
    """A batch whose rows the test moves itself."""

    @pytest.fixture
    async def batch_id(self, client, plan):
        return (await client.post("/v1/batches", json={"plan": plan})).json()["id"]

    async def change(self, service, batch_id, index, status):
        runs = await service.store.read(partial(run_rows.list_runs, batch_id=batch_id))
        believed = runs[index - 1]
        changed = replace(believed, status=status)
        assert await service.store.write(partial(run_rows.record_run, run=changed, believed=believed))

    async def close(self, service, batch_id):
        at = service.clock.now()
        end = partial(batch_rows.record_closed, batch_id=batch_id, at=at, outcome=Outcome.INCONCLUSIVE)
        await service.store.write(end)

    def context(self, service):
        return open_context(service.store, service.context.settings, service.clock)

    async def test_one_feed_asks_for_all_who_listen_and_ends_with_the_last(self, service, batch_id, quick, monkeypatch):
        reads = []
        read = service.store.read

        async def counting(unit):
            reads.append(unit)
            return await read(unit)

        feeds = Feeds(service.store, most=100)
        monkeypatch.setattr(service.store, "read", counting)
        streams = [sse.events_of(feeds, batch_id, after=None, describe=lambda *_: {}) for _ in range(50)]
        try:
            for stream in streams:
                await anext(stream)
            assert len(reads) <= 3
            assert sum(task.get_name() == f"feed of {batch_id}" for task in asyncio.all_tasks()) == 1
        finally:
            for stream in streams:
                await stream.aclose()
        await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == f"feed of {batch_id}"]

    async def test_fifty_who_come_at_the_same_moment_share_one_feed(self, service, batch_id, quick):
        feeds = Feeds(service.store, most=100)
        streams = [sse.events_of(feeds, batch_id, after=None, describe=lambda *_: {}) for _ in range(50)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        try:
            assert sum(task.get_name() == f"feed of {batch_id}" for task in asyncio.all_tasks()) == 1
        finally:
            for stream in streams:
                await stream.aclose()

    async def test_who_is_slow_is_told_of_each_run_once_as_it_is_then(self, service, batch_id, quick):
        feeds = Feeds(service.store, most=1)
        stream = sse.events_of(feeds, batch_id, after=0, describe=lambda batch, _: {"id": batch.batch_id})
        assert (await anext(stream)).startswith("retry:")
        assert "event: batch" in await anext(stream)
        for status in (RunStatus.STARTING, RunStatus.STARTED, RunStatus.READY):
            await self.change(service, batch_id, 2, status)
        await self.change(service, batch_id, 1, RunStatus.STARTING)
        feed, _ = feeds._feeds[batch_id]
        await until(lambda: len(feed.after(0)) == 2)
        told = await anext(stream)
        await stream.aclose()
        assert told.count("event: run") == 2
        assert "id: 3\nevent: run" in told
        assert "id: 4\nevent: run" in told
        assert '"status":"ready"' in told.partition("id: 4")[0]

    async def test_runs_of_one_revision_have_its_id_on_the_last_of_them_only(self, service, batch_id, quick):
        async with (
            serving(self.context(service)) as client,
            listening(client, f"/v1/batches/{batch_id}/events") as events,
        ):
            heard = [await anext(events) for _ in range(3)]
        assert [(event.kind, event.number) for event in heard] == [("batch", None), ("run", None), ("run", 0)]

    async def test_the_revision_may_be_named_in_the_query(self, service, batch_id, quick):
        await self.change(service, batch_id, 1, RunStatus.STARTING)
        await self.close(service, batch_id)
        async with (
            serving(self.context(service)) as client,
            listening(client, f"/v1/batches/{batch_id}/events?last_event_id=0") as events,
        ):
            assert [(event.kind, event.number) async for event in events] == [
                ("batch", None),
                ("run", 1),
                ("end", None),
            ]

    async def test_who_comes_after_the_end_is_told_of_it_at_once(self, service, batch_id, quick):
        await self.close(service, batch_id)
        async with (
            serving(self.context(service)) as client,
            listening(client, f"/v1/batches/{batch_id}/events", after=7) as events,
        ):
            assert [event.kind async for event in events] == ["batch", "end"]

    async def test_a_silent_stream_has_a_heartbeat(self, service, batch_id, quick, monkeypatch):
        monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.05)
        path, known = f"/v1/batches/{batch_id}/events", {"Last-Event-ID": "0"}
        async with serving(self.context(service)) as client, client.stream("GET", path, headers=known) as answer:
            lines = answer.aiter_lines()
            seen = [await anext(lines) for _ in range(10)]
        assert seen[0] == "retry: 1000"
        assert seen.count(":") >= 2

    async def test_more_listeners_than_allowed_are_told_to_come_later(self, service, batch_id, quick, problem_in):
        context = replace(self.context(service), limits=replace(GENEROUS, listeners=1))
        async with serving(context) as client:
            path = f"/v1/batches/{batch_id}/events"
            async with listening(client, path) as events:
                await anext(events)
                answer = await client.get(path)
                problem_in(answer, 429, "too-many-requests")
                assert "retry-after" in answer.headers
            await self.close(service, batch_id)

            async with asyncio.timeout(20):
                while (await client.get(path)).status_code != 200:  # noqa: ASYNC110  it is asked of the wire
                    await asyncio.sleep(0.02)

    async def test_a_state_that_cannot_be_read_for_a_while_ends_no_stream(self, service, batch_id, quick, monkeypatch):
        async with (
            serving(self.context(service)) as client,
            listening(client, f"/v1/batches/{batch_id}/events", after=0) as events,
        ):
            assert (await anext(events)).kind == "batch"
            failed = asyncio.Event()

            async def failing(_):
                failed.set()
                raise StateUnusable("disk I/O error")

            with monkeypatch.context() as patch:
                patch.setattr(service.store, "read", failing)
                await asyncio.wait_for(failed.wait(), 20)
            await self.change(service, batch_id, 1, RunStatus.STARTING)
            assert (await anext(events)).data["status"] == "starting"

    async def test_a_listener_that_no_longer_reads_loses_its_place(self, service, batch_id, quick, monkeypatch):
        monkeypatch.setattr(sse, "SEND_SECONDS", 0.05)
        feeds = Feeds(service.store, most=1)
        events = sse.events_of(feeds, batch_id, after=None, describe=lambda *_: {})
        response = sse.EventStream(await anext(events), events)

        async def stuck(_):
            await asyncio.Event().wait()

        await response.stream_response(stuck)
        assert feeds._followers == 0

    @pytest.mark.parametrize("number", ["-1", "x", "99999999999", ""])
    async def test_an_id_that_was_never_given_out_is_refused(self, client, batch_id, problem_in, number):
        answer = await client.get(f"/v1/batches/{batch_id}/events", headers={"Last-Event-ID": number})
        problem_in(answer, 422, "invalid-request")

    async def test_when_the_service_ends_every_stream_ends_without_an_end_of_the_batch(self, service, batch_id, quick):
        server = ApiServer(self.context(service), host=LOOPBACK, port=0)
        async with httpx.AsyncClient() as client, server:
            path = f"{server.url}/v1/batches/{batch_id}/events"
            async with client.stream("GET", path, timeout=30) as answer:
                lines = answer.aiter_lines()
                await anext(lines)
                leaving = asyncio.create_task(server.__aexit__(None, None, None))
                rest = [line async for line in lines]
                await leaving
        assert "event: batch" in rest
        assert "event: end" not in rest


async def test_every_move_of_a_driven_run_is_a_revision(tmp_path):
    """What listeners rely on: no two changes of a batch share a number, and none is lost."""
    bench = Bench(tmp_path)
    async with Sandbox(SandboxSettings(speed=SPEED, call_seconds=(8.0, 16.0))) as box, bench.worker(box) as worker:
        loaded = plan_from_text(bench.plan(scenarios="[{scenario: 101, repeat: 3}]"), name="test")
        batch_id = await bench.start(worker, bench.plan(scenarios="[{scenario: 101, repeat: 3}]"))
        await run_batch(worker, batch_id)
        changed = await worker.store.read(partial(run_rows.changed_runs, batch_id=batch_id, after=-1))
    assert loaded.plan.run_count == 3
    revisions = [revision for revision, _ in changed]
    assert len(set(revisions)) == 3
    assert revisions == sorted(revisions)
    assert {run.status for _, run in changed} == {RunStatus.JUDGED}
