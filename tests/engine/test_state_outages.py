"""The state cannot be written for a while, at the worst of moments: nothing is forgotten, and nothing believed."""

import asyncio
import signal
from contextlib import contextmanager

from orchestrator.app.batches import cancel_batch
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.run import RunStatus
from orchestrator.store import sessions as session_rows
from tests.support.ordeal import Ordeal, Scene, play, virtually, wrongs


class Disk:
    """A disk that is full from the first unit that `begins` it, for `seconds`."""

    def __init__(self, worker, *, begins, seconds):
        self._write, self._begins, self._seconds = worker.store.write, begins, seconds
        self._loop = asyncio.get_running_loop()
        self.full_since = None
        worker.store.write = self.write

    async def write(self, unit):
        if self.full_since is None and self._begins(unit):
            self.full_since = self._loop.time()
        if self.full_since is not None and self._loop.time() < self.full_since + self._seconds:
            await asyncio.sleep(0)
            raise StateUnusable("no space left on device")
        return await self._write(unit)


class StubbornDisk(Disk):
    """Refuses nothing but the units that `begins` names, for as long."""

    async def write(self, unit):
        return await (super().write(unit) if self._begins(unit) else self._write(unit))


@contextmanager
def no_loop_that_never_gives_way(seconds=15):
    """Fail rather than hang where virtual time stands still; the engine's own supervisor would hide what is raised."""
    stuck = []

    def interrupt(_signal, frame):
        stuck.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        raise RuntimeError("a loop never gave way")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert stuck == []


def any_unit(_unit):
    return True


def an_intent(unit):
    return "begin" in getattr(unit, "__qualname__", "")


def an_end(unit):
    return getattr(unit, "func", None) is session_rows.record_ends


def played(tmp_path, during, **scene):
    ordeal = Ordeal(faults=(), scene=Scene(**{"runs": 1, "concurrency": 1, "during": during, **scene}))
    ended = play(ordeal, tmp_path)
    return ended, list(wrongs(ordeal, ended))


def test_a_start_that_waited_for_the_state_does_not_get_a_room_that_is_nearly_over(tmp_path):
    async def during(worker, _box, _batch_id):
        Disk(worker, begins=an_intent, seconds=900.0)

    ended, wrong = played(tmp_path, during, sandbox={"call_seconds": (500.0, 500.0)})
    assert wrong == []
    assert ended.world["cut_short"] == []
    assert ended.world["submits"] == 1


def test_nothing_is_started_once_everything_is_being_abandoned(tmp_path):
    starts = []

    async def during(worker, box, batch_id):
        disk = Disk(worker, begins=an_intent, seconds=3.0)
        await virtually(lambda: disk.full_since, every=0.05)
        await worker.driver.abandon("interrupted")
        await asyncio.sleep(8)
        starts.append(box.world()["starts"])
        await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="interrupted")

    played(tmp_path, during)
    assert starts == [0]


def test_an_end_that_could_not_be_recorded_is_not_believed(tmp_path):
    """The batch is closed only when the rows say that everything is gone."""

    async def during(worker, _box, _batch_id):
        Disk(worker, begins=an_end, seconds=30.0)

    plan = "timing: {teardown_grace: 30}"
    ended, wrong = played(tmp_path, during, plan=plan, sandbox={"evaluate_seconds": 5.0})
    assert wrong == []
    assert all(session.torn_down for session in ended.view.sessions)


def test_the_last_verdict_may_be_written_while_another_batchs_write_still_waits(tmp_path):
    """Then the watch over the outage has nothing left to watch: it must not keep the loop from the write that waits."""
    written = []

    def of_another_batch(_connection):
        written.append(True)

    async def during(worker, _box, batch_id):
        StubbornDisk(worker, begins=lambda unit: unit is of_another_batch, seconds=60.0)
        await virtually(lambda: batch_id in worker.driver.rosters, every=0.1)
        roster = worker.driver.rosters[batch_id]
        await virtually(lambda: roster.count(RunStatus.CALL_ENDED), every=0.1)
        await worker.driver._ledger.write(of_another_batch)

    with no_loop_that_never_gives_way():
        _, wrong = played(tmp_path, during, sandbox={"evaluate_seconds": 20.0})
    assert wrong == []
    assert written == [True]


def test_a_short_outage_does_not_hold_the_batch_until_a_claim_runs_out(tmp_path):
    async def during(worker, _box, _batch_id):
        Disk(worker, begins=an_end, seconds=3.0)

    ended, wrong = played(tmp_path, during, sandbox={"call_seconds": (20.0, 20.0), "evaluate_seconds": 20.0})
    assert wrong == []
    assert ended.seconds < 120


def test_a_bot_that_joins_during_the_outage_is_let_go(tmp_path):
    """Its start takes 30 seconds, and nobody could call it for 300."""
    alive = []

    async def during(worker, box, _batch_id):
        loop = asyncio.get_running_loop()
        await virtually(lambda: box.world()["requests"].get("start"), every=0.1)
        Disk(worker, begins=any_unit, seconds=300.0)
        while loop.time() < 400:
            await asyncio.sleep(1)
            alive.append(len(box.world()["sessions"]["alive"]))

    _, wrong = played(tmp_path, during, sandbox={"start_seconds": 30.0})
    assert wrong == []
    assert max(alive[100:300], default=0) == 0


def test_a_late_answer_moves_no_other_attempt(tmp_path):
    steps = []

    async def during(worker, box, batch_id):
        await virtually(lambda: batch_id in worker.driver.rosters, every=0.1)
        roster = worker.driver.rosters[batch_id]
        roster._listener = lambda before, after: steps.append((before, after))
        await virtually(lambda: box.world()["requests"].get("start") == 2, every=0.1)
        Disk(worker, begins=any_unit, seconds=20.0)

    _, wrong = played(
        tmp_path,
        during,
        runs=2,
        concurrency=3,
        sandbox={"start_seconds": 30.0, "call_seconds": (200.0, 200.0)},
        faults=("start.busy=1@2",),
    )
    assert wrong == []
    started = [after for before, after in steps if after.status is RunStatus.STARTED]
    assert len({(run.run_id, run.attempt) for run in started}) == len(started)


def test_a_session_whose_late_answer_finds_it_condemned_is_stopped_at_once(tmp_path):
    async def during(worker, _box, batch_id):
        await asyncio.sleep(5)
        await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="cancelled in a test")

    ended, _ = played(tmp_path, during, sandbox={"start_seconds": 36.0})
    [session] = ended.view.sessions
    assert (session.session_end.at - session.answered_at).total_seconds() < 5
