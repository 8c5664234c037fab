"""Pools over HTTP: made, changed, paused; what they hold and cost, and why one is not filled."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from orchestrator.app.pools import sync_pools
from orchestrator.domain.access import Scope
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store import pools as pool_rows
from orchestrator.store import warm_sessions as warm_rows
from tests.store.rows import a_session
from tests.support.bench import SPEED, Bench
from tests.support.pools import a_pool, keeping, until_rows

SUPPORT = "/v1/pools/support"
POOL = {"agent": {"kind": "pipecat_cloud", "name": "support-bot"}, "min_ready": 1, "max_alive": 3}
NOTHING = {"ready": 0, "coming": 0, "with_runs": 0, "ending": 0}


@pytest.fixture
async def admin(service):
    return await service.client(Scope.ADMIN)


@pytest.fixture
async def made(admin):
    answer = await admin.put(SUPPORT, json=POOL)
    assert answer.status_code == 201
    return answer.json()


async def told(admin):
    entries = (await admin.get("/v1/audit", params={"target": "support"})).json()["entries"]
    return [(one["action"], one["actor"].split(":")[1]) for one in reversed(entries)]


async def test_a_pool_is_made_shown_and_listed_with_what_it_holds(admin):
    hours = [{"days": ["mon"], "open": "08:00", "close": "18:00"}]
    answer = await admin.put(SUPPORT, json={**POOL, "hours": hours, "max_age": "3m", "timezone": "Europe/Berlin"})
    assert (answer.status_code, answer.headers["location"]) == (201, SUPPORT)
    made = answer.json()
    assert (made["made_by"], made["owner"], made["trouble"]) == ("api", None, None)
    assert (made["min_ready"], made["max_alive"], made["max_age"], made["hours"]) == (1, 3, 180.0, hours)
    assert made["agent"] == {"kind": "pipecat_cloud", "address": "support-bot"}
    assert (made["sessions"], made["waiting"], made["cost"]["started"]) == (NOTHING, [], 0)
    shown = (await admin.get(SUPPORT)).json()
    assert {**shown, "cost": None} == {**made, "cost": None}
    (listed,) = (await admin.get("/v1/pools")).json()["pools"]
    assert listed == {name: value for name, value in made.items() if name not in {"cost", "waiting", "unused"}}


async def test_put_again_it_is_changed_and_what_is_the_same_is_left_alone(admin, made):
    same = await admin.put(SUPPORT, json={**POOL, "name": "support"})
    assert (same.status_code, same.json()["updated_at"]) == (200, made["updated_at"])
    changed = (await admin.put(SUPPORT, json={**POOL, "min_ready": 2})).json()
    assert (changed["min_ready"], changed["created_at"]) == (2, made["created_at"])
    assert changed["updated_at"] > made["updated_at"]
    assert await told(admin) == [("pool.create", "admin"), ("pool.change", "admin")]


async def test_one_that_may_only_be_new_replaces_nothing(admin, made, problem_in):
    answer = await admin.put(SUPPORT, json={**POOL, "min_ready": 2}, headers={"If-None-Match": "*"})
    assert "there is a pool support already" in problem_in(answer, 412, "exists-already")["detail"]
    assert (await admin.get(SUPPORT)).json()["min_ready"] == 1
    assert (await admin.put("/v1/pools/other", json=POOL, headers={"If-None-Match": "*"})).status_code == 201


async def test_twenty_who_put_one_at_once_make_it_once(admin):
    answers = await asyncio.gather(*(admin.put(SUPPORT, json=POOL) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert await told(admin) == [("pool.create", "admin")]


async def test_a_removed_pool_is_gone(admin, made, problem_in):
    answer = await admin.delete(SUPPORT)
    assert (answer.status_code, answer.content) == (204, b"")
    for again in (admin.get(SUPPORT), admin.delete(SUPPORT), admin.post(f"{SUPPORT}/pause")):
        problem_in(await again, 404, "not-found")
    assert (await admin.get("/v1/pools")).json() == {"pools": []}
    assert await told(admin) == [("pool.create", "admin"), ("pool.remove", "admin")]


async def test_a_paused_pool_rests_until_it_is_resumed(service, admin, made):
    other = await service.client(secret=await service.token(Scope.ADMIN, name="other"))
    paused = (await admin.post(made["links"]["pause"])).json()
    assert paused["paused_by"].startswith("token:admin:")
    assert paused["resting"] == "the pool was paused"
    assert (await other.post(made["links"]["pause"])).json()["paused_by"] == paused["paused_by"]
    resumed = (await other.post(made["links"]["resume"])).json()
    assert (resumed["paused_by"], resumed["resting"]) == (None, None)
    assert await told(admin) == [("pool.create", "admin"), ("pool.pause", "admin"), ("pool.resume", "other")]


async def test_the_service_files_may_be_paused_and_by_nobody_changed(service, admin, problem_in):
    await sync_pools(service.store, [a_pool()], clock=service.clock)
    before = (await admin.get("/v1/pools")).json()
    for change in (admin.put(SUPPORT, json=POOL), admin.delete(SUPPORT)):
        problem = problem_in(await change, 409, "conflict")
        assert "made by the service file" in problem["detail"]
        assert "service file" in problem["next_step"]
    assert (await admin.get("/v1/pools")).json() == before
    assert (await admin.post(f"{SUPPORT}/pause")).status_code == 200


@pytest.mark.parametrize("most", [3, 2])
async def test_a_pool_larger_than_the_provider_allows_is_refused_and_nothing_is_changed(
    service, admin, made, problem_in, most
):
    limited = service.context.settings.model_copy(update={"sessions_limit": most})
    client = await service.client(Scope.ADMIN, settings=limited)
    answer = await client.put(SUPPORT, json={**POOL, "min_ready": 2})
    if most == 3:
        assert answer.status_code == 200
        return
    problem = problem_in(answer, 422, "invalid-definition")
    (one,) = problem["problems"]
    assert (one["path"], "a pool larger than the provider allows" in one["message"]) == ("max_alive", True)
    assert "max_alive: 2" in one["remedy"]
    assert (await admin.get(SUPPORT)).json()["min_ready"] == 1
    problem_in(await client.put("/v1/pools/other", json=POOL), 422, "invalid-definition")
    assert len((await admin.get("/v1/pools")).json()["pools"]) == 1


async def test_what_waits_in_a_pool_and_what_waiting_cost_is_told(service, admin, made):
    store, now = service.store, service.clock.now()
    await store.write(partial(pool_rows.claim_pool, name="support", worker_id="w1"))
    session = a_session("n1", batch_id="", run_id="", pool="support", intended_at=now)
    await store.write(partial(warm_rows.record_warm_intent, session=session, worker_id="w1", most=9))
    shown = (await admin.get(SUPPORT)).json()
    assert (shown["owner"], shown["sessions"]) == ("w1", {**NOTHING, "coming": 1})
    assert [(one["mark"], one["ready_at"]) for one in shown["waiting"]] == [("n1", None)]
    (listed,) = (await admin.get(shown["links"]["sessions"])).json()["sessions"]
    assert (listed["nonce"], listed["pool"]) == ("n1", "support")


async def until(client, condition):
    """Ask for the pool until it is as awaited."""

    async def met():
        return condition((await client.get(SUPPORT)).json())

    await until_rows(met)
    return (await client.get(SUPPORT)).json()


async def test_a_pool_made_over_http_is_filled_and_one_whose_agent_is_gone_says_so_and_costs_nothing(service, tmp_path):
    async with Sandbox(SandboxSettings(speed=SPEED)) as box, Bench(folder=tmp_path / "bench").worker(box) as worker:
        service.context = replace(service.context, store=worker.store, gatekeeper=None)
        client = await service.client(None)
        async with keeping(worker, speed=SPEED):
            gone = {**POOL, "agent": {**POOL["agent"], "name": "unknown-agent"}}
            assert (await client.put(SUPPORT, json=gone)).status_code == 201
            troubled = await until(client, lambda pool: pool["trouble"])
            assert "Agent not found" in troubled["trouble"]
            assert troubled["sessions"]["ready"] == 0
            assert box.world()["paid_seconds"] == 0
            assert (await client.put(SUPPORT, json=POOL)).json()["trouble"] is None
            filled = await until(client, lambda pool: pool["sessions"]["ready"] == 1)
            assert (filled["trouble"], filled["waiting"][0]["evidence"]) == (None, "presence")
            assert (await client.delete(SUPPORT)).status_code == 204
            await until_rows(partial(emptied, box))


async def emptied(box):
    world = box.world()
    return not world["sessions"]["alive"] and not world["rooms"]["alive"]
