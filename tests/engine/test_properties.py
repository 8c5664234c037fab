"""Whatever befalls a batch (faults, cancels, deaths, restarts), in the end its promises hold.

`make properties EXAMPLES=500` looks at more sequences and counts what happened in them.
"""

import asyncio
import json
import os
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from loguru import logger

from orchestrator.app.batches import cancel_batch, view_batch
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.errors import Conflict
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store import submissions as submission_rows
from tests.support.mortal import Fuse, Mortal
from tests.support.promises import Ended, broken_promises, last_bound, most_at_once, outlived
from tests.support.virtual import VirtualLoop, virtual_time
from tests.support.weather import WEATHER, endurable

EXAMPLES = int(os.environ.get("EXAMPLES") or 0)
SLACK = timedelta(seconds=180)  # a start's answer may take 120 s, and its bound is counted from before it
LONGEST = 4 * 3600.0  # virtual seconds; sessions that nobody can stop hold their places for two hours
PATIENCE = 120.0  # real seconds: a batch that comes to no end must fail the test, not hang it

EVIDENCE = (("presence", "record", "settle"), ("record", "presence"), ("settle",), ("presence",), ("record", "settle"))
AWAY = st.sampled_from((0.0, 3.0, 30.0, 100.0))
SELDOM = st.sampled_from((False, False, True))
REPEATS = st.one_of(
    st.tuples(st.integers(1, 8)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)),
)
PLANS = st.fixed_dictionaries(
    {
        "repeats": REPEATS,
        "concurrency": st.integers(1, 4),
        "calls": st.integers(1, 4),
        "slot": st.sampled_from(("auto", "judged", "call_ended")),
        "kind": st.sampled_from(("pipecat_runner", "pipecat_cloud", "pipecat_cloud")),
        "exclusive": st.booleans(),
        "retries": st.integers(0, 2),
        "gather": st.sampled_from((0.0, 1.0, 4.0)),
        "evidence": st.sampled_from(EVIDENCE),
        "lookup": st.sampled_from((40, 180)),
    }
)
SANDBOXES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 3),
        "carries_mark": st.sampled_from((True, True, False)),
        "presence_lag": st.sampled_from((0.0, 15.0)),
        "room_presence_lag": st.sampled_from((0.0, 2.0)),
        "call_seconds": st.sampled_from(((8.0, 16.0), (20.0, 60.0), (60.0, 120.0))),
        "calls_limit": st.sampled_from((10, 10, 2)),
        "slot_rule": st.sampled_from(("judged", "call_ended")),
        "bot_ends_with_call": st.booleans(),
    }
)


def plan_text(drawn, url):
    """The plan as YAML (of which JSON is a part)."""
    cloud = drawn["kind"] == "pipecat_cloud"
    place = {"name": "bot", "exclusive": drawn["exclusive"]} if cloud else {"url": url}
    document = {
        "version": 1,
        "agent": {"kind": drawn["kind"], **place},
        "cekura": {"agent": 5, "mock_tool_names": []},
        "scenarios": [{"scenario": 101 + n, "repeat": times} for n, times in enumerate(drawn["repeats"])],
        "limits": {
            "concurrency": drawn["concurrency"],
            "calls": drawn["calls"],
            "call_slot_until": drawn["slot"],
        },
        "timeouts": {"ready": 60, "run": 300, "judge": 120, "capacity": 60},
        "timing": {"gather": drawn["gather"], "lookup": drawn["lookup"]},
        "readiness": {"evidence": list(drawn["evidence"])},
        "retries": {"infrastructure": drawn["retries"]},
    }
    return json.dumps(document)


class Batches(RuleBasedStateMachine):
    """One batch in a world of its own, driven by processes that come and go."""

    def __init__(self):
        super().__init__()
        self.began = time.monotonic()
        self.closings = ExitStack()
        self.loop = VirtualLoop()
        self.closings.callback(self.loop.close)
        self.closings.enter_context(virtual_time(self.loop))
        logger.disable("orchestrator")
        self.closings.callback(logger.enable, "orchestrator")
        self.batch_id = None
        self.bought = None

    def wait_for(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    # --- what may happen -------------------------------------------------------------------------------------------

    @initialize(
        drawn=PLANS,
        sandbox=SANDBOXES,
        daily=st.sampled_from((True, True, False)),
        disk=st.sampled_from((0.0, 0.01, 0.2)),
        weather=st.lists(WEATHER, max_size=4),
    )
    def begin(self, drawn, sandbox, daily, disk, weather):
        self.sandbox = Sandbox(SandboxSettings(max_session_seconds=900.0, **sandbox))
        self.arm_all(weather)
        self.wait_for(self.sandbox.__aenter__())
        self.closings.callback(lambda: self.wait_for(self.sandbox.__aexit__(None, None, None)))
        folder = self.closings.enter_context(TemporaryDirectory(prefix="properties-"))
        environ = self.sandbox.environment() | {"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{folder}/state.db"}
        for name in () if daily else ("DAILY_API_KEY", "ORCHESTRATOR_DAILY_KEYS"):
            del environ[name]
        self.process = Mortal(environ, disk=disk)
        loaded = plan_from_text(plan_text(drawn, self.sandbox.url), name="property")
        self.wait_for(self.process.be_born())
        self.closings.callback(lambda: self.wait_for(self.process.close()))
        self.batch_id = self.wait_for(self.process.create(loaded))
        event(f"agent: {drawn['kind']}")
        event(f"Daily key: {daily}")

    def going_on(self):
        return not self.process.driving.done()

    @rule(faults=st.lists(WEATHER, min_size=1, max_size=4))
    def arm(self, faults):
        self.arm_all(faults)

    def arm_all(self, faults):
        known = self.sandbox.faults
        for fault in faults:
            if endurable(fault, [*known.armed(), *known.fired.elements()]):
                known.arm([fault])

    @rule(seconds=st.sampled_from((0.5, 2.0, 5.0, 10.0, 20.0, 40.0, 90.0)))
    def pass_time(self, seconds):
        self.wait_for(asyncio.wait([self.process.driving], timeout=seconds))

    @rule(really=SELDOM, drains=st.booleans())
    def cancel(self, really, drains):
        if not really or not self.going_on():
            return
        wish = partial(cancel_batch, self.process.store, self.batch_id, clock=self.process.clock, drains=drains)
        with suppress(Conflict):  # closed already, at this very moment
            self.wait_for(wish(reason="cancelled by a test"))
            event(f"cancelled{', calls may finish' if drains else ''}")

    @rule(away=AWAY)
    def restart(self, away):
        if not self.going_on():
            return
        self.wait_for(self.process.close())
        self.wait_for(self.resume(away))
        event("restarted")

    @rule(
        writes=st.integers(1, 40),
        committed=st.booleans(),
        away=AWAY,
        collects=SELDOM,
    )
    def die_at_a_write(self, writes, committed, away, collects):
        if not self.going_on():
            return
        struck = self.wait_for(self.process.burn(Fuse(writes=writes, committed=committed), seconds=60.0))
        self.wait_for(self.process.die())
        self.wait_for(self.resume(away, collects=collects))
        event(f"died {'at a write' if struck else 'between writes'}, {'collected' if collects else 'resumed'}")

    @rule(
        turns=st.integers(0, 300),
        away=AWAY,
        collects=SELDOM,
    )
    def die_at_an_await(self, turns, away, collects):
        if not self.going_on():
            return
        self.wait_for(self.turn(turns))
        self.wait_for(self.process.die())
        self.wait_for(self.resume(away, collects=collects))
        event(f"died at an await, {'collected' if collects else 'resumed'}")

    async def turn(self, turns):
        for _ in range(turns):
            await asyncio.sleep(0)

    async def resume(self, away, *, collects=False):
        await asyncio.sleep(away)
        await self.process.be_born()
        if collects:
            await self.process.collect()
            asked = self.sandbox.world()["requests"]
            self.bought = {name: asked.get(name, 0) for name in ("start", "submit")}
        self.process.drive(self.batch_id)

    # --- what must hold --------------------------------------------------------------------------------------------

    def teardown(self):
        with self.closings:
            if self.batch_id is not None:
                self.come_to_an_end()
                ended = self.wait_for(self.look())
                self.wait_for(self.process.close())
                self.tell(ended)
                assert list(broken_promises(ended)) == [], self.told(ended.view)
                assert list(self.survivors(ended.view)) == []

    def come_to_an_end(self):
        """Let the batch be driven to its end."""
        end = self.loop.time() + LONGEST
        while not self.process.driving.done():
            self.still_hoping(end)
            self.wait_for(asyncio.wait([self.process.driving], timeout=60.0))

    def still_hoping(self, end):
        if self.loop.time() > end or time.monotonic() - self.began > PATIENCE:
            pytest.fail(f"no end\n{self.told(self.wait_for(self.look()).view)}")

    async def look(self):
        store = self.process.store
        return Ended(
            view=await view_batch(store, self.batch_id),
            submissions=await store.read(partial(submission_rows.list_submissions, batch_id=self.batch_id)),
            sandbox=self.sandbox,
            world=self.sandbox.world(),
            bought=self.bought,
        )

    def survivors(self, view):
        """Wait until all that the rows name as bounded should be over by itself."""
        moment = last_bound(view)
        if moment is not None:
            self.wait_for(asyncio.sleep(max(0.0, (moment + SLACK - self.loop.now()).total_seconds())))
        return outlived(self.sandbox.world(), moment)

    def tell(self, ended):
        """Count what happened, for the statistics."""
        assert ended.view.batch.status is BatchStatus.CLOSED
        for fault in self.sandbox.faults.fired:
            event(f"fault: {fault}")
        for run in ended.view.runs:
            event(f"run: {run.status} {run.outcome}")
        for session in ended.view.sessions:
            event(f"session: {session.status}, end {session.session_end.state}, room {session.room_end.state}")
        for submission in ended.submissions:
            event(f"submission: {submission.status}")
        event(f"batch: {ended.view.exit_code.name}")
        if most_at_once(ended) == ended.view.plan.limits.concurrency:
            event("the session budget was used up")
        if ended.world["calls"]["peak"] == ended.view.plan.limits.calls:
            event("the call budget was used up")
        if ended.world["cut_short"]:
            event("a call without a name was cut short")

    def told(self, view):
        """The rows and the weather, for whoever looks for the reason."""
        faults = self.sandbox.faults
        runs = (f"run {run.index}: {run.status} {run.outcome} {run.reason}" for run in view.runs)
        sessions = (f"{one.run_id} {one.nonce}: {one.status} {one.session_end} {one.room_end}" for one in view.sessions)
        weather = (f"struck: {dict(faults.fired)}", f"still armed: {faults.armed()}")
        return "\n".join((f"{view.batch.status} at {self.loop.now()}", *weather, *runs, *sessions))


SETTINGS = settings(
    max_examples=EXAMPLES or 10,
    stateful_step_count=10,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def test_whatever_befalls_a_batch_its_promises_hold_in_the_end():
    run_state_machine_as_test(Batches, settings=SETTINGS)


# What pytest's `--hypothesis-show-statistics` looks for.
test_whatever_befalls_a_batch_its_promises_hold_in_the_end.is_hypothesis_test = True
