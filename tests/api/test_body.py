"""What may be sent: how much, how fast, and which JSON."""

import asyncio
import json
from dataclasses import replace

import pytest

from orchestrator.domain.access import Scope

JSON = {"Content-Type": "application/json"}
DEEP = 100_000


async def in_parts(*parts):
    for part in parts:
        yield part


@pytest.fixture
def small(service):
    """Limits under which a body has 1000 bytes at most."""
    return replace(service.context.limits, body_bytes=1000)


async def test_a_body_that_announces_too_much_is_refused(service, small, problem_in):
    client = await service.client(limits=small)
    answer = await client.post("/v1/batches", content=b'"' + b"x" * 999 + b'"', headers=JSON)
    assert "1000 bytes" in problem_in(answer, 413, "too-large")["detail"]


async def test_a_body_that_turns_out_too_large_is_refused_though_it_announced_nothing(service, small, problem_in):
    client = await service.client(limits=small)
    answer = await client.post("/v1/batches", content=in_parts(b'"', *[b"x" * 100] * 10, b'"'), headers=JSON)
    assert "content-length" not in answer.request.headers
    problem_in(answer, 413, "too-large")


async def test_a_body_in_parts_that_is_small_enough_is_taken(service, plan):
    client = await service.client()
    text = json.dumps({"plan": plan}).encode()
    assert (await client.post("/v1/batches", content=in_parts(text[:9], text[9:]), headers=JSON)).status_code == 201


async def test_whoever_may_not_enter_is_told_so_before_their_body_is_read(service, problem_in):
    client = await service.client(None)
    read = []

    async def body():
        read.append(True)
        yield b"{}"

    answer = await client.post("/v1/batches", content=body(), headers=JSON)
    problem_in(answer, 401, "unauthenticated")
    assert read == []


async def test_a_body_that_takes_too_long_is_given_up(service, problem_in):
    client = await service.client(limits=replace(service.context.limits, body_seconds=0.05))

    async def body():
        yield b"{"
        await asyncio.Event().wait()

    problem_in(await client.post("/v1/batches", content=body(), headers=JSON), 408, "too-slow")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/yaml", "nonsense", ""]
)
async def test_what_is_not_called_json_is_refused(client, problem_in, kind):
    answer = await client.post("/v1/batches", content=b"{}", headers={"Content-Type": kind})
    problem_in(answer, 415, "unsupported-media-type")


async def test_json_may_name_its_charset(client, plan):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await client.post("/v1/batches", content=json.dumps({"plan": plan}).encode(), headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"plan": ', "line 1, column 10"),
        (b"{'plan': 1}", "line 1, column 2"),
        (b'{"speed": NaN}', "NaN is not JSON"),
        (b'{"speed": -Infinity}', "-Infinity is not JSON"),
        (b'{"plan": {"version": 1, "version": 2}}', "a key is given twice"),
        (b'{"name": "\xff"}', "not JSON in UTF-8"),
        ('{"name": "x"}'.encode("utf-16"), "not JSON in UTF-8"),
        (b"[" * DEEP + b"]" * DEEP, "nested too deeply"),
        (b'{"speed": ' + b"1" * 5000 + b"}", "not JSON in UTF-8"),
    ],
)
async def test_json_that_cannot_be_read_or_means_two_things_is_refused(client, problem_in, body, words):
    answer = await client.post("/v1/batches", content=body, headers=JSON)
    assert words in problem_in(answer, 400, "malformed")["detail"]


@pytest.mark.parametrize(
    "order",
    [
        {},
        [],
        "plan",
        None,
        {"plan": {}, "plan_yaml": ""},
        {"plan": None},
        {"plan": 1},
        {"plan": []},
        {"plan_yaml": 7},
        {"plan_yaml": "x" * 262_145},
        {"plan": {}, "unknown": 1},
        {"plan": {}, "speed": 0},
        {"plan": {}, "speed": "fast"},
        {"plan": {}, "speed": "2"},
        {"plan": {}, "speed": True},
        {"plan": {}, "speed": 1e999},
        {"plan": {}, "name": "Not A Name"},
        {"plan": {}, "name": "\ud800"},
        {"plan": {}, "\ud800": 1},
    ],
    ids=lambda order: repr(order)[:30],
)
async def test_an_order_that_is_not_one_is_refused_by_the_place_of_its_fault(client, problem_in, order):
    answer = await client.post("/v1/batches", content=json.dumps(order).replace("Infinity", "1e999"), headers=JSON)
    problem = problem_in(answer, 422, "invalid-request")
    assert all(one["path"].startswith("body") for one in problem["problems"])


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"x": [1e999]}, "not a finite number"),
        ({"x": "\ud800"}, "half of a character"),
        ({"\ud800": "x"}, "half of a character"),
        ({"x": json.loads("[" * 70 + "]" * 70)}, "60 levels"),
        ({"x": list(range(100_001))}, "more than 100000 values"),
        ({"scenarios": [{"scenario": 10**30}]}, "scenario"),
    ],
    ids=lambda one: repr(one)[:30],
)
async def test_a_plan_in_json_is_held_to_the_bounds_of_one_in_yaml(client, problem_in, plan, words):
    text = json.dumps({"plan": plan}).replace("Infinity", "1e999")
    answer = await client.post("/v1/plans/estimate", content=text, headers=JSON)
    assert words in json.dumps(problem_in(answer, 422, "invalid-plan")["problems"])


async def test_what_was_sent_by_mistake_is_not_repeated_in_the_answer(client):
    answer = await client.post("/v1/batches", json={"plan": "orc_secret", "name": "orc_secret!", "speed": "orc_secret"})
    assert answer.status_code == 422
    assert "orc_secret" not in answer.text


async def test_a_large_plan_is_read_beside_everything_else(client):
    """Reading it takes a second; who asks meanwhile is answered first."""
    values = ", ".join("1" for _ in range(25_000))
    text = (
        f"version: 1\nagent: {{kind: pipecat_cloud, name: b, body: {{x: [{values}]}}}}\nscenarios: [{{scenario: 1}}]\n"
    )
    reading = asyncio.create_task(client.post("/v1/plans/validate", json={"plan_yaml": text}))
    await asyncio.sleep(0.05)
    assert (await client.get("/livez")).status_code == 200
    assert not reading.done()
    assert (await reading).status_code == 200


async def test_an_estimate_is_what_the_command_prints_and_leaves_out_what_does_not_fit(client, plan):
    whole = (await client.post("/v1/plans/estimate", json={"plan": plan})).json()
    assert (len(whole["runs"]), whole["runs_left_out"], whole["estimate"]["runs"]) == (2, 0, 2)
    large = {
        **plan,
        "agent": {**plan["agent"], "body": {"x": "y" * 50_000}},
        "scenarios": [{"scenario": 1, "repeat": 99}],
    }
    cut = (await client.post("/v1/plans/estimate", json={"plan": large})).json()
    assert len(cut["runs"]) + cut["runs_left_out"] == 99
    assert 0 < len(cut["runs"]) < 25
    assert cut["estimate"]["runs"] == 99


async def test_a_check_tells_all_problems_and_begins_nothing(service):
    reader = await service.client(Scope.READ)
    text = "version: 1\nagent: {kind: pipecat_cloud}\nscenarios: []\n"
    found = (await reader.post("/v1/plans/validate", json={"plan_yaml": text})).json()
    assert (found["valid"], [one["line"] for one in found["problems"]]) == (False, [2, 3])
    assert (await reader.get("/v1/batches")).json()["batches"] == []
