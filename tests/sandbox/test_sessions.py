"""Pipecat Cloud and the runner: how sessions start, fill the agent, and end."""

import time

import pytest


async def test_a_full_agent_refuses_and_has_room_again_after_a_stop(play):
    caller = await play(max_sessions=2)
    first = await caller.start()
    await caller.start()

    full = await caller.http.post("/v1/public/bot/start", json={"createDailyRoom": True}, headers=caller.public)
    other = await caller.start(agent="other-bot")
    await caller.stop(first)

    assert full.status_code == 429
    assert full.json() == {"status": 429, "code": "429", "message": "Rate limit exceeded. Please try again later"}
    assert other["sessionId"]
    assert (await caller.start())["sessionId"]


async def test_a_start_body_over_one_megabyte_is_refused(play):
    caller = await play()

    just_right, too_large = [
        await caller.http.post("/v1/public/bot/start", json={"body": {"x": "x" * size}}, headers=caller.public)
        for size in (1_000_000 - len('{"x":""}'), 1_000_000)
    ]

    assert (just_right.status_code, too_large.status_code) == (200, 413)
    assert caller.sandbox.world()["sessions"]["started"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"createDailyRoom": True, "dailyRoomProperties": {"exp": "soon"}},
        {"createDailyRoom": True, "dailyMeetingTokenProperties": {"user_id": "x" * 37}},
        [],
    ],
)
async def test_a_start_that_the_provider_would_refuse_is_refused(play, body):
    caller = await play()

    answer = await caller.http.post("/v1/public/bot/start", json=body, headers=caller.public)

    assert (answer.status_code, answer.json()["code"]) == (400, "400")
    assert caller.sandbox.world()["rooms"]["created"] == 0


async def test_the_agents_that_were_started_are_listed(play):
    caller = await play()
    for agent in ("b-bot", "a-bot", "b-bot"):
        await caller.start(agent=agent)

    listed = (await caller.http.get("/v1/agents", headers=caller.private)).json()

    assert [(one["name"], one["deletedAt"]) for one in listed["services"]] == [("a-bot", None), ("b-bot", None)]


async def test_an_unknown_agent_is_not_found(play):
    caller = await play()

    started = await caller.http.post("/v1/public/unknown-agent/start", json={}, headers=caller.public)
    looked_up = await caller.http.get("/v1/agents/unknown-agent", headers=caller.private)

    assert (started.status_code, looked_up.status_code) == (404, 404)


async def test_the_record_of_a_session_follows_its_life(play):
    caller = await play(join_seconds=(200.0, 200.0))  # two seconds: time enough to look before
    session = await caller.start()
    path = f"/v1/agents/bot/sessions/{session['sessionId']}"

    async def record():
        return (await caller.http.get(path, headers=caller.private)).json()

    started = await record()
    entry = await caller.bot_joined(session)
    joined = await record()
    stopped = await caller.stop(session)
    ended = await record()

    assert (started["endedAt"], started["botStartSeconds"]) == (None, None)
    assert joined["botStartSeconds"] > 0
    assert joined["meetingIds"] == [{"participantId": entry["id"], "meetingId": entry["mtgSessionId"]}]
    assert stopped.json() == {"status": "terminated", "session_id": session["sessionId"]}
    assert ended["endedAt"] is not None
    assert (await caller.stop(session)).status_code == 404
    assert (await caller.http.delete("/v1/agents/bot/sessions/nonsense", headers=caller.private)).status_code == 400


async def test_sessions_are_listed_newest_first_with_their_filters(play):
    caller = await play()
    sessions = [await caller.start() for _ in range(3)]
    await caller.stop(sessions[0])

    async def listed(**params):
        answer = (await caller.http.get("/v1/agents/bot/sessions", params=params, headers=caller.private)).json()
        return answer["total_count"], [one["sessionId"] for one in answer["sessions"]]

    ids = [session["sessionId"] for session in sessions]
    assert await listed() == (3, ids[::-1])
    assert await listed(status="active") == (2, ids[:0:-1])
    assert await listed(status="ended") == (1, ids[:1])
    assert await listed(limit=1, offset=1) == (3, [ids[1]])
    assert await listed(startTime=time.time() + 60) == (0, [])


async def test_stopping_a_session_leaves_its_room(play):
    caller = await play()
    session = await caller.ready()

    await caller.stop(session)

    assert [room["url"] for room in caller.sandbox.world()["rooms"]["alive"]] == [session["dailyRoom"]]


async def test_a_bot_that_is_left_alone_ends_its_session(play):
    caller = await play(idle_timeout=20.0)

    await caller.start()

    await caller.eventually(lambda: not caller.sandbox.world()["sessions"]["alive"])


async def test_a_session_ends_at_its_time_limit(play):
    caller = await play(max_session_seconds=10.0)

    session = await caller.start()

    await caller.eventually(lambda: not caller.sandbox.world()["sessions"]["alive"])
    answer = await caller.http.get(f"/v1/agents/bot/sessions/{session['sessionId']}", headers=caller.private)
    assert answer.json()["endState"] == "terminated"


@pytest.mark.parametrize(("ends", "alive"), [(True, 0), (False, 1)])
async def test_whether_a_bot_leaves_with_its_caller_is_a_setting(play, ends, alive):
    caller = await play(bot_ends_with_call=ends)

    await caller.judged(await caller.submit(await caller.ready()))

    await caller.eventually(lambda: len(caller.sandbox.world()["sessions"]["alive"]) == alive)


async def test_a_bot_may_never_join(play):
    caller = await play(faults=("bot.never_joins=1",), join_seconds=(0.0, 0.0))
    lost, found = await caller.start(), await caller.start()

    await caller.bot_joined(found)

    assert await caller.present(lost) == []


async def test_a_bot_may_join_slowly(play):
    caller = await play(faults=("bot.slow_join=1",), join_seconds=(0.0, 0.0))
    slow, quick = await caller.start(), await caller.start()

    await caller.bot_joined(quick)

    assert await caller.present(slow) == []
    await caller.bot_joined(slow)


async def test_a_bot_may_stay_after_its_session_was_stopped(play):
    caller = await play(faults=("bot.stays_after_stop=1",))
    session = await caller.ready()

    await caller.stop(session)

    assert len(await caller.present(session)) == 1
    assert caller.sandbox.world()["sessions"]["alive"] == []


async def test_without_a_room_nothing_but_a_session_comes_back(play):
    caller = await play()

    answer = await caller.http.post("/v1/public/bot/start", json={"body": {}}, headers=caller.public)

    assert list(answer.json()) == ["sessionId"]
    assert caller.sandbox.world()["rooms"]["created"] == 0


async def test_the_runner_makes_a_public_room_and_an_owners_token_that_ends_before_it(play):
    caller = await play(speed=1.0)

    started = (await caller.http.post("/start", json={"createDailyRoom": True})).json()
    token = (await caller.http.get(f"/v1/meeting-tokens/{started['dailyToken']}", headers=caller.daily)).json()
    room = (await caller.http.get(f"/v1/rooms/{caller.room_name(started)}", headers=caller.daily)).json()

    assert started["dailyRoom"].startswith("http://sandbox.localhost:")
    assert token["is_owner"] is True
    assert room["privacy"] == "public"
    assert 4 * 3600 - 5 < room["config"]["exp"] - time.time() <= 4 * 3600
    assert 2 * 3600 - 5 < token["exp"] - time.time() <= 2 * 3600


async def test_the_runner_drops_properties_of_the_wrong_type_without_a_word(play):
    caller = await play()
    body = {
        "createDailyRoom": True,
        "dailyRoomProperties": {"max_participants": "many"},
        "dailyMeetingTokenProperties": {"user_id": "mark", "is_owner": False},
    }

    started = (await caller.http.post("/start", json=body)).json()
    token = (await caller.http.get(f"/v1/meeting-tokens/{started['dailyToken']}", headers=caller.daily)).json()
    room = (await caller.http.get(f"/v1/rooms/{caller.room_name(started)}", headers=caller.daily)).json()

    assert "max_participants" not in room["config"]
    assert (token["user_id"], token["is_owner"]) == ("mark", True)


@pytest.mark.parametrize("content", [b"{}", b"no json", b'{"createDailyRoom": false}'])
async def test_the_runner_answers_null_where_no_room_was_asked_for(play, content):
    caller = await play()

    answer = await caller.http.post("/start", content=content)

    assert (answer.status_code, answer.json()) == (200, None)
    assert caller.sandbox.world()["sessions"]["started"] == 1


async def test_the_runner_may_fail_and_leave_a_room_behind(play):
    caller = await play(faults=("start.plain_error=1",))

    answer = await caller.http.post("/start", json={"createDailyRoom": True})

    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    world = caller.sandbox.world()
    assert (len(world["rooms"]["alive"]), world["sessions"]["started"]) == (1, 0)


async def test_the_runner_knows_no_other_transport_and_no_stop(play):
    caller = await play()

    refused = await caller.http.post("/start", json={"transport": "webrtc"})
    status = await caller.http.get("/status")
    stop = await caller.http.delete("/sessions/some-id")

    assert (refused.status_code, "detail" in refused.json()) == (400, True)
    assert status.json() == {"status": "ready", "transports": ["daily"]}
    assert stop.status_code == 404
