"""The token bucket: never above its rate in any window, slower after refusals, silent after Retry-After, and fair."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.pace import LONGEST_HOLD, RECOVERY_SECONDS, SLOWEST, Pace
from tests.support.hand_clock import HandClock


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


@given(workers=st.integers(2, 5))
def test_workers_that_share_a_key_stay_below_its_limit_together(workers):
    async def one_worker():
        pace = Pace.for_window(requests=100, seconds=5.0, share=lambda: workers)
        return await times(pace, HandClock(), 100)

    sent = [moment for _ in range(workers) for moment in asyncio.run(one_worker())]
    for first in sent:
        assert sum(first <= moment <= first + 5.0 for moment in sent) <= 100


async def test_a_worker_that_joins_slows_the_others_down_at_once():
    workers, clock = [1], HandClock()
    pace = Pace(rate=2.0, share=lambda: workers[0])
    await times(pace, clock, 2)
    workers[0] = 2
    assert await times(pace, clock, 3) == [1001.0, 1002.0, 1003.0]


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


async def test_a_refusal_halves_the_rate_and_the_burst():
    clock, pace = HandClock(), Pace(rate=8.0, burst=5)
    pace.slow_down(clock, sent_at=clock.at)
    sent = await times(pace, clock, 5)
    assert pace.rate(clock) == pytest.approx(4.0, rel=0.05)
    assert [later - earlier for earlier, later in pairwise(sent)] == pytest.approx([0.25] * 4, rel=0.05)
    clock.at += 5.0
    sent = await times(pace, clock, 8)
    assert sum(moment == sent[0] for moment in sent) == 3


async def test_calls_refused_together_slow_down_once():
    clock, pace = HandClock(), Pace(rate=8.0)
    sent_at, clock.at = clock.at, clock.at + 0.1
    for _ in range(5):
        pace.slow_down(clock, sent_at=sent_at)
    assert pace.rate(clock) == 4.0
    pace.slow_down(clock, sent_at=clock.at)
    assert pace.rate(clock) == 2.0


async def test_quiet_time_gives_the_rate_back_slowly_and_never_more_than_the_ceiling():
    clock, pace = HandClock(), Pace(rate=8.0)
    pace.slow_down(clock, sent_at=clock.at)
    clock.at += RECOVERY_SECONDS / 4
    assert pace.rate(clock) == pytest.approx(6.0)
    clock.at += RECOVERY_SECONDS
    assert pace.rate(clock) == 8.0


async def test_time_spent_in_a_hold_is_not_quiet_time():
    clock, pace = HandClock(), Pace(rate=8.0)
    pace.slow_down(clock, sent_at=clock.at)
    pace.hold(clock, 30.0)
    clock.at += 30.0
    assert pace.rate(clock) == 4.0


@given(refusals=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60))
def test_however_often_it_is_refused_it_goes_on(refusals):
    clock, pace = HandClock(), Pace(rate=10.0, burst=4)
    for seconds in refusals:
        clock.at += seconds
        pace.slow_down(clock, sent_at=clock.at)
    began = clock.at
    [sent] = asyncio.run(times(pace, clock, 1))
    assert sent - began <= 1 / (10.0 * SLOWEST) + 1e-6


async def test_what_ends_something_goes_before_all_that_wait():
    clock, pace, order = HandClock(), Pace(rate=1.0), []
    pace.hold(clock, 5.0)

    async def call(name, *, urgent=False):
        await pace.wait(clock, urgent=urgent)
        order.append(name)

    await asyncio.gather(call("poll 1"), call("poll 2"), call("stop 1", urgent=True), call("stop 2", urgent=True))
    assert order == ["stop 1", "stop 2", "poll 1", "poll 2"]
    assert clock.at == 1008.0


async def test_who_gives_up_waiting_keeps_nobody_else_waiting():
    clock, pace = HandClock(), Pace(rate=1.0)
    gone = asyncio.Event()

    class Patient(HandClock):
        async def sleep(self, seconds):
            await gone.wait()
            await super().sleep(seconds)

    patient = Patient()
    await pace.wait(patient)
    first, second = (asyncio.create_task(pace.wait(patient)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gone.set()
    async with asyncio.timeout(10):
        assert await second == clock.at + 1.0


async def test_a_faster_world_learns_and_forgets_as_much_faster():
    clock, pace = HandClock(), Pace(rate=8.0, scale=10.0)
    pace.slow_down(clock, sent_at=clock.at)
    assert pace.rate(clock) == 40.0
    clock.at += RECOVERY_SECONDS / 10 / 2
    assert pace.rate(clock) == 80.0
