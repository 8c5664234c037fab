"""One trace per run, made afterwards: its spans join and nest as the rows say, and hold no secret."""

import asyncio
import json
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.app.batches import cancel_batch, live_view, run_batch
from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import End, SessionStatus, Teardown
from orchestrator.domain.verdict import Outcome
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.telemetry import traces as traces_module
from orchestrator.telemetry.traces import open_traces
from tests.store.rows import a_run, a_session
from tests.support.bench import Bench, in_call, until
from tests.support.collector import collecting, facts
from tests.support.watched import watch

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ERROR = 2


def at(seconds):
    return NOW + timedelta(seconds=seconds)


class Told:
    """Traces into memory, and the spans they made: name -> (begin, end) in seconds since NOW."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.traces = open_traces(
            version="1", now=lambda: at(500), exporter=self.exporter, result_url=lambda one: f"https://x.test/{one}"
        )

    async def spans(self):
        await self.traces.aclose()
        found = self.exporter.get_finished_spans()
        return sorted(found, key=lambda span: (span.start_time, span.parent is not None, span.name))

    async def times(self):
        return [
            (span.name, *(_seconds(one) for one in (span.start_time, span.end_time))) for span in await self.spans()
        ]


def _seconds(nanoseconds):
    return nanoseconds / 1e9 - NOW.timestamp()


@pytest.fixture
async def told():
    told = Told()
    yield told
    await told.traces.aclose()


PASSED = {
    RunStatus.STARTING: 0,
    RunStatus.STARTED: 1,
    RunStatus.READY: 4,
    RunStatus.SUBMITTED: 5,
    RunStatus.IN_CALL: 9,
    RunStatus.CALL_ENDED: 69,
    RunStatus.JUDGED: 90,
}


def timeline(reached):
    return {status.value: at(seconds) for status, seconds in reached.items()}


def run_at(status, reached, **changes):
    return a_run(status=status, nonce="n1", attempt=1, timeline=timeline(reached), **changes)


def ended(nonce="n1", *, begins=71, session=73, room=74, **changes):
    known = {
        "status": SessionStatus.ALIVE,
        "answered_at": at(1),
        "ready_at": at(4),
        "evidence": Evidence.PRESENCE,
        "condemned_for": "call ended",
        "condemned_at": at(begins - 2),
        "teardown_from": at(begins),
        "session_end": End(state=Teardown.CONFIRMED, at=at(session)),
        "room_end": End(state=Teardown.CONFIRMED, at=at(room)),
    }
    return a_session(nonce, **{**known, **changes})


def live(traces, run, session):
    """Tell of one run from its first start to its end, as the engine does."""
    begun = a_session(session.nonce, attempt=session.attempt)
    traces.session_moved(None, begun)
    traces.heard(a_run(), run_at(RunStatus.STARTING, {RunStatus.STARTING: 0}))
    traces.session_moved(begun, session)
    traces.heard(run_at(RunStatus.CALL_ENDED, PASSED), run)


async def test_the_parts_of_a_run_join_and_its_evaluation_goes_on_beside_its_teardown(told):
    run = run_at(RunStatus.JUDGED, PASSED, outcome=Outcome.PASSED, cekura_run_id=71, cekura_result_id=31)
    live(told.traces, run, ended())

    assert await told.times() == [
        ("run", 0, 90),
        ("start", 0, 1),
        ("join", 1, 4),
        ("submit", 4, 9),
        ("call", 9, 69),
        ("evaluate", 69, 90),
        ("teardown", 71, 74),
    ]


async def test_the_root_names_the_run_at_cekura_and_every_span_is_its_child(told):
    run = run_at(RunStatus.JUDGED, PASSED, outcome=Outcome.PASSED, cekura_run_id=71, cekura_result_id=31)
    live(told.traces, run, ended())

    root, *parts = await told.spans()
    assert {span.parent.span_id for span in parts} == {root.context.span_id}
    assert {span.context.trace_id for span in parts} == {root.context.trace_id}
    assert dict(root.attributes) == {
        "orchestrator.batch.id": "b1",
        "orchestrator.run.id": "b1-1",
        "orchestrator.run.index": 1,
        "orchestrator.run.status": "judged",
        "orchestrator.run.outcome": "passed",
        "orchestrator.run.attempts": 1,
        "cekura.scenario.id": 101,
        "cekura.run.id": 71,
        "cekura.result.id": 31,
        "cekura.result.url": "https://x.test/31",
    }
    assert root.status.is_unset
    by_name = {span.name: span for span in parts}
    assert by_name["join"].attributes["orchestrator.evidence"] == "presence"
    assert by_name["teardown"].attributes["orchestrator.teardown.session"] == "confirmed"
    (accepted,) = by_name["submit"].events
    assert (accepted.name, _seconds(accepted.timestamp)) == ("accepted by Cekura", 5)


async def test_nothing_is_told_before_both_the_verdict_and_the_last_end_are_known(told):
    run = run_at(RunStatus.JUDGED, PASSED, outcome=Outcome.PASSED)
    half = ended(room_end=End())
    live(told.traces, run, half)
    assert told.traces._underway

    told.traces.session_moved(half, ended())
    assert not told.traces._underway
    assert len(await told.spans()) == 7


async def test_a_run_given_up_is_an_error_with_its_reason_in_the_part_it_was_in(told):
    reached = {RunStatus.STARTING: 0, RunStatus.STARTED: 1, RunStatus.ABANDONED: 121}
    run = run_at(RunStatus.ABANDONED, reached, outcome=Outcome.INCONCLUSIVE, reason="its bot never came")
    live(told.traces, run, ended(begins=121, session=123, room=124, ready_at=None, evidence=None))

    root, start, join, teardown = await told.spans()
    assert (root.name, start.name, join.name, teardown.name) == ("run", "start", "join", "teardown")
    assert _seconds(join.end_time) == 121
    for span in (root, join):
        assert (span.status.status_code.value, span.status.description) == (ERROR, "its bot never came")
    assert start.status.is_unset


async def test_a_run_tried_again_shows_both_attempts_one_after_the_other(told):
    first = {RunStatus.STARTING: 0, RunStatus.STARTED: 1}
    traces = told.traces
    traces.session_moved(None, a_session("n1"))
    traces.heard(a_run(), run_at(RunStatus.STARTING, first))
    started = run_at(RunStatus.STARTED, first)
    again = replace(started, status=RunStatus.PLANNED, nonce=None, reason="its bot never came")
    again = replace(again, timeline={**again.timeline, "planned": at(30)})
    traces.session_moved(a_session("n1"), replace(ended("n1"), session_end=End()))
    traces.heard(started, again)
    traces.session_moved(replace(ended("n1"), session_end=End()), ended("n1", begins=30, session=32, room=33))
    second = {status: seconds + 100 for status, seconds in PASSED.items()} | {RunStatus.PLANNED: 30}
    begun = a_session("n2", attempt=2)
    traces.session_moved(None, begun)
    judged = replace(run_at(RunStatus.JUDGED, second, outcome=Outcome.PASSED), nonce="n2", attempt=2)
    traces.session_moved(begun, ended("n2", attempt=2, begins=171, session=173, room=174))
    traces.heard(replace(judged, status=RunStatus.CALL_ENDED), judged)

    root, *parts = await told.spans()
    by_attempt = [[], []]
    for span in parts:
        by_attempt[span.attributes["orchestrator.attempt"] - 1].append((span.name, _seconds(span.end_time)))
    assert by_attempt[0] == [("start", 1), ("join", 30), ("teardown", 33)]
    assert [name for name, _ in by_attempt[1]] == ["start", "join", "submit", "call", "evaluate", "teardown"]
    assert (_seconds(root.start_time), _seconds(root.end_time)) == (0, 190)


async def test_what_an_earlier_attempt_reached_is_not_told_of_a_later_one(told):
    reached = {
        **PASSED,
        RunStatus.STARTING: 100,
        RunStatus.STARTED: 101,
        RunStatus.READY: 104,
        RunStatus.ABANDONED: 200,
    }
    del reached[RunStatus.JUDGED]
    run = run_at(RunStatus.ABANDONED, reached, outcome=Outcome.INCONCLUSIVE, reason="never called")
    live(told.traces, run, ended(begins=200, session=202, room=203))

    assert await told.times() == [
        ("run", 100, 203),
        ("start", 100, 101),
        ("join", 101, 104),
        ("submit", 104, 200),
        ("teardown", 200, 203),
    ]


async def test_a_start_refused_for_now_is_no_attempt(told):
    traces = told.traces
    refused = a_session("n1", status=SessionStatus.REFUSED)
    traces.session_moved(None, a_session("n1"))
    traces.heard(a_run(), run_at(RunStatus.STARTING, {RunStatus.STARTING: 0}))
    traces.session_moved(a_session("n1"), refused)
    traces.heard(run_at(RunStatus.STARTING, {RunStatus.STARTING: 0}), a_run(reason="full"))
    assert traces._underway["b1-1"].sessions == {}  # a run may be refused a hundred times
    never = a_run(status=RunStatus.ABANDONED, outcome=Outcome.INCONCLUSIVE, timeline={"abandoned": at(60)})
    traces.heard(a_run(reason="full"), never)

    assert await told.spans() == []
    assert not traces._underway


async def test_what_another_process_began_is_told_by_the_one_that_ends_it(told):
    """Its run had its verdict when that process died; only the end of its session is seen here."""
    run = run_at(RunStatus.JUDGED, PASSED, outcome=Outcome.PASSED)
    open_still = replace(ended(), session_end=End())
    told.traces.resumed([run, a_run(2)], [open_still])
    told.traces.session_moved(open_still, ended())

    assert [name for name, *_ in await told.times()][:3] == ["run", "start", "join"]
    assert not told.traces._underway


async def test_what_was_torn_down_before_its_batch_was_taken_up_is_told_then(told):
    run = run_at(RunStatus.JUDGED, PASSED, outcome=Outcome.PASSED)
    told.traces.session_moved(None, ended())
    told.traces.resumed([run, a_run(2)], [ended()])
    told.traces.resumed([run, a_run(2)], [ended()])

    assert len(await told.spans()) == 7
    assert not told.traces._underway


async def test_a_batch_that_another_worker_took_is_that_workers_to_tell_of(told):
    told.traces.session_moved(None, a_session())
    told.traces.heard(a_run(), run_at(RunStatus.STARTING, {RunStatus.STARTING: 0}))
    told.traces.let_go("b2")
    assert told.traces._underway

    told.traces.let_go("b1")
    told.traces.session_moved(a_session(), ended())

    assert not told.traces._underway
    assert await told.spans() == []


async def test_an_end_that_is_not_confirmed_lasts_until_it_was_known_to_be_bounded(told):
    run = run_at(RunStatus.JUDGED, PASSED, outcome=Outcome.PASSED)
    live(told.traces, run, ended(room_end=End(state=Teardown.BOUNDED, at=at(3600))))

    assert (await told.times())[-1] == ("teardown", 71, 500)


def point_at(monkeypatch, url):
    monkeypatch.setattr(traces_module, "FLUSH_SECONDS", 20)  # on a busy machine, too
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer collector-key-0123456789")


async def test_a_whole_batch_arrives_at_a_collector_one_trace_per_run(tmp_path, monkeypatch):
    bench = Bench(folder=tmp_path)
    with collecting() as collected:
        point_at(monkeypatch, collected.url)
        ended = await bench.run(
            "bot.never_joins=1@1",
            "call.fails_evaluation=1",
            scenarios="[{scenario: 101, repeat: 3}, {scenario: 102}]",
            more="timeouts: {ready: 60}",
            environ={"ORCHESTRATOR_TRACES": "otlp", "CEKURA_PROJECT_ID": "77"},
        )
    runs = {run.run_id: run for run in ended.view.runs}
    traces = list(collected.traces())
    assert {facts(root)["orchestrator.run.id"] for root, _ in traces} == set(runs)
    assert len(traces) == len(runs)
    for root, parts in traces:
        run = runs[facts(root)["orchestrator.run.id"]]
        assert facts(root)["cekura.run.id"] == run.cekura_run_id
        assert facts(root)["cekura.result.url"].endswith(f"/77/results/{run.cekura_result_id}")
        assert facts(root)["orchestrator.run.outcome"] == run.outcome.value
        assert (root.status.code == ERROR) == (run.outcome is not Outcome.PASSED)
        assert {part.name for part in parts} >= {"start", "join", "submit", "evaluate", "teardown"}
        assert [part.name for part in parts].count("teardown") == run.attempt
        for part in parts:
            assert root.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
            assert part.end_time_unix_nano <= root.end_time_unix_nano
        last = [part for part in parts if facts(part)["orchestrator.attempt"] == run.attempt]
        joined = [part for part in last if part.name != "teardown"]
        for one, next_one in pairwise(joined):
            assert one.end_time_unix_nano == next_one.start_time_unix_nano
    assert {one["service.name"] for one in collected.resources} == {"cekura-pipecat-orchestrator"}


async def test_no_key_and_no_meeting_token_is_in_a_span_whatever_the_remotes_repeat(tmp_path, monkeypatch):
    watched = watch(monkeypatch)
    watched.echoes = {"start": (429, 1), "submit": (400, 3), "session_stop": (500, 1), "poll": (500, 1)}
    with collecting() as collected:
        point_at(monkeypatch, collected.url)
        ended = await Bench(folder=tmp_path).run(environ={"ORCHESTRATOR_TRACES": "otlp"})

    assert "echo of submit" in "".join(ended.reasons)
    assert any(b"echo of submit" in body for body in collected.raw)
    for body in collected.raw:
        assert watched.found_in(body) == []
        assert not any(session.room_url.encode() in body for session in ended.view.sessions if session.room_url)


async def test_a_batch_taken_up_by_another_process_is_traced_whole(tmp_path, monkeypatch):
    bench = Bench(folder=tmp_path)
    traced = {"ORCHESTRATOR_TRACES": "otlp"}
    with collecting() as collected:
        point_at(monkeypatch, collected.url)
        async with Sandbox(SandboxSettings(speed=bench.speed, call_seconds=(60.0, 60.0))) as box:
            async with bench.worker(box, **traced) as worker:
                batch_id = await bench.start(worker, bench.plan())
                worker.dispatcher.begin(batch_id)
                await until(lambda: in_call(worker, batch_id) == 3)
            async with bench.worker(box, **traced) as worker:
                await run_batch(worker, batch_id)

    assert sorted(facts(root)["orchestrator.run.outcome"] for root, _ in collected.traces()) == ["passed"] * 3


async def test_a_run_judged_before_a_stop_and_torn_down_after_it_is_traced(tmp_path, monkeypatch):
    bench = Bench(folder=tmp_path)
    traced = {"ORCHESTRATOR_TRACES": "otlp"}
    with collecting() as collected:
        point_at(monkeypatch, collected.url)
        async with Sandbox(SandboxSettings(speed=bench.speed, faults=["session_get.error=9999"])) as box:
            async with bench.worker(box, **traced) as worker:
                batch_id = await bench.start(worker, bench.plan())
                worker.dispatcher.begin(batch_id)
                await until(lambda: all_judged(worker, batch_id))
            assert collected.spans == []
            box.faults.clear()
            async with bench.worker(box, **traced) as worker:
                await run_batch(worker, batch_id)

    assert sorted(facts(root)["orchestrator.run.outcome"] for root, _ in collected.traces()) == ["passed"] * 3


def all_judged(worker, batch_id):
    view = live_view(worker, batch_id)
    return view is not None and all(run.status is RunStatus.JUDGED for run in view.runs)


async def test_a_cancelled_batch_is_traced_too_and_what_was_never_begun_is_not(tmp_path, monkeypatch):
    bench = Bench(folder=tmp_path)
    with collecting() as collected:
        point_at(monkeypatch, collected.url)
        async with (
            Sandbox(SandboxSettings(speed=bench.speed, call_seconds=(900.0, 900.0))) as box,
            bench.worker(box, ORCHESTRATOR_TRACES="otlp") as worker,
        ):
            # Seldom asked, for a poll between the ends of the calls and of the runs would bring Cekura's reason first.
            plan = bench.plan(calls=2, concurrency=2, more="timing: {poll_interval: 40}")
            batch_id = await bench.start(worker, plan)
            worker.dispatcher.begin(batch_id)
            await until(lambda: in_call(worker, batch_id) == 2)
            await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="enough of it")
            await worker.dispatcher.run(batch_id)

    told = list(collected.traces())
    assert len(told) == 2
    for root, parts in told:
        assert root.status.message == "enough of it"
        assert [part.name for part in parts if part.status.code == ERROR] == ["call"]


async def test_a_collector_that_does_not_answer_holds_up_closing_for_its_two_seconds_only(monkeypatch, capsys):
    silent = threading.Event()
    with collecting(silent=silent) as collected:
        point_at(monkeypatch, collected.url)
        monkeypatch.setattr(traces_module, "FLUSH_SECONDS", 0.2)
        traces = open_traces(version="1", now=lambda: at(500))
        live(traces, run_at(RunStatus.JUDGED, PASSED, outcome=Outcome.PASSED), ended())
        async with asyncio.timeout(5):
            await traces.aclose()
        assert collected.spans == []
        silent.set()


def test_what_the_variables_say_wrongly_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "99999")

    with pytest.raises(InvalidSettings) as caught:
        open_traces(version="1", now=lambda: NOW, exporter=InMemorySpanExporter())
    assert "OTEL_*" in caught.value.next_step


def loaded_after(code):
    """The modules of OpenTelemetry that a process has imported after running `code`."""
    asked = f"{code}\nimport sys, json; print(json.dumps([one for one in sys.modules if 'opentelemetry' in one]))"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


BATCH = """
import asyncio, tempfile, pathlib, os
from tests.support.bench import Bench
from orchestrator.telemetry.metrics import Metrics
async def play():
    folder = pathlib.Path(tempfile.mkdtemp())
    ended = await Bench(folder=folder).run(scenarios="[{scenario: 101}]", metrics=Metrics(version="1"))
    assert ended.outcomes == ["passed"], ended.reasons
asyncio.run(play())
"""


def test_nothing_of_opentelemetry_is_imported_while_traces_are_off():
    assert loaded_after(BATCH) == []


def test_without_the_library_traces_are_refused_with_what_to_install():
    code = """
import sys
sys.modules["opentelemetry"] = None
from orchestrator.telemetry.traces import open_traces
from orchestrator.domain.errors import InvalidSettings
try:
    open_traces(version="1", now=None)
except InvalidSettings as error:
    assert "extra `traces`" in error.next_step
    del sys.modules["opentelemetry"]
else:
    raise AssertionError
"""
    assert loaded_after(code) == []
