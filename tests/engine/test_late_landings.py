"""What arrives late, and what is lost beside others of its kind: nothing is taken for something it is not."""

import asyncio
from collections import Counter
from functools import partial

import pytest

from orchestrator.app.batches import cancel_batch, create_batch, view_batch
from orchestrator.clients.cekura import CekuraClient
from orchestrator.domain.errors import OutcomeUnknown
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import SessionStatus, Teardown
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.engine import reaper
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings, edge
from orchestrator.store import submissions as submission_rows
from tests.support.bench import SPEED, until
from tests.support.lost import NO_DAILY, Played

KINDS = pytest.mark.parametrize("runner", [False, True], ids=["pipecat_cloud", "pipecat_runner"])
TWICE = "[{scenario: 101, repeat: 2}]"
PATIENT = "timeouts: {ready: 600, run: 3000, judge: 3000}"
AT_ONCE = f"timing: {{lookup: 40, gather: 60}}\n{PATIENT}"  # both are ready before either is posted


async def driven(bench, *faults, runner=False, environ=None, beside=None, sandbox=None, **plan):
    """One batch driven without a dispatcher; `beside(box, worker, batch_id)` goes on while it is."""
    settings = SandboxSettings(**{"speed": SPEED, "faults": faults, "call_seconds": (40.0, 50.0), **(sandbox or {})})
    plan = {"more": f"timing: {{lookup: 60}}\n{PATIENT}", **plan}
    async with Sandbox(settings) as box, bench.worker(box, **(environ or {})) as worker:
        loaded = plan_from_text(bench.plan(runner=box.url if runner else None, **plan), name="test")
        batch = await create_batch(worker, loaded, speed=SPEED)
        driving = asyncio.create_task(worker.driver.drive(batch.batch_id))
        if beside is not None:
            await beside(box, worker, batch.batch_id)
        await asyncio.wait_for(driving, 60)
        submissions = partial(submission_rows.list_submissions, batch_id=batch.batch_id)
        return Played(
            world=box.world(),
            view=await view_batch(worker.store, batch.batch_id),
            submissions=await worker.store.read(submissions),
        )


def outcomes(played):
    return Counter(str(run.outcome) for run in played.view.runs)


def strangers_rooms(played):
    """Rooms that Cekura was never given, whose run was told a call all the same."""
    room_of = {session.run_id: session.room_url for session in played.sessions}
    called = [room_of[run.run_id] for run in played.view.runs if run.cekura_run_id is not None]
    return [room for room in called if room not in played.world["submitted"]]


def assert_nothing_left(played, *, runner=False):
    """Nothing lives (a runner's bot is alone until its idle timeout), nothing was redone or cut short."""
    world = played.world
    assert world["rooms"]["alive"] == world["submitted_twice"] == world["cut_short"] == []
    assert runner or world["sessions"]["alive"] == []


@KINDS
async def test_a_start_that_lands_after_its_run_was_given_up_is_torn_down_by_its_mark(bench, runner, monkeypatch):
    monkeypatch.setattr(edge, "LATE_SECONDS", 40.0)
    monkeypatch.setattr(reaper, "LOOKUP_SECONDS", 1600.0)  # it ends when found: a busy machine may be late
    played = await driven(
        bench, "start.late=1", runner=runner, scenarios="[{scenario: 101}]", more=f"timing: {{lookup: 10}}\n{PATIENT}"
    )
    assert_nothing_left(played, runner=runner)
    assert outcomes(played) == {"inconclusive": 1}
    assert played.world["starts"] == played.world["sessions"]["started"] == 1
    [session] = played.sessions
    assert session.status is SessionStatus.ALIVE
    assert session.room_end.state is Teardown.CONFIRMED
    assert session.session_end.state is (Teardown.BOUNDED if runner else Teardown.CONFIRMED)
    assert (session.session_id is None) is runner  # Pipecat Cloud's list named it; a runner has none
    assert session.meeting_token is None


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PIPECAT_CLOUD_PRIVATE_KEY": None},
    ],
    ids=["private key", "no private key"],
)
async def test_a_start_that_lands_later_than_anybody_looked_is_named_with_its_bound(bench, environ, monkeypatch):
    monkeypatch.setattr(edge, "LATE_SECONDS", 80.0)
    monkeypatch.setattr(reaper, "LOOKUP_SECONDS", 40.0)

    async def land(box, worker, batch_id):
        await until(lambda: box.world()["sessions"]["started"] == 1)

    played = await driven(
        bench,
        "start.late=1",
        environ=environ,
        beside=land,
        scenarios="[{scenario: 101}]",
        sandbox={"carries_mark": False},
        more=f"timing: {{lookup: 10}}\n{PATIENT}",
    )
    [session] = played.sessions
    assert outcomes(played) == {"inconclusive": 1}
    assert (session.session_end.state, session.session_end.at) == (Teardown.BOUNDED, session.ends_at)
    assert (session.room_end.state, session.room_end.at) == (Teardown.BOUNDED, session.room_expires_at)
    assert len(played.world["sessions"]["alive"]) == len(played.world["rooms"]["alive"]) == 1


async def test_a_submission_that_lands_after_it_was_given_up_calls_nobody_and_is_not_repeated(bench, monkeypatch):
    monkeypatch.setattr(edge, "LATE_SECONDS", 50.0)

    async def land(box, worker, batch_id):
        await until(lambda: box.world()["submits"] == 1)

    played = await driven(
        bench,
        "submit.late=1",
        scenarios="[{scenario: 101}]",
        beside=land,
        more=f"timing: {{lookup: 10}}\n{PATIENT}",
    )
    assert_nothing_left(played)
    assert outcomes(played) == {"inconclusive": 1}
    assert played.world["requests"]["submit"] == 1
    assert played.world["calls"]["total"] == 0 or played.world["calls"]["peak"] == 0
    assert [one.status for one in played.submissions] == [SubmissionStatus.UNKNOWN]


@KINDS
async def test_a_late_answer_that_finds_its_row_condemned_is_torn_down_with_its_id(bench, runner):
    async def cancel(box, worker, batch_id):
        await until(lambda: box.world()["sessions"]["started"] == 1)
        await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="cancelled by a test")
        await until(lambda: worker.driver.rosters[batch_id].finished)
        [session] = (await view_batch(worker.store, batch_id)).sessions
        assert (session.status, session.session_id) == (SessionStatus.SENT, None)
        assert session.condemned_at is not None

    played = await driven(bench, "start.slow=1", runner=runner, scenarios="[{scenario: 101}]", beside=cancel)
    assert_nothing_left(played, runner=runner)
    [session] = played.sessions
    assert [run.status for run in played.view.runs] == [RunStatus.CANCELLED]
    assert session.status is SessionStatus.ALIVE
    assert session.session_id is not None
    assert session.room_end.state is Teardown.CONFIRMED
    assert session.session_end.state is (Teardown.BOUNDED if runner else Teardown.CONFIRMED)
    assert session.meeting_token is None
    assert played.world["submits"] == 0


@pytest.mark.parametrize("environ", [{}, NO_DAILY], ids=["daily", "no daily"])
async def test_two_lost_submissions_of_the_same_scenarios_cannot_be_told_apart_and_stay_unknown(bench, environ):
    played = await driven(bench, "submit.lost_answer=2", scenarios=TWICE, environ=environ, more=AT_ONCE)
    assert outcomes(played) == {"inconclusive": 2}
    assert [one.status for one in played.submissions] == [SubmissionStatus.UNKNOWN] * 2
    assert played.world["submits"] == played.world["requests"]["submit"] == 2
    assert played.world["sessions"]["alive"] == played.world["submitted_twice"] == []
    assert all(run.cekura_run_id is None for run in played.view.runs)
    assert all(session.torn_down for session in played.sessions)


@pytest.mark.parametrize("first", ["lost_answer", "lost_request"])
async def test_of_two_lost_submissions_none_takes_the_result_of_the_other(bench, first):
    """Cekura took one, the other never arrived: a tester in its room tells whose the one result is."""
    second = {"lost_answer": "lost_request", "lost_request": "lost_answer"}[first]
    played = await driven(
        bench,
        f"submit.{first}=1",
        f"submit.{second}=1",
        scenarios=TWICE,
        more=AT_ONCE,
    )
    assert strangers_rooms(played) == []
    assert played.world["submits"] == 1
    assert played.world["requests"]["submit"] == 2


async def test_without_a_witness_what_one_left_unknown_may_have_made_is_nobody_elses(bench, monkeypatch):
    """The first lands late and is given up; the second, sent meanwhile, never arrives: the result is the first's."""
    monkeypatch.setattr(edge, "LATE_SECONDS", 80.0)
    played = await driven(
        bench,
        "submit.late=1",
        "submit.lost_request=1",
        "bot.slow_join=1@1",
        scenarios=TWICE,
        environ=NO_DAILY,
        sandbox={"call_seconds": (60.0, 70.0)},
        more=f"timing: {{lookup: 100}}\n{PATIENT}\nretries: {{infrastructure: 0}}",
    )
    assert len(played.world["submitted"]) == 1
    assert [one.cekura_result_id for one in played.submissions] == [None, None]
    assert strangers_rooms(played) == []
    assert outcomes(played) == {"inconclusive": 2}


@pytest.mark.parametrize("environ", [{}, NO_DAILY], ids=["daily", "no daily"])
async def test_a_lost_submission_waits_for_one_of_the_same_scenarios_that_is_still_open(bench, environ):
    """The second POST is answered later than the first, lost one, is looked for: its result is not the first's."""
    played = await driven(
        bench,
        "submit.lost_answer=1",
        "submit.slow=1",
        scenarios=TWICE,
        environ=environ,
        more=f"timing: {{lookup: 400, gather: 60}}\n{PATIENT}",
        sandbox={"call_seconds": (120.0, 130.0)},
    )
    assert outcomes(played) == {"passed": 2}
    assert played.world["submits"] == played.world["requests"]["submit"] == 2
    assert played.world["submitted_twice"] == played.world["cut_short"] == []
    notes = sorted(one.note for one in played.submissions)
    assert notes[0] == ""
    assert "its answer was lost; found as result" in notes[1]
    assert len({one.cekura_result_id for one in played.submissions}) == 2


async def test_a_lost_submission_of_which_fewer_runs_were_made_is_not_guessed_at(bench, monkeypatch):
    """The sandbox arms one fault for each request: the answer it gives is lost on our side of it."""
    submit = CekuraClient.submit

    async def lose(self, **request):
        await submit(self, **request)
        raise OutcomeUnknown(remote="Cekura", operation="submit", detail="lost by a test")

    monkeypatch.setattr(CekuraClient, "submit", lose)
    played = await driven(
        bench,
        "submit.fewer_runs=1",
        scenarios="[{scenario: 101}, {scenario: 102}]",
        more=f"timing: {{lookup: 20, gather: 60}}\n{PATIENT}",
    )
    assert outcomes(played) == {"inconclusive": 2}
    assert [one.status for one in played.submissions] == [SubmissionStatus.UNKNOWN]
    assert played.world["requests"]["submit"] == 1
    assert played.world["sessions"]["alive"] == played.world["rooms"]["alive"] == []
    assert all("scenarios 101, 102" in run.reason for run in played.view.runs)
