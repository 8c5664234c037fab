"""A schedule or pool that is not one: everything wrong with it is told, and nothing is made, changed or begun."""

import json

import pytest

from orchestrator.domain.access import Scope

SCHEDULE = {"cron": "0 2 * * *"}  # and a plan
POOL = {"agent": {"kind": "pipecat_cloud", "name": "support-bot"}, "min_ready": 1, "max_alive": 3}
KINDS = ("schedules", "pools")
CHANGES = [
    (method, f"/v1/{kind}/it{part}")
    for kind in KINDS
    for method, part in (("PUT", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"))
]


@pytest.fixture
async def admin(service):
    return await service.client(Scope.ADMIN)


@pytest.fixture
def good(plan):
    """A definition of each kind that would be taken."""
    return {"schedules": {**SCHEDULE, "plan": plan}, "pools": POOL}


@pytest.fixture
async def nothing_changed(admin, good):
    """There is one of each kind; at the end both are as they were, there is no third, and no batch."""

    async def everything():
        return [
            [{**one, "next": None} for one in (await admin.get(f"/v1/{kind}")).json()[kind]]
            for kind in (*KINDS, "batches")
        ]

    for kind in KINDS:
        assert (await admin.put(f"/v1/{kind}/it", json=good[kind])).status_code == 201
    before = await everything()
    assert [len(found) for found in before] == [1, 1, 0]
    yield
    assert await everything() == before


BAD_SCHEDULES = {
    "a cron that never fires": ({"cron": "0 0 30 2 *"}, "cron", "never due"),
    "a cron that is none": ({"cron": "every day"}, "cron", "2 fields, not 5"),
    "a cron out of range": ({"cron": "0 25 * * *"}, "cron", "hour"),
    "a cron too long": ({"cron": "0 " * 300}, "cron", "200 characters"),
    "an unknown zone": ({"timezone": "Europe/Berln"}, "timezone", "did you mean Europe/Berlin?"),
    "a zone with a path": ({"timezone": "../../etc/passwd"}, "timezone", "is no timezone"),
    "no rule": ({"cron": None}, "schedule", "when it is due"),
    "two rules": ({"every": "15m"}, "every", "does not go with cron"),
    "an interval too short": ({"cron": None, "every": 5}, "every", "60"),
    "a length that is none": ({"jitter": "a while"}, "jitter", '"15m"'),
    "a number as text": ({"window": True}, "window", "True"),
    "an unknown field": ({"timezon": "UTC"}, "timezon", "timezone"),
    "an unknown rule": ({"overlap": "both"}, "overlap", "skip"),
    "a blackout without an end": ({"blackouts": [{"from": "2026-12-24T00:00"}]}, "blackouts.0.until", "is missing"),
    "a plan that is a path": ({"plan": "nightly.yaml"}, "plan", "must be a plan"),
    "a plan with problems": ({"plan": {"version": 1}}, "plan.agent", "is missing"),
    "a plan with a key of ours": (
        {"plan": {"version": 1, "env": ["CEKURA_API_KEY"], "scenarios": []}},
        "plan.env.0",
        "CEKURA_API_KEY is not set",
    ),
    "another name": ({"name": "other"}, "name", "than that in the path"),
    "a name that is none": ({"name": 7}, "name", "than that in the path"),
    "too many values": ({"plan": {"x": list(range(100_001))}}, "schedule", "more than 100000 values"),
    "half a character": ({"timezone": "\ud800"}, "timezone", "half of a character"),
}
BAD_POOLS = {
    "more ready than alive": ({"min_ready": 4}, "min_ready", "at most 3"),
    "a pool that is too large": ({"max_alive": 1001}, "max_alive", "1000"),
    "a pool of nothing": ({"max_alive": 0, "min_ready": 0}, "max_alive", "1"),
    "a number as text": ({"min_ready": "2"}, "min_ready", "2"),
    "an age above the bot's patience": ({"max_age": "10m"}, "max_age", "idle_timeout"),
    "a call that no room lives for": ({"run": 14_400}, "run", "lower"),
    "an unknown zone": ({"timezone": "Mars/Olympus"}, "timezone", "is no timezone"),
    "hours that close first": ({"hours": [{"open": "18:00", "close": "08:00"}]}, "hours.0.close", "closes at 08:00"),
    "a day that is none": ({"hours": [{"days": ["monday"], "open": "1:00", "close": "08:00"}]}, "hours.0", "mon"),
    "an unknown field": ({"min_redy": 1}, "min_redy", "min_ready"),
    "no agent": ({"agent": None}, "agent", "kind"),
    "an agent of no kind": ({"agent": {"name": "support-bot"}}, "agent.kind", "is missing"),
    "an agent that would leave its path": ({"agent": {**POOL["agent"], "name": "../x"}}, "agent.name", "../x"),
    "a template": ({"agent": {**POOL["agent"], "body": {"x": "{{ run.id }}"}}}, "agent.body.x", "template"),
    "a pool in a pool": ({"agent": {**POOL["agent"], "pool": "other"}}, "agent.pool", "inside a pool"),
    "another name": ({"name": "other"}, "name", "than that in the path"),
    "too deep": ({"agent": {**POOL["agent"], "body": json.loads("[" * 70 + "]" * 70)}}, "pool", "60 levels"),
}
BAD = [("schedules", name, *bad) for name, bad in BAD_SCHEDULES.items()]
BAD += [("pools", name, *bad) for name, bad in BAD_POOLS.items()]


JSON = {"Content-Type": "application/json"}


@pytest.mark.usefixtures("nothing_changed")
async def test_every_fault_of_a_definition_is_told_by_its_place_with_a_remedy(admin, good, problem_in):
    for kind, name, change, path, words in BAD:
        changed = {key: value for key, value in {**good[kind], **change}.items() if value is not None}
        for target in ("it", "new"):
            answer = await admin.put(f"/v1/{kind}/{target}", content=json.dumps(changed), headers=JSON)
            problem = problem_in(answer, 422, "invalid-definition")
            assert "nothing was changed" in problem["next_step"]
        told = [(one["path"], f"{one['message']} {one['remedy']}") for one in problem["problems"]]
        assert any(at.startswith(path) and words in said for at, said in told), (name, told)


@pytest.mark.usefixtures("nothing_changed")
async def test_all_faults_are_told_at_once(admin, plan, problem_in):
    faulty = {**plan, "scenarios": [{"scenario": "x"}]}
    data = {"cron": "0 0 31 2 *", "timezone": "Nowhere", "surplus": 1, "plan": faulty}
    problem = problem_in(await admin.put("/v1/schedules/it", json=data), 422, "invalid-definition")
    assert problem["detail"] == "The schedule it has 4 problems."
    assert {one["path"] for one in problem["problems"]} == {"cron", "timezone", "surplus", "plan.scenarios.0.scenario"}


@pytest.mark.usefixtures("nothing_changed")
async def test_what_is_no_definition_at_all_is_refused(admin, problem_in):
    for kind in KINDS:
        for body in ("[]", '"text"', "7", "null", ""):
            answer = await admin.put(f"/v1/{kind}/it", content=body, headers=JSON)
            assert problem_in(answer, 422, "invalid-request")["problems"][0]["path"] == "body"
        for body in ("{", '{"name": "it", "name": "it"}', '{"max_alive": NaN}'):
            problem_in(await admin.put(f"/v1/{kind}/it", content=body, headers=JSON), 400, "malformed")
        problem_in(await admin.put(f"/v1/{kind}/it", content="{}"), 415, "unsupported-media-type")


@pytest.mark.usefixtures("nothing_changed")
async def test_a_body_that_is_too_large_is_refused(service, admin, good, problem_in):
    for kind in KINDS:
        large = {**good[kind], "x": "y" * service.context.limits.body_bytes}
        problem_in(await admin.put(f"/v1/{kind}/it", json=large), 413, "too-large")


@pytest.mark.usefixtures("nothing_changed")
async def test_a_name_that_can_be_none_is_refused(admin, good, problem_in):
    for kind in KINDS:
        for name in ("A", "a b", "x" * 81, "%00", "é", "a%0A", "..."):
            problem_in(await admin.put(f"/v1/{kind}/{name}", json=good[kind]), 422, "invalid-request")
            problem_in(await admin.post(f"/v1/{kind}/{name}/pause"), 422, "invalid-request")


@pytest.mark.usefixtures("nothing_changed")
async def test_a_missing_key_of_a_remote_is_a_problem_of_the_service(service, good, problem_in):
    bare = service.context.settings.model_copy(update={"cekura_api_key": None})
    client = await service.client(Scope.ADMIN, settings=bare)
    problem = problem_in(await client.put("/v1/schedules/new", json=good["schedules"]), 422, "invalid-settings")
    assert "CEKURA_API_KEY" in problem["detail"]


@pytest.mark.usefixtures("nothing_changed")
@pytest.mark.parametrize("scope", [Scope.READ, Scope.RUN])
async def test_only_an_administrator_changes_them(service, good, problem_in, scope):
    client = await service.client(scope)
    for method, path in CHANGES:
        more = {"json": {**good[path.split("/")[2]], "timezone": "Asia/Tokyo"}} if method == "PUT" else {}
        problem = problem_in(await client.request(method, path, **more), 403, "forbidden")
        assert "admin" in problem["detail"]


@pytest.mark.usefixtures("nothing_changed")
async def test_firing_asks_for_a_token_that_may_begin_batches(service, problem_in):
    reader = await service.client(Scope.READ)
    problem_in(await reader.post("/v1/schedules/it/fire"), 403, "forbidden")


@pytest.mark.usefixtures("nothing_changed")
async def test_an_order_to_fire_that_is_none_is_refused_and_nothing_begins(client, problem_in):
    fire = "/v1/schedules/it/fire"
    for order in (
        {"overlap": "both"},
        {"overlap": 1},
        {"overlap": "SKIP"},
        {"overlap": ["skip"]},
        {"unknown": 1},
        [],
        "x",
    ):
        answer = await client.post(fire, json=order)
        assert problem_in(answer, 422, "invalid-request")["problems"][0]["path"].startswith("body")
    for key in ("", "with space", "x" * 121):
        problem_in(await client.post(fire, headers={"Idempotency-Key": key}), 422, "invalid-request")


@pytest.mark.usefixtures("nothing_changed")
async def test_what_is_not_there_is_not_found(admin, problem_in):
    asked = [("GET", "/v1/schedules/none/fires"), ("POST", "/v1/schedules/none/fire")]
    for kind in KINDS:
        asked += [(method, f"/v1/{kind}/none") for method in ("GET", "DELETE")]
        asked += [("POST", f"/v1/{kind}/none/{part}") for part in ("pause", "resume")]
    for method, path in asked:
        problem = problem_in(await admin.request(method, path), 404, "not-found")
        assert "/v1/schedules" in problem["next_step"]
        assert "none" in problem["detail"]


@pytest.mark.usefixtures("nothing_changed")
async def test_only_any_may_be_named_as_what_must_not_be_there(admin, good, problem_in):
    for kind in KINDS:
        answer = await admin.put(f"/v1/{kind}/new", json=good[kind], headers={"If-None-Match": '"tag"'})
        problem_in(answer, 422, "invalid-request")


@pytest.mark.usefixtures("nothing_changed")
async def test_a_page_of_fires_that_is_none_is_refused(client, problem_in):
    of_batches = "cursor=WzEsImJhdGNoZXMiLDEsIjIiXQ"
    for query in ("cursor=x", "limit=0", "limit=501", "limit=x", "page=2", of_batches):
        problem_in(await client.get(f"/v1/schedules/it/fires?{query}"), 422, "invalid-request")


@pytest.mark.usefixtures("nothing_changed")
async def test_what_was_sent_by_mistake_is_not_repeated(admin, good):
    for kind in KINDS:
        answer = await admin.put(f"/v1/{kind}/it", json={**good[kind], "name": "orc_secret"})
        assert answer.status_code == 422
        assert "orc_secret" not in answer.text
