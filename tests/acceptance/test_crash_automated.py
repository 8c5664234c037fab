"""The real command dies in its one request to an automated channel, and is taken up: Cekura is never asked twice."""

import json

import pytest

from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.sandbox.kills import Kill
from tests.crash.process import Place
from tests.crash.rows import read_rows

SPEED = 20.0
PLAN = """
version: 1
channel: pipecat_v2
name: crash
cekura: {agent: 5, mock_tool_names: [], frequency: 2}
scenarios: [{scenario: 101}, {scenario: 102}]
limits: {calls: 4}
timing: {lookup: 40}
"""

pytestmark = pytest.mark.slow


async def killed_and_resumed(folder, *, edge):
    """The rows after a death at an edge of the submission, the resumed command's end, and the world."""
    (folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
    async with Sandbox(SandboxSettings(speed=SPEED, call_seconds=(40.0, 60.0))) as box:
        place = Place(folder=folder, environment=box.environment(), limit=90)
        killed = await place.command(
            *("run", "plan.yaml", "--time-scale", f"{SPEED:g}", "--json"),
            begun=lambda pid: box.kills.arm(Kill(operation="submit", edge=edge, pid=pid)),
        )
        assert killed.killed, killed.stderr
        found = read_rows(place.state)
        resumed = await place.command("run", "--resume", "latest", "--json")
        assert not resumed.hung, resumed.stderr
        return found, resumed, box.world()


async def test_a_submission_that_had_come_to_pass_is_adopted_by_its_name(tmp_path):
    found, resumed, world = await killed_and_resumed(tmp_path, edge="done")
    assert [row["status"] for row in found.submissions] == ["sent"]
    assert resumed.code == 0, resumed.stderr
    report = json.loads(resumed.stdout)
    assert {run["cekura_result_id"] for run in report["runs"]} == {world["results"][0]["id"]}
    assert (world["submits"], world["calls"]["total"], world["names_twice"]) == (1, 4, [])
    assert report["teardown"]["uncertain"] == []


async def test_one_that_never_arrived_is_named_as_uncertain_and_not_sent_again(tmp_path):
    found, resumed, world = await killed_and_resumed(tmp_path, edge="received")
    [submission] = found.submissions
    assert submission["status"] == "sent"
    assert resumed.code == 3, resumed.stderr
    report = json.loads(resumed.stdout)
    assert [submission["name"] in one["reason"] for one in report["teardown"]["uncertain"]] == [True]
    assert {run["outcome"] for run in report["runs"]} == {"inconclusive"}
    assert (world["requests"]["submit"], world["submits"]) == (1, 0)
