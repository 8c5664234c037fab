"""The numbers agree with the world after a whole batch, their labels end somewhere, and the document lists them all."""

import asyncio
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from orchestrator.app import gauges
from orchestrator.app.batches import cancel_batch, run_batch
from orchestrator.app.gauges import look
from orchestrator.domain.plan import AgentKind, Evidence
from orchestrator.domain.run import RunStatus
from orchestrator.domain.schedule import FireDecision
from orchestrator.domain.session import End, SessionStatus, Teardown
from orchestrator.domain.tally import PoolTally, SessionTally, Tally
from orchestrator.domain.verdict import Outcome
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store.pools import pause_pool
from orchestrator.store.sessions import condemn_batch, list_sessions
from orchestrator.telemetry.metrics import (
    IDLE_CAUSES,
    POLL_RESULTS,
    START_OUTCOMES,
    SUBMISSION_OUTCOMES,
    THINGS,
    Metrics,
)
from tests.store.rows import a_run, a_session
from tests.support.bench import Bench, in_call, until
from tests.support.pools import a_pool, define, keeping, until_rows
from tests.support.scrape import families, value
from tests.support.watched import watch

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def metrics():
    return Metrics(version="1.2.3")


@pytest.fixture
def bench(tmp_path):
    return Bench(folder=tmp_path)


async def test_after_a_whole_batch_the_numbers_are_those_of_the_world(bench, metrics):
    ended = await bench.run(
        "start.capacity=1@2",
        "submit.lost_answer=1@1",
        "call.fails_evaluation=1",
        "bot.never_joins=1@1",
        scenarios="[{scenario: 101, repeat: 4}, {scenario: 102, repeat: 2}]",
        more="timeouts: {ready: 60}",
        metrics=metrics,
    )

    world = ended.world
    runs = Counter(run.outcome.value for run in ended.view.runs)
    assert {one.value: value(metrics, "runs_total", outcome=one.value) for one in Outcome} == {
        one.value: runs[one.value] for one in Outcome
    }
    assert value(metrics, "starts_total") == world["starts"]
    assert value(metrics, "starts_total", outcome="answered") == world["sessions"]["started"]
    assert value(metrics, "starts_total", outcome="busy") == 1
    assert value(metrics, "requests_total", operation="start_session", status="429") == 1
    assert value(metrics, "submissions_total", outcome="lost") == 1
    settled = Counter(one.status.value for one in ended.view.submissions)
    assert settled == {
        one: number
        for one in ("accepted", "refused", "rejected", "unknown")
        if (number := value(metrics, "submissions_total", outcome=one))
    }
    assert value(metrics, "requests_total", operation="submit") == world["submits"]
    assert value(metrics, "requests_total", operation="get_runs") == world["requests"]["poll"]
    assert value(metrics, "polled_runs_total") == world["poll_ids"]
    polls = value(metrics, "polls_total")
    assert polls == value(metrics, "polls_total", result="news") + value(metrics, "polls_total", result="nothing")
    assert polls == world["requests"]["poll"]
    confirmed = Counter(
        thing
        for session in ended.view.sessions
        for thing, end in (("session", session.session_end), ("room", session.room_end))
        if end.state is Teardown.CONFIRMED
    )
    assert confirmed["session"] == world["sessions"]["started"]
    for thing in ("session", "room"):
        assert value(metrics, "teardowns_total", thing=thing, end="confirmed") == confirmed[thing]
        assert value(metrics, "teardown_lag_seconds_count", thing=thing) == confirmed[thing]
    ready = [session for session in ended.view.sessions if session.ready_at is not None]
    assert value(metrics, "ready_seconds_count", agent="support-bot", evidence="presence") == len(ready)
    assert value(metrics, "retries_total") == sum(run.retries_used for run in ended.view.runs)
    assert 0 < value(metrics, "call_seconds_count") <= world["calls"]["total"]
    assert value(metrics, "commit_units_sum") > value(metrics, "commit_units_count") > 0


async def test_the_gauges_follow_the_state_and_what_is_driven_here(bench, metrics):
    async with (
        Sandbox(SandboxSettings(speed=bench.speed, call_seconds=(900.0, 900.0))) as box,
        bench.worker(box, metrics=metrics, ORCHESTRATOR_SESSIONS_LIMIT="40") as worker,
    ):
        assert value(metrics, "shared_limit", budget="sessions") == value(metrics, "shared_limit") == 40
        counted = partial(look, worker, metrics)
        batch_id = await bench.start(worker, bench.plan(concurrency=3, calls=2))
        await counted()
        assert value(metrics, "batches") == 1
        assert value(metrics, "budget_limit") == 0

        worker.dispatcher.begin(batch_id)
        await until(lambda: in_call(worker, batch_id) == 2)
        await counted()
        assert value(metrics, "runs_under_way", status="in_call") == 2
        assert value(metrics, "budget_used", budget="calls") == value(metrics, "budget_limit", budget="calls") == 2
        assert value(metrics, "budget_limit", budget="sessions") == 3
        alive = value(metrics, "sessions", agent="support-bot", state="alive")
        assert alive == value(metrics, "budget_used", budget="sessions") >= 2
        assert value(metrics, "sessions", state="left") == 0
        assert value(metrics, "looked_at_seconds") > 0

        await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="enough")
        await worker.dispatcher.run(batch_id)
        await counted()
        assert value(metrics, "sessions", agent="support-bot", state="alive") == 0
        assert value(metrics, "runs_under_way") == 0
        assert value(metrics, "batches") == 0


async def test_no_key_and_no_meeting_token_is_in_them_whatever_the_remotes_repeat(bench, metrics, monkeypatch):
    watched = watch(monkeypatch)
    watched.echoes = {"start": (429, 1), "submit": (400, 2), "session_stop": (500, 1), "poll": (500, 1)}

    await bench.run(metrics=metrics)

    assert watched.echoed.total() == 5
    assert watched.tokens
    assert watched.found_in(metrics.render()[0]) == []


def test_a_thousand_names_are_a_few_labels_and_other(metrics):
    for number in range(1000):
        moved = a_session(agent_address=f"agent-{number}", answered_at=NOW)
        metrics.session_moved(moved, replace(moved, ready_at=after(9), evidence=Evidence.PRESENCE))
        metrics.looked(
            Tally(
                at=NOW,
                sessions=(SessionTally(agent_kind=moved.agent_kind, agent_address=f"agent-{number}", alive=1),),
                pools=(PoolTally(pool=f"pool-{number}", ready=1, warm=1),),
            )
        )
        metrics.pool_left(f"pool-{number}", served=True, waited=timedelta(seconds=3))
        metrics.fired(f"schedule-{number}", FireDecision.FIRED, timedelta(seconds=1))
        metrics.delivered(f"result-{number}")
        metrics.api_request("GET" if number % 2 else f"VERB{number}", f"/somewhere/{number}", 404, 0.1)

    seen = {}
    for family in families(metrics).values():
        for sample in family.samples:
            for label, name in sample.labels.items():
                seen.setdefault((family.name, label), set()).add(name)
    assert {where for where, names in seen.items() if len(names) > 21} <= {
        ("orchestrator_api_requests", "route"),
        ("orchestrator_api_seconds", "route"),
    }
    assert max(len(names) for names in seen.values()) == 81
    assert value(metrics, "ready_seconds_count") == 1000
    assert value(metrics, "ready_seconds_count", agent="other") == 980
    assert value(metrics, "sessions", state="alive") == 1  # of all these looks only the last one stands


async def test_warm_sessions_that_left_their_pool_are_told_apart_by_what_for(bench, metrics):
    async with (
        Sandbox(SandboxSettings(speed=bench.speed, call_seconds=(8.0, 16.0))) as box,
        bench.worker(box, metrics=metrics) as worker,
    ):
        await define(worker.store, a_pool(min_ready=2, max_alive=2), at=worker.clock.now())
        async with keeping(worker, speed=bench.speed, observer=metrics):

            async def filled():
                await look(worker, metrics)
                return value(metrics, "pool_sessions", pool="support", state="ready") == 2

            await until_rows(filled)
            batch_id = await bench.start(worker, bench.plan(agent=", pool: support", scenarios="[{scenario: 101}]"))
            await run_batch(worker, batch_id)
            await worker.store.write(partial(pause_pool, name="support", by="a test", at=worker.clock.now()))

            async def emptied():
                return all(one.torn_down for one in await worker.store.read(list_sessions))

            await until_rows(emptied)
        sessions = await worker.store.read(list_sessions)
        unserved = [one for one in sessions if one.pool and one.taken_at is None and one.exists]

    assert value(metrics, "pool_left_total", pool="support", to="run") == 1
    assert value(metrics, "pool_left_total", pool="support", to="waste") == len(unserved) >= 1
    (taken,) = [one for one in sessions if one.taken_at is not None]
    waited = (taken.taken_at - taken.ready_at).total_seconds()
    assert value(metrics, "pool_idle_seconds_total", to="run") == pytest.approx(waited, abs=1)
    assert value(metrics, "pool_idle_seconds_total", to="waste") > 0
    assert value(metrics, "ready_seconds_count", agent="support-bot") == 1
    assert value(metrics, "starts_total", outcome="answered") == len(sessions)


def test_a_runner_is_named_by_its_kind_because_it_has_only_an_address(metrics):
    runner = a_session(agent_kind=AgentKind.PIPECAT_RUNNER, agent_address="http://10.0.0.7:7860", answered_at=NOW)
    metrics.session_moved(runner, replace(runner, ready_at=after(4), evidence=Evidence.SETTLE))

    assert value(metrics, "ready_seconds_count", agent="runner", evidence="settle") == 1
    assert b"10.0.0.7" not in metrics.render()[0]


def reached(status, at, **changes):
    return a_run(status=status, timeline={status.value: after(at)}, **changes)


def test_a_ready_bot_idles_until_cekura_takes_its_room_then_until_its_call_begins(metrics):
    ready, submitted, called = (
        reached(RunStatus.READY, 10),
        reached(RunStatus.SUBMITTED, 13),
        reached(RunStatus.IN_CALL, 18),
    )
    metrics.heard(ready, submitted)
    metrics.heard(submitted, called)
    metrics.heard(called, reached(RunStatus.CALL_ENDED, 78))

    assert value(metrics, "idle_seconds_sum", cause="submission") == 3
    assert value(metrics, "idle_seconds_sum", cause="call") == 5
    assert value(metrics, "call_seconds_sum") == 60


def test_a_bot_that_was_ready_and_never_called_idled_for_nothing(metrics):
    metrics.heard(reached(RunStatus.READY, 10), reached(RunStatus.ABANDONED, 40, outcome=Outcome.INCONCLUSIVE))

    assert value(metrics, "idle_seconds_sum", cause="nothing") == 30
    assert value(metrics, "runs_total", outcome="inconclusive") == 1


def test_a_call_that_no_poll_saw_begin_is_neither_waited_for_nor_measured(metrics):
    metrics.heard(reached(RunStatus.SUBMITTED, 10), reached(RunStatus.CALL_ENDED, 40))

    assert value(metrics, "idle_seconds_count") == value(metrics, "call_seconds_count") == 0


def torn_down(session, **changes):
    ends = {"session_end": End(state=Teardown.CONFIRMED, at=after(7)), "room_end": End(state=Teardown.BOUNDED)}
    return replace(session, teardown_from=after(3), **{**ends, **changes})


def test_an_end_is_counted_once_however_often_it_is_told(metrics):
    alive = a_session(status=SessionStatus.ALIVE)
    half = torn_down(alive, room_end=End())
    whole = torn_down(alive)
    for before, now in ((alive, half), (half, half), (half, whole), (whole, whole)):
        metrics.session_moved(before, now)

    assert value(metrics, "teardowns_total", thing="session", end="confirmed") == 1
    assert value(metrics, "teardowns_total", thing="room", end="bounded") == 1
    assert value(metrics, "teardown_lag_seconds_sum", thing="session") == 4
    assert value(metrics, "teardown_lag_seconds_count", thing="room") == 0


async def test_what_is_torn_down_beside_any_driven_batch_is_counted_too(bench, metrics):
    async with Sandbox(SandboxSettings(speed=bench.speed, call_seconds=(900.0, 900.0))) as box:
        async with bench.worker(box) as worker:
            batch_id = await bench.start(worker, bench.plan())
            worker.dispatcher.begin(batch_id)
            await until(lambda: in_call(worker, batch_id) == 3)
        async with bench.worker(box, metrics=metrics) as worker:
            condemn = partial(condemn_batch, batch_id=batch_id, at=worker.clock.now(), reason="enough")
            await worker.store.write(condemn)
            await until(lambda: value(metrics, "teardowns_total", thing="session", end="confirmed") == 3)

    assert value(metrics, "teardown_lag_seconds_count", thing="session") == 3


def test_an_agent_without_sessions_counts_none_of_them_any_more(metrics):
    alive = SessionTally(agent_kind=AgentKind.PIPECAT_CLOUD, agent_address="support-bot", alive=3, left=1)
    metrics.looked(Tally(at=NOW, sessions=(alive,), waiting=2, oldest_waiting=after(-30)))
    assert value(metrics, "sessions", agent="support-bot", state="left") == 1
    assert value(metrics, "queue_oldest_seconds") == 30

    metrics.looked(Tally(at=after(10)))

    assert [value(metrics, "sessions"), value(metrics, "batches"), value(metrics, "queue_oldest_seconds")] == [0, 0, 0]
    assert value(metrics, "looked_at_seconds") == after(10).timestamp()


def test_what_may_go_wrong_is_there_before_it_does(metrics):
    """A counter that appears with its first trouble has no rate, so no alert."""
    shown = {
        (sample.name, *sorted(sample.labels.values())) for one in families(metrics).values() for sample in one.samples
    }

    for series in (
        ("orchestrator_starts_total", "lost"),
        ("orchestrator_submissions_total", "unknown"),
        ("orchestrator_runs_total", "inconclusive"),
        ("orchestrator_teardowns_total", "bounded", "session"),
        ("orchestrator_polls_total", "failed"),
    ):
        assert series in shown


def test_statuses_are_told_by_their_class_and_a_rate_limit_apart(metrics):
    for status in (200, 201, 404, 429, 503, None):
        metrics.request("Daily", "presence", status, 0.2)

    counted = {one: value(metrics, "requests_total", status=one) for one in ("2xx", "4xx", "429", "5xx", "none")}
    assert counted == {"2xx": 2, "4xx": 1, "429": 1, "5xx": 1, "none": 1}


def test_two_processes_in_one_share_no_number(metrics):
    metrics.start("answered")

    assert value(Metrics(version="1"), "starts_total") == 0
    assert value(metrics, "build_info", version="1.2.3") == 1


@pytest.fixture(scope="module")
def document():
    return (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def published(metrics):
    """Every metric in the registry with its labels."""
    collected = {
        (f"{one._name}_total" if one._type == "counter" else one._name): tuple(one._labelnames)
        for one in vars(metrics._of).values()
        if hasattr(one, "_labelnames")
    }
    own = set(families(metrics)) - {name.removesuffix("_total") for name in collected}
    return collected | {name if name != "process_cpu_seconds" else "process_cpu_seconds_total": () for name in own}


def test_the_document_lists_every_metric_with_its_labels_and_no_other(metrics, document):
    rows = re.findall(r"^\| `((?:orchestrator|process)_\w+)` \|([^|]*)\|", document, re.MULTILINE)
    described = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}

    assert described == published(metrics)


def test_every_metric_in_an_alert_exists(metrics, document):
    alerts = "".join(re.findall(r"```yaml\n(.*?)```", document, re.DOTALL))
    used = set(re.findall(r"\b(orchestrator_\w+)", alerts))
    known = {sample.name for one in families(metrics).values() for sample in one.samples}
    known |= {f"{name}{end}" for name in published(metrics) for end in ("", "_bucket", "_count", "_sum")}

    assert len(used) > 5
    assert used <= known


def test_every_word_in_an_alert_is_one_we_say(metrics, document):
    alerts = "".join(re.findall(r"```yaml\n(.*?)```", document, re.DOTALL))
    words = {word for found in re.findall(r'\{(\w+)=~?"([^"]+)"\}', alerts) for word in found[1].split("|")}

    assert words <= {
        *START_OUTCOMES,
        *SUBMISSION_OUTCOMES,
        *IDLE_CAUSES,
        *POLL_RESULTS,
        *THINGS,
        "left",
        "429",
        *Outcome,
    }


async def test_a_state_that_cannot_be_read_leaves_its_numbers_and_their_time_as_they_were(bench, metrics):
    async with Sandbox(SandboxSettings(speed=bench.speed)) as box, bench.worker(box, metrics=metrics) as worker:
        await bench.start(worker, bench.plan())
        await look(worker, metrics)
        before = value(metrics, "looked_at_seconds")
        worker.store.close()
        await look(worker, metrics)

    assert value(metrics, "looked_at_seconds") == before > 0
    assert value(metrics, "batches") == 1


async def test_the_gauges_are_kept_while_a_service_runs(bench, metrics, monkeypatch):
    monkeypatch.setattr(gauges, "TICK", 0.01)
    async with Sandbox(SandboxSettings(speed=bench.speed)) as box, bench.worker(box, metrics=metrics) as worker:
        keeping = asyncio.create_task(gauges.keep_gauges(worker, metrics))
        await until(lambda: value(metrics, "looked_at_seconds") > 0)
        first = value(metrics, "looked_at_seconds")
        await until(lambda: value(metrics, "looked_at_seconds") > first)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    assert value(metrics, "loop_late_seconds_count") >= 10
