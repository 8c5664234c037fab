"""`plan` shows what would be carried out, and starts nothing."""

import json

import pytest

from orchestrator.plans import json_schema

PLAN = """\
version: 1
name: previewed
env: [TENANT_SECRET]
agent:
  kind: pipecat_cloud
  name: support-bot
  body: {tenant: "{{ env.TENANT_SECRET }}"}
scenarios:
  - {scenario: 101, repeat: 2, body: {customer: "U-{{ run.index }}"}, publish_data_message: {run: "{{ run.id }}"}}
  - {scenario: 102}
limits: {concurrency: 2, calls: 1}
"""


def test_runs_are_shown_in_order_with_what_each_would_be_given(shell):
    shell.environment["TENANT_SECRET"] = "hush-hush"
    path = shell.write("plan.yaml", PLAN)

    ended = shell.look("plan", path, "--json")

    runs = ended.document["runs"]
    assert [(run["index"], run["scenario"]) for run in runs] == [(1, 101), (2, 102), (3, 101)]
    assert runs[2]["body"] == {"tenant": "(from the environment)", "customer": "U-3"}
    assert runs[2]["publish_data_message"] == {"run": "BATCH-ID-003"}
    assert "publish_data_message" not in runs[1]
    assert ended.document["estimate"]["runs"] == 3
    assert any("Cekura mocks every tool" in rule or "mocks every" in rule for rule in ended.document["rules"])
    assert ended.document["warnings"]


def test_people_get_the_same_as_text_and_no_secret(shell):
    shell.environment["TENANT_SECRET"] = "hush-hush"
    path = shell.write("plan.yaml", PLAN)

    ended = shell.look("plan", path, "--set", "limits.calls=2")

    assert ended.code == 0
    assert "previewed: 3 runs with support-bot (pipecat_cloud). Nothing was started." in ended.out
    assert "at most 2 sessions and 2 calls at once" in ended.out
    assert "Cekura credits" in ended.out
    assert "hush-hush" not in ended.out + ended.err


def test_the_schema_needs_no_plan(shell):
    assert json.loads(shell.look("plan", "--schema").out) == json_schema()


def test_without_a_plan_there_is_nothing_to_show(shell):
    ended = shell.look("plan")

    assert ended.code == 2
    assert "there is no PLAN to show" in ended.err


def test_an_override_at_fault_is_named_as_one(shell):
    ended = shell.look("plan", shell.plan_file, "--set", "limits.concurrency=0")

    assert ended.code == 2
    assert "--set limits.concurrency" in ended.err


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        (1, "started ahead of the call slots that are about to free; prefer: time"),
        (2, "each call slot waits for its next bot"),
        (3, None),
    ],
)
def test_it_says_whether_bots_will_be_ready_as_call_slots_free(shell, calls, told):
    path = shell.write(
        "plan.yaml", PLAN.replace("env: [TENANT_SECRET]", "prefer: time").replace("env.TENANT_SECRET", "run.id")
    )

    ended = shell.look("plan", path, "--set", f"limits.calls={calls}", "--json")

    said = [rule for rule in ended.document["rules"] if "call slot" in rule and "a call slot frees" not in rule]
    assert [told in rule for rule in said] == [True] if told else said == []


SELECTING = """\
version: 1
name: chosen
agent: {kind: pipecat_cloud, name: support-bot}
cekura: {agent: 5, mock_tool_names: []}
scenarios:
  - {scenario: 109}
  - {folder_path: support.billing, project_id: 1}
matrix: {axes: {locale: [en, de]}}
"""


def test_what_is_selected_is_shown_scenario_by_scenario_and_cell_by_cell(shell, play):
    sandbox = play()
    path = shell.write("plan.yaml", SELECTING)

    ended = shell.look("plan", path, "--json")

    runs = [(run["scenario"], run["matrix"], run["body"]) for run in ended.document["runs"]]
    assert runs == [(one, {"locale": it}, {"locale": it}) for it in ("en", "de") for one in (109, 102, 106, 107)]
    assert ended.document["estimate"]["runs"] == 8
    text = shell.look("plan", path)
    assert "chosen: 8 runs with support-bot" in text.out
    assert "102 (locale de)" in text.out
    assert sandbox.world()["starts"] == 0


def test_without_a_key_it_says_what_is_selected_later_and_counts_nothing(shell):
    path = shell.write("plan.yaml", SELECTING)

    ended = shell.look("plan", path)

    assert ended.code == 0
    assert "chosen: 2 runs, and those of what it selects, with support-bot" in ended.out
    assert "scenarios.1 is selected when the batch begins (folder support.billing, project 1)" in ended.out
    assert "Cekura credits" not in ended.out
    assert shell.look("plan", path, "--json").document["estimate"] is None


def test_a_selection_that_matches_nothing_is_a_bad_plan_and_starts_nothing(shell, play):
    sandbox = play()
    path = shell.write("plan.yaml", SELECTING.replace("support.billing", "support.biling"))

    shown = shell.look("plan", path)
    ran = shell.look("run", path)

    for ended in (shown, ran):
        assert ended.code == 2
        assert "scenarios.1: selects nothing" in ended.err
        assert "folder support.biling, project 1" in ended.err
    assert sandbox.world()["starts"] == 0
