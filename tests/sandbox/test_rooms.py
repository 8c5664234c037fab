"""Daily as documented: two domains, expiry, presence and its staleness, ejection, deletion, limits."""

import time

import pytest


@pytest.fixture
def make_room():
    async def make(caller, headers=None, **body):
        answer = await caller.http.post("/v1/rooms", json=body, headers=headers or caller.daily)
        answer.raise_for_status()
        return answer.json()

    return make


async def test_a_key_reaches_only_the_rooms_of_its_own_domain(play, make_room):
    caller = await play()
    mine = await make_room(caller, name="mine")
    session = await caller.start()
    theirs = caller.room_name(session)

    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/presence"), ("POST", "/eject"), ("POST", "")):
        answer = await caller.http.request(method, f"/v1/rooms/{theirs}{path}", headers=caller.daily)
        assert answer.status_code == 404, (method, path)
    assert mine["url"] == f"http://sandbox.localhost:{caller.sandbox.port}/mine"
    assert (await caller.http.get("/v1/rooms/mine", headers=caller.daily)).json() == mine
    assert (await caller.http.get("/v1/rooms/mine", headers=caller.cloud_daily)).status_code == 404
    assert (await caller.http.get(f"/v1/rooms/{theirs}", headers=caller.cloud_daily)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"name": "no spaces"},
        {"name": "x" * 129},
        {"privacy": "secret"},
        {"properties": {"max_participants": "many"}},
        {"properties": {"eject_at_rom_exp": True}},
        {"properties": {"exp": True}},
        {"properties": []},
    ],
)
async def test_a_room_that_daily_would_refuse_is_refused(play, body):
    caller = await play()

    answer = await caller.http.post("/v1/rooms", json=body, headers=caller.daily)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid-request-error")
    assert caller.sandbox.world()["rooms"]["created"] == 0


async def test_a_name_is_taken_while_its_room_lives(play, make_room):
    caller = await play()
    await make_room(caller, name="taken")

    again = await caller.http.post("/v1/rooms", json={"name": "taken"}, headers=caller.daily)
    await caller.http.delete("/v1/rooms/taken", headers=caller.daily)

    assert again.status_code == 400
    assert (await make_room(caller, name="taken"))["name"] == "taken"


async def test_rooms_are_listed_newest_first_and_paged_by_id(play, make_room):
    caller = await play()
    rooms = [await make_room(caller, name=f"room-{number}") for number in range(5)]

    async def names(**params):
        answer = await caller.http.get("/v1/rooms", params=params, headers=caller.daily)
        return [room["name"] for room in answer.json()["data"]]

    assert await names(limit=2) == ["room-4", "room-3"]
    assert await names(limit=2, starting_after=rooms[3]["id"]) == ["room-2", "room-1"]
    assert await names(ending_before=rooms[3]["id"]) == ["room-4"]
    assert (await caller.http.get("/v1/rooms", params={"limit": "x"}, headers=caller.daily)).status_code == 400


async def test_an_expired_room_counts_as_deleted_and_puts_everybody_out(play):
    caller = await play()
    exp = time.time() + 0.6
    session = await caller.ready(dailyRoomProperties={"exp": exp, "eject_at_room_exp": True})
    path = f"/v1/rooms/{caller.room_name(session)}"

    async def gone():
        return (await caller.http.get(path, headers=caller.cloud_daily)).status_code == 404

    await caller.eventually(gone)
    deleted = await caller.http.delete(path, headers=caller.cloud_daily)
    assert (deleted.status_code, deleted.json()["deleted"]) == (404, True)
    assert (await caller.http.delete("/v1/rooms/never-was", headers=caller.cloud_daily)).json().get("deleted") is None
    world = caller.sandbox.world()
    assert (world["rooms"]["expired"], world["rooms"]["alive"]) == (1, [])
    assert len(world["sessions"]["alive"]) == 1, "losing its room does not end a session"


async def test_moving_the_expiry_ends_a_room_and_later_keeps_it(play, make_room):
    caller = await play()
    await make_room(caller, name="later", properties={"exp": time.time() + 0.4})
    await make_room(caller, name="sooner", properties={"exp": time.time() + 60})

    async def move(name, exp):
        return await caller.http.post(f"/v1/rooms/{name}", json={"properties": {"exp": exp}}, headers=caller.daily)

    await move("later", time.time() + 60)
    await move("sooner", time.time() - 1)

    async def ended():
        return (await caller.http.get("/v1/rooms/sooner", headers=caller.daily)).status_code == 404

    await caller.eventually(ended)
    first_expiry = time.time() + 0.45
    await caller.eventually(lambda: time.time() > first_expiry)
    assert (await caller.http.get("/v1/rooms/later", headers=caller.daily)).status_code == 200


async def test_rooms_are_deleted_in_bulk_and_unknown_names_are_passed_over(play, make_room):
    caller = await play()
    names = [(await make_room(caller))["name"] for _ in range(3)]

    async def delete(rooms):
        return await caller.http.request("DELETE", "/v1/batch/rooms", json={"rooms": rooms}, headers=caller.daily)

    assert (await delete([*names, "never-was"])).json() == {"deleted_count": 3}
    assert (await delete(["x"] * 1001)).status_code == 400
    assert (await delete("all")).status_code == 400
    assert caller.sandbox.world()["rooms"]["alive"] == []


async def test_a_bulk_deletion_can_be_all_or_nothing(play, make_room):
    caller = await play(faults=("rooms_delete.all_or_nothing=1",))
    name = (await make_room(caller))["name"]

    answer = await caller.http.request(
        "DELETE", "/v1/batch/rooms", json={"rooms": [name, "never-was"]}, headers=caller.daily
    )

    assert answer.status_code == 400
    assert len(caller.sandbox.world()["rooms"]["alive"]) == 1


async def test_presence_exists_only_while_the_bot_attends(play):
    caller = await play(join_seconds=(200.0, 200.0))  # two seconds: time enough to look before
    session = await caller.start(dailyMeetingTokenProperties={"user_id": "mark"})
    before = await caller.present(session)

    entry = await caller.bot_joined(session)
    everywhere = (await caller.http.get("/v1/presence", headers=caller.cloud_daily)).json()
    await caller.stop(session)
    after = await caller.present(session)

    assert (before, after) == ([], [])
    assert (entry["userId"], entry["room"]) == ("mark", caller.room_name(session))
    assert everywhere == {caller.room_name(session): [entry]}


async def test_presence_can_be_asked_for_one_user(play):
    caller = await play()
    session = await caller.ready(dailyMeetingTokenProperties={"user_id": "mark"})
    path = f"/v1/rooms/{caller.room_name(session)}/presence"

    found = await caller.http.get(path, params={"userId": "mark"}, headers=caller.cloud_daily)
    missed = await caller.http.get(path, params={"userId": "other"}, headers=caller.cloud_daily)

    assert (found.json()["total_count"], missed.json()["total_count"]) == (1, 0)


async def test_a_provider_may_not_carry_the_mark(play):
    caller = await play(carries_mark=False)

    session = await caller.start(dailyMeetingTokenProperties={"user_id": "mark"})

    assert (await caller.bot_joined(session))["userId"] != "mark"


async def test_a_tester_with_the_sessions_own_token_carries_the_bots_mark_too(play):
    """The reason to mint a token of its own for the tester: by the mark alone the two cannot be told apart."""
    caller = await play(call_seconds=(100_000.0, 100_000.0))
    session = await caller.ready(dailyMeetingTokenProperties={"user_id": "mark"})

    await caller.run_until(await caller.submit(session), "in_progress")

    assert [(entry["userId"], entry["userName"]) for entry in await caller.present(session)] == [
        ("mark", "Pipecat Bot"),
        ("mark", "Cekura"),
    ]


async def test_both_presences_lag_behind(play):
    """The lags are far longer than the test, so a bot that joined just now cannot show up yet."""
    caller = await play(presence_lag=1e7, room_presence_lag=1e7)
    session = await caller.start()
    record = f"/v1/agents/bot/sessions/{session['sessionId']}"

    async def joined():
        return (await caller.http.get(record, headers=caller.private)).json()["botStartSeconds"] is not None

    await caller.eventually(joined)
    assert await caller.present(session) == []
    assert (await caller.http.get("/v1/presence", headers=caller.cloud_daily)).json() == {}


async def test_an_ejected_bot_is_gone_but_its_session_lives(play):
    caller = await play()
    session = await caller.ready(dailyMeetingTokenProperties={"user_id": "mark"})
    path = f"/v1/rooms/{caller.room_name(session)}/eject"

    nobody = await caller.http.post(path, json={"ids": ["never-was"]}, headers=caller.cloud_daily)
    somebody = await caller.http.post(path, json={"user_ids": ["mark"]}, headers=caller.cloud_daily)

    assert nobody.json() == {"ejectedIds": []}
    assert len(somebody.json()["ejectedIds"]) == 1
    assert await caller.present(session) == []
    assert len(caller.sandbox.world()["sessions"]["alive"]) == 1


async def test_an_ejection_can_be_ignored(play):
    caller = await play(faults=("eject.ignored=1",))
    session = await caller.ready()
    (entry,) = await caller.present(session)

    answer = await caller.http.post(
        f"/v1/rooms/{entry['room']}/eject", json={"ids": [entry["id"]]}, headers=caller.cloud_daily
    )

    assert answer.json() == {"ejectedIds": []}
    assert len(await caller.present(session)) == 1


async def test_daily_limits_requests_and_single_deletions(play):
    caller = await play(speed=1.0, daily_requests=(3, 60.0), daily_deletes=(2, 60.0))

    listed = [(await caller.http.get("/v1/rooms", headers=caller.daily)).status_code for _ in range(4)]
    deleted = [(await caller.http.delete("/v1/rooms/x", headers=caller.daily)).status_code for _ in range(3)]
    refused = (await caller.http.get("/v1/rooms", headers=caller.daily)).json()
    other_key = await caller.http.get("/v1/rooms", headers=caller.cloud_daily)

    assert listed == [200, 200, 200, 429]
    assert deleted == [404, 404, 429]
    assert refused["error"] == "rate-limit-error"
    assert other_key.status_code == 200


async def test_limits_pass_with_the_sandboxs_own_time(play):
    caller = await play(daily_requests=(1, 5.0))
    await caller.http.get("/v1/rooms", headers=caller.daily)

    async def free_again():
        return (await caller.http.get("/v1/rooms", headers=caller.daily)).status_code == 200

    await caller.eventually(free_again)
