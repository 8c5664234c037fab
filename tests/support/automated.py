"""A batch of one of Cekura's automated channels, played in virtual time: what the rows say of it, and the world."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.app.batches import BatchView, create_batch, view_batch
from orchestrator.app.graph import Worker
from orchestrator.app.report import report_document
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.sandbox.calls import Run as CekuraRun
from orchestrator.sandbox.faults import parse_fault
from tests.support.bench import Bench
from tests.support.empty import put_empty_state
from tests.support.ordeal import LONGEST
from tests.support.virtual import VirtualLoop, virtual_time

PIPECAT, LIVEKIT, VOICE = "pipecat_v2", "livekit_v2", "voice"
CHANNELS = (PIPECAT, LIVEKIT, VOICE)
AGENTS = {PIPECAT: 5, LIVEKIT: 6, VOICE: 7}
SCENARIOS = {PIPECAT: (101, 102), LIVEKIT: (201, 202), VOICE: (301, 302)}
PLAN = """
version: 1
channel: {channel}
name: test
cekura: {{{agent}mock_tool_names: []{cekura}}}
scenarios: [{scenarios}]
limits: {{calls: {calls}}}
{more}
"""
QUICK = {"call_seconds": (6.0, 10.0), "evaluate_seconds": 4.0, "join_seconds": (1.0, 3.0)}
AFTER = 600.0  # seconds in which whatever was left under way would show


@dataclass(frozen=True, kw_only=True)
class Automated:
    """One batch and what befalls it. `during` goes on beside it."""

    channel: str = PIPECAT
    faults: tuple[str, ...] = ()
    agent: int | None = 0  # 0: the channel's own; None: not named
    scenarios: tuple[int, ...] = ()
    cekura: str = ""  # more keys
    calls: int = 10
    more: str = ""
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    during: Callable[[Worker, Sandbox, str], Awaitable[None]] | None = None

    def text(self):
        agent = AGENTS[self.channel] if self.agent == 0 else self.agent
        scenarios = self.scenarios or SCENARIOS[self.channel]
        return PLAN.format(
            channel=self.channel,
            agent="" if agent is None else f"agent: {agent}, ",
            cekura=self.cekura and f", {self.cekura}",
            scenarios=", ".join(f"{{scenario: {one}}}" for one in scenarios),
            calls=self.calls,
            more=self.more,
        )

    def settings(self):
        return SandboxSettings(**QUICK | dict(self.sandbox) | {"faults": self.faults})


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A batch after its end; `world` as it was then, `later` when whatever it left under way had time to go on."""

    view: BatchView
    world: dict[str, Any]
    later: dict[str, Any]
    cekura_runs: tuple[CekuraRun, ...]  # all that Cekura made
    seconds: float

    @property
    def outcomes(self):
        return Counter(str(run.outcome) for run in self.view.runs)

    @property
    def reasons(self):
        return {run.reason for run in self.view.runs if run.outcome == "inconclusive"}

    @property
    def submissions(self):
        return Counter(one.status.value for one in self.view.submissions)

    @property
    def uncertain(self):
        return report_document(self.view, result_url=lambda _: None)["teardown"]["uncertain"]


def play(case, folder):
    """Run the batch of a case to its end, in a loop and a time of its own."""
    return play_with(lambda: _play(case, folder))


def play_with(scene):
    """Run an async scene in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, virtual_time(runner.get_loop()):
        return runner.run(scene())


async def _play(case, folder):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LONGEST), Sandbox(case.settings()) as box:
        began = loop.time()
        async with a_worker(folder, box, **case.environ) as worker:
            batch = await create_batch(worker, plan_from_text(case.text(), name="test"))
            async with asyncio.TaskGroup() as both:
                both.create_task(worker.driver.drive(batch.batch_id))
                if case.during is not None:
                    both.create_task(case.during(worker, box, batch.batch_id))
            view, seconds = await view_batch(worker.store, batch.batch_id), loop.time() - began
            world = box.world()
        await asyncio.sleep(AFTER)
        made = tuple(box._world.cekura.runs.values())
        return Ended(view=view, world=world, later=box.world(), cekura_runs=made, seconds=seconds)


def a_worker(folder, box, **environ):
    """A worker on a state of its own in `folder`, migrated already."""
    put_empty_state(folder / "state.db")
    return Bench(folder=folder, speed=1.0).worker(box, **environ)


def wrongs(case, ended):
    """Each promise that does not hold whatever befell a batch, as a sentence."""
    view, world = ended.view, ended.later
    if view.batch.status is not BatchStatus.CLOSED:
        yield "the batch is not closed"
    if world["names_twice"]:
        yield f"sent twice: {world['names_twice']}"
    if world["submits"] > len(view.submissions):
        yield f"{world['submits']} submissions were taken for {len(view.submissions)} rows"
    if world["calls"]["active"]:
        yield f"calls still on: {world['calls']['active']}"
    if world["calls"]["peak"] > case.calls:
        yield f"{world['calls']['peak']} calls at once, and the plan allows {case.calls}"
    if world["sessions"]["started"] or world["rooms"]["created"]:
        yield "a session or room was started"
    unfired = {parse_fault(one).full_name for one in case.faults} - set(world["faults_fired"])
    if unfired:
        yield f"never struck: {unfired}"
    for run in view.runs:
        if run.outcome is None or (run.outcome == "inconclusive" and not run.reason):
            yield f"run {run.index} ended as {run.outcome} without a reason"
    yield from _named_once(view)
    yield from _uncertain(ended)


def _named_once(view):
    """No Cekura run is two runs of ours."""
    times = Counter(run.cekura_run_id for run in view.runs if run.cekura_run_id is not None)
    yield from (f"Cekura's run {one} is {count} runs of ours" for one, count in times.items() if count > 1)


def _uncertain(ended):
    """What nobody knows is named; what is known is settled."""
    unknown = [one for one in ended.view.submissions if one.status is SubmissionStatus.UNKNOWN]
    if any(one.status in {SubmissionStatus.INTENT, SubmissionStatus.SENT} for one in ended.view.submissions):
        yield "a submission was left open"
    said = [one["reason"] for one in ended.uncertain]
    yield from (f"{one.name} is not named as uncertain" for one in unknown if not any(one.name in it for it in said))
    if len(said) != len(unknown):
        yield f"{len(said)} are named as uncertain, and {len(unknown)} are"
