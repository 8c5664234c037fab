"""A small batch and what befalls it, played in virtual time: the rows of the weather matrix and how each is judged."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.app.batches import BatchView, cancel_batch, create_batch, view_batch
from orchestrator.app.graph import Worker
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import Teardown
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.sandbox.faults import parse_fault
from tests.support.bench import Bench
from tests.support.receiver import listening
from tests.support.virtual import VirtualLoop, virtual_time

LONGEST = 6 * 3600.0  # virtual seconds
A_MOMENT = 5.0
FOR_EVER = 99_999
CANCELLED = "cancelled in a storm"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The batch a fault strikes, chosen so that the operation is asked for at all; `during` goes on beside it.

    `webhooks`: Cekura sends them, and they are taken.
    """

    runs: int = 2
    different: bool = False  # a scenario of its own for each run
    concurrency: int = 2
    plan: str = ""
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    webhooks: bool = False
    during: Callable[[Worker, Sandbox, str], Awaitable[None]] | None = None
    ends: str = "passed"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Ordeal:
    """One row: `inconclusive` of the runs end so, their reason holding `reason`; the others as the scene ends.

    `bounded`: something could not be torn down; it must be named with what ends it, and when. `cut_short`: a call that
    Cekura would not end loses its room. `failed` of the runs are judged a failure.
    """

    faults: tuple[str, ...]
    scene: Scene
    runner: bool = False
    inconclusive: int = 0
    failed: int = 0
    reason: str = ""
    bounded: bool = False
    cut_short: bool = False

    def __str__(self):
        kind = "pipecat_runner" if self.runner else "pipecat_cloud"
        return f"{'+'.join(self.faults)} on {kind}"

    @property
    def outcomes(self):
        left = self.scene.runs - self.inconclusive - self.failed
        expected = Counter({"inconclusive": self.inconclusive, "failed": self.failed})
        expected[self.scene.ends] += left
        return +expected


@dataclass(frozen=True, kw_only=True)
class Weathered:
    """What the rows say after it, how long it took, and the world when all that was bounded is over."""

    view: BatchView
    world: dict[str, Any]
    seconds: float


def play(ordeal, folder, environ=lambda _: {}):
    """Run the batch of an ordeal to its end, in a loop and a time of its own; `environ` adds to a sandbox's."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, virtual_time(runner.get_loop()):
        return runner.run(_play(ordeal, folder, environ))


async def _play(ordeal, folder, environ):
    if not ordeal.scene.webhooks:
        return await _play_with(ordeal, folder, environ)
    async with listening() as receiver:
        return await _play_with(ordeal, folder, environ, receiver)


async def _play_with(ordeal, folder, environ, receiver=None):
    loop, scene, bench = asyncio.get_running_loop(), ordeal.scene, Bench(folder=folder, speed=1.0)
    settings = {"call_seconds": (15.0, 25.0), **scene.sandbox, "faults": (*scene.faults, *ordeal.faults)}
    settings |= {"webhook_url": receiver.url} if receiver else {}
    began = loop.time()
    async with asyncio.timeout(LONGEST), Sandbox(SandboxSettings(**settings)) as box:
        async with bench.worker(box, **environ(box)) as worker:
            if receiver:
                receiver.serve(worker.store, worker.clock)
            batch = await create_batch(worker, plan_from_text(text_of(ordeal, bench, box), name="test"))
            async with asyncio.TaskGroup() as both:
                both.create_task(worker.driver.drive(batch.batch_id))
                if scene.during is not None:
                    both.create_task(scene.during(worker, box, batch.batch_id))
            view, seconds = await view_batch(worker.store, batch.batch_id), loop.time() - began
        await asyncio.sleep(until_last_bound(view, loop))
        return Weathered(view=view, world=box.world(), seconds=seconds)


def until_last_bound(view, loop):
    """Seconds until whatever the rows name as bounded must be over by itself."""
    ends = [end for one in view.sessions for end in (one.session_end, one.room_end) if one.exists]
    bounds = [end.at for end in ends if end.state is Teardown.BOUNDED and end.at is not None]
    return max(0.0, (max(bounds) - loop.now()).total_seconds()) + A_MOMENT if bounds else 0.0


def text_of(ordeal, bench, box):
    scene = ordeal.scene
    each = [f"{{scenario: {101 + number}}}" for number in range(scene.runs)]
    repeated = [f"{{scenario: 101, repeat: {scene.runs}}}"]
    return bench.plan(
        scenarios=f"[{', '.join(each if scene.different else repeated)}]",
        concurrency=scene.concurrency,
        calls=scene.concurrency,
        more=scene.plan,
        runner=box.url if ordeal.runner else None,
    )


async def cancelled_in_their_calls(worker, _box, batch_id):
    """Cancel a batch once all its runs are in their calls."""
    await virtually(lambda: _all_called(worker.driver.rosters.get(batch_id)))
    await cancel_batch(worker.store, batch_id, clock=worker.clock, reason=CANCELLED)


async def virtually(condition, every=1.0):
    """Wait until `condition` holds, looking again every few virtual seconds."""
    while not condition():  # noqa: ASYNC110  what is awaited is a picture of many rows
        await asyncio.sleep(every)


def _all_called(roster):
    return roster is not None and all(run.status is RunStatus.IN_CALL for run in roster.runs.values())


def wrongs(ordeal, played):
    """Each promise that does not hold after an ordeal, as a sentence."""
    for promises in (_outcomes, _reasons, _ends, _alive, _once, _budgets):
        yield from promises(ordeal, played)


def _outcomes(ordeal, played):
    if played.view.batch.status is not BatchStatus.CLOSED:
        yield "the batch is not closed"
    found = Counter(str(run.outcome) for run in played.view.runs)
    if found != ordeal.outcomes:
        yield f"its runs ended {dict(found)}, not {dict(ordeal.outcomes)}"
    unfired = {parse_fault(one).full_name for one in ordeal.faults} - set(played.world["faults_fired"])
    if unfired:
        yield f"never struck: {unfired}"


def _reasons(ordeal, played):
    wanted = ordeal.reason or ordeal.scene.reason
    for run in played.view.runs:
        if run.outcome == "inconclusive" and (not run.reason or wanted not in run.reason):
            yield f"run {run.index} says {run.reason!r}, not {wanted!r}"


def _ends(ordeal, played):
    """Each session and room is gone; a runner's session, and what may be bounded, is named with its bound."""
    for session in (one for one in played.view.sessions if one.exists):
        for thing, end in (("session", session.session_end), ("room", session.room_end)):
            lenient = ordeal.bounded or (ordeal.runner and thing == "session")
            allowed = {Teardown.CONFIRMED, Teardown.BOUNDED} if lenient else {Teardown.CONFIRMED}
            lost = session.session_id is None and session.room_url is None
            if end.state not in (allowed | {Teardown.BOUNDED} if lost else allowed):
                yield f"the {thing} of {session.nonce} is {end.state}: {end.how}"
            elif end.at is None or not end.how:
                yield f"the {thing} of {session.nonce} is {end.state} without why or when: {end}"
        if session.meeting_token is not None:
            yield f"the meeting token of {session.nonce} is still in its row"


def _alive(ordeal, played):
    """Nothing lives when the last bound that a row names is over."""
    for thing in ("sessions", "rooms"):
        alive = played.world[thing]["alive"]
        if alive:
            yield f"{thing} alive: {alive}"


def _once(ordeal, played):
    """No start and no submission is repeated, and no call ends by losing its room."""
    world = played.world
    rows = sum(session.exists for session in played.view.sessions)
    if world["sessions"]["started"] > rows:
        yield f"{world['sessions']['started']} sessions were started for {rows} rows"
    if world["submitted_twice"]:
        yield f"submitted twice: {world['submitted_twice']}"
    if world["cut_short"] and not ordeal.cut_short:
        yield f"cut short: {world['cut_short']}"


def _budgets(ordeal, played):
    calls, allowed = played.world["calls"], ordeal.scene.concurrency
    if calls["peak"] > allowed:
        yield f"{calls['peak']} calls at once, and the plan allows {allowed}"
    if not ordeal.runner and calls["peak_alive_sessions"] > allowed:
        yield f"{calls['peak_alive_sessions']} sessions at once, and the plan allows {allowed}"
