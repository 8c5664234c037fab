"""What is alive though no row holds it: ended where it is provably ours, listed and left alone where it is not."""

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest

from orchestrator.app.collection import Collection, find_leftovers, look_around
from orchestrator.app.graph import open_remotes, open_worker
from orchestrator.app.statement import teardown_statement
from orchestrator.app.strays import StraySearch
from orchestrator.app.surroundings import BY_PLAN, Held
from orchestrator.clients.pipecat_account import PipecatCloudAccount
from orchestrator.clock import SystemClock
from orchestrator.domain.mark import RANDOM_BYTES, make_mark
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import Teardown
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.sandbox.attendance import attendance
from orchestrator.settings import Settings, load_settings

OURS, THEIRS = "team-a", "team-b"
PUBLIC, PRIVATE = {"Authorization": "Bearer pk_sandbox"}, {"Authorization": "Bearer sk_sandbox"}
QUICK = {"speed": 50.0, "start_seconds": 0.0, "join_seconds": (0.5, 1.0), "presence_lag": 0.0, "room_presence_lag": 0.0}
EXCLUSIVE = "version: 1\nagent: {kind: pipecat_cloud, name: support-bot, exclusive: true}\nscenarios: [{scenario: 101}]"


def a_mark(place=OURS):
    return make_mark(place=place, random=os.urandom(RANDOM_BYTES))


@dataclass
class Scene:
    """A sandbox in which sessions are begun behind the orchestrator's back, and the settings that reach it."""

    sandbox: Sandbox
    settings: Settings
    http: httpx.AsyncClient
    joined: int = 0
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def world(self):
        return self.sandbox.world()

    async def start(self, mark=None, *, agent="support-bot", expires=True, runner=False):
        """One session whose bot is in its room: its id and its room's URL."""
        exp = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
        body = {
            "createDailyRoom": True,
            "dailyRoomProperties": {"exp": exp, "eject_at_room_exp": True} if expires else {},
            "dailyMeetingTokenProperties": {} if mark is None else {"user_id": mark},
        }
        path = "/start" if runner else f"/v1/public/{agent}/start"
        answer = await self.http.post(path, json=body, headers=PUBLIC)
        started = answer.raise_for_status().json()
        self.tokens[started["dailyRoom"]] = started["dailyToken"]
        self.joined += 1
        await self.until_present(self.joined)
        return started["sessionId"], started["dailyRoom"]

    async def until_present(self, count):
        async with asyncio.timeout(20):
            while await self._present() < count:  # noqa: ASYNC110  the bots are on their way
                await asyncio.sleep(0.02)

    async def _present(self):
        keys = ("daily_sandbox", "daily_cloud_sandbox")
        headers = [{"Authorization": f"Bearer {key}"} for key in keys]
        rooms = [(await self.http.get("/v1/presence", headers=one)).json() for one in headers]
        return sum(len(present) for of_key in rooms for present in of_key.values())

    async def collect(self, plan=None):
        """What `gc` does where there is no state: look, tear down, and say how everything stands."""
        async with open_worker(
            self.settings, command="test", environ={}, listener=lambda before, after: None, speed=1
        ) as worker:
            leftovers = await find_leftovers(worker.store)
            collection = Collection(worker, self.settings, leftovers=leftovers, plan=plan)
            async with asyncio.timeout(30):
                await collection.run()
            return collection.surroundings, teardown_statement(await collection.sessions())

    def alive(self):
        """Ids of live sessions and URLs of live rooms."""
        world = self.world
        return {one["id"] for one in world["sessions"]["alive"]}, {one["url"] for one in world["rooms"]["alive"]}


@pytest.fixture
async def scene(tmp_path):
    """`await scene(setting=value, environ={...})` opens a sandbox."""
    async with AsyncExitStack() as opened:

        async def open_scene(environ=None, **settings):
            sandbox = await opened.enter_async_context(Sandbox(SandboxSettings(**QUICK | settings)))
            http = await opened.enter_async_context(httpx.AsyncClient(base_url=sandbox.url))
            state = f"sqlite:///{tmp_path / 'state.db'}"
            values = sandbox.environment() | {"ORCHESTRATOR_DATABASE_URL": state, "ORCHESTRATOR_OWNER": OURS}
            return Scene(sandbox, load_settings(values | (environ or {})), http)

        yield open_scene


def names(foreign):
    return {one.name for one in foreign}


def room_name(url):
    return url.rsplit("/", 1)[-1]


async def test_a_bot_that_bears_our_mark_is_ended_and_a_strangers_is_only_listed(scene):
    place = await scene()
    await place.start(a_mark())
    await place.start(a_mark(), agent="sales-bot")
    stranger = await place.start("a-stranger")
    colleague = await place.start(a_mark(THEIRS))

    around, statement = await place.collect()

    assert place.alive() == ({stranger[0], colleague[0]}, {stranger[1], colleague[1]})
    assert (statement["sessions"], statement["rooms"], statement["confirmed"]) == (2, 2, 4)
    assert (statement["bounded"], statement["left"], around.unasked) == ([], [], ())
    assert names(around.foreign) == {stranger[0], colleague[0], room_name(stranger[1]), room_name(colleague[1])}
    assert all(one.since is not None for one in around.foreign)


async def test_where_the_mark_is_not_carried_nothing_is_touched_and_all_is_listed(scene):
    place = await scene(carries_mark=False)
    session, room = await place.start(a_mark())

    around, statement = await place.collect()

    assert place.alive() == ({session}, {room})
    assert statement["items"] == []
    assert names(around.foreign) == {session, room_name(room)}


async def test_what_a_row_holds_is_neither_a_stray_nor_a_strangers(scene):
    place = await scene()
    mark = a_mark()
    session, room = await place.start(mark)

    async def rows():
        return Held(marks=frozenset({mark}), session_ids=frozenset({session}), room_names=frozenset({room_name(room)}))

    clock = SystemClock()
    async with AsyncExitStack() as opened:
        remotes = open_remotes(place.settings, clock=clock)
        opened.push_async_callback(remotes.aclose)
        account = PipecatCloudAccount.open(place.settings, clock=clock)
        opened.push_async_callback(account.aclose)
        search = StraySearch(
            daily=remotes.daily,
            open_agent=partial(remotes.agent, AgentKind.PIPECAT_CLOUD),
            account=account,
            place=OURS,
            clock=clock,
        )
        around = await search.look(rows)

    assert (around.strays, around.foreign, around.all_sessions) == ((), (), True)


async def test_on_a_runner_only_the_room_can_be_ended_and_the_bots_own_end_is_named(scene):
    place = await scene()
    await place.start(a_mark(), runner=True)

    _, statement = await place.collect()

    (bounded,) = statement["bounded"]
    assert place.alive()[1] == set()
    assert (bounded["what"], statement["left"]) == ("session", [])
    assert "its own idle timeout ends it" in bounded["by"]
    assert bounded["until"] is not None


async def test_without_a_private_key_the_room_is_ended_and_the_session_bounded(scene):
    place = await scene(environ={"PIPECAT_CLOUD_PRIVATE_KEY": ""})
    session, _ = await place.start(a_mark())

    _, statement = await place.collect()

    (bounded,) = statement["bounded"]
    assert place.alive() == ({session}, set())
    assert "which session it is could not be told" in bounded["by"]
    assert bounded["until"] is not None


async def test_a_plan_that_shares_its_agent_with_nobody_makes_all_its_sessions_ours(scene):
    place = await scene(carries_mark=False)
    await place.start()
    await place.start()
    other = await place.start(agent="sales-bot")

    around, statement = await place.collect(plan_from_text(EXCLUSIVE, name="test").plan)

    assert place.alive() == ({other[0]}, {other[1]})
    assert (statement["sessions"], statement["rooms"], statement["confirmed"]) == (2, 2, 4)
    assert [stray.proof for stray in around.strays] == [BY_PLAN, BY_PLAN]
    assert names(around.foreign) == {room_name(other[1])}  # its agent was not asked for


async def test_a_plan_proves_nothing_while_somebody_drives(scene):
    place = await scene(carries_mark=False)
    session, _ = await place.start()

    around = await look_around(place.settings, plan=plan_from_text(EXCLUSIVE, name="test").plan, driven=True)

    assert around.strays == ()
    assert session in names(around.foreign)


async def test_a_room_that_does_not_end_by_itself_may_serve_others_and_stays(scene):
    place = await scene()
    _, room = await place.start(a_mark(), expires=False)

    _, statement = await place.collect()

    sessions, rooms = place.alive()
    assert (sessions, rooms) == (set(), {room})
    (bounded,) = statement["bounded"]
    assert (bounded["what"], statement["confirmed"]) == ("room", 1)
    assert "not ours to delete" in bounded["by"]


async def test_looking_asks_nothing_for_each_strangers_room(scene):
    place = await scene()
    for _ in range(25):
        await place.start("a-stranger")
    await place.start(a_mark())
    before = place.world["requests"]

    around = await look_around(place.settings)

    asked = {name: count - before.get(name, 0) for name, count in place.world["requests"].items()}
    assert {name: count for name, count in asked.items() if count} == {
        "presence_all": 2,
        "agent_list": 1,
        "session_list": 1,
        "session_get": 10,  # the likeliest ten at once; ours is among them
        "room_get": 1,
    }
    assert len(around.strays) == 1
    assert around.strays[0].session is not None
    assert len(around.foreign) == 50


async def test_a_tester_that_was_given_the_bots_token_does_not_make_the_room_anothers(scene):
    place = await scene(idle_timeout=1_000_000.0)
    _, room = await place.start(a_mark(), runner=True)

    async with attendance(place.sandbox.url, room_url=room, meeting_token=place.tokens[room], user_name="Tester"):
        await place.until_present(2)
        around, statement = await place.collect()

    assert len(around.strays) == 1
    assert (statement["sessions"], statement["confirmed"], statement["left"]) == (1, 1, [])
    assert place.alive()[1] == set()


async def test_what_cannot_be_asked_is_said(scene):
    place = await scene(faults=("presence_all.error=1000",))

    around = await look_around(place.settings)

    assert any("presence_all" in one for one in around.unasked)
    assert not around.all_sessions


async def test_teardown_of_a_stray_goes_on_until_the_remote_answers(scene):
    place = await scene(faults=("session_stop.error=2", "room_delete.error=1"))
    await place.start(a_mark())

    _, statement = await place.collect()

    assert place.alive() == (set(), set())
    assert [item["state"] for item in statement["items"]] == [Teardown.CONFIRMED, Teardown.CONFIRMED]
