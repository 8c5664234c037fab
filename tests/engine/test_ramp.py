"""A ramp in virtual time: never more calls at once than its level, and what happens when its stop rule holds.

The judge is the sandbox's record of every session and call, laid beside the levels.
"""

import asyncio
from contextlib import asynccontextmanager
from functools import partial

import pytest

from orchestrator.app.batches import create_batch, view_batch
from orchestrator.app.markdown import report_markdown
from orchestrator.app.progress import progress_of
from orchestrator.app.report import report_document
from orchestrator.cli.tables import last_line
from orchestrator.domain.batch import BatchStatus, ExitCode
from orchestrator.domain.ramp import highest_until, level
from orchestrator.domain.session import first_start
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store import batches as batch_rows
from tests.support.bench import Bench
from tests.support.mortal import Mortal
from tests.support.virtual import VirtualLoop, virtual_time

INCONCLUSIVE = ExitCode.INCONCLUSIVE
LONGEST = 6 * 3600.0  # virtual seconds
PROFILES = {
    "steps": "{profile: steps, from: 1, to: 5, step: 2, every: 90s}",
    "linear": "{profile: linear, from: 1, to: 4, over: 3m}",
    "spike": "{profile: spike, base: 1, peak: 5, after: 60s, lasting: 40s}",
    "soak": "{profile: soak, calls: 3}",
}
STOPPED = "{{profile: steps, from: 1, to: 6, step: 1, every: 40s, stop: {{{rule}}}}}"


class Played:
    """A batch after its end, and the world that saw it."""

    def __init__(self, view, box):
        self.view = view
        self.world = box.world()
        history = box._world.history()
        self.calls, self.sessions = history["runs"], history["sessions"]
        self.began = first_start(view.sessions).timestamp()

    @property
    def report(self):
        return report_document(self.view, result_url=lambda _: None)

    def level(self, moment):
        return level(self.view.plan.ramp, moment - self.began)

    def at_once(self):
        """For every call that was placed: when, and how many were placed and not over then, this one among them."""
        return at_once([(one["submitted_at"], one["call_ended_at"]) for one in self.calls])

    def coming_at_once(self):
        """For every session that was started: when, and how many were on their way to a call or in it then."""
        over = {one["room_url"]: one["call_ended_at"] for one in self.calls}
        ends = [(one["created_at"], over.get(one["room_url"]) or one["ended_at"]) for one in self.sessions]
        return at_once(ends)

    def assert_within_levels(self):
        beyond = [(at, many, self.level(at)) for at, many in self.at_once() if many > self.level(at)]
        assert beyond == []
        ahead = [(at, many, self.level(at)) for at, many in self.coming_at_once() if many > self.level(at)]
        assert ahead == []

    def assert_clean(self):
        assert self.view.batch.status is BatchStatus.CLOSED
        assert self.world["sessions"]["alive"] == self.world["rooms"]["alive"] == []
        assert self.world["submitted_twice"] == self.world["cut_short"] == []

    def assert_stopped_gently(self, cause):
        """Nothing was begun after the stop, calls under way came to their own end, the others say why they were not."""
        batch = self.view.batch
        assert batch.stopped.startswith("the ramp was stopped at ")
        assert cause in batch.stopped
        assert batch.cancel_asked_at is None
        assert batch.refusal == ""
        assert all(one.sent_at <= batch.stopped_at for one in self.view.sessions if one.sent_at)
        assert all(one["submitted_at"] <= batch.stopped_at.timestamp() for one in self.calls)
        assert {one["status"] for one in self.calls} == {"completed"}
        left_out = [run for run in self.view.runs if run.cekura_run_id is None]
        assert left_out
        assert {(str(run.outcome), run.reason) for run in left_out} == {("inconclusive", batch.stopped)}
        assert sum(run.outcome in {"passed", "failed"} for run in self.view.runs) == len(self.calls)


def at_once(spans):
    far = float("inf")
    return [(at, sum(since <= at < (until or far) for since, until in spans)) for at, _ in spans]


def virtually(coroutine):
    """Run a coroutine to its end, in a loop and a time of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, virtual_time(runner.get_loop()):
        return runner.run(coroutine)


def text_of(ramp, *, runs, most=6, more="", agent=""):
    scenarios = f"[{{scenario: 101, repeat: {runs - runs // 2}}}, {{scenario: 102, repeat: {runs // 2}}}]"
    return Bench(folder=None, speed=1.0).plan(
        scenarios=scenarios, concurrency=most, calls=most, more=f"{more}\nramp: {ramp}", agent=agent
    )


@asynccontextmanager
async def working(folder, settings):
    """A worker beside a sandbox."""
    bench = Bench(folder=folder, speed=1.0)
    async with asyncio.timeout(LONGEST), Sandbox(settings) as box, bench.worker(box) as worker:
        yield worker, box


async def played(folder, ramp, *faults, runs, most=6, more="", **sandbox):
    settings = SandboxSettings(faults=faults, **{"call_seconds": (15.0, 25.0), **sandbox})
    async with working(folder, settings) as (worker, box):
        loaded = plan_from_text(text_of(ramp, runs=runs, most=most, more=more), name="test")
        batch = await create_batch(worker, loaded)
        await worker.driver.drive(batch.batch_id)
        return Played(await view_batch(worker.store, batch.batch_id), box)


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize("slot_rule", ["judged", pytest.param("call_ended", marks=pytest.mark.long)])
def test_there_are_never_more_calls_at_once_than_the_level_and_each_level_is_used(tmp_path, profile, slot_rule):
    ended = virtually(played(tmp_path, PROFILES[profile], runs=24, slot_rule=slot_rule))
    ended.assert_clean()
    assert [str(run.outcome) for run in ended.view.runs] == ["passed"] * 24
    ended.assert_within_levels()
    assert max(many for _, many in ended.at_once()) == ended.view.plan.ramp.highest
    assert ended.report["batch"]["ramp"] == {"profile": profile, "highest_level": ended.view.plan.ramp.highest}
    assert ended.report["batch"]["stopped"] is None
    assert ended.view.exit_code is ExitCode.PASSED


def test_a_spike_returns_to_its_base_without_cutting_a_call_short(tmp_path):
    ended = virtually(played(tmp_path, PROFILES["spike"], runs=24, call_seconds=(30.0, 30.0)))
    ended.assert_clean()
    ended.assert_within_levels()
    fell = ended.began + 100.0
    beyond = [one for one in ended.calls if one["submitted_at"] < fell < one["call_ended_at"]]
    assert len(beyond) > ended.view.plan.ramp.lowest
    later = [many for at, many in ended.at_once() if at > fell]
    assert later
    assert set(later) == {1}


@pytest.mark.parametrize(
    ("rule", "fault", "cause", "code"),
    [
        ("join_p95: 20", "bot.slow_join=99@6", "s to join at the 95th percentile, more than 20 s", INCONCLUSIVE),
        ("join_p95: 20", "bot.never_joins=99@6", "s to join at the 95th", INCONCLUSIVE),
        ("min_pass_rate: 0.8", "call.fails_evaluation=99@4", "judged runs passed", ExitCode.GATE_FAILED),
        ("capacity: 3", "start.busy=99@6", "3 starts were refused for capacity", INCONCLUSIVE),
        ("capacity: 2", "start.capacity_pcc=99@6", "2 starts were refused for capacity", INCONCLUSIVE),
    ],
)
def test_a_stop_rule_begins_nothing_more_and_lets_calls_finish(tmp_path, rule, fault, cause, code):
    ended = virtually(played(tmp_path, STOPPED.format(rule=rule), fault, runs=40))
    ended.assert_clean()
    ended.assert_within_levels()
    ended.assert_stopped_gently(cause)
    assert ended.view.exit_code is code
    for said in (last_line(ended.report), report_markdown(ended.report)):
        assert ended.view.batch.stopped in said
        assert "Ramp: steps, highest level" in said


def test_a_stopped_ramp_passes_where_the_gate_lets_runs_be_left_out(tmp_path):
    gate = "gate: {max_inconclusive: 40}"
    ended = virtually(played(tmp_path, STOPPED.format(rule="capacity: 2"), "start.busy=99@6", runs=40, more=gate))
    assert ended.view.batch.stopped
    assert ended.view.exit_code is ExitCode.PASSED
    ramp, stopped_at = ended.view.plan.ramp, ended.view.batch.stopped_at.timestamp()
    assert ended.report["batch"]["ramp"]["highest_level"] == highest_until(ramp, stopped_at - ended.began)


def test_a_ramp_whose_rule_never_holds_goes_to_its_end(tmp_path):
    rule = "join_p95: 60, min_pass_rate: 0.5, capacity: 9, after: 3"
    faults = ("bot.slow_join=1@4", "call.fails_evaluation=1@5", "start.busy=3@6")
    ended = virtually(played(tmp_path, STOPPED.format(rule=rule), *faults, runs=24))
    ended.assert_clean()
    assert ended.view.batch.stopped == ""
    assert ended.view.totals.conclusive == 24


def test_a_process_that_dies_in_the_middle_of_a_ramp_leaves_it_where_it_would_have_been(tmp_path):
    ended, died = virtually(_died_in_the_middle(tmp_path))
    ended.assert_clean()
    ended.assert_within_levels()
    soon = [many for at, many in ended.at_once() if died < at < died + 60]
    assert max(soon) > ended.view.plan.ramp.lowest
    assert all(run.outcome == "passed" for run in ended.view.runs if run.cekura_run_id)


async def _died_in_the_middle(folder):
    async with asyncio.timeout(LONGEST), Sandbox(SandboxSettings(call_seconds=(15.0, 25.0))) as box:
        process = await _living(folder, box)
        batch_id = await process.create(plan_from_text(text_of(PROFILES["steps"], runs=24), name="test"))
        await asyncio.sleep(120)
        await process.die()
        died = asyncio.get_running_loop().now().timestamp()
        await asyncio.sleep(5)
        return await _gone_on(process, batch_id, box), died


async def _living(folder, box):
    environ = box.environment() | {"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{folder}/state.db"}
    process = Mortal(environ)
    await process.be_born()
    return process


async def _gone_on(process, batch_id, box):
    """The batch, driven to its end by another life."""
    await process.be_born()
    try:
        process.drive(batch_id)
        await process.driving
        return Played(await view_batch(process.store, batch_id), box)
    finally:
        await process.close()


def test_a_process_that_dies_right_after_the_stop_was_committed_keeps_it(tmp_path):
    ended, reason, starts = virtually(_died_after_the_stop(tmp_path))
    ended.assert_clean()
    ended.assert_stopped_gently("judged runs passed")
    assert ended.view.batch.stopped == reason
    assert ended.world["starts"] == starts


async def _died_after_the_stop(folder):
    settings = SandboxSettings(call_seconds=(15.0, 25.0), faults=("call.fails_evaluation=99@3",))
    async with asyncio.timeout(LONGEST), Sandbox(settings) as box:
        process = await _living(folder, box)
        text = text_of(STOPPED.format(rule="min_pass_rate: 0.8"), runs=40)
        batch_id = await process.create(plan_from_text(text, name="test"))
        row = partial(batch_rows.get_batch, batch_id=batch_id)
        while not (stopped := (await process.store.read(row)).stopped):  # noqa: ASYNC110  a row is awaited
            await asyncio.sleep(0.1)
        await process.die()
        starts = box.world()["starts"]
        await asyncio.sleep(5)
        return await _gone_on(process, batch_id, box), stopped, starts


def test_what_is_shown_as_the_limit_of_calls_is_the_level(tmp_path):
    shown, ramp = virtually(_shown(tmp_path))
    assert {limit for _, limit in shown} == {1, 3, 5}
    assert [limit for seconds, limit in shown] == [level(ramp, seconds) for seconds, _ in shown]


async def _shown(folder):
    async with working(folder, SandboxSettings(call_seconds=(15.0, 25.0))) as (worker, _):
        loaded = plan_from_text(text_of(PROFILES["steps"], runs=24), name="test")
        batch = await create_batch(worker, loaded)
        driving = asyncio.create_task(worker.driver.drive(batch.batch_id))
        shown = []
        while not driving.done():
            await asyncio.sleep(7)
            view, now = await view_batch(worker.store, batch.batch_id), worker.clock.now()
            seconds = (now - first_start(view.sessions)).total_seconds()
            shown.append((seconds, progress_of(view, now=now).calls_limit))
        await driving
        return shown, loaded.plan.ramp
