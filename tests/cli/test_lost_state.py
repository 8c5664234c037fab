"""`gc` where the state file is lost: what bears our mark is ended, what does not is listed and lives on."""

import shutil
import time

import httpx
import pytest

ENDLESS = {"call_seconds": (2900.0, 2900.0), "idle_timeout": 1_000_000.0}
PUBLIC = {"Authorization": "Bearer pk_sandbox"}
CLOUD_DAILY = {"Authorization": "Bearer daily_cloud_sandbox"}


@pytest.fixture
def lost(shell, steps):
    """A batch of two runs, killed while both are in their calls, and its state deleted."""

    def lose():
        killed = shell.start_run()
        steps.read_until(killed, "-> in_call")
        steps.read_until(killed, "-> in_call")
        killed.kill()
        killed.wait(10)
        shutil.rmtree(shell.folder / ".orchestrator")

    return lose


def a_stranger(sandbox):
    """A session that somebody else starts; returned once its bot is in the room."""
    body = {"createDailyRoom": True, "dailyMeetingTokenProperties": {"user_id": "somebody-else"}}
    with httpx.Client(base_url=sandbox.url) as http:
        started = http.post("/v1/public/support-bot/start", json=body, headers=PUBLIC).raise_for_status().json()
        name = started["dailyRoom"].rsplit("/", 1)[-1]
        ends_at = time.monotonic() + 20
        while name not in http.get("/v1/presence", headers=CLOUD_DAILY).json():
            assert time.monotonic() < ends_at
            time.sleep(0.02)
    return started["sessionId"], name


def test_gc_ends_what_was_lost_with_its_state_and_leaves_a_stranger_alone(shell, play, lost):
    sandbox = play(**ENDLESS)
    stranger = a_stranger(sandbox)
    lost()

    shown = shell.look("gc", "--dry-run")
    still_there = len(sandbox.world()["sessions"]["alive"])
    ended = shell("gc")

    assert (shown.code, still_there) == (0, 3)
    assert shown.out.count("it bears our mark") == 2
    assert "Nothing was touched" in shown.out
    assert ended.code == 0, ended
    assert "Teardown: 2 sessions and 2 rooms; 4 of 4 ends confirmed, 0 bounded, 0 left." in ended.out
    world = sandbox.world()
    assert [one["id"] for one in world["sessions"]["alive"]] == [stranger[0]]
    assert [one["url"].rsplit("/", 1)[-1] for one in world["rooms"]["alive"]] == [stranger[1]]
    for said in (shown.out, ended.out):
        listed = said.partition("Alive, but not provably ours, so never touched:")[2]
        assert stranger[0] in listed
        assert stranger[1] in listed


def test_another_place_may_not_end_what_was_lost(shell, play, lost):
    sandbox = play(**ENDLESS)
    lost()
    shell.environment["ORCHESTRATOR_OWNER"] = "somebody-else"

    ended = shell.look("gc")

    assert ended.code == 0
    assert "nothing that our Daily keys show bears the mark of somebody-else" in ended.out
    assert len(sandbox.world()["sessions"]["alive"]) == 2
    assert not (shell.folder / ".orchestrator").exists()


def test_without_state_and_keys_gc_says_what_it_cannot_know(shell):
    ended = shell.look("gc")

    assert ended.code == 0
    assert "There is no state here, and no Daily key to look for our mark with" in ended.out


def test_without_state_a_remote_that_cannot_be_asked_makes_gc_inconclusive(shell, play):
    play(faults=("presence_all.error=1000",))

    ended = shell.look("gc")

    assert ended.code == 3
    assert "Not looked at: DAILY_API_KEY" in ended.out
