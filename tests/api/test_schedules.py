"""Schedules over HTTP: made, changed, paused, fired once for each key, and told of page by page."""

import asyncio
from datetime import timedelta

import pytest

from orchestrator.api.resources import LONGEST_KEY
from orchestrator.app.schedules import sync_schedules
from orchestrator.domain.access import Scope
from orchestrator.domain.schedule import Blackout, Overlap
from orchestrator.store import schedules as schedule_rows
from tests.support.timetable import NOON, SetClock, a_schedule, batches_in

NIGHTLY = "/v1/schedules/nightly"


@pytest.fixture
async def admin(service):
    return await service.client(Scope.ADMIN)


@pytest.fixture
def rule(plan):
    return {"cron": "0 2 * * mon-fri", "timezone": "Europe/Berlin", "plan": plan}


@pytest.fixture
async def made(admin, rule):
    answer = await admin.put(NIGHTLY, json=rule)
    assert answer.status_code == 201
    return answer.json()


async def told(admin, name="nightly"):
    entries = (await admin.get("/v1/audit", params={"target": name})).json()["entries"]
    return [(one["action"], one["actor"].split(":")[1]) for one in reversed(entries)]


async def test_a_schedule_is_made_shown_and_listed_with_when_it_is_due(admin, rule):
    answer = await admin.put(NIGHTLY, json=rule)
    assert (answer.status_code, answer.headers["location"]) == (201, NIGHTLY)
    made = answer.json()
    assert (made["made_by"], made["cron"], made["overlap"], made["trouble"]) == ("api", rule["cron"], "skip", None)
    assert made["plan"] == {**made["plan"], "name": "small", "runs": 2, "agent": "support-bot"}
    assert len(made["next"]) == 10
    assert all(one["due_local"][11:16] == "02:00" for one in made["next"])
    assert (await admin.get(NIGHTLY)).json() == made
    (listed,) = (await admin.get("/v1/schedules")).json()["schedules"]
    assert listed == {**made, "next": made["next"][:1]}


async def test_put_again_it_is_changed_and_what_is_the_same_is_left_alone(admin, made, rule):
    same = await admin.put(NIGHTLY, json={**rule, "name": "nightly"})
    assert (same.status_code, same.json()) == (200, made)
    assert "location" not in same.headers
    changed = (await admin.put(NIGHTLY, json={**rule, "overlap": "queue", "jitter": "2m"})).json()
    assert (changed["overlap"], changed["jitter"], changed["created_at"]) == ("queue", 120.0, made["created_at"])
    assert await told(admin) == [("schedule.create", "admin"), ("schedule.change", "admin")]


async def test_one_that_may_only_be_new_replaces_nothing(admin, made, rule, problem_in):
    answer = await admin.put(NIGHTLY, json={**rule, "overlap": "queue"}, headers={"If-None-Match": "*"})
    problem = problem_in(answer, 412, "exists-already")
    assert problem["detail"] == "there is a schedule nightly already, made by the API."
    assert (await admin.get(NIGHTLY)).json() == made
    answer = await admin.put("/v1/schedules/other", json=rule, headers={"If-None-Match": "*"})
    assert answer.status_code == 201


async def test_twenty_who_put_one_at_once_make_it_once(admin, rule):
    answers = await asyncio.gather(*(admin.put(NIGHTLY, json=rule) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert await told(admin) == [("schedule.create", "admin")]


async def test_a_removed_schedule_is_gone_and_its_batches_are_not(admin, made, problem_in):
    fire = (await admin.post(made["links"]["fire"])).json()
    answer = await admin.delete(NIGHTLY)
    assert (answer.status_code, answer.content) == (204, b"")
    for again in (admin.get(NIGHTLY), admin.delete(NIGHTLY), admin.get(made["links"]["fires"])):
        problem_in(await again, 404, "not-found")
    assert (await admin.get("/v1/schedules")).json() == {"schedules": []}
    assert (await admin.get(f"/v1/batches/{fire['batch']}")).json()["schedule"] == "nightly"
    assert (await told(admin))[-1] == ("schedule.remove", "admin")


async def test_a_paused_schedule_says_who_paused_it_first_and_goes_on_from_its_resumption(service, admin, made):
    other = await service.client(secret=await service.token(Scope.ADMIN, name="other"))
    paused = (await admin.post(made["links"]["pause"])).json()
    assert paused["paused_by"].startswith("token:admin:")
    assert (await other.post(made["links"]["pause"])).json() == paused
    resumed = (await other.post(made["links"]["resume"])).json()
    assert (resumed["paused_by"], resumed["paused_at"]) == (None, None)
    assert (await admin.post(made["links"]["resume"])).json() == resumed
    assert (await told(admin))[1:] == [("schedule.pause", "admin"), ("schedule.resume", "other")]


async def test_the_service_files_may_be_paused_and_fired_and_by_nobody_changed(service, admin, rule, problem_in):
    await sync_schedules(service.store, [a_schedule()], clock=service.clock)
    before = (await admin.get(NIGHTLY)).json()
    assert before["made_by"] == "config"
    for change in (admin.put(NIGHTLY, json=rule), admin.delete(NIGHTLY)):
        problem = problem_in(await change, 409, "conflict")
        assert "made by the service file" in problem["detail"]
        assert "service file" in problem["next_step"]
    assert (await admin.get(NIGHTLY)).json() == before
    assert (await admin.post(f"{NIGHTLY}/pause")).status_code == 200
    assert (await admin.post(f"{NIGHTLY}/fire")).status_code == 201


class TestFiring:
    async def test_it_begins_a_batch_that_waits_for_a_worker_and_wakes_one(self, service, made):
        woken = []
        runner = await service.client(wake=lambda: woken.append(True))
        answer = await runner.post(made["links"]["fire"])
        assert answer.status_code == 201
        fire = answer.json()
        assert (fire["decision"], fire["manual"], fire["schedule"]) == ("fired", True, "nightly")
        assert answer.headers["location"] == f"/v1/batches/{fire['batch']}"
        batch = (await runner.get(answer.headers["location"])).json()
        assert (batch["origin"], batch["schedule"], batch["owner"], batch["speed"]) == ("schedule", "nightly", None, 1)
        assert woken == [True]
        assert (await runner.get(NIGHTLY)).json()["fires"] == [fire]

    async def test_its_batch_runs_as_fast_as_those_that_it_fires_by_itself(self, service, made):
        runner = await service.client(speed=7.0)
        fire = (await runner.post(made["links"]["fire"])).json()
        assert (await runner.get(f"/v1/batches/{fire['batch']}")).json()["speed"] == 7.0

    async def test_whoever_asks_again_with_one_key_gets_the_same_fire(self, service, made):
        woken = []
        runner = await service.client(wake=lambda: woken.append(True))
        key = {"Idempotency-Key": "k" * LONGEST_KEY}
        asked = [runner.post(made["links"]["fire"], headers=key) for _ in range(10)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
        assert len({answer.text for answer in answers}) == 1
        assert len(await batches_in(service.store)) == 1
        assert woken == [True]

    async def test_beside_an_open_batch_its_rule_holds_unless_another_is_asked_for(
        self, service, client, made, problem_in
    ):
        first = (await client.post(made["links"]["fire"])).json()
        problem = problem_in(await client.post(made["links"]["fire"]), 409, "conflict")
        assert first["batch"] in problem["detail"]
        assert "overlap" in problem["next_step"]
        assert len(await batches_in(service.store)) == 1
        queued = await client.post(made["links"]["fire"], json={"overlap": "queue"})
        assert (queued.status_code, queued.json()["decision"], queued.json()["batch"]) == (201, "queued", None)
        assert "location" not in queued.headers
        beside = (await client.post(made["links"]["fire"], json={"overlap": "allow"})).json()
        assert beside["decision"] == "fired"
        instead = (await client.post(made["links"]["fire"], json={"overlap": "cancel"})).json()
        cancelled = {one.batch_id for one in await batches_in(service.store) if one.cancel_asked_at}
        assert cancelled == {first["batch"], beside["batch"]}
        assert instead["batch"] not in cancelled

    async def test_it_fires_while_it_rests_and_the_audit_says_by_whom(self, service, client, admin, made):
        await admin.post(made["links"]["pause"])
        assert (await client.post(made["links"]["fire"])).status_code == 201
        assert (await told(admin))[-1] == ("schedule.fire", "run")

    async def test_what_its_plan_needs_must_be_there_still(self, service, admin, rule, problem_in):
        body = {"tenant": "{{ env.TENANT }}"}
        plan = {**rule["plan"], "env": ["TENANT"], "agent": {**rule["plan"]["agent"], "body": body}}
        assert (await admin.put(NIGHTLY, json={**rule, "plan": plan})).status_code == 201
        bare = await service.client(variables={})
        assert "TENANT" in problem_in(await bare.post(f"{NIGHTLY}/fire"), 409, "conflict")["detail"]
        keyless = service.context.settings.model_copy(update={"cekura_api_key": None})
        bare = await service.client(settings=keyless)
        assert "CEKURA_API_KEY" in problem_in(await bare.post(f"{NIGHTLY}/fire"), 422, "invalid-settings")["detail"]
        assert await batches_in(service.store) == []


async def test_its_fires_come_in_pages_newest_first(service, client, made):
    fired = [(await client.post(made["links"]["fire"], json={"overlap": "allow"})).json()["id"] for _ in range(5)]
    seen, cursor = [], {}
    while cursor is not None:
        page = (await client.get(made["links"]["fires"], params={"limit": 2, **cursor})).json()
        seen += [fire["id"] for fire in page["fires"]]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert seen == fired[::-1]


async def test_a_blackout_and_a_definition_that_cannot_be_read_are_told(service, client):
    clock = SetClock()
    dark = Blackout(begins=NOON, ends=NOON + timedelta(minutes=15))
    schedules = [a_schedule("dark", blackouts=(dark,)), a_schedule("odd", overlap=Overlap.ALLOW)]
    await sync_schedules(service.store, schedules, clock=clock)
    await service.store.write(lambda connection: schedule_rows._set(connection, "odd", document={"format": 7}))
    client = await service.client(Scope.READ, clock=clock, gatekeeper=None)
    shown = (await client.get("/v1/schedules/dark")).json()
    assert [one["blacked_out"] for one in shown["next"]] == [True] + [False] * 9
    assert shown["blackouts"] == [{"from": "2026-11-21T12:00:00+00:00", "until": "2026-11-21T12:15:00+00:00"}]
    odd = (await client.get("/v1/schedules/odd")).json()
    assert "format 7" in odd["trouble"]
    assert (odd["cron"], odd["plan"], odd["next"]) == (None, None, [])
    assert [one["name"] for one in (await client.get("/v1/schedules")).json()["schedules"]] == ["dark", "odd"]
