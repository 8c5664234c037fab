"""Pipecat's own runner in a process of its own, its rooms on the sandbox's Daily, seen through our clients.

No media flows here: daily-python reaches no stand-in. What is real is the runner, its `/start`, its calls to Daily, and
that somebody is in the room or is not.
"""

import asyncio
import base64
import json
import time

import httpx
import pytest

from orchestrator.clients.daily import OWN_LABEL, DailyClient
from orchestrator.clients.pipecat_runner import PipecatRunnerClient
from orchestrator.clients.room import parse_room_url
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import OutcomeUnknown
from orchestrator.domain.observation import StartRequest
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.sandbox.attendance import attendance
from orchestrator.settings import load_settings

pytestmark = pytest.mark.slow
SPEED = 20.0
LIMIT = 20  # seconds for anything that happens in another process

EXAMPLE_BOT = "examples/bot.py"
RAISING_BOT = "tests/support/bots/raising.py"
STUBBORN_BOT = "tests/support/bots/stubborn.py"


@pytest.fixture
async def sandbox():
    async with Sandbox(SandboxSettings(speed=SPEED)) as sandbox:
        yield sandbox


@pytest.fixture
def settings(sandbox):
    return load_settings(sandbox.environment())


@pytest.fixture
async def daily(settings):
    client = DailyClient.open(
        settings.daily_api_key,
        label=OWN_LABEL,
        daily_api_url=settings.daily_api_url,
        clock=SystemClock(),
        pace_scale=SPEED,
    )
    yield client
    await client.aclose()


@pytest.fixture
async def starter(settings):
    """Opens a client for a runner's address."""
    clients = []

    def open_client(runner):
        clients.append(PipecatRunnerClient.open(settings, url=runner.url, clock=SystemClock()))
        return clients[-1]

    yield open_client
    for client in clients:
        await client.aclose()


def a_start(*, body=None, room_properties=None, token_properties=None):
    return StartRequest(body=body or {}, room_properties=room_properties or {}, token_properties=token_properties or {})


async def present(daily, room_name, condition=bool):
    """Ask for a room's presence until it satisfies `condition`; returns who is there then."""
    async with asyncio.timeout(LIMIT):
        while not condition(people := await daily.presence(room_name)):  # noqa: ASYNC110  polling is the point
            await asyncio.sleep(0.05)
    return people


def name_of(session, settings):
    return parse_room_url(session.room_url, daily_api_url=settings.daily_api_url).name


def claims_of(meeting_token):
    payload = meeting_token.reveal().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_a_started_bot_is_present_under_its_mark_until_we_delete_its_room(
    sandbox, settings, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(EXAMPLE_BOT, sandbox.environment())
    client = starter(runner)
    assert await client.get_status() == ("daily",)

    session = await client.start_session(a_start(token_properties={"user_id": "run-7"}))
    room_name = name_of(session, settings)
    people = await present(daily, room_name)
    assert [(one.user_name, one.user_id) for one in people] == [("Example bot", "run-7")]

    await daily.delete_room(room_name)
    await runner.until_logged("room-deleted in")
    assert await daily.list_rooms() == []
    assert sandbox.world()["rooms"]["alive"] == []


async def test_the_bot_leaves_with_its_caller_and_the_runner_leaves_the_room_behind(
    sandbox, settings, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(EXAMPLE_BOT, sandbox.environment())
    session = await starter(runner).start_session(a_start())
    room_name = name_of(session, settings)
    await present(daily, room_name)
    caller = attendance(
        sandbox.url,
        room_url=session.room_url,
        meeting_token=session.meeting_token.reveal(),
        user_name="Caller",
    )
    async with caller as events:
        assert (await anext(events))["event"] == "joined"
        await runner.until_logged("participant-joined in")
    await present(daily, room_name, lambda people: not people)
    await runner.until_logged("Left ")
    assert [room.name for room in await daily.list_rooms()] == [room_name]
    assert "room_delete" not in sandbox.world()["requests"]


async def test_a_bot_that_comes_late_is_absent_until_it_comes_and_gone_when_it_has_held_out(
    sandbox, settings, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(EXAMPLE_BOT, sandbox.environment())
    session = await starter(runner).start_session(a_start(body={"join_after": 1.0, "hold": 2.0}))
    room_name = name_of(session, settings)
    assert await daily.presence(room_name) == []
    await present(daily, room_name)
    await present(daily, room_name, lambda people: not people)
    await runner.until_logged("Nobody ended the session")


async def test_the_token_is_an_owners_and_ends_before_its_room_whatever_was_asked(
    sandbox, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(EXAMPLE_BOT, sandbox.environment())
    client = starter(runner)
    session = await client.start_session(a_start(token_properties={"is_owner": False}))
    claims, (room,) = claims_of(session.meeting_token), await daily.list_rooms()
    assert claims["o"] is True
    assert claims["exp"] - time.time() == pytest.approx(client.token_seconds, abs=120)
    assert room.expires_at.timestamp() - time.time() == pytest.approx(4 * 3600, abs=120)
    assert (room.privacy, room.eject_at_expiry) == ("public", True)


async def test_our_room_expiry_is_kept_and_a_wrongly_typed_property_drops_them_all_in_silence(
    sandbox, settings, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(EXAMPLE_BOT, sandbox.environment())
    client = starter(runner)
    soon = int(time.time()) + 600
    kept = await client.start_session(a_start(room_properties={"exp": soon}))
    dropped = await client.start_session(a_start(room_properties={"exp": soon, "max_participants": "many"}))
    kept_room = await daily.get_room(name_of(kept, settings))
    dropped_room = await daily.get_room(name_of(dropped, settings))
    assert kept_room.expires_at.timestamp() == soon
    assert dropped_room.expires_at.timestamp() > soon + 3600


async def test_a_start_without_a_room_is_answered_with_null_and_runs_a_bot(sandbox, daily, pipecat_runner):
    runner = await pipecat_runner(EXAMPLE_BOT, sandbox.environment())
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{runner.url}/start", json={"body": {}})
    assert (answer.status_code, answer.text) == (200, "null")
    await runner.until_logged("This bot needs a Daily room")
    assert await daily.list_rooms() == []


async def test_a_failed_start_is_an_unknown_outcome_because_it_may_leave_a_room_behind(
    sandbox, settings, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(EXAMPLE_BOT, sandbox.environment())
    sandbox.faults.arm(["token_create.error=1"])
    client = starter(runner)
    with pytest.raises(OutcomeUnknown) as lost:
        await client.start_session(a_start())
    assert (lost.value.status, lost.value.detail) == (500, "Internal Server Error")
    (orphan,) = await daily.list_rooms()
    assert orphan.name.startswith("pipecat-")
    assert await daily.presence(orphan.name) == []

    # The runner hangs up after a 500; the next start goes out on a connection of its own and is not lost.
    session = await client.start_session(a_start())
    await present(daily, name_of(session, settings))


async def test_daily_room_url_gives_every_session_the_same_room(sandbox, daily, starter, pipecat_runner):
    shared = await daily.create_room(name="shared")
    runner = await pipecat_runner(EXAMPLE_BOT, {**sandbox.environment(), "DAILY_ROOM_URL": shared.url})
    client = starter(runner)
    sessions = [await client.start_session(a_start()) for _ in range(2)]
    assert [session.room_url for session in sessions] == [shared.url] * 2
    assert sessions[0].session_id != sessions[1].session_id
    await present(daily, "shared", lambda people: len(people) == 2)
    assert len(await daily.list_rooms()) == 1


async def test_a_bot_that_raises_is_a_started_session_whose_room_stays_empty(
    sandbox, settings, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(RAISING_BOT, sandbox.environment())
    session = await starter(runner).start_session(a_start())
    assert session.session_id
    await runner.until_logged("this bot never joins")
    room_name = name_of(session, settings)
    assert await daily.presence(room_name) == []
    assert [room.name for room in await daily.list_rooms()] == [room_name]


async def test_a_bot_that_ignores_ejection_comes_back_until_its_room_is_gone(
    sandbox, settings, daily, starter, pipecat_runner
):
    runner = await pipecat_runner(STUBBORN_BOT, sandbox.environment())
    session = await starter(runner).start_session(a_start(token_properties={"user_id": "run-9"}))
    room_name = name_of(session, settings)
    (before,) = await present(daily, room_name)

    await daily.eject(room_name, [before.participant_id])
    (after,) = await present(
        daily, room_name, lambda people: [one for one in people if one.participant_id != before.participant_id]
    )
    assert (after.user_id, after.user_name) == ("run-9", "Stubborn bot")
    assert [entry["user_id"] for entry in sandbox.world()["attending_after_ejection"]] == ["run-9"]

    await daily.delete_room(room_name)
    await runner.until_logged("gave up")
    assert sandbox.world()["attending_after_ejection"] == []
