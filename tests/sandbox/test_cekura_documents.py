"""Cekura's answers against its own OpenAPI file, where that file is at hand, and against the examples of its pages."""

import json
from pathlib import Path

import jsonschema
import pytest

SPECIFICATION = Path(__file__).parents[2] / "../shared/apis/cekura-openapi.json"
RUN_SCENARIOS = "/test_framework/v1/scenarios/run_scenarios_pipecat/"


@pytest.fixture(scope="module")
def specification():
    if not SPECIFICATION.exists():
        pytest.skip("Cekura's OpenAPI file is not part of this repository; put it at ../shared/apis/")
    return json.loads(SPECIFICATION.read_text(encoding="utf-8"))


@pytest.fixture
def valid(specification):
    """Checks an answer against what the file says of this method, path and status."""

    def check(answer, method, path):
        response = specification["paths"][path][method]["responses"][str(answer.status_code)]
        content = response.get("content", {}).get("application/json", {}).get("schema")
        if content is None:
            assert answer.content == b""
            return None
        schema = nullable({**content, "components": specification["components"]})
        jsonschema.validate(answer.json(), schema, jsonschema.Draft202012Validator)
        return answer.json()

    return check


def nullable(schema):
    """The file as JSON Schema: it mixes in OpenAPI 3.0's `nullable`, and its `oneOf`s are of shapes that overlap."""
    if isinstance(schema, list):
        return [nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    said = {"anyOf" if name == "oneOf" else name: nullable(value) for name, value in schema.items()}
    if said.get("nullable") is True and isinstance(said.get("type"), str):
        said["type"] = [said["type"], "null"]
    return said


@pytest.fixture
async def passed(play):
    """A sandbox with one judged run, and the submission it came from."""
    caller = await play()
    session = await caller.ready()
    submission = await caller.submit(session)
    await caller.judged(submission)
    return caller, submission


@pytest.mark.parametrize("family", ["v1/scenarios", "v1/scenarios-external"])
async def test_a_submission_is_answered_as_specified(play, valid, family):
    caller = await play()
    path = f"{caller.api}/{family}/run_scenarios_pipecat/"
    body = {"scenarios": [{"scenario": 1, "pipecat_room_url": "https://acme.daily.co/room"}]}

    accepted = valid(await caller.http.post(path, json=body, headers=caller.cekura), "post", path)
    refused = valid(await caller.http.post(path, json={"scenarios": []}, headers=caller.cekura), "post", path)

    assert len(accepted["runs"]) == 1
    assert list(refused) == ["scenarios"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("run_scenarios_pipecat_v2", {"scenarios": [{"scenario": 101}, {"scenario": 103}]}),
        ("run_scenarios_livekit_v2", {"scenarios": [{"scenario": 201}, {"scenario": 202}]}),
        ("run_scenarios", {"agent_id": 7, "scenarios": [301, 302]}),
    ],
)
async def test_a_submission_to_an_automated_channel_is_answered_as_specified(play, valid, name, body):
    caller = await play()
    path = f"{caller.api}/v1/scenarios/{name}/"

    accepted = valid(await caller.http.post(path, json=body, headers=caller.cekura), "post", path)
    refused = valid(await caller.http.post(path, json=body | {"frequency": 0}, headers=caller.cekura), "post", path)

    assert [(run["test_profile_data"] is None) for run in sorted(accepted["runs"], key=lambda run: run["id"])] == [
        False,
        True,
    ]
    assert list(refused) == ["frequency"]
    polled = f"{caller.api}/v2/runs/bulk/"
    for run in await caller.judged(accepted):
        valid(await caller.http.get(polled, params={"run_ids": str(run["id"])}, headers=caller.cekura), "get", polled)
    result = f"{caller.api}/v2/results/{{id}}/"
    valid(await caller.http.get(result.format(id=accepted["id"]), headers=caller.cekura), "get", result)


async def test_a_request_that_fills_every_field_of_its_schema_is_accepted(play, specification):
    caller = await play()
    matrix = {"personality_ids": [1], "personality_id": 2, "test_profile_ids": [31], "test_profile_id": 32}
    more = {"name": "all of it", "frequency": 1, "concurrency_limit": 1, "mock_tool_names": []} | matrix
    scenarios = {"scenarios": [{"scenario": 101, "publish_data_message": {"a": 1}}]}
    filled = {
        "SchemaPostRunScenariosPipecatV2": (
            "pipecat_v2",
            scenarios | more | {"pipecat_data": {"pipecat_agent_name": "bot", "config": {}, "room_properties": {}}},
        ),
        "RunLivekitScenarios": (
            "livekit_v2",
            scenarios | more | {"agent": 6, "livekit_data": {"config": {}, "agent_name": "w", "url": "wss://x"}},
        ),
        "SchemaPostRunScenarios": (
            "voice",
            {"agent_id": 7, "scenarios": [301], "project_id": 1, "mode": "same_number", **more}
            | {"outbound_phone_number": "+15550111", "agent_number": "+15550112"},
        ),
    }
    # One way of several to name the agent, or the scenarios.
    elsewhere = {"SchemaPostRunScenarios": {"assistant_id", "tags", "folder_path"}}

    for schema, (channel, body) in filled.items():
        fields = set(specification["components"]["schemas"][schema]["properties"])
        assert fields - set(body) == elsewhere.get(schema, set())
        assert (await caller.post_automated(channel, body)).is_success


async def test_scenarios_agents_and_share_links_are_shown_as_specified(passed, valid):
    caller, submission = passed
    scenarios, agents = f"{caller.api}/v1/scenarios/", f"{caller.api}/v2/aiagents/{{id}}/"
    share = f"{caller.api}/v1/results/{{id}}/create_shareable_link_token/"

    async def get(path, **parts):
        return await caller.http.get(path.format(**parts), headers=caller.cekura)

    async def post(body):
        where = share.format(id=submission["id"])
        return valid(await caller.http.post(where, json=body, headers=caller.cekura), "post", share)

    assert valid(await get(scenarios), "get", scenarios)["count"] > 20
    for agent in (5, 6, 7, 8, 9):
        assert valid(await get(agents, id=agent), "get", agents)["id"] == agent
    assert list(valid(await get(agents, id=404), "get", agents)) == ["detail"]
    assert set(await post({"expire_at": None})) == {"token", "shareable_link"}
    assert set(await post({"expire_at": "2030-01-01T00:00:00Z"})) == {"token", "shareable_link"}
    assert list(await post({"expire_at": "tomorrow"})) == ["expire_at"]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_runs_are_shown_as_specified_in_every_state(play, valid, version):
    caller = await play(calls_limit=2, faults=("call.fails_evaluation=1", "call.never_connects=1"))
    path = f"{caller.api}/{version}/runs/bulk/"
    submission = await caller.submit(*[await caller.ready() for _ in range(4)])
    params = {"run_ids": ",".join(str(run["id"]) for run in submission["runs"])}
    seen = set()

    async def judged():
        runs = valid(await caller.http.get(path, params=params, headers=caller.cekura), "get", path)
        seen.update(run["status"] for run in runs)
        return {run["status"] for run in runs} <= {"completed", "failed"}

    await caller.eventually(judged)
    assert seen >= {"in_queue", "in_progress", "evaluating", "completed", "failed"}


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_result_is_shown_as_specified(passed, valid, version):
    caller, submission = passed
    path = f"{caller.api}/{version}/results/{{id}}/"

    answer = await caller.http.get(path.format(id=submission["id"]), headers=caller.cekura)

    assert valid(answer, "get", path)["status"] == "completed"


async def test_results_are_listed_renamed_and_missed_as_specified(passed, valid):
    caller, submission = passed
    results = f"{caller.api}/v2/results/"
    one = f"{results}{submission['id']}/"

    listed = valid(await caller.http.get(results, headers=caller.cekura), "get", results)
    renamed = valid(
        await caller.http.patch(one, json={"name": "nightly"}, headers=caller.cekura), "patch", f"{results}{{id}}/"
    )
    valid(await caller.http.get(f"{results}1/", headers=caller.cekura), "get", f"{results}{{id}}/")

    assert listed["count"] == 1
    assert renamed["name"] == "nightly"


async def test_a_run_and_billing_are_shown_as_specified(passed, valid):
    caller, submission = passed
    runs, billing = f"{caller.api}/v2/runs/", f"{caller.api}/billing/info/"

    run = await caller.http.get(f"{runs}{submission['runs'][0]['id']}/", headers=caller.cekura)

    assert valid(run, "get", f"{runs}{{id}}/")["success"] is True
    valid(await caller.http.get(billing, headers=caller.cekura), "get", billing)


async def test_ending_calls_is_answered_as_specified(passed, valid):
    caller, submission = passed
    call, calls = f"{caller.api}/v1/runs/{{id}}/end_call/", f"{caller.api}/v1/results/{{id}}/end_calls/"

    async def post(path, id_):
        return await caller.http.post(path.format(id=id_), headers=caller.cekura)

    for path, known in ((call, submission["runs"][0]["id"]), (calls, submission["id"])):
        valid(await post(path, known), "post", path)
        assert "detail" in valid(await post(path, 1), "post", path)


async def test_the_published_example_is_accepted_and_answered_in_its_shape(play):
    """The worked example of the manual flow: two rooms of a real domain, which nobody can join from here."""
    caller = await play()
    body = {
        "agent": 5,
        "mock_tool_names": [],
        "scenarios": [
            {
                "scenario": 11735,
                "pipecat_room_url": "https://acme.daily.co/pcc-7f3a",
                "pipecat_token": "eyJ…A",
                "publish_data_message": {"run": "o-1"},
            },
            {
                "scenario": 11736,
                "pipecat_room_url": "https://acme.daily.co/pcc-91cd",
                "pipecat_token": "eyJ…B",
            },
        ],
    }

    answer = await caller.http.post(RUN_SCENARIOS, json=body, headers=caller.cekura)

    submission = answer.json()
    assert answer.status_code == 200
    assert {"id", "name", "agent", "status", "success_rate", "run_as_text", "is_cronjob", "runs", "created_at"} <= set(
        submission
    )
    assert {run["scenario"] for run in submission["runs"]} == {11735, 11736}
    for run in submission["runs"]:
        assert {"id", "status", "scenario", "number", "inbound_number", "scenario_name"} <= set(run)
    runs = await caller.judged(submission)
    assert [run["metadata"]["ended_reason"] for run in runs] == ["Testing agent-did-not-connect"] * 2
    assert all(run["error_message"] for run in runs)


async def test_a_result_has_the_shape_of_the_published_example(passed):
    caller, submission = passed

    answer = await caller.http.get(f"{caller.api}/v2/results/{submission['id']}/", headers=caller.cekura)

    result = answer.json()
    assert {"total_runs_count", "completed_runs_count", "success_runs_count", "failed_runs_count"} <= set(result)
    assert result["success_rate"] == 100.0
    run_id = str(submission["runs"][0]["id"])
    assert (result["runs"][run_id]["status"], result["runs"][run_id]["success"]) == ("completed", True)
