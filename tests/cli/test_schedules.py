"""Schedules on the command line, beside whoever drives the state."""

import asyncio
from datetime import datetime

import pytest

from orchestrator.app import schedules as cases
from orchestrator.clock import SystemClock
from orchestrator.domain.schedule import Overlap
from orchestrator.store.database import open_store
from tests.support.timetable import a_schedule

SERVICE = """\
version: 1
schedules:
  - {name: nightly, plan: plan.yaml, cron: "30 12 * * *", timezone: Europe/Berlin}
  - {name: smoke, plan: plan.yaml, every: 15m}
"""


@pytest.fixture
def held(shell):
    """Keeps schedules in the shell's state, and holds its driving lock as a worker would."""
    stores = []

    def keep(*schedules):
        store = open_store(f"sqlite:///{shell.folder}/.orchestrator/state.db", driving="test")
        stores.append(store)
        asyncio.run(cases.sync_schedules(store, schedules, clock=SystemClock()))

    yield keep
    for store in stores:
        store.close()


def test_without_a_state_there_are_no_schedules_and_none_to_show(shell):
    assert shell.look("schedules", "list", "--json").document == {"schedules": []}
    assert shell.look("schedules", "show", "nightly").code == 2


def test_schedules_are_listed_beside_a_worker(shell, held):
    held(a_schedule(cron="30 12 * * *", every=None, timezone="Europe/Berlin"), a_schedule("smoke"))

    ended = shell.look("schedules", "list")

    assert ended.code == 0
    words = " ".join(ended.out.split())
    assert "nightly 30 12 * * * Europe/Berlin on" in words
    assert "smoke every 10 min 00 s on" in words


def test_one_is_shown_with_its_next_ten_fires_on_its_own_clock_and_in_utc(shell, held):
    held(a_schedule(cron="30 12 * * *", every=None, timezone="Europe/Berlin"))

    ended = shell.look("schedules", "show", "nightly")

    assert ended.code == 0
    assert ended.out.count(" 12:30:00 +0") == 10
    assert ended.out.count(" 11:30:00") + ended.out.count(" 10:30:00") == 10
    assert "plan small: 2 runs with support-bot" in ended.out


def test_the_document_of_one_has_its_rule_and_its_next_fires(shell, held):
    held(a_schedule())
    document = shell.look("schedules", "show", "nightly", "--json").document
    assert (document["name"], document["every"], document["made_by"]) == ("nightly", 600.0, "config")
    moments = [datetime.fromisoformat(one["due_at"]) for one in document["next"]]
    assert len(moments) == 10
    assert moments == sorted(moments)


def test_one_is_paused_and_resumed(shell, held):
    held(a_schedule())

    ended = shell.look("schedules", "pause", "nightly")
    assert (ended.code, "resume nightly" in ended.out) == (0, True)
    assert "paused by" in shell.look("schedules", "list").out
    assert shell.look("schedules", "show", "nightly", "--json").document["paused_at"] is not None

    ended = shell.look("schedules", "resume", "nightly")
    assert (ended.code, "fires again; next: 20" in ended.out) == (0, True)
    assert shell.look("schedules", "show", "nightly", "--json").document["paused_at"] is None


def test_one_is_fired_by_hand_and_not_twice_at_once_unless_that_is_said(shell, held):
    held(a_schedule())

    fired = shell.look("schedules", "fire", "nightly", "--json")
    assert (fired.code, fired.document["decision"], fired.document["manual"]) == (0, "fired", True)

    again = shell.look("schedules", "fire", "nightly")
    assert again.code == 2
    assert f"its batch {fired.document['batch']} is open" in again.err
    assert "--overlap allow" in again.err

    beside = shell.look("schedules", "fire", "nightly", "--overlap", "allow")
    assert "waits for a worker" in beside.out
    batches = shell.look("batches", "list", "--json").document["batches"]
    assert len(batches) == 2
    assert "fired (by hand)" in shell.look("schedules", "show", "nightly").out


def test_a_queued_fire_says_what_it_waits_for(shell, held):
    held(a_schedule(overlap=Overlap.QUEUE))
    shell.look("schedules", "fire", "nightly")
    assert "queued: the batch of an earlier fire is open" in shell.look("schedules", "fire", "nightly").out


def test_an_overlap_rule_that_does_not_exist_is_refused(shell, held):
    held(a_schedule())
    ended = shell.look("schedules", "fire", "nightly", "--overlap", "both")
    assert ended.code == 2
    assert "skip, queue, cancel, allow" in ended.err


@pytest.mark.parametrize("word", ["show", "pause", "resume", "fire"])
def test_a_name_that_is_not_there_is_told_with_where_to_look(shell, held, word):
    held()
    ended = shell.look("schedules", word, "lost")
    assert ended.code == 2
    assert "no schedule lost" in ended.err
    assert "schedules list" in ended.err


def test_a_service_file_is_checked_and_its_fires_shown_and_nothing_is_made(shell):
    path = shell.write("serve.yaml", SERVICE)

    ended = shell.look("schedules", "check", path)

    assert ended.code == 0
    assert "2 schedules, 0 pools. Nothing was started." in ended.out
    assert ended.out.count(" 12:30:00 +0") == 10
    assert not (shell.folder / ".orchestrator").exists()
    document = shell.look("schedules", "check", path, "--json").document
    assert [one["name"] for one in document["schedules"]] == ["nightly", "smoke"]


def test_a_bad_service_file_ends_with_every_problem(shell):
    path = shell.write("serve.yaml", SERVICE.replace("15m", "15").replace("Berlin", "Berlni"))

    ended = shell.look("schedules", "check", path, "--json")

    assert ended.code == 2
    problems = ended.document["error"]["problems"]
    assert [(one["path"], one["line"]) for one in problems] == [
        ("schedules.0.timezone", 3),
        ("schedules.1.every", 4),
    ]
    assert "schedules check" in ended.document["error"]["next_step"]
