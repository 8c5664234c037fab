"""The runner's client: its happy path on the sandbox and its quirks."""

import httpx
import pytest

from orchestrator.clients.pipecat_runner import DIALECT, SHARED_ROOM_ADVICE, PipecatRunnerClient
from orchestrator.domain.errors import OutcomeUnknown, RemoteNotFound, RemoteRejected, RemoteUnavailable
from orchestrator.domain.observation import StartRequest

REQUEST = StartRequest(body={}, room_properties={}, token_properties={})


def runner(door, target):
    return PipecatRunnerClient(door(target, headers={}, dialect=DIALECT), daily_api_url="https://api.daily.co/v1")


async def test_a_runner_starts_a_session_in_the_users_own_domain(world):
    place = await world()
    started = await place.runner.start_session(REQUEST)
    assert started.session_id
    assert started.meeting_token
    assert started.room_url.startswith("http://sandbox.localhost:")
    assert "daily" in await place.runner.get_status()
    assert (place.runner.observable, place.runner.stoppable, place.runner.token_seconds) == (False, False, 7200.0)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("start.null=1", "a bot runs in a room we were not told"),
        ("start.plain_error=1", "Internal Server Error"),
        ("start.lost_answer=1", "connection broke"),
    ],
)
async def test_what_a_runner_leaves_unclear_is_an_unknown_outcome(world, fault, words):
    place = await world(faults=(fault,))
    with pytest.raises(OutcomeUnknown, match=words) as unknown:
        await place.runner.start_session(REQUEST)
    assert "idle timeout" in unknown.value.next_step


async def test_a_runners_session_without_a_room_we_can_use_is_named(door):
    body = {"sessionId": "s-9", "dailyRoom": "https://evil.example/r", "dailyToken": "t"}
    with pytest.raises(OutcomeUnknown) as unknown:
        await runner(door, lambda _: httpx.Response(200, json=body)).start_session(REQUEST)
    assert unknown.value.session_id == "s-9"


async def test_a_wrong_transport_is_refused_with_its_reason(door):
    client = runner(door, lambda _: httpx.Response(400, json={"detail": "Transport daily is disabled"}))
    with pytest.raises(RemoteRejected, match="Transport daily is disabled"):
        await client.start_session(REQUEST)


async def test_a_url_that_is_no_runner_says_which_key_of_the_plan_to_mend(door):
    with pytest.raises(RemoteNotFound) as missing:
        await runner(door, lambda _: httpx.Response(404, text="nginx")).start_session(REQUEST)
    assert "agent.url" in missing.value.next_step


async def test_a_runner_that_is_down_did_nothing(door, closed_port):
    with pytest.raises(RemoteUnavailable):
        await runner(door, closed_port).start_session(REQUEST)


def test_the_shared_room_advice_names_the_variable():
    assert "DAILY_ROOM_URL" in SHARED_ROOM_ADVICE
