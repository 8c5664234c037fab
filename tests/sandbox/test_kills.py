"""Kills: each edge ends a process when it says, after as many requests as told, and nothing else is ever killed."""

import asyncio
import os
import signal
import sys

import httpx
import pytest

from orchestrator.sandbox.kills import Kill, Kills, UnknownKill, read_kill

SLEEPER = (sys.executable, "-S", "-c", "import time; time.sleep(60)")


@pytest.fixture
async def victim():
    """A process that waits to be killed."""
    process = await asyncio.create_subprocess_exec(*SLEEPER)
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def create(caller):
    """A room, or None where no answer came."""
    try:
        answer = await caller.http.post("/v1/rooms", json={}, headers=caller.daily)
    except httpx.TransportError:
        return None
    return answer.json()["name"]


async def arm(caller, **kill):
    return await caller.http.post("/sandbox/kill", json={"operation": "room_create", "edge": "received", **kill})


def rooms(caller):
    return caller.sandbox.world()["rooms"]["created"]


async def died(process):
    async with asyncio.timeout(10):
        return await process.wait() == -signal.SIGKILL


async def test_a_kill_on_receipt_comes_before_any_effect_and_any_answer(play, victim):
    caller = await play()
    await arm(caller, pid=victim.pid)

    assert await create(caller) is None
    assert await died(victim)
    assert rooms(caller) == 0


async def test_a_kill_when_done_comes_after_the_effect(play, victim):
    caller = await play()
    caller.sandbox.kills.arm(Kill(operation="room_create", edge="done", pid=victim.pid))
    created_when_struck = []
    strike = caller.sandbox.kills.strike
    caller.sandbox.kills.strike = lambda kill: (created_when_struck.append(rooms(caller)), strike(kill))

    await create(caller)

    assert await died(victim)
    assert created_when_struck == [1]


async def test_a_kill_when_done_does_not_wait_for_a_slow_answer(play, victim):
    caller = await play(speed=1.0, start_seconds=3600.0)
    caller.sandbox.kills.arm(Kill(operation="start", edge="done", pid=victim.pid))

    starting = asyncio.create_task(caller.start())

    assert await died(victim)
    assert not starting.done()
    starting.cancel()


async def test_a_kill_when_answered_lets_the_whole_answer_out_first(play, victim):
    caller = await play()
    await arm(caller, edge="answered", delay_ms=50, pid=victim.pid)

    name = await create(caller)

    assert name is not None
    assert victim.returncode is None
    assert await died(victim)


async def test_a_kill_lets_as_many_requests_pass_as_told_and_strikes_once(play, victim):
    caller = await play()
    await arm(caller, skip=2, pid=victim.pid)

    created = [await create(caller) for _ in range(4)]

    assert [name is not None for name in created] == [True, True, False, True]
    assert await died(victim)


async def test_other_operations_do_not_count(play, victim):
    caller = await play()
    await arm(caller, pid=victim.pid)

    await caller.http.get("/v1/rooms", headers=caller.daily)
    shown = (await caller.http.get("/sandbox/kill")).json()

    assert shown["armed"]["operation"] == "room_create"
    assert shown["struck"] == []


async def test_what_struck_is_shown(play, victim):
    caller = await play()
    await arm(caller, pid=victim.pid)
    await create(caller)

    shown = (await caller.http.get("/sandbox/kill")).json()

    assert shown["armed"] is None
    assert [(kill["operation"], kill["edge"], kill["pid"]) for kill in shown["struck"]] == [
        ("room_create", "received", victim.pid)
    ]


async def test_a_disarmed_kill_strikes_nobody(play, victim):
    caller = await play()
    await arm(caller, pid=victim.pid)
    await caller.http.delete("/sandbox/kill")

    assert await create(caller) is not None
    assert victim.returncode is None


async def test_a_kill_disarmed_during_its_delay_strikes_nobody(victim):
    kills = Kills()
    kill = Kill(operation="poll", edge="answered", pid=victim.pid, delay_ms=1)
    kills.arm(kill)
    kills.strike_later(kill)
    kills.disarm()
    await asyncio.sleep(0.01)

    assert victim.returncode is None
    assert kills.struck == []


async def test_a_fault_and_a_kill_may_strike_together(play, victim):
    caller = await play(faults=("room_create.late=1",))
    await arm(caller, edge="done", pid=victim.pid)

    assert await create(caller) is None
    assert await died(victim)
    assert rooms(caller) == 1


async def test_a_process_that_is_gone_by_itself_was_not_killed(victim):
    victim.kill()
    await victim.wait()
    kills = Kills()
    kill = Kill(operation="poll", edge="received", pid=victim.pid)
    kills.arm(kill)
    kills.strike(kill)

    assert kills.struck == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"operation": "sumbit"}, "'submit'"),
        ({"edge": "before"}, "received, done, answered"),
        ({"pid": 0}, "not a client's process"),
        ({"pid": -1}, "not a client's process"),
        ({"pid": 1}, "not a client's process"),
        ({"pid": os.getpid()}, "not a client's process"),
        ({"pid": True}, "whole numbers"),
        ({"pid": "2"}, "whole numbers"),
        ({"skip": -1}, "skip must be 0 or more"),
        ({"delay_ms": 51}, "between 0 and 50"),
        ({"after": 3}, "expected"),
    ],
)
def test_what_names_no_kill_is_refused(wrong, said):
    with pytest.raises(UnknownKill, match=said):
        read_kill({"operation": "submit", "edge": "done", "pid": 2, **wrong})


async def test_a_wrong_kill_is_answered_with_what_is_wrong(play):
    caller = await play()

    answer = await arm(caller, pid=0)

    assert answer.status_code == 400
    assert "pid 0" in answer.json()["error"]


async def test_a_page_in_a_browser_cannot_arm_a_kill(play, victim):
    caller = await play()
    body = f'{{"operation": "room_create", "edge": "received", "pid": {victim.pid}}}'

    answer = await caller.http.post("/sandbox/kill", content=body, headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415
    assert caller.sandbox.kills.armed is None
