"""Names that do not resolve, remotes that forget everything, clocks that jump, and submissions that never pass."""

import asyncio
import socket
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator import clock
from orchestrator.app.batches import cancel_batch, run_batch, view_batch
from orchestrator.domain.run import RunStatus
from orchestrator.sandbox import Sandbox, SandboxSettings
from tests.support.bench import in_call, until
from tests.support.ordeal import CANCELLED, Ordeal, Scene, play, virtually, wrongs
from tests.support.scenes import UNSEEN

UNRESOLVED = "Name or service not known"
LONG_CALLS = {"call_seconds": (60.0, 70.0)}
HOSTS = {
    "cekura.localhost": ("CEKURA_API_URL", ""),
    "pipecat.localhost": ("PIPECAT_API_HOST", ""),
    "daily.localhost": ("DAILY_API_URL", "/v1"),
}
FOR_EVER_AT_FIRST = {
    "cekura.localhost": {"inconclusive": 2, "reason": "Cekura took no submission for 120 s after the bot was ready"},
    "pipecat.localhost": {"inconclusive": 2, "reason": UNRESOLVED},
    "daily.localhost": {"inconclusive": 2, "reason": UNSEEN, "bounded": True},
}
FOR_EVER_IN_CALL = {
    "cekura.localhost": {"inconclusive": 2, "reason": "no verdict came 600 s after it ended"},
    "pipecat.localhost": {"bounded": True},
    "daily.localhost": {"bounded": True},
}


class Names:
    """The resolver of this process; it knows names of this machine, but for one while that one is `lost`."""

    def __init__(self, lost):
        self.lost = lost
        self.failed = 0
        self._resolve = socket.getaddrinfo

    def __call__(self, host, *more, **options):
        name = host.decode() if isinstance(host, bytes) else host
        if name == self.lost:
            self.failed += 1
            raise socket.gaierror(socket.EAI_NONAME, UNRESOLVED)
        return self._resolve("127.0.0.1" if name.endswith(".localhost") else host, *more, **options)


def hang_up(box):
    """Close every connection: one that is kept open needs no name."""
    for connection in box._runner.server.connections:
        connection.force_close()


def statuses(worker, batch_id):
    roster = worker.driver.rosters.get(batch_id)
    return roster.statuses if roster is not None else Counter()


def played_without(host, tmp_path, monkeypatch, *, first, seconds, **told):
    """Play a batch for which `host` does not resolve from the beginning, or once all are in their calls."""
    names = Names(host if first else None)
    monkeypatch.setattr(socket, "getaddrinfo", names)
    variable, path = HOSTS[host]

    async def weather(worker, box, batch_id):
        if not first:
            await virtually(lambda: statuses(worker, batch_id)[RunStatus.IN_CALL] == 2)
            names.lost = host
            hang_up(box)
        if seconds is not None:
            await asyncio.sleep(seconds)
            names.lost = None

    ordeal = Ordeal(faults=(), scene=Scene(sandbox=LONG_CALLS, during=weather), **told)
    played = play(ordeal, tmp_path, lambda box: {variable: f"http://{host}:{box.port}{path}"})
    assert names.failed
    return list(wrongs(ordeal, played))


@pytest.mark.parametrize(
    ("host", "first"),
    [
        ("cekura.localhost", False),
        ("pipecat.localhost", True),
        ("daily.localhost", False),
        pytest.param("cekura.localhost", True, marks=pytest.mark.weather),
        pytest.param("pipecat.localhost", False, marks=pytest.mark.weather),
        pytest.param("daily.localhost", True, marks=pytest.mark.weather),
    ],
)
def test_a_name_that_does_not_resolve_for_a_while_costs_no_run(host, first, tmp_path, monkeypatch):
    assert played_without(host, tmp_path, monkeypatch, first=first, seconds=80.0) == []


@pytest.mark.parametrize(
    "host", [pytest.param(host, marks=() if "pipecat" in host else pytest.mark.weather) for host in HOSTS]
)
def test_a_batch_whose_remote_never_had_a_name_is_given_up(host, tmp_path, monkeypatch):
    told = FOR_EVER_AT_FIRST[host]
    assert played_without(host, tmp_path, monkeypatch, first=True, seconds=None, **told) == []


@pytest.mark.parametrize(
    "host", [pytest.param(host, marks=() if "daily" in host else pytest.mark.weather) for host in HOSTS]
)
def test_a_batch_whose_remote_loses_its_name_says_what_it_could_not_end(host, tmp_path, monkeypatch):
    told = FOR_EVER_IN_CALL[host]
    assert played_without(host, tmp_path, monkeypatch, first=False, seconds=None, **told) == []


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("started", {}),
        ("ready", {}),
        ("in_call", {"inconclusive": 2, "reason": "the call had not ended 120 s after submission"}),
        ("call_ended", {"inconclusive": 2, "reason": "no verdict came 120 s after it ended"}),
    ],
)
@pytest.mark.parametrize("gap", [pytest.param(0.0, marks=pytest.mark.weather), 30.0])
def test_remotes_that_forget_everything_leave_nothing_open(moment, told, gap, tmp_path):
    """The sandbox is started again on its port: no session, room, result or run of before exists any more."""
    worlds = []

    async def restart(worker, box, batch_id):
        await virtually(lambda: statuses(worker, batch_id)[RunStatus(moment)] == 2, every=0.1)
        await box.__aexit__(None, None, None)
        await asyncio.sleep(gap)
        async with Sandbox(SandboxSettings(call_seconds=(15.0, 25.0)), port=box.port) as again:
            await virtually(lambda: batch_id not in worker.driver.rosters)
            worlds.append(again.world())

    scene = Scene(
        concurrency=4,
        plan="timeouts: {run: 120, judge: 120}",
        sandbox={"join_seconds": (3.0, 3.0)},
        faults=("submit.busy=4",),  # so that both are ready for a while
        during=restart,
    )
    ordeal = Ordeal(faults=(), scene=scene, bounded=True, **told)
    played = play(ordeal, tmp_path)
    assert list(wrongs(ordeal, replace(played, world=worlds[0]))) == []


def test_while_no_submission_passes_one_bot_at_a_time_goes_ahead(tmp_path):
    """Three bots wait when it begins; after two minutes they are given up, and only one comes in their place."""

    async def give_up(worker, _box, batch_id):
        await asyncio.sleep(200)
        await cancel_batch(worker.store, batch_id, clock=worker.clock, reason=CANCELLED)

    scene = Scene(runs=9, concurrency=3, during=give_up, ends="inconclusive", reason=CANCELLED)
    played = play(Ordeal(faults=("submit.busy=99999",), scene=scene), tmp_path)
    assert list(wrongs(Ordeal(faults=(), scene=scene), played)) == []
    assert played.world["sessions"]["started"] == 3 + 1


def test_starts_resume_by_themselves_when_submissions_pass_again(tmp_path):
    ordeal = Ordeal(faults=("submit.busy=12",), scene=Scene(runs=6, concurrency=3))
    played = play(ordeal, tmp_path)
    assert list(wrongs(ordeal, played)) == []
    assert played.world["sessions"]["started"] == 6


@pytest.mark.parametrize("left", [10, 5])
def test_a_key_whose_limit_others_use_up_costs_no_run(left, tmp_path):
    """Of Daily's hundred requests in five seconds, this many are left to us."""
    scene = Scene(runs=8, concurrency=8, sandbox={"daily_requests": (left, 5.0), "daily_deletes": (left, 30.0)})
    ordeal = Ordeal(faults=(), scene=scene)
    assert list(wrongs(ordeal, play(ordeal, tmp_path))) == []


def test_a_call_that_no_poll_ever_shows_is_seen_to_be_over_in_its_room(tmp_path):
    """Both bots are alone after half a minute; without a look into their rooms they idle until they end themselves."""
    played = play(Ordeal(faults=("poll.error=99999",), scene=Scene()), tmp_path)
    assert played.world["idle_seconds"] < 200


@pytest.mark.parametrize(("fault", "words"), [("presence.html", "Daily"), ("poll.html", "HTTP 503")])
def test_a_remote_that_never_answered_is_named_rather_than_the_bot(fault, words, tmp_path):
    played = play(Ordeal(faults=(f"{fault}=99999",), scene=Scene(runs=1)), tmp_path)
    assert words in played.view.runs[0].reason


class JumpingClock(datetime):
    """The machine's clock, set by somebody while a batch runs."""

    jump = timedelta(0)

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.jump


@pytest.mark.parametrize("hours", [3, -3])
async def test_a_clock_that_is_set_while_a_batch_runs_changes_nothing(bench, hours, monkeypatch):
    """Three hours are more than any deadline, and longer than a room or a session may live."""
    monkeypatch.setattr(clock, "datetime", JumpingClock)
    monkeypatch.setattr(JumpingClock, "jump", timedelta(0))
    began = datetime.now(UTC)
    async with Sandbox(SandboxSettings(speed=bench.speed, call_seconds=(40.0, 60.0))) as box:
        async with bench.worker(box) as worker:
            batch_id = await bench.start(worker, bench.plan())
            running = asyncio.create_task(run_batch(worker, batch_id))
            await until(lambda: in_call(worker, batch_id) == 3)
            JumpingClock.jump = timedelta(hours=hours)
            await running
            view = await view_batch(worker.store, batch_id)
        world = box.world()
    assert [str(run.outcome) for run in view.runs] == ["passed"] * 3
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == world["cut_short"] == []
    moments = [moment for run in view.runs for moment in run.timeline.values()]
    assert began <= min(moments)
    assert max(moments) <= datetime.now(UTC)
