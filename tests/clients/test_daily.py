"""Daily's client on the sandbox's two domains, and which key may call a room gone."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from orchestrator.clients.daily import DailyClient, DailyDomains, _dialect
from orchestrator.clients.room import parse_room_url
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import (
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteNotFound,
    RemoteProtocolError,
    RemoteRejected,
    RemoteUnavailable,
)
from orchestrator.domain.observation import StartRequest
from orchestrator.settings import load_settings

REQUEST = StartRequest(body={}, room_properties={}, token_properties={"user_id": "mark-1"})


def soon(seconds=600):
    return datetime.now(UTC) + timedelta(seconds=seconds)


def daily(door, target):
    return DailyClient(door(target, dialect=_dialect("DAILY_API_KEY")), label="DAILY_API_KEY")


def address(place, url):
    return parse_room_url(url, daily_api_url=place.settings.daily_api_url)


async def test_a_room_is_made_seen_changed_and_deleted(world):
    place = await world()
    end = soon()
    made = await place.daily.create_room(name="room-1", properties={"exp": int(end.timestamp())})
    assert (made.name, made.privacy, made.expires_at) == ("room-1", "private", end.replace(microsecond=0))
    assert place.daily.domain == "sandbox"
    later = soon(1200)
    changed = await place.daily.update_room("room-1", expires_at=later, eject_at_expiry=True)
    assert (changed.expires_at, changed.eject_at_expiry) == (later.replace(microsecond=0), True)
    assert await place.daily.get_room("room-1") == changed
    assert [room.name for room in await place.daily.list_rooms()] == ["room-1"]
    assert await place.daily.create_meeting_token(room_name="room-1", expires_at=end, user_id="u-1")
    await place.daily.delete_room("room-1")
    with pytest.raises(RemoteNotFound):
        await place.daily.get_room("room-1")
    with pytest.raises(RemoteNotFound):
        await place.daily.delete_room("room-1")


async def test_an_expired_room_counts_as_deleted(world):
    place = await world()
    await place.daily.create_room(name="short")
    await place.daily.update_room("short", expires_at=soon(-5))
    with pytest.raises(RemoteNotFound):
        await place.daily.get_room("short")
    await place.daily.delete_room("short")


async def test_rooms_are_listed_over_many_pages_and_deleted_in_bulk(world):
    place = await world()
    names = [f"room-{index}" for index in range(105)]
    for name in names:
        await place.daily.create_room(name=name)
    assert {room.name for room in await place.daily.list_rooms()} == set(names)
    assert await place.daily.delete_rooms(names) == 105
    assert await place.daily.list_rooms() == []
    assert await place.daily.delete_rooms([]) == 0
    with pytest.raises(ValueError, match="at most 1000"):
        await place.daily.delete_rooms(["x"] * 1001)


async def test_a_bot_is_seen_by_its_mark_and_ejected(world, until):
    place = await world(presence_lag=0.0, room_presence_lag=0.0, join_seconds=(0.1, 0.2))
    started = await place.cloud.start_session(REQUEST)
    room = address(place, started.room_url)
    client = await place.domains.client_for(room)
    seen = await until(lambda: client.presence(room.name), bool)
    assert [(person.user_id, person.room_name) for person in seen] == [("mark-1", room.name)]
    assert (await client.presence_all())[room.name] == seen
    await client.eject(room.name, [seen[0].participant_id])
    assert await until(lambda: client.presence(room.name), lambda people: not people) == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("room_get.busy=1", RemoteBusy),
        ("room_get.error=1", RemoteUnavailable),
        ("room_get.html=1", RemoteUnavailable),
        ("room_get.lost_answer=1", RemoteUnavailable),
        ("room_get.truncated=1", RemoteUnavailable),
        ("room_get.not_json=1", RemoteProtocolError),
        ("room_get.wrong_type=1", RemoteProtocolError),
        ("room_get.oversized=1", RemoteProtocolError),
        ("room_get.refused=1", RemoteAuthFailed),
    ],
)
async def test_each_fault_of_a_read_has_its_error(world, fault, kind):
    place = await world(faults=(fault,))
    await place.daily.create_room(name="room-1")
    with pytest.raises(kind) as raised:
        await place.daily.get_room("room-1")
    assert raised.value.next_step or fault == "room_get.oversized=1"
    assert (await place.daily.get_room("room-1")).name == "room-1"


@pytest.mark.parametrize("fault", ["lost_answer", "error", "wrong_type", "truncated"])
async def test_a_room_whose_making_was_not_answered_may_exist(world, fault):
    place = await world(faults=(f"room_create.{fault}=1",))
    with pytest.raises(OutcomeUnknown):
        await place.daily.create_room(name="room-1")


@pytest.mark.parametrize("fault", ["presence.wrong_type=1", "presence_all.wrong_type=1", "room_list.wrong_type=1"])
async def test_a_list_of_another_shape_is_never_read_as_nobody(world, fault):
    place = await world(faults=(fault,))
    await place.daily.create_room(name="room-1")
    calls = {"presence": place.daily.presence("room-1"), "presence_all": place.daily.presence_all()}
    chosen = calls.pop(fault.partition(".")[0], None) or place.daily.list_rooms()
    for unused in calls.values():
        unused.close()
    with pytest.raises(RemoteProtocolError):
        await chosen


async def test_only_a_batch_that_says_how_many_is_believed(door):
    with pytest.raises(RemoteProtocolError, match="how many"):
        await daily(door, lambda _: httpx.Response(200, json={})).delete_rooms(["a"])


async def test_a_duplicate_name_is_refused_with_its_reason(world):
    place = await world()
    await place.daily.create_room(name="room-1")
    with pytest.raises(RemoteRejected):
        await place.daily.create_room(name="room-1")


async def test_a_key_is_asked_only_for_rooms_of_its_domain(world):
    place = await world()
    own_url = (await place.daily.create_room(name="mine")).url
    cloud_url = (await place.cloud.start_session(REQUEST)).room_url
    own = await place.domains.client_for(address(place, own_url))
    cloud = await place.domains.client_for(address(place, cloud_url))
    assert (own.domain, cloud.domain) == ("sandbox", "cloud-sandbox")
    assert own is not cloud


async def test_a_key_that_showed_a_room_may_call_it_gone(world):
    place = await world()
    room = address(place, (await place.daily.create_room(name="mine")).url)
    client = await place.domains.client_for(room)
    await client.delete_room(room.name)
    assert await place.domains.client_for(room) is client
    place.domains.forget(room)
    assert await place.domains.client_for(room) is None


async def test_a_key_that_never_showed_a_room_may_not_call_it_gone(world):
    place = await world()
    settings = load_settings(place.sandbox.environment() | {"ORCHESTRATOR_DAILY_KEYS": ""})
    domains = DailyDomains.open(settings, clock=SystemClock(), pace_scale=50)
    room = address(place, (await place.cloud.start_session(REQUEST)).room_url)
    assert await domains.client_for(room) is None
    assert domains.clients[0].domain is None
    await domains.aclose()


async def test_a_room_of_the_same_name_on_another_domain_proves_nothing(door):
    shown = {"id": "1", "name": "twin", "url": "https://mine.daily.co/twin", "privacy": "public", "config": {}}
    domains = DailyDomains(daily(door, lambda _: httpx.Response(200, json=shown)), {})
    twin = parse_room_url("https://theirs.daily.co/twin", daily_api_url="https://api.daily.co/v1")
    assert await domains.client_for(twin) is None
    own = parse_room_url("https://mine.daily.co/twin", daily_api_url="https://api.daily.co/v1")
    assert await domains.client_for(own) is domains.clients[0]


async def test_a_key_whose_domain_is_known_is_not_asked_about_others(door):
    asked = []

    def handler(request):
        asked.append(request.url.path)
        shown = {"id": "1", "name": "r", "url": "https://mine.daily.co/r", "privacy": "public", "config": {}}
        return httpx.Response(200, json=shown)

    domains = DailyDomains(daily(door, handler), {})
    for host in ("mine", "theirs"):
        await domains.client_for(parse_room_url(f"https://{host}.daily.co/r", daily_api_url="https://api.daily.co/v1"))
    assert asked == ["/rooms/r"]


async def test_a_wrong_key_is_said_only_where_no_other_key_knows_the_room(door):
    shown = {"id": "1", "name": "r", "url": "https://mine.daily.co/r", "privacy": "public", "config": {}}
    good = daily(door, lambda _: httpx.Response(200, json=shown))
    bad = daily(door, lambda _: httpx.Response(401, json={"error": "authentication-error"}))
    room = parse_room_url("https://mine.daily.co/r", daily_api_url="https://api.daily.co/v1")
    assert await DailyDomains(good, {"mine": bad}).client_for(room) is good
    with pytest.raises(RemoteAuthFailed, match="authentication-error"):
        await DailyDomains(bad, {}).client_for(room)


async def test_without_any_key_no_room_is_ours_to_ask_about():
    room = parse_room_url("https://mine.daily.co/r", daily_api_url="https://api.daily.co/v1")
    assert await DailyDomains(None, {}).client_for(room) is None


async def test_ejection_goes_in_groups_of_a_hundred(door):
    sizes = []

    def handler(request):
        sizes.append(len(httpx.Response(200, content=request.content).json()["ids"]))
        return httpx.Response(200, json={"ejectedIds": []})

    await daily(door, handler).eject("room", [f"p-{index}" for index in range(250)])
    assert sizes == [100, 100, 50]
