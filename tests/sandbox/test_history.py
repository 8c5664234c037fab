"""The history: when every session and run went through what, in real Unix seconds."""

import json
from itertools import pairwise

import pytest

LONG = (100_000.0, 100_000.0)
LIFE_OF_A_RUN = (
    *("submitted_at", "dispatched_at", "tester_joined_at"),
    *("call_began_at", "call_ended_at", "judged_at"),
)


async def history(caller):
    return (await caller.http.get("/sandbox/history.json")).json()


async def test_an_empty_world_has_an_empty_history(play):
    found = await history(await play())

    assert found.pop("now") > 1_000_000_000
    assert found == {"speed": 100.0, "sessions": [], "runs": [], "requests": {}}


async def test_a_run_that_was_judged_went_through_its_life_in_order(play):
    caller = await play()
    session = await caller.ready()
    await caller.judged(await caller.submit(session))
    await caller.stop(session)

    found = await history(caller)

    (run,), (row,) = found["runs"], found["sessions"]
    times = [row["created_at"], row["bot_joined_at"], *(run[name] for name in LIFE_OF_A_RUN), row["ended_at"]]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert run["judged_at"] - run["call_ended_at"] >= 5.0 / found["speed"]
    assert (run["status"], run["success"], run["cut_short"]) == ("completed", True, False)
    assert run["room_url"] == row["room_url"] == session["dailyRoom"]
    assert (row["id"], row["end_state"]) == (session["sessionId"], "terminated")


async def test_what_has_not_happened_yet_has_no_time(play):
    caller = await play(calls_limit=1, call_seconds=LONG)
    first, second = await caller.ready(), await caller.ready()
    await caller.run_until(await caller.submit(first), "in_progress")
    await caller.submit(second)

    talking, queued = (await history(caller))["runs"]

    assert [name for name in LIFE_OF_A_RUN if talking[name] is None] == ["call_ended_at", "judged_at"]
    assert [name for name in LIFE_OF_A_RUN if queued[name] is not None] == ["submitted_at"]
    assert (talking["status"], queued["status"]) == ("in_progress", "in_queue")


async def test_a_tester_that_never_came_in_joined_at_no_time(play):
    caller = await play(faults=("call.never_connects=1",))
    await caller.judged(await caller.submit(await caller.ready()))

    (run,) = (await history(caller))["runs"]

    assert (run["tester_joined_at"], run["call_began_at"]) == (None, None)
    assert run["call_ended_at"] is not None
    assert run["judged_at"] is not None


async def test_a_session_says_when_its_room_ended(play):
    caller = await play()
    deleted, kept = await caller.ready(), await caller.ready()
    await caller.http.delete(f"/v1/rooms/{caller.room_name(deleted)}", headers=caller.cloud_daily)

    found = await history(caller)

    first, second = found["sessions"]
    assert first["created_at"] < first["room_ended_at"] <= found["now"]
    assert second["room_ended_at"] is None
    assert [row["id"] for row in found["sessions"]] == [deleted["sessionId"], kept["sessionId"]]


async def test_idle_and_lived_add_up_to_the_worlds(play):
    caller = await play(call_seconds=(100.0, 100.0))
    called, idle = await caller.ready(), await caller.ready()
    await caller.judged(await caller.submit(called))
    await caller.stop(called)
    await caller.stop(idle)

    found, world = await history(caller), await caller.world()

    total = {name: found["speed"] * sum(row[name] for row in found["sessions"]) for name in ("idle", "lived")}
    assert total["idle"] == pytest.approx(world["idle_seconds"], abs=0.1)
    assert total["lived"] == pytest.approx(world["paid_seconds"], abs=0.1)
    assert found["requests"] == world["requests"]


async def test_the_history_shows_neither_keys_nor_tokens_nor_messages(play):
    caller = await play()
    session = await caller.ready()
    await caller.submit(session, message={"greeting": "hello there"})

    shown = json.dumps(await history(caller))

    keys = [value.split("=")[-1] for name, value in caller.sandbox.environment().items() if "KEY" in name]
    assert session["sessionId"] in shown
    assert not [secret for secret in (session["dailyToken"], "hello there", *keys) if secret in shown]
