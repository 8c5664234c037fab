"""What can be seen and ended beside a driver, and after one that was killed."""

import re

import pytest


def test_beside_a_driver_others_may_look_and_cancel_but_not_drive(shell, play, steps, is_clean):
    sandbox = play(call_seconds=(2900.0, 2900.0))
    driver = shell.start_run()
    steps.read_until(driver, "-> in_call")

    second = shell.run()
    collector = shell.look("gc")
    listed = shell.look("batches", "list", "--json")
    left = shell.look("gc", "--dry-run")
    runs = shell.look("runs", "list", "latest")
    cancelled = shell.look("cancel", "latest")
    ended = steps.finish(driver)

    assert (second.code, collector.code) == (2, 2)
    assert "is being driven by process" in second.err
    assert "is being driven by process" in collector.err
    assert [batch["status"] for batch in listed.document["batches"]] == ["open"]
    assert "A process drives this state at the moment" in left.out
    assert "(small) is open" in left.out
    assert "stop the session; empty and delete" in left.out
    assert "in_call" in runs.out
    assert (cancelled.code, ended.code) == (0, 130)
    assert "sees this within a second" in cancelled.out
    assert not sandbox.world()["sessions"]["alive"]
    assert not sandbox.world()["rooms"]["alive"]


def test_gc_ends_what_a_killed_process_left(shell, play, steps):
    sandbox = play(call_seconds=(2900.0, 2900.0))
    killed = shell.start_run()
    steps.read_until(killed, "-> in_call")
    killed.kill()
    killed.wait(10)

    shown = shell.look("gc", "--dry-run")
    still_there = len(sandbox.world()["sessions"]["alive"])
    orphan = shell.look("cancel", "latest")
    ended = shell("gc")
    again = shell.look("gc")

    assert shown.code == 0
    assert "(small) is open" in shown.out
    assert still_there >= 1
    assert "no process drives it" in orphan.out
    assert ended.code == 0, ended
    assert "0 bounded, 0 left." in ended.out
    assert "Nothing is left: every session and room is confirmed gone." in ended.out
    assert not sandbox.world()["sessions"]["alive"]
    assert not sandbox.world()["rooms"]["alive"]
    assert (again.code, again.out) == (0, "Nothing was left behind.\n")


def test_a_killed_batch_is_continued_by_resume(shell, play, steps, is_clean):
    sandbox = play(call_seconds=(100.0, 100.0))
    killed = shell.start_run()
    steps.read_until(killed, "-> in_call")
    steps.read_until(killed, "-> in_call")  # both: a lost submission can be found only as long as its call lasts
    killed.kill()
    killed.wait(10)

    ended = shell("run", "--resume", "latest", "--json")
    report = shell.look("run", "--resume", ended.document["batch"]["id"][:18])

    assert ended.code == 0, ended
    assert ended.document["totals"]["passed"] == 2
    assert is_clean(sandbox.world())
    assert sandbox.world()["starts"] == 2
    assert report.code == 0
    assert "is closed already; this is its report" in report.err


def test_the_next_run_says_and_ends_what_a_killed_one_left(shell, play, steps):
    sandbox = play(call_seconds=(100.0, 100.0))
    killed = shell.start_run()
    steps.read_until(killed, "-> in_call")
    killed.kill()
    killed.wait(10)

    ended = shell.run("--json")
    listed = shell.look("batches", "list", "--json")

    assert ended.code == 0, ended
    assert "was left open by an earlier process" in ended.err
    assert "--resume" in ended.err
    newest, oldest = listed.document["batches"]
    assert (newest["outcome"], newest["cancelled"]) == ("passed", False)
    assert (oldest["status"], oldest["cancelled"]) == ("closed", True)
    assert not sandbox.world()["sessions"]["alive"]
    assert not sandbox.world()["rooms"]["alive"]


def test_a_finished_batch_can_be_looked_at_from_every_side(shell, play):
    play()
    batch_id = shell.run("--json").document["batch"]["id"]

    shown = shell.look("batches", "show", batch_id[:18])
    documented = shell.look("batches", "show", "latest", "--json")
    run = shell.look("runs", "show", "latest-2", "--json")
    runs = shell.look("runs", "list", "latest", "--json")
    sessions = shell.look("sessions", "list", "--batch", "latest", "--json")
    session = shell.look("sessions", "show", sessions.document["sessions"][0]["session_id"][:8])
    nothing = shell.look("runs", "show", "latest-9")
    closed = shell.look("cancel", "latest")

    assert "PASSED: 2 passed" in shown.out
    assert documented.document["batch"]["id"] == batch_id
    assert (run.document["index"], run.document["sessions"][0]["status"]) == (2, "alive")
    assert [one["index"] for one in runs.document["runs"]] == [1, 2]
    assert len(sessions.document["sessions"]) == 2
    assert "meeting_token" not in sessions.out + session.out + run.out
    assert re.search(r"deleted (in bulk )?at Daily", session.out)
    assert (nothing.code, closed.code) == (2, 2)
    assert "is closed already" in closed.err


def test_where_nothing_was_ever_kept_looking_makes_nothing(shell):
    listed = shell.look("batches", "list", "--json")
    collected = shell.look("gc")
    shown = shell.look("batches", "show", "latest")

    assert (listed.code, listed.document) == (0, {"batches": []})
    assert collected.code == 0
    assert shown.code == 2
    assert "there is no state at" in shown.err
    assert not (shell.folder / ".orchestrator").exists()


@pytest.mark.long
def test_gc_ends_with_5_while_something_cannot_be_ended(shell, play, steps):
    play(call_seconds=(2900.0, 2900.0), faults=("session_stop.error=1000",))
    killed = shell.start_run()
    steps.read_until(killed, "-> in_call")
    killed.kill()
    killed.wait(10)

    ended = shell("gc", "--deadline", "3")

    assert ended.code == 5, ended
    assert "still ending" in ended.err
    assert "LEFT: session " in ended.out
    assert "Something may be left: what is named above ends by itself by 20" in ended.out
    assert "`orchestrator gc` goes on." in ended.out
