"""One strike of every fault on every request a batch makes: how its runs end, in whose words, and that nothing leaks.

What is expected of each row is written from the rules (an answer to a paid call that was lost is looked up and never
repeated; every other call may be made again), not from what the engine does.
"""

from itertools import product

import pytest

from orchestrator.sandbox.faults import GENERIC, OPERATIONS, SPECIFIC
from tests.support.ordeal import Ordeal, play, wrongs
from tests.support.scenes import (
    BUDGETED,
    HEARD,
    LINGERING,
    LOST_START,
    LOST_SUBMISSION,
    NOTHING_DONE,
    PLAIN,
    SCENES,
    STOPPED,
    TOGETHER,
)

OF_RUNNERS = ("start", "room_get", "eject", "room_delete")
PAID = ("start", "submit")
# No batch that lives in one process asks for these; what is asked before it begins has tests of its own.
NEVER_ASKED = {
    "aiagent_get",
    "scenario_list",
    "scenario_get",
    "tag_list",
    "folder_list",
    "share_link",
    "agent_list",
    "runner_status",
    "room_create",
    "room_list",
    "room_update",
    "result_get",
    "result_rename",
    "billing",
}


def single_strikes():
    for operation, fault in product(SCENES, GENERIC):
        for runner in (False, True) if operation in OF_RUNNERS else (False,):
            ordeal = struck_once(operation, fault, runner=runner)
            marks = () if always_played(operation, fault, runner=runner) else pytest.mark.weather
            yield pytest.param(ordeal, marks=marks, id=str(ordeal))


def always_played(operation, fault, *, runner):
    """Every fault of a paid call, and one of each other kind of call, by turns; `make weather` plays the rest."""
    turn = list(SCENES).index(operation) + runner
    return (operation in PAID and not runner) or fault == list(GENERIC)[turn % len(GENERIC)]


def struck_once(operation, fault, *, runner):
    """What a single strike means."""
    scene, told = SCENES[operation], {}
    if operation in {"start", "submit"} and fault == "refused":
        told = {"inconclusive": scene.runs, "reason": "HTTP 401"}
    elif operation in {"start", "submit"} and fault in NOTHING_DONE:
        told = {"inconclusive": 1, "reason": LOST_START if operation == "start" else LOST_SUBMISSION}
    return Ordeal(faults=(f"{operation}.{fault}=1",), scene=scene, runner=runner, **told)


def strange(fault, *, scene=PLAIN, **told):
    return Ordeal(faults=(fault,), scene=scene, **told)


def strange_rows():
    """The first row of each fault is always played."""
    struck = set()
    for ordeal in STRANGE:
        name = name_of(ordeal)
        yield pytest.param(ordeal, marks=pytest.mark.weather if name in struck else (), id=str(ordeal))
        struck.add(name)


def name_of(ordeal):
    return ordeal.faults[0].partition("=")[0]


STRANGE = (
    strange("start.capacity=1"),
    strange("start.capacity_pcc=1"),
    strange("start.capacity=1@1"),
    strange("start.capacity_pcc=99999", inconclusive=2, reason="The agent is full"),
    strange("start.capacity=99999", inconclusive=2, reason="Rate limit exceeded"),
    strange("start.no_public_key=1", inconclusive=2, reason="PIPECAT_CLOUD_API_KEY"),
    strange("start.refused=1@1", scene=BUDGETED, inconclusive=1, reason="HTTP 401"),
    strange("start.null=1", runner=True, inconclusive=1, reason=LOST_START),
    strange("start.plain_error=1", runner=True, inconclusive=1, reason=LOST_START),
    strange("bot.never_joins=1"),
    strange("bot.never_joins=99999", inconclusive=2, reason="the bot did not join its room within 120 s"),
    strange("bot.slow_join=1"),
    strange("bot.leaves_early=1"),
    strange("bot.leaves_early=99999", inconclusive=2, reason="The call was lost"),
    strange("bot.stays_after_stop=1"),
    strange("submit.field_errors=1", inconclusive=1, reason="HTTP 400"),
    strange("submit.field_errors=1", scene=TOGETHER),
    strange("submit.bare_list=1", inconclusive=1, reason="HTTP 400"),
    strange("submit.detail=1", inconclusive=1, reason="HTTP 400"),
    strange("submit.detail=99999", scene=TOGETHER, inconclusive=3, reason="HTTP 400"),
    strange("submit.html_error=1", inconclusive=1, reason="HTTP 400"),
    strange("submit.no_runs=1", inconclusive=1, reason="holds no run that can be paired with this room"),
    strange("submit.fewer_runs=1", scene=TOGETHER, inconclusive=1, reason="holds no run that can be paired"),
    strange("submit.shuffled=1", scene=TOGETHER),
    strange("submit.unnested=1", scene=TOGETHER),
    strange("poll.missing_run=1"),
    strange("poll.unknown_status=1"),
    strange("poll.server_error=1"),
    strange("call.fails_evaluation=1", failed=1),
    strange("call.never_connects=1"),
    strange("call.never_connects=99999", inconclusive=2, reason="The testing agent could not join the room"),
    strange("call.times_out=1", inconclusive=1, reason="The call exceeded its duration"),
    strange("call.tester_crashes=1"),
    strange("call.tester_crashes=99999", inconclusive=2, reason="The testing agent's pipeline failed"),
    strange("call.queued_long=1"),
    strange("webhook.lost=1", scene=HEARD),
    strange("webhook.duplicate=2", scene=HEARD),
    strange("webhook.early=2", scene=HEARD),
    strange("webhook.stranger=1", scene=HEARD),
    strange("webhook.garbled=1", scene=HEARD),
    strange("webhook.wrong_secret=1", scene=HEARD),
    strange("rooms_delete.all_or_nothing=1", scene=STOPPED),
    strange("eject.ignored=1", scene=LINGERING),
)


@pytest.mark.parametrize("ordeal", list(single_strikes()))
def test_one_strike_is_weathered(ordeal, tmp_path):
    assert list(wrongs(ordeal, play(ordeal, tmp_path))) == []


@pytest.mark.parametrize("ordeal", list(strange_rows()))
def test_what_only_one_remote_does_is_weathered(ordeal, tmp_path):
    assert list(wrongs(ordeal, play(ordeal, tmp_path))) == []


@pytest.mark.parametrize(
    ("fault", "strikes"),
    [
        ("error", 7),
        ("lost_request", 7),
        *(
            pytest.param(*one, marks=pytest.mark.weather)
            for one in (
                ("error", 6),
                *((fault, 7) for fault in ("busy", "html", "truncated", "not_json", "wrong_type")),
            )
        ),
    ],
)
def test_polls_survive_seven_strikes_in_a_row(fault, strikes, tmp_path):
    """Nor would an eighth end anything: what ends a run is its own deadline (see the persistent rows of `poll`)."""
    ordeal = Ordeal(faults=(f"poll.{fault}={strikes}",), scene=PLAIN)
    assert list(wrongs(ordeal, play(ordeal, tmp_path))) == []


def test_no_fault_is_left_out():
    """Guards the matrix: a fault that the sandbox learns belongs into it."""
    assert set(SCENES) | NEVER_ASKED >= set(OPERATIONS)
    specific = {fault for fault in SPECIFIC if fault.split(".")[0] not in NEVER_ASKED}
    assert {name_of(ordeal) for ordeal in STRANGE} >= specific


def test_every_call_and_every_fault_has_its_turn_in_each_run():
    """Guards the choice of what is left to `make weather`."""
    played = [one.values[0].faults[0].partition("=")[0].split(".") for one in single_strikes() if not one.marks]
    assert {operation for operation, _ in played} == set(SCENES)
    assert {fault for operation, fault in played if operation not in PAID} == set(GENERIC)
