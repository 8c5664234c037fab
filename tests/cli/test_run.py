"""What a person gets from `run`: exit codes, one document, and a world with nothing left in it."""

import json
import re
import socket
import time

import pytest

BATCH = {"id", "name", "status", "outcome"}
TOTALS = {"runs", "passed", "failed", "inconclusive"}
RUN = {
    "index",
    "scenario",
    "status",
    "outcome",
    "reason",
    "attempts",
    "cekura_run_id",
    "cekura_result_id",
    "session_id",
    "room_url",
    "timeline",
}
TEARDOWN = {"sessions", "rooms", "confirmed", "bounded", "left"}


def test_a_passing_batch_ends_with_0_and_exactly_one_document(shell, play, is_clean):
    sandbox = play()
    shell.environment["CEKURA_PROJECT_ID"] = "77"

    ended = shell.run("--json", "--report-dir", "reports")

    assert ended.code == 0, ended
    document = ended.document
    assert set(document["batch"]) >= BATCH
    assert set(document["totals"]) >= TOTALS
    assert all(set(run) >= RUN for run in document["runs"])
    assert set(document["teardown"]) >= TEARDOWN
    assert document["batch"]["outcome"] == "passed"
    assert (document["totals"]["runs"], document["totals"]["passed"]) == (2, 2)
    assert document["runs"][0]["result_url"].startswith("https://dashboard.cekura.ai/77/results/")
    teardown = document["teardown"]
    assert {name: teardown[name] for name in ("sessions", "rooms", "confirmed")} == {
        "sessions": 2,
        "rooms": 2,
        "confirmed": 4,
    }
    assert (teardown["bounded"], teardown["left"], teardown["uncertain"]) == ([], [], [])
    assert [(item["what"], item["state"]) for item in teardown["items"]] == [
        ("session", "confirmed"),
        ("room", "confirmed"),
    ] * 2
    assert is_clean(sandbox.world())
    assert json.loads((shell.folder / "reports/report.json").read_text()) == document
    assert "| 1 | 101 | passed | 1 |" in (shell.folder / "reports/report.md").read_text()


def test_no_key_and_no_token_is_ever_said(shell, play):
    sandbox = play()
    keys = [value for name, value in sandbox.environment().items() if name.endswith("_KEY")]

    ended = shell.run("--json", "--log-level", "debug", "--report-dir", "reports")

    assert ended.code == 0, ended
    said = ended.out + ended.err + (shell.folder / "reports/report.md").read_text()
    assert not [key for key in keys if key in said]
    assert "eyJ" not in said  # how every meeting token begins


def test_a_failed_evaluation_ends_with_1_and_says_why(shell, play, is_clean):
    sandbox = play(faults=("call.fails_evaluation=1",))

    ended = shell.run()

    assert ended.code == 1, ended
    assert "The outcome was not met" in ended.out
    assert "FAILED: 1 passed, 1 failed, 0 inconclusive of 2" in ended.out
    assert "Exit code 1: the gate failed." in ended.out
    assert "2 sessions and 2 rooms; 4 of 4 ends confirmed, 0 bounded, 0 left." in ended.out
    assert "run 1 (scenario 101) submitted -> in_call" in ended.err
    assert is_clean(sandbox.world())


def test_trouble_with_the_infrastructure_is_inconclusive_and_ends_with_3(shell, play, is_clean):
    sandbox = play(faults=("submit.detail=1",))

    ended = shell.run("--set", "limits.concurrency=1", "--json")

    assert ended.code == 3, ended
    assert ended.document["totals"]["inconclusive"] == 1
    assert ended.document["batch"]["outcome"] == "inconclusive"
    assert is_clean(sandbox.world())


def test_a_bad_plan_ends_with_2_and_names_every_problem(shell, play):
    sandbox = play()
    shell.write(
        "plan.yaml", "version: 1\nagent: {kind: pipecat_cloud, nme: x}\nscenarios:\n  - {scenario: 1, repeat: 0}\n"
    )

    ended = shell.run()
    documented = shell.run("--json")

    assert (ended.code, ended.out) == (2, "")
    assert "line 2, agent.nme" in ended.err
    assert "scenarios.0.repeat" in ended.err
    assert "Traceback" not in ended.err
    error = documented.document["error"]
    assert (documented.code, documented.document["exit_code"], error["kind"]) == (2, 2, "InvalidPlan")
    assert {problem["path"] for problem in error["problems"]} >= {"agent.nme", "scenarios.0.repeat"}
    assert error["next_step"]
    assert sandbox.world()["starts"] == 0


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CEKURA_API_KEY", "", "CEKURA_API_KEY is missing"),
        ("PIPECAT_CLOUD_API_KEY", "", "PIPECAT_CLOUD_API_KEY is missing"),
        ("PIPECAT_CLOUD_API_KEY", "sk_sandbox", "does not hold a public key"),
        ("PIPECAT_CLOUD_PRIVATE_KEY", "pk_sandbox", "PIPECAT_CLOUD_PRIVATE_KEY holds a public key"),
        ("CEKURA_API_KEY", "wrong", "CEKURA_API_KEY must be an API key"),
    ],
)
def test_a_key_that_cannot_work_ends_with_2_before_anything_is_started(shell, play, variable, value, words):
    sandbox = play()
    shell.environment[variable] = value

    ended = shell.look("run", shell.plan_file, "--json")

    assert ended.code == 2, ended
    assert words in ended.err
    assert ended.document["error"]["kind"] == "InvalidSettings"
    assert sandbox.world()["starts"] == 0


def test_a_remote_that_cannot_be_reached_ends_with_3_and_nothing_started(shell, play):
    play()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        shell.environment["CEKURA_API_URL"] = f"http://127.0.0.1:{nobody.getsockname()[1]}"

        ended = shell.run()

    assert ended.code == 3, ended
    assert "Nothing was started." in ended.err


def test_hurry_is_refused_where_a_remote_is_real(shell, play):
    sandbox = play()
    del shell.environment["CEKURA_API_URL"]

    ended = shell.run()

    assert ended.code == 2
    assert "CEKURA_API_URL points elsewhere" in ended.err
    assert sandbox.world()["starts"] == 0


def test_ctrl_c_ends_the_calls_tears_down_and_ends_with_130(shell, play, steps):
    sandbox = play(call_seconds=(2900.0, 2900.0))
    child = shell.start_run("--json")
    steps.read_until(child, "-> in_call")

    steps.interrupt(child)
    ended = steps.finish(child)

    assert ended.code == 130, ended
    assert ended.document["batch"]["cancelled"] is True
    assert ended.document["totals"]["inconclusive"] == 2
    world = sandbox.world()
    assert not world["sessions"]["alive"]
    assert not world["rooms"]["alive"]
    assert world["requests"]["end_calls"] >= 1
    assert world["cut_short"] == []


def test_ctrl_c_twice_leaves_at_once_and_says_what_finishes(shell, play, steps):
    play(call_seconds=(2900.0, 2900.0), faults=("session_stop.error=1000",))
    child = shell.start_run()
    steps.read_until(child, "-> in_call")

    steps.interrupt(child)
    steps.read_until(child, "interrupted:")
    steps.interrupt(child)
    ended = steps.finish(child)

    assert ended.code == 130
    assert re.search(r"left at once; [12] sessions? may be alive", ended.err)
    assert "`orchestrator gc`" in ended.err


def test_there_is_no_plan_without_plan_or_resume(shell, play):
    play()

    ended = shell.look("run")

    assert ended.code == 2
    assert "there is no PLAN to run" in ended.err


def test_a_plan_for_a_runner_has_the_same_outcomes(shell, play, is_clean):
    sandbox = play(faults=("call.fails_evaluation=1",))
    shell.write(
        "plan.yaml",
        shell.plan_file.read_text().replace(
            "{kind: pipecat_cloud, name: support-bot}", f"{{kind: pipecat_runner, url: '{sandbox.url}'}}"
        ),
    )

    ended = shell.run()

    assert ended.code == 1, ended
    assert "FAILED: 1 passed, 1 failed, 0 inconclusive of 2" in ended.out
    assert "cannot be observed" in ended.out
    assert not sandbox.world()["rooms"]["alive"]


def test_a_first_start_that_is_refused_ends_the_batch_with_2(shell, play):
    sandbox = play(faults=("start.no_public_key=1",))

    ended = shell.run("--json")

    assert ended.code == 2, ended
    assert "PIPECAT_CLOUD_API_KEY" in ended.document["batch"]["reason"]
    assert sandbox.world()["sessions"]["started"] == 0
    assert sandbox.world()["submits"] == 0


def test_a_folder_for_reports_that_cannot_be_made_ends_with_2_before_anything_is_started(shell, play):
    sandbox = play()
    shell.write("taken", "a file")

    ended = shell.look("run", shell.plan_file, "--report-dir", "taken/reports")

    assert ended.code == 2
    assert "--report-dir taken/reports" in ended.err
    assert sandbox.world()["starts"] == 0


def test_ctrl_c_before_the_first_start_ends_with_130_and_nothing_started(shell, play, steps):
    sandbox = play(speed=1.0, faults=("result_list.slow=1",))
    child = shell.start("run", shell.plan_file)
    while not sandbox.world()["requests"].get("result_list"):
        time.sleep(0.05)

    steps.interrupt(child)
    ended = steps.finish(child)

    assert ended.code == 130, ended
    assert "interrupted before anything was started" in ended.err
    assert sandbox.world()["starts"] == 0
