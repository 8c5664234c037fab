"""The attend endpoint: a process is in a room for as long as its socket is open, and is told what happens there."""

import asyncio

import aiohttp
import pytest


@pytest.fixture
async def attend(opened):
    """Opens a socket into a room."""
    http = await opened.enter_async_context(aiohttp.ClientSession())

    async def open_socket(caller, **query):
        return await opened.enter_async_context(http.ws_connect(f"{caller.sandbox.url}/sandbox/attend", params=query))

    return open_socket


async def heard(socket, *events):
    """The next message that is one of these events."""
    async with asyncio.timeout(5):
        while True:
            message = await socket.receive_json()
            if message["event"] in events:
                return message


async def room_of(caller, **body):
    return (await caller.http.post("/v1/rooms", json=body, headers=caller.daily)).json()


async def users(caller, room):
    answer = await caller.http.get(f"/v1/rooms/{room['name']}/presence", headers=caller.daily)
    return [entry["userName"] for entry in answer.json()["data"]]


async def test_presence_lasts_while_the_socket_is_open(play, attend):
    caller = await play()
    room = await room_of(caller, name="mine")

    socket = await attend(caller, room="mine", user_name="Example Bot")
    joined = await heard(socket, "joined")
    during = await users(caller, room)
    await socket.close()

    async def gone():
        return await users(caller, room) == []

    assert (joined["participant"]["user_name"], joined["participants"]) == ("Example Bot", [])
    assert during == ["Example Bot"]
    await caller.eventually(gone)


async def test_a_real_bot_hears_the_tester_come_speak_and_go(play, attend):
    caller = await play()
    room = await room_of(caller, name="mine")
    socket = await attend(caller, room=room["url"], user_name="Example Bot")

    submission = await caller.submit({"dailyRoom": room["url"], "dailyToken": None}, message={"run": "o-1"})

    assert (await heard(socket, "participant-joined"))["participant"]["is_tester"] is True
    assert (await heard(socket, "app-message"))["data"] == {"run": "o-1"}
    assert (await heard(socket, "participant-left"))["reason"] == "left"
    assert (await caller.judged(submission))[0]["success"] is True


async def test_attending_bots_leave_starting_to_real_processes(play, attend):
    caller = await play(bots="attending")
    session = await caller.start(dailyMeetingTokenProperties={"user_id": "mark"})
    assert await caller.present(session) == []

    socket = await attend(caller, room=session["dailyRoom"], token=session["dailyToken"])
    await heard(socket, "joined")
    (entry,) = await caller.present(session)
    record = f"/v1/agents/bot/sessions/{session['sessionId']}"
    shown = (await caller.http.get(record, headers=caller.private)).json()
    await caller.stop(session)

    assert entry["userId"] == "mark"
    assert shown["botStartSeconds"] is not None
    assert shown["meetingIds"] == [{"participantId": entry["id"], "meetingId": entry["mtgSessionId"]}]
    assert (await heard(socket, "ejected"))["reason"] == "session stopped"


async def test_an_ejected_client_is_told_hung_up_on_and_seen_coming_back(play, attend):
    caller = await play()
    room = await room_of(caller, name="mine")
    socket = await attend(caller, room="mine", user_name="Stubborn Bot")
    ids = [(await heard(socket, "joined"))["participant"]["id"]]

    await caller.http.post("/v1/rooms/mine/eject", json={"ids": ids}, headers=caller.daily)
    assert (await heard(socket, "ejected"))["reason"] == "ejected"
    assert await users(caller, room) == []
    async with asyncio.timeout(5):
        assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
    assert (await caller.world())["attending_after_ejection"] == []

    again = await attend(caller, room="mine", user_name="Stubborn Bot")
    await heard(again, "joined")
    (back,) = (await caller.world())["attending_after_ejection"]
    assert (back["room"], back["user_name"]) == ("mine", "Stubborn Bot")


async def test_a_deleted_room_tells_its_people_and_lets_nobody_back(play, attend):
    caller = await play()
    await room_of(caller, name="mine")
    socket = await attend(caller, room="mine")
    await heard(socket, "joined")

    await caller.http.delete("/v1/rooms/mine", headers=caller.daily)

    assert (await heard(socket, "room-deleted"))["reason"] == "room deleted"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await attend(caller, room="mine")
    assert refused.value.status == 404


async def test_a_private_room_needs_a_token(play, attend):
    caller = await play()
    await room_of(caller, name="mine", privacy="private")
    minted = await caller.http.post(
        "/v1/meeting-tokens", json={"properties": {"room_name": "mine"}}, headers=caller.daily
    )

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await attend(caller, room="mine")
    socket = await attend(caller, room="mine", token=minted.json()["token"])

    assert refused.value.status == 403
    assert await heard(socket, "joined")


async def test_a_full_room_lets_nobody_in(play, attend):
    caller = await play()
    await room_of(caller, name="mine", properties={"max_participants": 1})
    await heard(await attend(caller, room="mine"), "joined")

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await attend(caller, room="mine")

    assert refused.value.status == 403


async def test_participants_talk_to_each_other(play, attend):
    caller = await play()
    await room_of(caller, name="mine")
    first = await attend(caller, room="mine", user_name="first")
    second = await attend(caller, room="mine", user_name="second")

    await second.send_str("no json")
    await second.send_json({"event": "app-message", "data": {"bot": "ready"}})

    assert (await heard(first, "app-message"))["data"] == {"bot": "ready"}


async def test_a_token_may_put_its_owner_out_by_its_own_time(play, attend):
    caller = await play()
    await room_of(caller, name="mine", properties={"eject_at_room_exp": True})
    minted = await caller.http.post(
        "/v1/meeting-tokens",
        json={"properties": {"room_name": "mine", "eject_after_elapsed": 1}},
        headers=caller.daily,
    )

    socket = await attend(caller, room="mine", token=minted.json()["token"])
    await caller.http.post("/v1/rooms/mine", json={"properties": {"exp": 1}}, headers=caller.daily)

    # The room's expiry does not reach somebody whose token has its own rule; a second later the token does.
    assert (await heard(socket, "ejected"))["reason"] == "ejected"


async def test_people_in_a_room_that_expires_without_ejection_stay(play, attend):
    caller = await play()
    await room_of(caller, name="mine")
    socket = await attend(caller, room="mine")
    await heard(socket, "joined")

    await caller.http.post("/v1/rooms/mine", json={"properties": {"exp": 1}}, headers=caller.daily)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await heard(socket, "ejected", "room-deleted")
    assert not socket.closed


async def test_closing_the_sandbox_hangs_up_on_everybody(play, attend, opened):
    caller = await play()
    await room_of(caller, name="mine")
    socket = await attend(caller, room="mine")
    await heard(socket, "joined")

    await caller.sandbox.__aexit__(None, None, None)

    async with asyncio.timeout(5):
        assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
