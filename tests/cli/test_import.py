"""`import` makes plans of what others asked Cekura for, and `plan --as v2` shows what would be asked."""

import json

import pytest

from orchestrator.plans import load_plan

REQUEST = {
    "scenarios": [{"scenario": 101}, {"scenario": 102}],
    "agent": 5,
    "name": "moved",
    "mock_tool_names": [],
    "concurrency_limit": 2,
    "pipecat_data": {"pipecat_agent_name": "support-bot", "config": {"locale": "en"}},
}
SUITE = {
    "version": "1",
    "suite": {"name": "Nightly support"},
    "scenarios": [{"name": "Order status", "instructions": "ask", "frequency": 2}, {"name": "Refund"}],
}
TO_US = ("--to", "pipecat_v1")


@pytest.fixture
def source(shell):
    return lambda data, name="source.json": shell.write(name, data if isinstance(data, str) else json.dumps(data))


@pytest.mark.parametrize("to", ["pipecat_v1", "pipecat_v2"])
@pytest.mark.slow
def test_an_imported_plan_runs(shell, play, source, to, is_clean):
    sandbox = play()
    made = shell.look("import", source(REQUEST), "--to", to, "--output", "moved.yaml")
    assert made.code == 0, made

    ended = shell("run", "moved.yaml", "--time-scale", "50", "--json", "--set", "timeouts.run=3000")

    assert ended.code == 0, ended
    assert [run["scenario"] for run in ended.document["runs"]] == [101, 102]
    assert is_clean(sandbox.world())


def test_a_plan_on_stdout_loads_and_its_notes_are_on_stderr_too(shell, source):
    ended = shell.look("import", source(REQUEST | {"personality_ids": [1]}), *TO_US)

    assert ended.code == 0, ended
    assert load_plan(shell.write("made.yaml", ended.out)).plan.agent.body == {"locale": "en"}
    assert "# - personality_ids [1] is left out" in ended.out
    assert "note: personality_ids [1] is left out" in ended.err


def test_json_is_one_document_with_the_plan_and_the_notes(shell, source):
    ended = shell.look("import", source(REQUEST | {"colour": "red"}), *TO_US, "--json")

    assert ended.document["plan"]["agent"]["name"] == "support-bot"
    assert ended.document["notes"] == ["colour is left out: it is no field of such a request that is known here"]


def test_a_file_is_replaced_only_by_force(shell, source):
    kept = shell.write("kept.yaml", "mine")

    ended = shell.look("import", source(REQUEST), "--output", kept)
    assert (ended.code, kept.read_text()) == (2, "mine")
    assert "--force" in ended.err

    assert shell.look("import", source(REQUEST), "--output", kept, "--force").code == 0
    assert load_plan(kept).plan.name == "moved"


def test_nothing_is_written_where_there_is_no_plan(shell, source):
    ended = shell.look("import", source(REQUEST | {"frequency": 101}), "--output", "made.yaml", "--json")

    assert ended.code == 2
    assert not (shell.folder / "made.yaml").exists()
    assert ended.document["error"]["problems"][0]["path"] == "as a plan, cekura.frequency"


def test_an_output_that_cannot_be_written_is_named(shell, source):
    ended = shell.look("import", source(REQUEST), "--output", "no/such/folder.yaml")

    assert ended.code == 2
    assert "cannot write no/such/folder.yaml" in ended.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"scenarios": [}', "line 1, column 16"),
        ("[1]", "is a list, not an object"),
        ('{"version": 1, "scenarios": [{"scenario": 1}]}', "is a plan already"),
        ('{"hello": 1}', "give the body of a request to run_scenarios_pipecat_v2"),
    ],
)
def test_what_is_none_of_the_known_sources_ends_with_2(shell, source, content, words):
    ended = shell.look("import", source(content))

    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


def test_a_source_that_is_not_there_ends_with_2(shell):
    ended = shell.look("import", "nowhere.json")

    assert ended.code == 2
    assert "cannot be read" in ended.err


def test_what_plan_shows_goes_through_a_pipe_and_comes_back(shell):
    shown = shell.look("plan", shell.plan_file, "--set", "scenarios.0.publish_data_message=hi", "--as", "v2")
    assert shown.code == 0, shown
    assert [request["body"]["concurrency_limit"] for request in shown.document["requests"]] == [2]

    back = shell.look("import", "-", *TO_US, given=shown.out)

    plan = load_plan(shell.write("back.yaml", back.out)).plan
    assert [(one.scenario_id, one.publish_data_message) for one in plan.scenarios] == [(101, "hi"), (102, None)]
    assert "Imported from stdin" in back.out


def test_only_v2_is_a_flow_to_show(shell):
    assert shell.look("plan", shell.plan_file, "--as", "v3").code == 2


def test_a_suite_is_looked_up_at_cekura_by_name(shell, play, source):
    sandbox = play()

    ended = shell.look("import", source(SUITE), "--agent", "5", "--agent-name", "support-bot")

    assert ended.code == 0, ended
    assert "  - scenario: 101  # Order status\n    repeat: 2\n  - scenario: 102  # Refund\n" in ended.out
    plan = load_plan(shell.write("made.yaml", ended.out)).plan
    assert (plan.cekura_agent_id, plan.run_count) == (5, 3)
    assert sandbox.world()["starts"] == 0


def test_scenarios_of_another_agent_are_not_found(shell, play, source):
    play()

    ended = shell.look("import", source(SUITE), "--agent", "6", "--to", "livekit_v2")

    assert ended.code == 2
    assert ended.err.count("is no scenario of the agent at Cekura") == 2


def test_part_of_a_suite_is_taken_when_asked_for(shell, play, source):
    play()
    data = {**SUITE, "scenarios": [*SUITE["scenarios"], {"name": "Not there"}]}
    asked = ("import", source(data), "--agent", "5", "--agent-name", "support-bot")

    assert shell.look(*asked).code == 2
    ended = shell.look(*asked, "--partial", "--json")

    assert [one["scenario"] for one in ended.document["plan"]["scenarios"]] == [101, 102]
    assert any("Not there" in note for note in ended.document["notes"])


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ((), "ck_sandbox", "Add --agent ID"),
        (("--agent", "5"), "ck_sandbox", "--agent-name NAME"),
        (("--agent", "5"), None, "CEKURA_API_KEY is missing"),
        (("--agent", "5"), "wrong", "CEKURA_API_KEY must be an API key"),
    ],
)
def test_a_suite_needs_its_agent_and_a_key(shell, play, options, key, words):
    play()
    shell.environment.pop("CEKURA_API_KEY")
    if key is not None:
        shell.environment["CEKURA_API_KEY"] = key

    ended = shell.look("import", shell.write("suite.json", json.dumps(SUITE)), *options)

    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
