"""Faults that do not go away: a batch gives up with a reason, or does without, and names what it could not tear down.

The whole matrix takes minutes: `make weather`. A few rows of it, one for each way to end, belong to every test run.
"""

import pytest

from orchestrator.sandbox.faults import GENERIC
from tests.support.ordeal import FOR_EVER, Ordeal, play, wrongs
from tests.support.scenes import LOST_START, LOST_SUBMISSION, NEVER_READY, NOTHING_DONE, SCENES, TOGETHER

# A read whose answer takes 30 s and is waited for just as long may be either: only paid calls wait longer.
SLOW_BUT_SURE = {"start", "submit"}
DONE_WITHOUT = {"agent_get", "token_create", "presence_all", "eject", "end_calls", "rooms_delete"}
NEVER_TORN_DOWN = {"session_stop", "session_get", "room_delete"}
ALWAYS = (
    "start.busy",
    "start.not_json",
    "start.refused",
    "submit.busy",
    "submit.error",
    "room_get.refused",
    "presence.wrong_type",
    "token_create.oversized",
    "end_calls.lost_request",
    "rooms_delete.error",
)


def rows():
    for operation in SCENES:
        for fault in GENERIC:
            if fault != "slow" or operation in SLOW_BUT_SURE:
                marks = () if f"{operation}.{fault}" in ALWAYS else pytest.mark.weather
                yield pytest.param(struck_for_ever(operation, fault), marks=marks, id=f"{operation}.{fault}")


def struck_for_ever(operation, fault):
    """What it means that an operation never passes again."""
    scene = TOGETHER if operation == "submit" else SCENES[operation]
    told = {
        "start": at_start,
        "submit": at_submit,
        "room_get": unreachable,
        "presence": lambda _: {"inconclusive": scene.runs, "reason": NEVER_READY},
        "session_list": lambda _: {"inconclusive": scene.runs, "reason": NEVER_READY},
        "poll": lambda _: {"inconclusive": scene.runs, "reason": "the call had not ended 900 s after submission"},
        "result_list": lambda _: {"inconclusive": scene.runs, "reason": LOST_SUBMISSION},
        "end_call": lambda _: {"cut_short": True},
    }.get(operation, lambda _: {"bounded": operation in NEVER_TORN_DOWN})(fault)
    if told.get("inconclusive") is ...:
        told["inconclusive"] = scene.runs
    return Ordeal(faults=(f"{operation}.{fault}={FOR_EVER}",), scene=scene, **told)


def at_start(fault):
    if fault in {"refused", "busy"}:
        return {"inconclusive": ..., "reason": "HTTP 401" if fault == "refused" else "(waited 300 s)"}
    return {"inconclusive": ..., "reason": LOST_START} if fault in NOTHING_DONE else {}


def at_submit(fault):
    if fault == "refused":
        return {"inconclusive": ..., "reason": "HTTP 401"}
    if fault == "busy":
        return {"inconclusive": ..., "reason": "Cekura took no submission for 120 s after the bot was ready"}
    return {"inconclusive": ..., "reason": LOST_SUBMISSION} if fault in NOTHING_DONE else {}


def unreachable(fault):
    """A refused key reaches no room: the next kind of evidence counts. Trouble is no reason to settle for less."""
    if fault == "refused":
        return {"bounded": True}
    return {"inconclusive": ..., "reason": NEVER_READY, "bounded": True}


@pytest.mark.parametrize("ordeal", list(rows()))
def test_what_never_passes_again_is_given_up_or_done_without(ordeal, tmp_path):
    assert list(wrongs(ordeal, play(ordeal, tmp_path))) == []
