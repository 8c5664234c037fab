"""Pipecat Cloud's client against the sandbox, and its odd answers from handlers."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from orchestrator.clients.pipecat_cloud import PRIVATE, PUBLIC, PipecatCloudClient
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import (
    InvalidSettings,
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteNotFound,
    RemoteProtocolError,
    RemoteUnavailable,
)
from orchestrator.domain.observation import StartRequest
from orchestrator.settings import load_settings

REQUEST = StartRequest(
    body={"_orchestrator": {"nonce": "n-1"}}, room_properties={"exp": 2e9}, token_properties={"user_id": "n-1"}
)


def cloud(door, handler, **options):
    given = {"public": door(handler, dialect=PUBLIC), "private": door(handler, dialect=PRIVATE)} | options
    return PipecatCloudClient(daily_api_url="https://api.daily.co/v1", agent_name="support-bot", **given)


async def test_a_session_is_started_seen_listed_and_stopped(world):
    place = await world()
    began = datetime.now(UTC)
    started = await place.cloud.start_session(REQUEST)
    assert started.session_id
    assert started.room_url.startswith("http://cloud-sandbox.localhost:")
    assert started.meeting_token
    record = await place.cloud.get_session(started.session_id)
    assert (record.session_id, record.ended_at) == (started.session_id, None)
    assert [item.session_id for item in await place.cloud.list_sessions(active_only=True)] == [started.session_id]
    since = began + timedelta(hours=1)
    assert await place.cloud.list_sessions(since=since) == []
    agent = await place.cloud.get_agent()
    assert (agent.name, agent.ready, agent.active_sessions) == ("support-bot", True, 1)
    assert agent.max_sessions == 50
    assert agent.max_session_seconds
    await place.cloud.stop_session(started.session_id)
    await place.cloud.stop_session(started.session_id)
    assert (await place.cloud.get_session(started.session_id)).ended_at is not None
    assert await place.cloud.list_sessions(active_only=True) == []
    assert place.sandbox.world()["sessions"]["alive"] == []


async def test_an_unknown_session_is_not_found_and_already_stopped(world):
    place = await world()
    with pytest.raises(RemoteNotFound):
        await place.cloud.get_session("00000000-0000-4000-8000-000000000000")
    await place.cloud.stop_session("00000000-0000-4000-8000-000000000000")


@pytest.mark.parametrize(
    ("fault", "kind", "capacity"),
    [
        ("start.capacity=1", RemoteBusy, None),
        ("start.capacity_pcc=1", RemoteBusy, True),
        ("start.no_public_key=1", RemoteAuthFailed, None),
        ("start.refused=1", RemoteAuthFailed, None),
        ("start.lost_answer=1", OutcomeUnknown, None),
        ("start.lost_request=1", OutcomeUnknown, None),
        ("start.truncated=1", OutcomeUnknown, None),
        ("start.not_json=1", OutcomeUnknown, None),
        ("start.wrong_type=1", OutcomeUnknown, None),
        ("start.oversized=1", OutcomeUnknown, None),
        ("start.error=1", OutcomeUnknown, None),
        ("start.html=1", OutcomeUnknown, None),
        ("session_list.lost_answer=1", RemoteUnavailable, None),
        ("session_list.wrong_type=1", RemoteProtocolError, None),
    ],
)
async def test_each_fault_of_the_sandbox_has_its_error(world, fault, kind, capacity):
    place = await world(faults=(fault,))
    call = place.cloud.list_sessions() if "list" in fault else place.cloud.start_session(REQUEST)
    with pytest.raises(kind) as raised:
        await call
    assert type(raised.value) is kind
    assert raised.value.next_step
    if kind is RemoteBusy:
        assert raised.value.capacity is capacity


async def test_a_private_key_where_the_public_one_belongs_names_the_variable(world):
    place = await world()
    environ = place.sandbox.environment()
    swapped = load_settings(
        environ
        | {
            "PIPECAT_CLOUD_API_KEY": environ["PIPECAT_CLOUD_PRIVATE_KEY"],
            "PIPECAT_CLOUD_PRIVATE_KEY": environ["PIPECAT_CLOUD_API_KEY"],
        }
    )
    client = PipecatCloudClient.open(swapped, agent_name="support-bot", clock=SystemClock())
    with pytest.raises(RemoteAuthFailed) as start:
        await client.start_session(REQUEST)
    with pytest.raises(RemoteAuthFailed) as read:
        await client.get_agent()
    await client.aclose()
    assert start.value.next_step.startswith("PIPECAT_CLOUD_API_KEY must be a public key")
    assert read.value.next_step.startswith("PIPECAT_CLOUD_PRIVATE_KEY must be a private key")


async def test_a_missing_key_is_a_setting_to_mend(door):
    client = cloud(door, lambda _: httpx.Response(500), public=None, private=None)
    assert not client.observable
    assert not client.stoppable
    with pytest.raises(InvalidSettings, match="PIPECAT_CLOUD_API_KEY is missing"):
        await client.start_session(REQUEST)
    with pytest.raises(InvalidSettings, match="PIPECAT_CLOUD_PRIVATE_KEY is missing"):
        await client.stop_session("s-1")


@pytest.mark.parametrize("room", ["https://evil.example/r", "", None, 7])
async def test_a_session_without_a_room_we_can_use_is_an_unknown_outcome_that_names_it(door, room):
    body = {"sessionId": "s-9", "dailyRoom": room, "dailyToken": "t"}
    with pytest.raises(OutcomeUnknown, match="session s-9 was started") as unknown:
        await cloud(door, lambda _: httpx.Response(200, json=body)).start_session(REQUEST)
    assert unknown.value.session_id == "s-9"
    assert unknown.value.next_step == PUBLIC.lookup_advice


@pytest.mark.parametrize(
    "body", [{"dailyRoom": "https://evil.example/r"}, {"sessionId": "", "dailyRoom": None}, [], None]
)
async def test_an_unusable_answer_to_a_start_names_no_session_that_it_does_not(door, body):
    with pytest.raises(OutcomeUnknown) as unknown:
        await cloud(door, lambda _: httpx.Response(200, json=body)).start_session(REQUEST)
    assert unknown.value.session_id is None


async def test_short_pages_are_followed_to_the_total(door):
    """A server may give fewer per page than it was asked for."""
    sessions = [{"sessionId": f"s-{index}", "createdAt": "2026-11-21T10:00:00Z"} for index in range(205)]

    def handler(request):
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json={"total_count": 205, "sessions": sessions[offset : offset + 100]})

    assert len(await cloud(door, handler).list_sessions()) == 205


async def test_a_list_ends_with_the_page_on_which_the_last_of_those_wanted_stands(door):
    asked = []

    def handler(request):
        asked.append(int(request.url.params["offset"]))
        page = [{"sessionId": f"s-{asked[-1] + index}", "createdAt": "2026-11-21T10:00:00Z"} for index in range(100)]
        return httpx.Response(200, json={"total_count": 1000, "sessions": page})

    records = await cloud(door, handler).list_sessions(wanted={"s-7", "s-150"})
    assert {"s-7", "s-150"} <= {record.session_id for record in records}
    assert asked == [0, 100]


async def test_a_list_without_an_end_is_given_up(door):
    page = {"sessions": [{"sessionId": "again"}] * 100}
    with pytest.raises(RemoteProtocolError, match="did not end"):
        await cloud(door, lambda _: httpx.Response(200, json=page)).list_sessions()


@pytest.mark.parametrize(
    ("extra", "started", "completion"),
    [
        ({"botStartSeconds": 3.2}, True, None),
        ({"botStartSeconds": None}, None, None),
        ({"endState": "agent_start_timeout"}, False, "agent_start_timeout"),
        ({"completionStatus": "HTTP_COMPLETED", "endedAt": "2026-11-21T10:00:00Z"}, None, "HTTP_COMPLETED"),
    ],
)
async def test_a_record_says_whether_a_bot_ever_ran_only_where_it_can(door, extra, started, completion):
    client = cloud(door, lambda _: httpx.Response(200, json={"sessionId": "s-1", **extra}))
    record = await client.get_session("s-1")
    assert (record.bot_started, record.completion) == (started, completion)


async def test_what_is_sent_is_the_documented_start(door):
    sent = []

    def handler(request):
        sent.append((request.url.path, httpx.Response(200, content=request.content).json()))
        return httpx.Response(200, json={"sessionId": "s", "dailyRoom": "https://c.daily.co/r", "dailyToken": "t"})

    await cloud(door, handler).start_session(REQUEST)
    path, body = sent[0]
    assert path == "/v1/public/support-bot/start"
    assert body == {
        "createDailyRoom": True,
        "transport": "daily",
        "dailyRoomProperties": {"exp": 2e9},
        "dailyMeetingTokenProperties": {"user_id": "n-1"},
        "body": {"_orchestrator": {"nonce": "n-1"}},
    }


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_agent_name_cannot_climb_out_of_its_path(name):
    with pytest.raises(InvalidSettings):
        PipecatCloudClient(public=None, private=None, daily_api_url="https://api.daily.co/v1", agent_name=name)
