"""What `run`, `gc` and `notices list` do about people outside: real processes, a real receiver, one that is killed."""

import base64
import os
import signal
import sqlite3
import threading

import pytest

from tests.support.mailbox import receiving

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
HIDDEN = "T0pS3cr3tPart"
ENTRIES = """\
env: [HOOK_URL, HOOK_SECRET]
notifications:
  - {kind: slack, url: "{{ env.HOOK_URL }}", on: [failure, recovery], include: [reasons]}
  - {kind: webhook, url: "{{ env.HOOK_URL }}", secret: "{{ env.HOOK_SECRET }}", on: [always]}
"""


@pytest.fixture
def box():
    with receiving() as opened:
        yield opened


@pytest.fixture
def told(shell, box):
    """The shell's plan tells the box."""
    shell.environment |= {"HOOK_URL": f"{box.url}/{HIDDEN}", "HOOK_SECRET": SECRET}
    shell.plan_file.write_text(shell.plan_file.read_text() + ENTRIES, encoding="utf-8")
    return shell


def signed(box):
    return [one for one in box.posted if "webhook-id" in one.headers]


def test_a_run_tells_of_its_end_and_nothing_it_says_or_keeps_shows_where(told, play, box):
    play(faults=("call.fails_evaluation=1",))

    ended = told.run("--log-level", "debug")

    assert ended.code == 1, ended
    (posted,) = signed(box)
    assert (posted.document["came_to"], posted.document["batch"]["exit_code"]) == ("failed", 1)
    (slack,) = [one.document for one in box.posted if one is not posted]
    assert "The outcome was not met" in slack["blocks"][1]["text"]["text"]
    assert "notice" not in ended.out
    rows = told.look("notices", "list", "--json").document["notices"]
    assert {(one["kind"], one["status"], one["tries"]) for one in rows} == {
        ("slack", "sent", 1),
        ("webhook", "sent", 1),
    }
    kept = b"".join(path.read_bytes() for path in told.folder.rglob("state.db*"))
    assert not [one for one in (HIDDEN, SECRET, box.url) if one in ended.out + ended.err or one.encode() in kept]


def test_a_receiver_that_fails_changes_no_exit_code_and_is_named(told, play, box):
    play()
    box.answers = [410]

    ended = told.run("--json")

    assert ended.code == 0, ended
    assert ended.document["batch"]["outcome"] == "passed"
    (posted,) = box.posted
    assert f"notice {posted.notice_id} (webhook)" in ended.err
    assert "was given up: HTTP 410" in ended.err
    assert "HTTP 410" in told.look("notices", "list", "--unsent").out


def test_what_a_killed_run_did_not_get_to_say_is_said_by_gc_under_the_same_id(told, play, box, steps):
    play()
    box.hold = threading.Event()
    child = told.start_run()
    steps.wait_for(lambda: box.posted)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    box.hold.set()
    assert [one["status"] for one in told.look("notices", "list", "--json").document["notices"]] == ["waiting"]

    collected = told("gc")

    assert collected.code == 0, collected
    first, second = box.posted
    assert (first.notice_id, first.body) == (second.notice_id, second.body)
    (row,) = told.look("notices", "list", "--json").document["notices"]
    assert (row["id"], row["status"], row["tries"]) == (first.notice_id, "sent", 2)


@pytest.mark.long
def test_gc_where_the_variables_are_missing_says_so_and_loses_nothing(told, play):
    play()
    told.environment["HOOK_URL"] = "http://127.0.0.1:9/"
    left = told.run()
    assert left.code == 0, left
    assert "was not sent yet: no connection" in left.err

    del told.environment["HOOK_URL"]
    with sqlite3.connect(told.folder / ".orchestrator" / "state.db") as state:
        state.execute("UPDATE notices SET next_try_at = created_at")  # a day later, as it were
    collected = told("gc")

    assert collected.code == 0, collected
    assert "the environment variable HOOK_URL is not set" in collected.err
    (row,) = told.look("notices", "list", "--unsent", "--json").document["notices"]
    assert row["status"] == "waiting"


def test_without_any_state_there_are_no_notices(shell):
    assert shell.look("notices", "list", "--json").document == {"notices": []}
