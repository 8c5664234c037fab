"""What a private key reaches across agents, against the sandbox and with odd answers."""

import httpx
import pytest

from orchestrator.clients.pipecat_account import PipecatCloudAccount
from orchestrator.clients.pipecat_cloud import PRIVATE
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import RemoteAuthFailed, RemoteProtocolError
from orchestrator.domain.observation import StartRequest
from orchestrator.settings import load_settings

REQUEST = StartRequest(body={}, room_properties={}, token_properties={})


async def test_the_agents_of_the_account_are_listed_by_name(world):
    place = await world()
    await place.cloud.start_session(REQUEST)
    account = PipecatCloudAccount.open(load_settings(place.sandbox.environment()), clock=SystemClock())

    assert await account.list_agents() == [place.cloud.agent_name]
    await account.aclose()


async def test_without_a_private_key_there_is_no_account():
    assert PipecatCloudAccount.open(load_settings({}), clock=SystemClock()) is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"error": "Unauthorized", "code": "401"}, RemoteAuthFailed),
        (200, {"agents": []}, RemoteProtocolError),
        (200, {"services": None}, RemoteProtocolError),
    ],
)
async def test_an_answer_without_a_list_is_never_read_as_no_agents(door, status, body, error):
    account = PipecatCloudAccount(door(lambda _: httpx.Response(status, json=body), dialect=PRIVATE))

    with pytest.raises(error):
        await account.list_agents()


async def test_an_entry_without_a_name_is_passed_over(door):
    body = {"services": [{"id": "1"}, {"name": "support-bot"}]}
    account = PipecatCloudAccount(door(lambda _: httpx.Response(200, json=body), dialect=PRIVATE))

    assert await account.list_agents() == ["support-bot"]
