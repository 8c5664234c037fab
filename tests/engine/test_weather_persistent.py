"""Faults that do not go away: a batch gives up with a reason, or does without, and names what it could not tear down.

The whole matrix takes minutes: `make weather`. A few rows of it, one for each way to end, belong to every test run.
"""

from itertools import product

import pytest

from orchestrator.sandbox.faults import GENERIC
from tests.support.ordeal import FOR_EVER, Ordeal, Scene, play, wrongs
from tests.support.scenes import LOST_START, LOST_SUBMISSION, NOTHING_DONE, SCENES, TOGETHER, UNSEEN

# A read whose answer takes 30 s and is waited for just as long may be either: only paid calls wait longer. What is too
# large, a thousand times 20 MB, is for a read nothing else than what has the wrong type.
ONLY_FOR = {"slow": {"start", "submit"}, "oversized": {"start", "submit", "token_create"}}
NEVER_TORN_DOWN = {"session_stop", "session_get", "room_get", "room_delete"}
SHORT_LIVED = Scene(sandbox={"max_session_seconds": 900.0})
OTHER_SCENES = {"submit": TOGETHER, "session_stop": SHORT_LIVED, "session_get": SHORT_LIVED}
# Why every run is given up; where there is no reason, the batch does without.
GIVEN_UP = {
    ("start", "refused"): "HTTP 401",
    ("start", "busy"): "(waited 300 s)",
    ("submit", "refused"): "HTTP 401",
    ("submit", "busy"): "Cekura took no submission for 120 s after the bot was ready",
    ("room_get", "refused"): "",  # this key reaches no room, so the next kind of evidence counts
    **{("start", fault): LOST_START for fault in NOTHING_DONE},
    **{("submit", fault): LOST_SUBMISSION for fault in NOTHING_DONE},
}
ALWAYS_GIVEN_UP = {
    "room_get": UNSEEN,
    "presence": UNSEEN,
    "session_list": UNSEEN,
    "poll": "no verdict came 600 s after it ended; the last poll failed: Cekura",
    "result_list": LOST_SUBMISSION,
}
ALWAYS = (
    "start.not_json",
    "start.refused",
    "submit.error",
    "room_get.refused",
    "presence.wrong_type",
    "token_create.oversized",
    "end_calls.lost_request",
    "rooms_delete.error",
)


def rows():
    for operation, fault in product(SCENES, GENERIC):
        if operation in ONLY_FOR.get(fault, SCENES):
            marks = () if f"{operation}.{fault}" in ALWAYS else pytest.mark.weather
            yield pytest.param(struck_for_ever(operation, fault), marks=marks, id=f"{operation}.{fault}")


def struck_for_ever(operation, fault):
    """What it means that an operation never passes again."""
    scene = OTHER_SCENES.get(operation, SCENES[operation])
    reason = GIVEN_UP.get((operation, fault), ALWAYS_GIVEN_UP.get(operation, ""))
    return Ordeal(
        faults=(f"{operation}.{fault}={FOR_EVER}",),
        scene=scene,
        inconclusive=scene.runs if reason else 0,
        reason=reason,
        bounded=operation in NEVER_TORN_DOWN,
        # A Cekura that takes no end of a call, or asks to be asked later than bots may wait, leaves no other way.
        cut_short=operation == "end_call" or (operation, fault) == ("end_calls", "busy"),
    )


@pytest.mark.parametrize("ordeal", list(rows()))
def test_what_never_passes_again_is_given_up_or_done_without(ordeal, tmp_path):
    assert list(wrongs(ordeal, play(ordeal, tmp_path))) == []
