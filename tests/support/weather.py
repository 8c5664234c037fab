"""What may go wrong with the remotes while a batch is driven, and how much of it a batch must endure."""

from random import Random

from hypothesis import strategies as st

from orchestrator.sandbox.faults import list_faults, parse_fault

# What the engine never asks for: no request of theirs could be struck while a batch is driven. Nobody takes webhooks.
NEVER_ASKED = {"runner_status", "room_create", "room_list", "room_update", "result_rename", "billing", "webhook"}
# What a batch is made of; the rest is asked beside it.
PAID = ("start", "bot", "submit", "call")
# A call is asked to end three times. Cekura refusing each of them leaves no way but to cut the call short, and no run
# of the engine could avoid that; every other fault must be endured in any number.
REFUSALS_TO_END_A_CALL = 2


FAULTS = {}
for name in list_faults():
    FAULTS.setdefault(name.partition(".")[0], []).append(name)


def _fault(number):
    """The fault that a number stands for; by dice, for hypothesis likes the first of many too well."""
    dice = Random(number)
    operation = dice.choice([*sorted(FAULTS.keys() - NEVER_ASKED), *PAID, *PAID])
    return f"{dice.choice(FAULTS[operation])}={dice.randint(1, 3)}@{dice.choice((0, 0, 1, 2, 4))}"


WEATHER = st.integers(0, 2**24 - 1).map(_fault)  # of any more, hypothesis would mostly draw small ones
"""Faults as the sandbox takes them: OPERATION.FAULT=COUNT@SKIP."""


def endurable(fault, others):
    """Whether a batch must still come out clean when `fault` is armed on top of the others, struck or not."""
    known = [parse_fault(one) for one in (fault, *others)]
    refusals = sum(one.count for one in known if one.operation == "end_call")
    return parse_fault(fault).operation != "end_call" or refusals <= REFUSALS_TO_END_A_CALL
