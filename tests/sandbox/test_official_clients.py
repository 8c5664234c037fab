"""The remotes' own clients work against the sandbox: they are the witnesses that it plays what they expect."""

import aiohttp
import pytest
from cekura import AsyncCekura, CekuraError
from pipecat.transports.daily.utils import (
    DailyMeetingTokenParams,
    DailyMeetingTokenProperties,
    DailyRESTHelper,
    DailyRoomParams,
    DailyRoomProperties,
)
from pipecatcloud.api import _API
from pipecatcloud.exception import AgentStartError
from pipecatcloud.session import Session, SessionParams

from orchestrator.sandbox.properties import ROOM, TOKEN


@pytest.fixture
def at_sandbox(monkeypatch):
    def point(caller):
        monkeypatch.setenv("PIPECAT_API_HOST", caller.sandbox.url)
        monkeypatch.setenv("CEKURA_API_URL", caller.sandbox.url)
        monkeypatch.setenv("CEKURA_API_KEY", "ck_sandbox")
        return caller

    return point


async def test_the_pipecatcloud_sdk_starts_a_session_with_a_room(play, at_sandbox):
    caller = at_sandbox(await play())
    params = SessionParams(data={"locale": "en"}, use_daily=True, daily_room_properties={"eject_at_room_exp": True})

    started = await Session("bot", "pk_sandbox", params).start()

    assert started["dailyRoom"].startswith("http://cloud-sandbox.localhost:")
    assert caller.sandbox.world()["sessions"]["alive"][0]["id"] == started["sessionId"]


@pytest.mark.parametrize(
    ("fault", "code"), [("start.capacity=1", "429"), ("start.capacity_pcc=1", "PCC-AGENT-AT-CAPACITY")]
)
async def test_the_pipecatcloud_sdk_reads_both_shapes_of_a_full_agent(play, at_sandbox, fault, code):
    at_sandbox(await play(faults=(fault,)))

    with pytest.raises(AgentStartError) as refused:
        await Session("bot", "pk_sandbox", SessionParams(use_daily=True)).start()

    assert code in str(refused.value)


async def test_the_pipecatcloud_sdk_finds_lists_and_stops_a_session(play, at_sandbox):
    caller = at_sandbox(await play())
    session = await caller.start()
    api = _API(token="sk_sandbox")

    organization, _ = await api.organizations_current()
    agent, _ = await api.agent("bot", organization["name"])
    listed, _ = await api.agent_sessions("bot", organization["name"])
    stopped, error = await api.agent_session_terminate("bot", session["sessionId"], organization["name"])
    record, _ = await api.agent_session("bot", session["sessionId"], organization["name"])
    daily, _ = await api.organizations_daily_key(organization["name"])

    assert agent["ready"] is True
    assert agent["activeSessionCount"] == 1
    assert [one["sessionId"] for one in listed["sessions"]] == [session["sessionId"]]
    assert (stopped["status"], error) == ("terminated", None)
    assert record["endedAt"] is not None
    assert daily == {"apiKey": "daily_cloud_sandbox"}


async def test_the_cekura_sdk_runs_polls_and_waits_for_a_result(play, at_sandbox):
    caller = at_sandbox(await play())
    session = await caller.ready()
    async with AsyncCekura() as cekura:
        submitted = await cekura.scenarios.run_pipecat(
            agent=5, scenarios=[{"scenario": 11, "pipecat_room_url": session["dailyRoom"]}]
        )
        result = await cekura.results.wait(submitted["id"], poll_interval=0.02)
        (run,) = await cekura.runs.bulk(run_ids=str(submitted["runs"][0]["id"]))
        listed = await cekura.results.list(agent_id=5)
        billing = await cekura.billing.info()

    assert (result["status"], run["status"], run["success"]) == ("completed", "completed", True)
    assert [one["id"] for one in listed["results"]] == [submitted["id"]]
    assert billing["subscription_status"]["pack"]["max_concurrent_runs_limit"] == 10


async def test_the_cekura_sdk_ends_calls(play, at_sandbox):
    caller = at_sandbox(await play(call_seconds=(2000.0, 2000.0)))
    first, second = [await caller.submit(await caller.ready()) for _ in range(2)]
    await caller.run_until(first, "in_progress")
    async with AsyncCekura() as cekura:
        await cekura.runs.end_call(first["runs"][0]["id"])
        await cekura.results.end_calls(second["id"])

    assert (await caller.judged(first))[0]["status"] == "cancelled"
    assert (await caller.judged(second))[0]["status"] == "cancelled"
    assert caller.sandbox.world()["cut_short"] == []


@pytest.mark.parametrize(
    ("method", "body", "runs"),
    [
        ("run_pipecat_v2", {"scenarios": [{"scenario": 101}], "frequency": 2}, 2),
        ("run_livekit_v2", {"scenarios": [{"scenario": 201}], "personality_ids": [1, 2]}, 2),
        ("run", {"agent_id": 7, "tags": ["smoke"]}, 2),
    ],
)
async def test_the_cekura_sdk_runs_an_automated_channel_and_waits_for_its_result(play, at_sandbox, method, body, runs):
    caller = at_sandbox(await play())
    async with AsyncCekura() as cekura:
        submitted = await getattr(cekura.scenarios, method)(name="nightly", **body)
        result = await cekura.results.wait(submitted["id"], poll_interval=0.02)
        listed = await cekura.results.list(search="night")

    assert (result["status"], result["name"], result["total_runs_count"]) == ("completed", "nightly", str(runs))
    assert [one["id"] for one in listed["results"]] == [submitted["id"]]
    assert caller.sandbox.world()["sessions"]["started"] == 0


async def test_the_cekura_sdk_reads_the_catalogue(play, at_sandbox):
    at_sandbox(await play())
    async with AsyncCekura() as cekura:
        listed = await cekura.scenarios.list(agent_id=5, tags="smoke,billing", tag_filter_type="and")
        scenario = await cekura.scenarios.get(102)
        folders = await cekura.scenarios.list_folders(project_id=2)
        agent = await cekura.agents.get(6)

    assert [one["id"] for one in listed["results"]] == [102]
    assert scenario["name"] == "Refund"
    assert [one["path"] for one in folders] == ["support", "support.orders"]
    assert agent["provider"]["type"] == "livekit"


async def test_the_cekura_sdk_hears_why_a_submission_is_refused(play, at_sandbox):
    at_sandbox(await play())
    async with AsyncCekura() as cekura:
        with pytest.raises(CekuraError) as refused:
            await cekura.scenarios.run_pipecat_v2(scenarios=[{"scenario": 101}], personality_ids=[9])

    assert "Invalid personalities provided." in str(refused.value) + str(vars(refused.value))


async def test_pipecats_daily_helper_makes_a_room_a_token_and_deletes_it(play):
    caller = await play()
    async with aiohttp.ClientSession() as http:
        helper = DailyRESTHelper(
            daily_api_key="daily_sandbox", daily_api_url=f"{caller.sandbox.url}/v1", aiohttp_session=http
        )
        room = await helper.create_room(DailyRoomParams(properties=DailyRoomProperties(eject_at_room_exp=True)))
        token = await helper.get_token(
            room.url, params=DailyMeetingTokenParams(properties=DailyMeetingTokenProperties(user_id="mark"))
        )
        found = await helper.get_room_from_url(room.url)
        properties = (await caller.http.get(f"/v1/meeting-tokens/{token}", headers=caller.daily)).json()
        deleted = await helper.delete_room_by_url(room.url)

    assert (found.name, found.config.eject_at_room_exp) == (room.name, True)
    assert (properties["room_name"], properties["user_id"], properties["is_owner"]) == (room.name, "mark", True)
    assert deleted
    assert caller.sandbox.world()["rooms"] == {"created": 1, "alive": [], "deleted": 1, "expired": 0}


def test_the_sandbox_knows_every_property_of_pipecats_models():
    assert set(DailyRoomProperties.model_fields) <= set(ROOM)
    assert set(DailyMeetingTokenProperties.model_fields) <= set(TOKEN)
