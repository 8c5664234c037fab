"""The demo needs nothing, reads no real key, keeps nothing, and says whether it ended as scripted."""

from pathlib import Path

import pytest

from orchestrator.app.demo import demo_text, differences

CONFIG = Path(__file__).parents[2] / "config" / "demo.yaml"


@pytest.mark.slow
def test_the_demo_ends_as_scripted_without_keys(shell, tmp_path):
    shell.environment |= {"CEKURA_API_KEY": "real", "CEKURA_API_URL": "https://cekura.invalid", "TMPDIR": str(tmp_path)}

    ended = shell("demo", "--speed", "25")

    assert ended.code == 0, ended
    assert "0 sessions and 0 rooms left of 13 and 13; 12 calls, 0 rooms submitted twice, 0 calls cut short" in ended.out
    assert "failed its evaluation: " in ended.out
    assert "was tried again with a new session: the bot did not join" in ended.out
    assert "`orchestrator run` would have ended with 1 (the gate failed)." in ended.out
    assert "The demo ended as scripted." in ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.yaml"]


def test_the_packaged_plan_is_the_one_that_readers_see():
    assert demo_text() == CONFIG.read_text(encoding="utf-8")


def test_whatever_differs_from_the_script_is_named():
    run = {"outcome": "passed", "attempts": 1}
    document = {"runs": [run], "totals": {"passed": 1}, "teardown": {"bounded": [], "left": [{}]}}
    world = {
        "sessions": {"alive": [{}]},
        "rooms": {"alive": []},
        "submitted_twice": [],
        "cut_short": [],
        "calls": {"total": 1},
        "faults_armed": [],
    }

    assert differences(document, world) == [
        "runs that failed their evaluation: 0, scripted 1",
        "runs tried again with a new session: 0, scripted 1",
        "runs that passed: 1, scripted 0",
        "ends of sessions and rooms left or unconfirmed: 1, scripted 0",
        "sessions left in the sandbox: 1, scripted 0",
    ]
