"""The probe's parent side: the protocol, the kill and the deadline. No test here has ever joined a real room."""

import asyncio
import contextlib
import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from orchestrator.clients.probe import Heard, ProbeReport, probe_report_lines, probe_room, probe_user_id
from orchestrator.domain.secret import MeetingToken

ROOM = "https://nobody-has-this-domain.daily.co/room"


def a_child(script):
    """A child in a few lines of Python: `say(...)` emits an event, `order` is what it was told."""
    prelude = """
        import json, os, sys, time
        def say(event, **fields):
            print(json.dumps({"event": event, **fields}), flush=True)
        say("hello", protocol=1)
        order = json.loads(sys.stdin.readline())
    """
    return (sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(script))


def is_gone(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def is_running(pid):
    with contextlib.suppress(FileNotFoundError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2]
    return False


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what we wait for happens in another process
            await asyncio.sleep(0.01)


async def test_what_the_child_tells_becomes_the_report():
    child = a_child("""
        say("joined")
        say("participant", id="p1", name="Bot", user_id="run-1", is_owner=True)
        say("participant", id="p2", name="", user_id=None, is_owner=None)
        say("app_message", bot_ready=False)
        say("app_message", bot_ready=True)
        say("audio", seconds=0.5)
        say("audio", seconds=0.25)
        say("left", id="p2")
        say("done")
    """)
    report = await probe_room(ROOM, None, deadline=30, ask_ready=True, command=child)
    assert report.joined
    assert report.bot_ready is True
    assert report.heard == Heard(audio_seconds=0.75, app_messages=2)
    assert [(one.name, one.user_id, one.is_owner, one.left) for one in report.participants] == [
        ("Bot", "run-1", True, False),
        ("", None, None, True),
    ]
    assert (report.error, report.killed) == ("", False)


async def test_the_order_reaches_the_child_on_stdin_and_the_token_nowhere_else(tmp_path):
    seen = tmp_path / "seen.json"
    child = a_child(f"""
        surroundings = repr((sys.argv, dict(os.environ)))
        open({str(seen)!r}, "w").write(json.dumps([order, surroundings]))
        say("done")
    """)
    await probe_room(ROOM, MeetingToken("tok-5ecret"), deadline=30, listen=3, user_name="me", command=child)
    order, surroundings = json.loads(seen.read_text())
    assert order == {
        "room_url": ROOM,
        "meeting_token": "tok-5ecret",
        "user_name": "me",
        "listen": 3,
        "ask_ready": False,
    }
    assert "tok-5ecret" not in surroundings


async def test_a_child_that_does_not_end_is_killed_at_the_deadline_and_keeps_what_it_told(tmp_path):
    pid_file = tmp_path / "pid"
    child = a_child(f"""
        open({str(pid_file)!r}, "w").write(str(os.getpid()))
        say("joined")
        say("participant", id="p1", name="Bot", user_id=None, is_owner=False)
        time.sleep(60)
    """)
    report = await probe_room(ROOM, None, deadline=2.0, command=child)
    assert report.killed
    assert report.joined
    assert report.participants[0].name == "Bot"
    assert report.error == "no end within 2 s: joined"
    assert 2.0 <= report.seconds < 20
    assert is_gone(int(pid_file.read_text()))


async def test_a_cancelled_probe_leaves_neither_the_child_nor_what_it_started(tmp_path):
    pid_file = tmp_path / "pids"
    child = a_child(f"""
        import subprocess
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(pid_file)!r}, "w").write(f"{{os.getpid()}} {{grandchild.pid}} .")
        time.sleep(60)
    """)
    probe = asyncio.create_task(probe_room(ROOM, None, deadline=60, command=child))
    await until(lambda: pid_file.exists() and pid_file.read_text().endswith("."))
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    child_pid, grandchild_pid = map(int, pid_file.read_text().split()[:2])
    assert is_gone(child_pid)
    await until(lambda: not is_running(grandchild_pid))  # an orphan is reaped by init, not by us


async def test_a_child_that_dies_is_reported_with_its_code():
    report = await probe_room(ROOM, None, deadline=30, command=a_child("sys.exit(3)"))
    assert "ended with 3 before it was done" in report.error
    assert not report.killed


async def test_a_child_that_never_reads_its_order_is_reported():
    report = await probe_room(ROOM, None, deadline=30, command=(sys.executable, "-c", "pass"))
    assert "ended with 0 before it was done" in report.error


async def test_a_child_that_cannot_be_started_is_reported():
    report = await probe_room(ROOM, None, deadline=30, command=("no-such-program-anywhere",))
    assert report.error == "the probe's child could not be started: No such file or directory"


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"event": "dance"}',
        '{"event": "audio", "seconds": "much"}',
        '{"event": "participant"}',
        "x" * 100_000,
    ],
)
async def test_a_child_that_breaks_the_protocol_is_killed(line):
    child = a_child(f"print({line!r}, flush=True); time.sleep(60)")
    report = await probe_room(ROOM, None, deadline=30, command=child)
    assert report.error == "the probe's child broke its protocol"
    assert report.killed


async def test_another_protocol_version_is_refused():
    child = (
        sys.executable,
        "-c",
        'import time; print(\'{"event": "hello", "protocol": 2}\', flush=True); time.sleep(60)',
    )
    report = await probe_room(ROOM, None, deadline=30, command=child)
    assert report.error == "the probe's child does not speak protocol 1"


async def test_the_first_error_is_kept_shortened_and_without_the_token():
    child = a_child("""
        say("error", message="refused " + order["meeting_token"] + " " + "x" * 1000)
        say("error", message="and again")
        say("done")
    """)
    report = await probe_room(ROOM, MeetingToken("tok-5ecret"), deadline=30, command=child)
    assert report.error.startswith("refused ******** xxx")
    assert len(report.error) == 300


@pytest.mark.parametrize(("ask_ready", "bot_ready"), [(True, False), (False, None)])
async def test_a_silent_bot_is_only_not_ready_when_it_was_asked(ask_ready, bot_ready):
    child = a_child('say("joined"); say("done")')
    report = await probe_room(ROOM, None, deadline=30, ask_ready=ask_ready, command=child)
    assert report.bot_ready is bot_ready


async def test_the_real_child_is_gone_at_its_deadline_when_the_room_cannot_be_reached():
    """Without a network daily-python answers after 19 s; with one, that there is no such room may come sooner."""
    report = await probe_room(ROOM, None, deadline=1.5)
    assert not report.joined
    assert report.error
    assert report.killed or report.error != "no end within 1.5 s: not joined"
    assert report.seconds < 15  # far from the 19 s that daily-python would take


@pytest.mark.parametrize("url", ["not a url", "", "https://team.daily.co", "http://sandbox.localhost:7880/room"])
async def test_a_url_that_no_probe_can_join_is_reported_without_a_child(url):
    report = await probe_room(url, None, deadline=30, command=("no-such-program-anywhere",))
    assert "a probe can only join rooms on Daily's own hosts" in report.error
    assert (report.joined, report.killed) == (False, False)


def test_a_probe_user_id_is_fresh_and_fits_daily():
    first, second = probe_user_id(), probe_user_id()
    assert first != second
    assert first.startswith("orchestrator-probe-")
    assert len(first) == 36


def a_report(**changes):
    values = {
        "room_url": "https://team.daily.co/room",
        "joined": True,
        "participants": (),
        "bot_ready": None,
        "heard": Heard(),
        "error": "",
        "seconds": 6.04,
        "killed": False,
    }
    return ProbeReport(**(values | changes))


def test_an_empty_room_reads_so():
    assert probe_report_lines(a_report()) == [
        "joined https://team.daily.co/room",
        "nobody else was in the room",
        "whether the bot is ready was not asked",
        "heard 0.0 s of sound and 0 app messages",
        "the probe ended by itself after 6.0 s",
    ]


def test_a_failed_join_reads_so():
    assert probe_report_lines(a_report(joined=False, error="no such room", killed=True)) == [
        "could not join https://team.daily.co/room",
        "trouble: no such room",
        "the probe was killed after 6.0 s",
    ]
