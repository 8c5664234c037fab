"""What a door learns of a remote's rate limit: from which refusals, for whom, and how few it then still meets."""

import asyncio

import httpx
import pytest

from orchestrator.clients.pace import Pace
from orchestrator.clients.pipecat_cloud import PRIVATE, PUBLIC, KeyPaces, PipecatCloudClient
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import RemoteBusy
from orchestrator.domain.observation import StartRequest
from tests.support.hand_clock import HandClock

RATE = httpx.Response(429, json={"error": "rate-limit-error"})
RATE_WITH_WAIT = httpx.Response(429, json={"error": "rate-limit-error"}, headers={"Retry-After": "30"})
FULL = httpx.Response(429, json={"code": "PCC-AGENT-AT-CAPACITY"}, headers={"Retry-After": "30"})
EITHER = httpx.Response(429, json={"code": "429", "message": "Rate limit exceeded. Please try again later"})
EMPTY = StartRequest(body={}, room_properties={}, token_properties={})


@pytest.mark.parametrize(
    ("answer", "dialect", "left", "held"),
    [
        (RATE, PRIVATE, 0.5, False),
        (RATE_WITH_WAIT, PRIVATE, 0.5, True),
        (FULL, PUBLIC, 1.0, False),
        (EITHER, PUBLIC, 1.0, False),
    ],
    ids=["rate", "rate with Retry-After", "capacity", "nobody can tell"],
)
async def test_only_a_refusal_for_the_rate_slows_a_key_down(door, answer, dialect, left, held):
    clock, pace = HandClock(), Pace(rate=100.0, burst=100)
    http = door(lambda _: answer, pace=pace, dialect=dialect, clock=clock)
    with pytest.raises(RemoteBusy):
        await http.act("POST", "/x", operation="start")
    assert pace.rate(clock) == 100.0 * left
    before = clock.at
    assert (await pace.wait(clock) - before >= 30.0) is held


async def test_paid_and_unpaid_calls_of_a_key_share_what_was_learned(door):
    answers = [RATE_WITH_WAIT, httpx.Response(200, json={})]
    clock = HandClock()
    http = door(lambda _: answers.pop(0), pace=Pace(rate=100.0, burst=100), clock=clock)
    with pytest.raises(RemoteBusy):
        await http.read("GET", "/runs", operation="poll")
    before = clock.at
    await http.act("POST", "/submit", operation="submit")
    assert clock.at - before == 30.0


async def test_a_stop_does_not_wait_behind_polls(door):
    asked = []

    def handler(request):
        asked.append(request.url.path)
        return httpx.Response(200, json={})

    http = door(handler, pace=Pace(rate=20.0))
    polls = [asyncio.create_task(http.read("GET", "/poll", operation="poll")) for _ in range(10)]
    await asyncio.sleep(0)
    await http.read("DELETE", "/stop", operation="stop", urgent=True)
    assert asked.index("/stop") <= 2
    await asyncio.gather(*polls)


async def test_a_limit_lower_than_documented_is_learned_from_a_few_refusals(world):
    """Somebody else uses up most of Daily's limit on the same key: a tenth of it is left to us."""
    place = await world(daily_requests=(10, 5.0))
    room = await place.daily.create_room()
    refused = 0

    async def ask(times):
        nonlocal refused
        while times:
            try:
                await place.daily.get_room(room.name)
            except RemoteBusy:
                refused += 1
            else:
                times -= 1

    async with asyncio.timeout(60):
        await asyncio.gather(*(ask(20) for _ in range(5)))
    assert 1 <= refused <= 40
    assert place.sandbox.world()["requests"]["room_get"] == 100 + refused


async def test_agents_under_the_same_keys_share_their_pace(world):
    place = await world(faults=("session_get.busy=1",))
    clock, paces, before = SystemClock(), KeyPaces.at(1.0), KeyPaces.at(1.0)
    first, second = (
        PipecatCloudClient.open(place.settings, agent_name=name, clock=clock, paces=paces)
        for name in ("support-bot", "sales-bot")
    )
    try:
        with pytest.raises(RemoteBusy):
            await first.get_session("any")
        assert paces.private.rate(clock) < before.private.rate(clock)
        assert paces.public.rate(clock) == before.public.rate(clock)
        await second.start_session(EMPTY)
    finally:
        await first.aclose()
        await second.aclose()
