"""How long a session lives beside its call, and what it costs to keep that short: one batch in virtual time.

Over loopback an answer takes no time there, so what is left is what we wait for ourselves.
"""

import asyncio
from dataclasses import dataclass
from statistics import fmean, median

import pytest

from orchestrator.app.batches import create_batch, view_batch
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from tests.support.asked import Asked
from tests.support.bench import Bench
from tests.support.virtual import VirtualLoop, virtual_time

RUNS, SESSIONS = 60, 20
GRACE, POLL_INTERVAL = 2.0, 5.0
DAILYS_LIMIT = 20.0  # requests a second


@dataclass(frozen=True, kw_only=True)
class Played:
    """A batch's rows, the sandbox's own history, and what it was asked and when."""

    view: object
    world: dict
    asked: Asked
    legs: list


def played(folder, runs=RUNS, beside=None, **sandbox):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, virtual_time(runner.get_loop()):
        return runner.run(_played(folder, runs, beside, sandbox))


async def _played(folder, runs, beside, sandbox):
    bench = Bench(folder=folder, speed=1.0)
    scenarios = ", ".join(f"{{scenario: {101 + number}, repeat: {runs // 10}}}" for number in range(10))
    text = bench.plan(scenarios=f"[{scenarios}]", concurrency=SESSIONS, calls=SESSIONS)
    settings = SandboxSettings(calls_limit=SESSIONS, max_sessions=SESSIONS, **sandbox)
    async with Sandbox(settings) as box, bench.worker(box) as worker:
        asked = box._world.edge.requests = Asked()
        batch = await create_batch(worker, plan_from_text(text.replace("second: 20", "second: 5"), name="test"))
        async with asyncio.TaskGroup() as both:
            both.create_task(worker.driver.drive(batch.batch_id))
            if beside is not None:
                both.create_task(beside(box))
        view = await view_batch(worker.store, batch.batch_id)
        return Played(view=view, world=box.world(), asked=asked, legs=list(_legs(view, box._world.history())))


def _legs(view, history):
    """For each run: bot in its room to our knowing it, ready to submitted, call end seen to session stopped."""
    sessions = {session["room_url"]: session for session in history["sessions"]}
    calls = {call["room_url"]: call for call in history["runs"]}
    rows = {session.run_id: session for session in view.sessions}
    for run in view.runs:
        session, call = sessions[rows[run.run_id].room_url], calls[rows[run.run_id].room_url]
        at = {status: moment.timestamp() for status, moment in run.timeline.items()}
        yield {
            "evidence": at["ready"] - session["bot_joined_at"],
            "submission": call["submitted_at"] - at["ready"],
            "stop": session["ended_at"] - at["call_ended"],
            "teardown": session["ended_at"] - call["call_ended_at"],
        }


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    return played(tmp_path_factory.mktemp("lag"))


def of(batch, leg):
    return [legs[leg] for legs in batch.legs]


def test_a_bot_is_believed_in_its_room_soon_after_it_came(batch):
    assert str(batch.view.batch.outcome) == "passed"
    assert fmean(of(batch, "evidence")) < 4.0


def test_a_ready_bot_is_submitted_at_once_or_nearly(batch):
    assert fmean(of(batch, "submission")) < 0.5


def test_a_session_is_stopped_when_the_grace_after_its_call_is_over(batch):
    assert all(GRACE - 0.1 <= seconds <= GRACE + 0.5 for seconds in of(batch, "stop"))
    assert median(of(batch, "teardown")) < POLL_INTERVAL + GRACE


def test_looks_for_bots_stay_below_half_of_what_daily_allows(batch):
    assert batch.asked.most_within(5.0, "presence", "presence_all") <= 5.0 * DAILYS_LIMIT / 2


def test_the_whole_domain_is_asked_for_at_most_once_per_interval_whoever_wants_to_know(batch):
    assert batch.asked.most_within(14.9, "presence_all") == 1


def test_in_a_room_whose_call_is_over_and_session_stopped_nobody_is_looked_for(batch):
    assert batch.asked["eject"] == 0
    assert batch.asked["presence"] < 3 * RUNS


def test_rooms_that_end_together_are_deleted_together(batch):
    assert batch.world["rooms"]["deleted"] == RUNS
    assert batch.asked["rooms_delete"] > 0
    assert batch.asked["rooms_delete"] + batch.asked["room_delete"] < RUNS


def test_a_room_is_asked_for_once_in_a_domain_and_every_room_has_its_witness(batch):
    """Who was shown somebody in a room was shown the room; the row says which key that was, for after a crash."""
    assert batch.asked["room_get"] == 1
    assert all(session.room_seen_by for session in batch.view.sessions)


def test_one_token_is_minted_for_each_run(batch):
    assert batch.asked["token_create"] == RUNS


def test_when_more_rooms_are_due_than_may_be_looked_at_a_picture_of_the_domain_shows_them(tmp_path, monkeypatch):
    """Nobody departs while nobody is called, so the picture is taken for readiness alone."""
    monkeypatch.setattr("orchestrator.engine.presence.LOOKS_PER_SECOND", 1.0)
    monkeypatch.setattr("orchestrator.engine.readiness.LOOKS_PER_SECOND", 1.0)
    batch = played(tmp_path, runs=SESSIONS, join_seconds=(20.0, 22.0))
    assert str(batch.view.batch.outcome) == "passed"
    assert batch.asked.most_within(5.0, "presence") <= 7
    first_call = min(run.timeline["in_call"] for run in batch.view.runs).timestamp()
    assert batch.asked.times["presence_all"][0] < first_call


@pytest.mark.long
def test_sessions_are_stopped_soon_after_their_calls_also_while_no_poll_passes(tmp_path):
    """Who was in which room is known from before: two pictures later than the tester left, the call is over."""
    batch = played(tmp_path, runs=SESSIONS, call_seconds=(40.0, 80.0), faults=("poll.error=99999@5",))
    assert {str(run.outcome) for run in batch.view.runs} == {"inconclusive"}
    assert max(of(batch, "teardown")) < 2 * 15 + 15 + 15 + GRACE
    assert batch.world["cut_short"] == batch.world["sessions"]["alive"] == batch.world["rooms"]["alive"] == []


def test_a_room_that_its_domains_key_knows_no_longer_costs_its_run_a_session_and_no_more(tmp_path):
    """The look finds no such room: nothing is believed of it, other evidence is asked for, none comes."""

    async def delete_the_third(box):
        while box.world()["sessions"]["started"] < 3:  # noqa: ASYNC110  what is awaited is a picture of many rows
            await asyncio.sleep(0.05)
        box._daily.cloud.delete(box._daily.cloud.living()[-1])

    batch = played(tmp_path, runs=SESSIONS, beside=delete_the_third)
    assert str(batch.view.batch.outcome) == "passed"
    assert sorted(run.attempt for run in batch.view.runs) == [1] * (SESSIONS - 1) + [2]
    assert batch.world["sessions"]["alive"] == batch.world["rooms"]["alive"] == batch.world["submitted_twice"] == []
    assert all(session.torn_down for session in batch.view.sessions)
