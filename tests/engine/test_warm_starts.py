"""How a pool's starts hold off when they come to nothing."""

import pytest

from orchestrator.domain.budget import NO_LIMITS
from orchestrator.engine.pools import always
from orchestrator.engine.warm_starts import LONGEST_WAIT, WarmStarts
from tests.support.hand_clock import HandClock


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def starts(clock):
    return WarmStarts(
        pool="support",
        ledger=None,
        remotes=None,
        clock=clock,
        place="a test",
        worker_id="w1",
        speed=1.0,
        sure=always,
        shared=NO_LIMITS,
    )


def held_off(starts, clock):
    """For how many whole seconds no start may be made."""
    began = clock.at
    while starts.held_off:
        clock.at += 1
    return clock.at - began


def test_each_start_that_comes_to_nothing_is_followed_by_a_longer_wait_up_to_a_limit(starts, clock):
    waits = []
    for _ in range(9):
        starts.failed("the bot did not come")
        waits.append(held_off(starts, clock))
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_WAIT


def test_what_the_remote_asks_for_is_waited(starts, clock):
    starts.failed("busy", told=17.0)
    assert held_off(starts, clock) == 17


def test_the_first_start_goes_alone_and_so_do_those_after_a_failure_until_a_bot_came(starts):
    assert starts.alone
    starts.came()
    assert not starts.alone
    starts.failed("the bot did not come")
    assert starts.alone
    assert starts.trouble == "the bot did not come"
    starts.came()
    assert (starts.alone, starts.trouble) == (False, "")
