"""The world: what a test, a person or a benchmark can see of everything that happened."""

import asyncio
import json
import subprocess
import sys

import pytest

from orchestrator.sandbox import Sandbox

LONG = (100_000.0, 100_000.0)


async def test_an_empty_world_has_every_figure(play):
    caller = await play()

    world = await caller.world()

    assert world.pop("now").endswith("Z")
    assert world == {
        "speed": 100.0,
        "sessions": {"started": 0, "alive": [], "ended": 0},
        "rooms": {"created": 0, "alive": [], "deleted": 0, "expired": 0},
        "starts": 0,
        "submits": 0,
        "submits_by_channel": {},
        "submitted": {},
        "submitted_twice": [],
        "names_twice": [],
        "results": [],
        "cut_short": [],
        "calls": {"total": 0, "active": 0, "peak": 0, "peak_alive_sessions": 0},
        "calls_by_channel": {},
        "leaked": {"sessions": [], "rooms": []},
        "idle_seconds": 0,
        "paid_seconds": 0,
        "requests": {},
        "poll_ids": 0,
        "webhooks": {},
        "faults_armed": [],
        "faults_fired": {},
        "attending_after_ejection": [],
    }


async def test_a_batch_that_was_torn_down_leaves_nothing(play):
    caller = await play()
    session = await caller.ready()
    await caller.judged(await caller.submit(session))
    await caller.stop(session)
    await caller.http.delete(f"/v1/rooms/{caller.room_name(session)}", headers=caller.cloud_daily)

    world = await caller.world()

    assert world["sessions"] == {"started": 1, "alive": [], "ended": 1}
    assert world["rooms"] == {"created": 1, "alive": [], "deleted": 1, "expired": 0}
    assert world["leaked"] == {"sessions": [], "rooms": []}
    assert (world["starts"], world["submits"]) == (1, 1)
    assert world["submitted"] == {session["dailyRoom"]: 1}
    assert (world["submitted_twice"], world["cut_short"]) == ([], [])


async def test_what_is_alive_without_a_call_coming_is_leaked(play):
    caller = await play(call_seconds=LONG)
    called, idle = await caller.ready(), await caller.ready()
    submission = await caller.submit(called)

    during = await caller.world()
    await caller.http.post(f"{caller.api}/v1/results/{submission['id']}/end_calls/", headers=caller.cekura)
    after = await caller.world()

    assert [one["id"] for one in during["leaked"]["sessions"]] == [idle["sessionId"]]
    assert [one["url"] for one in during["leaked"]["rooms"]] == [idle["dailyRoom"]]
    assert len(after["leaked"]["sessions"]) == 2
    assert all({"id", "url", "created_at", "why"} == set(one) for one in after["leaked"]["sessions"])


async def test_a_room_submitted_twice_is_named(play):
    caller = await play()
    session = await caller.ready()

    await caller.submit(session)
    await caller.submit(session)

    assert (await caller.world())["submitted_twice"] == [session["dailyRoom"]]


async def test_idle_and_paid_seconds_are_the_remotes_seconds(play):
    caller = await play(call_seconds=(100.0, 100.0))
    session = await caller.ready()
    await caller.judged(await caller.submit(session))
    await caller.stop(session)

    world = await caller.world()

    assert world["paid_seconds"] - world["idle_seconds"] == pytest.approx(150.0, abs=60.0)
    assert world == {**await caller.world(), "now": world["now"]}, "an ended session costs no more"


async def test_polled_ids_and_requests_are_counted(play):
    caller = await play()
    submission = await caller.submit(*[{"dailyRoom": f"http://x.localhost/{n}", "dailyToken": None} for n in range(3)])

    await caller.runs(submission)
    await caller.runs(submission)

    world = await caller.world()
    assert (world["poll_ids"], world["requests"]) == (6, {"submit": 1, "poll": 2})


async def test_neither_keys_nor_tokens_are_shown(play):
    caller = await play()
    session = await caller.ready()
    await caller.submit(session)

    shown = json.dumps(await caller.world()) + (await caller.http.get("/world")).text

    keys = [value.split("=")[-1] for name, value in caller.sandbox.environment().items() if "KEY" in name]
    assert len(keys) == 5
    assert not [secret for secret in (session["dailyToken"], *keys) if secret in shown]


async def test_the_page_shows_the_world_and_refreshes_itself(play):
    caller = await play()

    page = await caller.http.get("/world")

    assert page.headers["content-type"].startswith("text/html")
    assert 'http-equiv="refresh"' in page.text
    assert "submitted_twice" in page.text


async def test_the_environment_points_every_remote_at_the_sandbox(play):
    environment = (caller := await play()).sandbox.environment()

    assert environment["DAILY_API_URL"] == f"{caller.sandbox.url}/v1"
    assert environment["ORCHESTRATOR_DAILY_KEYS"] == "cloud-sandbox=daily_cloud_sandbox"
    assert {"CEKURA_API_URL", "PIPECAT_API_HOST", "PIPECAT_CLOUD_API_KEY", "PIPECAT_CLOUD_PRIVATE_KEY"} <= set(
        environment
    )


async def test_fifty_sessions_at_a_time_serve_two_hundred_runs_and_leave_nothing(play):
    """The product's own figures, by a caller that does nothing wrong."""
    caller = await play(
        max_sessions=50, calls_limit=50, dispatch_per_second=100.0, connect_timeout=600.0, idle_timeout=3600.0
    )
    places = asyncio.Semaphore(50)

    async def run():
        async with places:
            session = await caller.start()
            (run,) = await caller.judged(await caller.submit(session), every=0.1)
            await caller.stop(session)
            return run["success"]

    passed = await asyncio.gather(*(run() for _ in range(200)))
    names = [room["url"].rsplit("/", 1)[1] for room in (await caller.world())["rooms"]["alive"]]
    await caller.http.request("DELETE", "/v1/batch/rooms", json={"rooms": names}, headers=caller.cloud_daily)

    world = await caller.world()
    assert all(passed)
    assert (world["sessions"]["started"], world["rooms"]["deleted"]) == (200, 200)
    assert (world["sessions"]["alive"], world["rooms"]["alive"]) == ([], [])
    assert (world["submitted_twice"], world["cut_short"]) == ([], [])
    assert world["calls"]["peak_alive_sessions"] <= 50


def test_looking_at_a_sandbox_that_was_never_started_is_refused():
    with pytest.raises(RuntimeError, match="not been started"):
        Sandbox().world()


def test_importing_the_sandbox_imports_no_web_server():
    code = "import orchestrator.sandbox, sys; sys.exit('aiohttp' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
