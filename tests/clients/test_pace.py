"""The token bucket: never above its rate in any window, silent after Retry-After, and no burst when it ends."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.pace import LONGEST_HOLD, Pace


class HandClock:
    """A clock that moves only when somebody sleeps on it."""

    def __init__(self):
        self.at = 1000.0

    def now(self):
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self):
        return self.at

    async def sleep(self, seconds):
        self.at += max(seconds, 0.0)
        await asyncio.sleep(0)


async def times(pace, clock, count):
    found = []
    for _ in range(count):
        await pace.wait(clock)
        found.append(clock.at)
    return found


async def test_a_burst_goes_at_once_and_the_rest_at_the_rate():
    sent = await times(Pace(rate=2.0, burst=3), HandClock(), 6)
    assert sent == [1000.0, 1000.0, 1000.0, 1000.5, 1001.0, 1001.5]


@given(requests=st.integers(10, 200), seconds=st.sampled_from([1.0, 5.0, 30.0]))
def test_no_window_ever_holds_more_than_its_limit(requests, seconds):
    pace = Pace.for_window(requests=requests, seconds=seconds)
    sent = asyncio.run(times(pace, HandClock(), requests * 3))
    for first in sent:
        assert sum(first <= moment <= first + seconds for moment in sent) <= requests


async def test_a_hold_silences_everybody_and_ends_without_a_burst():
    clock, pace = HandClock(), Pace(rate=1.0, burst=5)
    pace.hold(clock, 10.0)
    assert await times(pace, clock, 3) == [1010.0, 1011.0, 1012.0]


async def test_a_hold_is_bounded():
    clock, pace = HandClock(), Pace(rate=1.0)
    pace.hold(clock, 86_400.0)
    assert await times(pace, clock, 1) == [1000.0 + LONGEST_HOLD]


async def test_a_hold_reaches_those_who_wait_already():
    clock, pace = HandClock(), Pace(rate=1.0)
    await pace.wait(clock)
    waiting = asyncio.create_task(pace.wait(clock))
    await asyncio.sleep(0)
    pace.hold(clock, 20.0)
    held_until = clock.at + 20.0
    await waiting
    assert clock.at >= held_until


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_pace_without_progress_is_refused(rate, burst):
    with pytest.raises(ValueError, match="positive rate"):
        Pace(rate=rate, burst=burst)
