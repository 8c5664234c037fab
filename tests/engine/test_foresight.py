"""What starting ahead brings: one batch in virtual time, with more sessions than calls allowed, told what to prefer."""

import asyncio
from statistics import fmean

import pytest

from orchestrator.app.batches import create_batch, view_batch
from orchestrator.domain.batch import Batch, BatchStatus
from orchestrator.domain.forecast import Forecast
from orchestrator.domain.plan import SlotRule
from orchestrator.domain.run import Run, RunStatus
from orchestrator.engine.foresight import Foresight
from orchestrator.engine.roster import Roster
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from tests.support.bench import Bench
from tests.support.hand_clock import HandClock
from tests.support.virtual import VirtualLoop, virtual_time

RUNS, CALLS = 40, 5
FEW = 20
MEAN_CALL = 70.0
PLAN = """
version: 1
name: ahead
agent: {{kind: pipecat_cloud, name: support-bot}}
cekura: {{agent: 5, mock_tool_names: []}}
prefer: {prefer}
scenarios: [{{scenario: 101, repeat: {half}}}, {{scenario: 102, repeat: {half}}}]
limits: {{concurrency: {sessions}, calls: 5, call_slot_until: {rule}}}
"""


def played(
    folder, *, runs=RUNS, prefer="balanced", sessions=2 * CALLS, slot_rule="call_ended", rule="auto", place_for=CALLS
):
    """The batch's virtual seconds, how long a bot in its room waited for Cekura on average, and the sandbox's world."""
    plan = PLAN.format(half=runs // 2, prefer=prefer, sessions=sessions, rule=rule)
    settings = SandboxSettings(calls_limit=place_for, max_sessions=sessions, slot_rule=slot_rule)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, virtual_time(runner.get_loop()):
        return runner.run(_played(folder, plan, settings))


async def _played(folder, plan, settings):
    folder.mkdir()
    loop = asyncio.get_running_loop()
    async with Sandbox(settings) as sandbox, Bench(folder=folder, speed=1.0).worker(sandbox) as worker:
        batch = await create_batch(worker, plan_from_text(plan, name="ahead"))
        began = loop.time()
        await worker.driver.drive(batch.batch_id)
        seconds = loop.time() - began
        view = await view_batch(worker.store, batch.batch_id)
        assert view.batch.status is BatchStatus.CLOSED
        history = sandbox._world.history()["runs"]
        ready = {one.room_url: one.ready_at.timestamp() for one in view.sessions if one.ready_at}
        waited = fmean(run["dispatched_at"] - ready[run["room_url"]] for run in history)
        return seconds, waited, sandbox.world()


@pytest.mark.parametrize("slot_rule", ["call_ended", pytest.param("judged", marks=pytest.mark.long)])
def test_bots_started_ahead_hardly_wait_whichever_rule_has_to_be_learnt(tmp_path, slot_rule):
    _, waited, world = played(tmp_path / "ahead", slot_rule=slot_rule)
    assert waited < MEAN_CALL / 10
    assert (world["calls"]["total"], world["submitted_twice"], world["sessions"]["alive"]) == (RUNS, [], [])


@pytest.mark.long
def test_a_batch_with_sessions_to_spare_is_done_sooner_than_one_that_waits_for_free_slots(tmp_path):
    ahead, _, world = played(tmp_path / "ahead", runs=FEW)
    after, _, _ = played(tmp_path / "after", runs=FEW, sessions=CALLS)
    assert ahead < after
    assert world["calls"]["peak_alive_sessions"] > CALLS


def test_bots_that_are_early_wait_with_us_where_cekura_has_place_for_more_calls_than_the_plan(tmp_path):
    _, _, world = played(tmp_path / "early", runs=FEW, prefer="time", rule="call_ended", place_for=3 * CALLS)
    assert world["calls"]["peak"] == CALLS


@pytest.mark.long
def test_preferring_time_lets_bots_wait_and_preferring_cost_lets_slots_wait(tmp_path):
    cost = played(tmp_path / "cost", runs=FEW, prefer="cost", rule="call_ended")
    time = played(tmp_path / "time", runs=FEW, prefer="time", rule="call_ended")
    assert time[0] < cost[0]
    assert cost[1] < time[1]


# --- what is learnt ---------------------------------------------------------------------------------------------------


def a_roster(clock, *runs):
    plan = plan_from_text(PLAN.format(half=20, prefer="balanced", sessions=10, rule="auto"), name="ahead")
    batch = Batch(batch_id="b", name="b", status=BatchStatus.OPEN, digest="d", document={}, created_at=clock.now())
    return Roster(
        batch=batch,
        plan=plan.plan,
        runs=runs,
        sessions=[],
        ledger=None,
        clock=clock,
        end_call=None,
        listener=lambda *_: None,
        sure=None,
    )


def a_run(index, clock, **ages):
    """A run that reached each status so many seconds ago; it has the last."""
    now = clock.now().timestamp()
    timeline = {name: type(clock.now()).fromtimestamp(now - age, clock.now().tzinfo) for name, age in ages.items()}
    return Run(
        run_id=f"r{index}",
        batch_id="b",
        index=index,
        scenario_id=101,
        scenario_position=0,
        status=RunStatus(list(ages)[-1]),
        attempt=1,
        timeline=timeline,
    )


async def test_what_an_earlier_process_saw_is_learnt_from_its_rows():
    clock = HandClock()
    judged = [
        a_run(n, clock, starting=100, ready=93, submitted=92, in_call=91, call_ended=31, judged=21) for n in range(20)
    ]
    soon, late = a_run(30, clock, submitted=56, in_call=55), a_run(31, clock, submitted=11, in_call=10)
    foresight = Foresight(roster=a_roster(clock, *judged, soon, late), clock=clock)
    assert foresight.freed(SlotRule.CALL_ENDED).mean == pytest.approx(0.8)  # of 20 seen to end and 5 doubted
    assert foresight.freed(SlotRule.CALL_ENDED) is foresight.freed(SlotRule.CALL_ENDED)


async def test_nothing_is_foreseen_before_a_bot_was_ready():
    clock = HandClock()
    foresight = Foresight(roster=a_roster(clock, a_run(1, clock, starting=5)), clock=clock)
    assert foresight.freed(SlotRule.JUDGED) == Forecast()
