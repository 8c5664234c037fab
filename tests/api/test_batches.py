"""Batches over HTTP: begun once, found again, listed by the page, cancelled."""

import asyncio
from functools import partial

import pytest

from orchestrator.domain.access import Scope
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches as batch_rows

YAML = "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{scenario: 7, repeat: 2}]\n"


async def test_a_batch_waits_for_a_worker_with_all_its_runs_and_a_line_in_the_audit(service, client, plan):
    woken = []
    client = await service.client(wake=lambda: woken.append(True))
    answer = await client.post("/v1/batches", json={"plan": plan})
    assert answer.status_code == 201
    batch = answer.json()
    assert (batch["name"], batch["status"], batch["origin"], batch["owner"]) == ("small", "open", "api", None)
    assert batch["totals"] == {"runs": 2, "passed": 0, "failed": 0, "inconclusive": 0}
    assert answer.headers["location"] == batch["links"]["self"] == f"/v1/batches/{batch['id']}"
    assert woken == [True]
    runs = (await client.get(batch["links"]["runs"])).json()["runs"]
    assert [(run["index"], run["status"]) for run in runs] == [(1, "planned"), (2, "planned")]
    admin = await service.client(Scope.ADMIN)
    line = (await admin.get("/v1/audit", params={"target": batch["id"]})).json()["entries"]
    assert [(one["action"], one["actor"].split(":")[:2]) for one in line] == [("batch.create", ["token", "run"])]


async def test_a_plan_may_come_as_yaml_and_be_named_anew(client):
    batch = (await client.post("/v1/batches", json={"plan_yaml": YAML, "name": "release-7"})).json()
    assert (batch["name"], batch["totals"]["runs"]) == ("release-7", 2)


async def test_yaml_and_json_of_one_plan_are_one_plan(client, plan):
    as_json = (await client.post("/v1/plans/validate", json={"plan": {**plan, "name": "x"}})).json()
    text = "version: 1\nname: x\nagent: {kind: pipecat_cloud, name: support-bot}\n"
    text += "cekura: {agent: 5, mock_tool_names: []}\nscenarios: [{scenario: 101, repeat: 2}]\n"
    assert (await client.post("/v1/plans/validate", json={"plan_yaml": text})).json()["digest"] == as_json["digest"]


async def test_the_same_key_and_plan_answer_with_the_same_batch(client, plan):
    key = {"Idempotency-Key": "release-1"}
    first = await client.post("/v1/batches", json={"plan": plan}, headers=key)
    again = await client.post("/v1/batches", json={"plan": plan}, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert again.headers["location"] == first.headers["location"]
    assert len((await client.get("/v1/batches")).json()["batches"]) == 1


async def test_twenty_who_ask_at_once_with_one_key_get_one_batch(service, client, plan):
    woken = []
    client = await service.client(wake=lambda: woken.append(True))
    key = {"Idempotency-Key": "once"}
    posts = [client.post("/v1/batches", json={"plan": plan}, headers=key) for _ in range(20)]
    answers = await asyncio.gather(*posts)
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await client.get("/v1/batches")).json()["batches"]) == 1
    assert woken == [True]


@pytest.mark.parametrize("change", [{"name": "other"}, {"plan": {"scenarios": [{"scenario": 102}]}}])
async def test_the_same_key_with_another_plan_is_refused_and_nothing_is_begun(client, plan, problem_in, change):
    key = {"Idempotency-Key": "release-1"}
    first = (await client.post("/v1/batches", json={"plan": plan}, headers=key)).json()
    other = {"plan": {**plan, **change.get("plan", {})}} | {name: one for name, one in change.items() if name != "plan"}
    answer = await client.post("/v1/batches", json=other, headers=key)
    assert first["id"] in problem_in(answer, 409, "conflict")["detail"]
    assert len((await client.get("/v1/batches")).json()["batches"]) == 1


async def test_without_a_key_each_post_is_a_batch(client, plan):
    ids = {(await client.post("/v1/batches", json={"plan": plan})).json()["id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("key", ["", "with space", "ünïcode", "x" * 121, "tab\tin"])
async def test_a_key_that_cannot_be_one_is_refused(client, plan, problem_in, key):
    answer = await client.post("/v1/batches", json={"plan": plan}, headers={b"Idempotency-Key": key.encode()})
    problem = problem_in(answer, 422, "invalid-request")
    assert problem["problems"][0]["path"] == "header.Idempotency-Key"


async def test_every_problem_of_a_plan_is_told_with_its_line_and_nothing_is_begun(client, problem_in):
    text = "version: 1\nagent: {kind: pipecat_cloud}\nscenarios:\n  - {scenario: none}\nlimts: {}\n"
    problem = problem_in(await client.post("/v1/batches", json={"plan_yaml": text}), 422, "invalid-plan")
    assert [(one["line"], one["path"]) for one in problem["problems"]] == [
        (2, "agent.name"),
        (4, "scenarios.0.scenario"),
        (5, "limts"),
    ]
    assert all(one["remedy"] for one in problem["problems"])
    assert (await client.get("/v1/batches")).json()["batches"] == []


async def test_of_very_many_problems_the_first_hundred_are_told(client, problem_in, plan):
    bad = {**plan, "scenarios": [{"scenario": "x"}] * 300}
    problem = problem_in(await client.post("/v1/batches", json={"plan": bad}), 422, "invalid-plan")
    assert (len(problem["problems"]), problem["problems_left_out"]) == (100, 200)


async def test_a_missing_key_of_a_remote_is_a_problem_of_the_service_and_nothing_is_begun(service, plan, problem_in):
    bare = service.context.settings.model_copy(update={"cekura_api_key": None})
    client = await service.client(settings=bare)
    problem = problem_in(await client.post("/v1/batches", json={"plan": plan}), 422, "invalid-settings")
    assert "CEKURA_API_KEY" in problem["detail"]
    assert (await client.get("/v1/batches")).json()["batches"] == []


async def test_hurrying_is_refused_where_a_remote_is_real(client, plan, problem_in):
    answer = await client.post("/v1/batches", json={"plan": plan, "speed": 20})
    problem = problem_in(answer, 422, "invalid-settings")
    assert problem["detail"].startswith("speed is for a sandbox")
    assert "--time-scale" not in problem["detail"] + problem["next_step"]


async def test_a_plan_never_reads_a_variable_of_the_service_itself(service, plan, problem_in):
    variables = {"TENANT": "acme", "CEKURA_API_KEY": "cekura", "DAILY_API_KEY_FILE": "/run/secret"}
    client = await service.client(variables=variables)
    for name, allowed in (("TENANT", True), ("CEKURA_API_KEY", False), ("DAILY_API_KEY_FILE", False)):
        agent = {**plan["agent"], "body": {"x": f"{{{{ env.{name} }}}}"}}
        answer = await client.post("/v1/batches", json={"plan": {**plan, "agent": agent, "env": [name]}})
        if allowed:
            assert answer.status_code == 201
        else:
            assert f"{name} is not set" in problem_in(answer, 422, "invalid-plan")["problems"][0]["message"]


async def test_pages_hold_every_batch_once_while_others_are_begun(client, plan):
    begun = [(await client.post("/v1/batches", json={"plan": plan})).json()["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = (await client.get("/v1/batches", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [batch["id"] for batch in page["batches"]]
        cursor = page["next_cursor"]
        await client.post("/v1/batches", json={"plan": plan})
        if cursor is None:
            break
    assert seen == begun[::-1]


async def test_a_list_holds_what_fits_every_filter(client, plan):
    other = (await client.post("/v1/batches", json={"plan": {**plan, "name": "other"}})).json()
    await client.post("/v1/batches", json={"plan": plan})

    async def found(**filters):
        return [one["name"] for one in (await client.get("/v1/batches", params=filters)).json()["batches"]]

    assert await found() == ["small", "other"]
    assert await found(name="other") == ["other"]
    assert await found(status="closed") == []
    assert await found(status="open", origin="api", name="small") == ["small"]
    assert await found(origin="schedule") == []
    assert await found(schedule="nightly") == []
    assert await found(since=other["created_at"]) == ["small", "other"]
    assert await found(until=other["created_at"]) == []


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"limit": "0"}, "query.limit"),
        ({"limit": "501"}, "query.limit"),
        ({"limit": "ten"}, "query.limit"),
        ({"status": "done"}, "query.status"),
        ({"since": "yesterday"}, "query.since"),
        ({"since": "2026-11-25T09:00:00"}, "query.since"),
        ({"until": "1764063000"}, "query.until"),
        ({"staus": "open"}, "query.staus"),
        ([("status", "open"), ("status", "closed")], "query.status"),
        ({"name": "a b"}, "query.name"),
    ],
)
async def test_a_query_that_means_nothing_is_refused_by_name(client, problem_in, query, place):
    problem = problem_in(await client.get("/v1/batches", params=query), 422, "invalid-request")
    assert place in [one["path"] for one in problem["problems"]]


@pytest.mark.parametrize("cursor", ["x", "%00", "WzEsImF1ZGl0Iiw3XQ", "é", "A" * 900])
@pytest.mark.parametrize("path", ["/v1/batches", "/v1/sessions", "/v1/batches/latest/runs"])
async def test_a_cursor_that_was_never_given_out_is_refused(client, plan, problem_in, path, cursor):
    await client.post("/v1/batches", json={"plan": plan})
    assert "cursor" in problem_in(await client.get(path, params={"cursor": cursor}), 422, "invalid-request")["detail"]


@pytest.mark.parametrize("part", ["", "/runs", "/report", "/teardown", "/events"])
@pytest.mark.parametrize("name", ["latest", "20261125-093000-4f2a"])
async def test_what_is_not_there_is_not_found(client, problem_in, part, name):
    problem_in(await client.get(f"/v1/batches/{name}{part}"), 404, "not-found")
    problem_in(await client.post(f"/v1/batches/{name}/cancel"), 404, "not-found")


@pytest.mark.parametrize("path", ["/v1/runs/nobody-001", "/v1/sessions/nobody"])
async def test_a_run_or_session_that_is_not_there_is_not_found(client, problem_in, path):
    problem_in(await client.get(path), 404, "not-found")


async def test_latest_is_the_newest_batch(client, plan):
    await client.post("/v1/batches", json={"plan": plan})
    newest = (await client.post("/v1/batches", json={"plan": plan})).json()
    for path in ("/v1/batches/latest", newest["links"]["self"]):
        assert (await client.get(path)).json()["id"] == newest["id"]


async def test_a_run_is_found_by_its_id_with_its_sessions(client, plan):
    batch = (await client.post("/v1/batches", json={"plan": plan})).json()
    run = (await client.get(f"/v1/runs/{batch['id']}-002")).json()
    assert (run["index"], run["batch_id"], run["sessions"], run["result_url"]) == (2, batch["id"], [], None)


async def test_a_report_says_of_an_open_batch_that_it_is_not_over(client, plan):
    await client.post("/v1/batches", json={"plan": plan})
    report = (await client.get("/v1/batches/latest/report")).json()
    assert report["batch"]["exit_meaning"].startswith("the batch is not over")


async def test_cancelling_commits_the_wish_its_reason_and_who_had_it(service, client, plan):
    batch = (await client.post("/v1/batches", json={"plan": plan})).json()
    answer = await client.post(batch["links"]["cancel"], json={"reason": "withdrawn", "drain": True})
    assert answer.status_code == 202
    assert (answer.json()["cancelled"], answer.json()["reason"]) == (True, "withdrawn")
    stored = await service.store.read(partial(batch_rows.get_batch, batch_id=batch["id"]))
    assert stored.cancel_drains
    admin = await service.client(Scope.ADMIN)
    line = (await admin.get("/v1/audit", params={"target": batch["id"], "limit": 1})).json()["entries"][0]
    assert (line["action"], line["detail"]) == ("batch.cancel", {"reason": "withdrawn", "drains": True})


async def test_cancelling_needs_no_body_and_may_be_asked_again(client, plan):
    batch = (await client.post("/v1/batches", json={"plan": plan})).json()
    for _ in range(2):
        assert (await client.post(batch["links"]["cancel"])).status_code == 202


async def test_a_closed_batch_cannot_be_cancelled(service, client, plan, problem_in):
    batch = (await client.post("/v1/batches", json={"plan": plan})).json()
    end = partial(batch_rows.record_closed, batch_id=batch["id"], at=service.clock.now(), outcome=Outcome.INCONCLUSIVE)
    await service.store.write(end)
    assert "closed already" in problem_in(await client.post(batch["links"]["cancel"]), 409, "conflict")["detail"]


@pytest.mark.parametrize(
    "order",
    [
        {"reason": "a\nb"},
        {"reason": "x" * 401},
        {"reason": 3},
        {"drain": "maybe"},
        {"drain": 1},
        {"drains": True},
        [],
        7,
    ],
)
async def test_a_wish_that_cannot_be_read_cancels_nothing(client, plan, problem_in, order):
    batch = (await client.post("/v1/batches", json={"plan": plan})).json()
    problem_in(await client.post(batch["links"]["cancel"], json=order), 422, "invalid-request")
    assert not (await client.get(batch["links"]["self"])).json()["cancelled"]


async def test_how_many_runs_a_selection_comes_to_is_not_said_by_checking_it(client, plan):
    selecting = {**plan, "scenarios": [{"scenario": 101}, {"tags": ["smoke"]}]}
    found = (await client.post("/v1/plans/validate", json={"plan": selecting})).json()
    assert (found["valid"], found["runs"]) == (True, None)


async def test_a_selection_is_refused_where_nobody_can_look_it_up(client, plan, problem_in):
    selecting = {**plan, "scenarios": [{"tags": ["smoke"]}]}
    problem = problem_in(await client.post("/v1/batches", json={"plan": selecting}), 422, "invalid-settings")
    assert "no way to it" in problem["detail"]
    assert (await client.get("/v1/batches")).json()["batches"] == []
