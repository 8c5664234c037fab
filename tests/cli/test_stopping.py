"""What a signal asks for: everything ended in time, or named; with --drain, calls that come to their own end."""

import json
import resource
import signal
import sqlite3
from contextlib import closing

import pytest

LONG = (29000.0, 29000.0)
SLOW = ("end_calls.slow=99", "end_call.slow=99", "session_stop.slow=99")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_of_being_asked_to_stop_ends_everything(shell, play, steps, is_clean, number):
    sandbox = play(call_seconds=LONG)
    child = shell.start_run("--json")
    steps.read_until(child, "-> in_call")

    child.send_signal(number)
    ended = steps.finish(child)

    assert ended.code == 130, ended
    assert ended.document["teardown"]["left"] == []
    assert is_clean(sandbox.world())


@pytest.mark.long
def test_remotes_that_hang_do_not_keep_it_from_leaving_in_time_with_a_word_on_what_is_left(shell, play, steps):
    # Half as fast again as life: a slow answer takes 20 seconds, far more than the window.
    sandbox = play(call_seconds=LONG, speed=1.5, faults=SLOW, join_seconds=(0.5, 1.0))
    child = shell.start("run", shell.plan_file, "--time-scale", "1.5", "--json")
    steps.read_until(child, "-> in_call")

    child.send_signal(signal.SIGTERM)
    ended = steps.finish(child)

    assert ended.code == 130, ended
    assert "6 s are over" in ended.err
    left = ended.document["teardown"]["left"]
    assert left
    assert all(one["id"] and one["until"] for one in left), left
    assert ended.document["batch"]["status"] == "open"
    assert sandbox.world()["requests"]["session_stop"] >= 1

    collected = shell("gc")
    assert collected.code == 0, collected


def test_draining_begins_nothing_new_and_lets_calls_finish(shell, play, steps, is_clean):
    sandbox = play(call_seconds=(150.0, 150.0))
    child = shell.start_run("--json", "--drain", "--set", "limits.concurrency=1")
    steps.read_until(child, "-> in_call")

    child.send_signal(signal.SIGTERM)
    ended = steps.finish(child)

    assert ended.code == 130, ended
    runs = ended.document["runs"]
    assert [run["outcome"] for run in runs] == ["passed", "inconclusive"]
    assert "interrupted" in runs[1]["reason"]
    world = sandbox.world()
    assert is_clean(world)
    assert world["starts"] == 1
    assert world["requests"].get("end_calls", 0) == 0


@pytest.mark.long
def test_a_second_signal_ends_the_calls_that_a_first_one_let_finish(shell, play, steps, is_clean):
    sandbox = play(call_seconds=LONG)
    child = shell.start_run("--json", "--drain")
    steps.read_until(child, "-> in_call")

    child.send_signal(signal.SIGTERM)
    steps.read_until(child, "may finish")
    child.send_signal(signal.SIGTERM)
    ended = steps.finish(child)

    assert ended.code == 130, ended
    assert ended.document["totals"]["inconclusive"] == 2
    assert is_clean(sandbox.world())


@pytest.mark.long
def test_a_killed_drain_goes_on_draining_when_resumed(shell, play, steps, is_clean):
    sandbox = play(call_seconds=(600.0, 600.0))
    child = shell.start_run("--drain", "--set", "limits.concurrency=1")
    steps.read_until(child, "-> in_call")
    child.send_signal(signal.SIGTERM)
    steps.read_until(child, "planned -> cancelled")
    child.kill()
    steps.finish(child)

    ended = shell("run", "--resume", "latest", "--json")

    assert ended.code == 130, ended
    assert [run["outcome"] for run in ended.document["runs"]] == ["passed", "inconclusive"]
    assert is_clean(sandbox.world())


@pytest.mark.parametrize("interrupted", [pytest.param(False, marks=pytest.mark.long), True])
def test_with_a_full_disk_nothing_new_is_begun_and_everything_is_torn_down(shell, play, steps, interrupted):
    sandbox = play(call_seconds=LONG if interrupted else (300.0, 300.0))
    child = shell.start_run("--json", "--set", "limits.concurrency=1")
    steps.read_until(child, "-> in_call")
    _, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (0, hard))  # from now on no file of its can grow

    if interrupted:
        child.send_signal(signal.SIGTERM)
        ended = steps.finish(child)
        assert ended.code == 130, ended
        assert ended.document["teardown"]["left"] == []
    else:
        steps.wait_for(lambda: not sandbox.world()["sessions"]["alive"] and not sandbox.world()["rooms"]["alive"])
        assert child.poll() is None
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (hard, hard))
        ended = steps.finish(child)
        assert ended.code == 0, ended
        assert [run["outcome"] for run in ended.document["runs"]] == ["passed", "passed"]
    assert "the state cannot be written" in ended.err
    world = sandbox.world()
    assert not world["sessions"]["alive"]
    assert not world["rooms"]["alive"]
    assert world["submitted_twice"] == []


def test_a_state_that_somebody_locks_keeps_nothing_alive(shell, play, steps):
    sandbox = play(call_seconds=LONG)
    child = shell.start_run("--json", "--set", "limits.concurrency=1")
    steps.read_until(child, "-> in_call")
    with closing(sqlite3.connect(shell.folder / ".orchestrator" / "state.db", isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        child.send_signal(signal.SIGTERM)
        ended = steps.finish(child)

    assert ended.code == 130, ended
    world = sandbox.world()
    assert not world["sessions"]["alive"]
    assert not world["rooms"]["alive"]
    assert shell("gc").code == 0


def test_a_reader_that_goes_away_takes_no_batch_along(shell, play, steps, is_clean):
    sandbox = play()
    child = shell.start_run("--json")
    steps.read_until(child, "starting")
    child.stderr.close()

    document = json.loads(child.stdout.read())
    child.wait(60)

    assert document["batch"]["outcome"] == "passed"
    assert is_clean(sandbox.world())
