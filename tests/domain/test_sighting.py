"""Where to look for bots: no look is wasted early, none comes late, and a change is noticed."""

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.sighting import (
    LOOK_AGAIN_AFTER,
    REMEMBERED,
    WORTH_A_LOOK,
    Sighting,
    Sightings,
    Vigil,
    plan_looks,
)

moments = st.floats(0, 120, allow_nan=False)
sightings = st.lists(st.tuples(moments, moments).map(lambda two: Sighting(after=min(two), by=max(two))), max_size=40)


def at(*seconds):
    """Bots that were seen at these moments, each known to half a second."""
    return Sightings.of(Sighting(after=one - 0.5, by=one) for one in seconds)


def looks_at(known, *, until):
    """When a room that stays empty is looked at."""
    empty_at, made, now = 0.0, [], 0.0
    while now < until:
        now = round(now + 0.1, 1)
        if plan_looks([Vigil(nonce="a", now=now, empty_at=empty_at)], sightings=known):
            empty_at = now
            made.append(now)
    return made


# --- what is believed ------------------------------------------------------------------------------------------------


@given(sightings, moments, moments)
def test_a_chance_is_a_chance_and_grows_with_time(seen, one, other):
    known = Sightings.of(seen)
    early, late = sorted((one, other))
    chances = [known.chance(empty_at=early, now=late + more) for more in (0, 1, 10)]
    assert all(-1e-9 <= chance <= 1 + 1e-9 for chance in chances)
    assert chances == sorted(chances)


@given(sightings, moments, moments)
def test_nobody_is_believed_to_have_waited_longer_than_since_the_room_was_empty(seen, one, other):
    known = Sightings.of(seen)
    early, late = sorted((one, other))
    assert 0 <= known.waited(empty_at=early, now=late) <= late - early + 1e-6


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(0, 70), st.integers(1, 20))
def test_the_wait_is_the_mean_over_what_was_seen(seen, looked, span):
    """Against a sum over narrow sightings; what is guessed on top is worth one sighting."""
    empty_at, now = looked + 0.5, looked + 0.5 + span
    known = Sightings.of(Sighting(after=one, by=one) for one in seen)
    later = [one for one in seen if one > empty_at]
    waited = sum(now - one for one in later if one < now) + span**2 / (2 * now)
    assert known.waited(empty_at=empty_at, now=now) == pytest.approx(waited / (len(later) + 1), abs=0.01)


# --- where is looked -------------------------------------------------------------------------------------------------


def test_nothing_being_known_a_room_is_looked_at_about_every_second_and_ever_less_often():
    made = looks_at(Sightings(), until=100)
    gaps = [later - earlier for earlier, later in pairwise(made)]
    assert made[0] < 1
    assert gaps[0] < 2
    assert gaps == sorted(gaps)
    assert gaps[-1] > 5


def test_nobody_looks_long_before_the_earliest_that_was_seen_and_then_soon():
    known = at(*(30 + step / 4 for step in range(REMEMBERED)))
    made = looks_at(known, until=32)
    assert len([look for look in made if look < 29.5]) <= 3  # the early looks that would find out it got faster
    assert any(29.5 <= look <= 32 for look in made)


def test_a_fleet_that_became_faster_is_noticed():
    """Cold bots took half a minute; now they are warm, and take three seconds."""
    remembered = [Sighting(after=30, by=31)] * REMEMBERED
    first = later = 0.0
    for number in range(2 * REMEMBERED):
        looks = looks_at(Sightings.of(remembered), until=40)
        empty = max((look for look in looks if look < 3), default=0.0)
        seen = next(look for look in looks if look >= 3)
        remembered = [*remembered[1:], Sighting(after=empty, by=seen)]
        first, later = (seen, later) if number == 0 else (first, seen)
    assert first > 8
    assert later < 5


def test_the_room_whose_bot_is_most_overdue_comes_first():
    known = at(2, 3, 4)
    vigils = [Vigil(nonce=nonce, now=now) for nonce, now in (("new", 1.0), ("due", 4.0), ("overdue", 9.0))]
    assert plan_looks(vigils, sightings=known) == ["overdue", "due"]


@given(sightings, moments)
def test_no_room_is_asked_about_twice_within_a_moment(seen, now):
    asked = Vigil(nonce="a", now=now, asked_at=now - LOOK_AGAIN_AFTER / 2)
    assert plan_looks([asked], sightings=Sightings.of(seen)) == []


def test_what_looks_find_late_does_not_make_later_looks_later_still():
    """Each look comes a little after the bot: learnt as it is found, the delay must not add up."""
    random, remembered = Random(0), []
    found = []
    for _ in range(300):
        there = 2 + math.exp(random.gauss(0, 0.5))
        looks = looks_at(Sightings.of(remembered), until=40)
        empty = max((look for look in looks if look < there), default=0.0)
        seen = next(look for look in looks if look >= there)
        remembered = [*remembered, Sighting(after=empty, by=seen)][-REMEMBERED:]
        found.append(seen - there)
    early, late = found[50:150], found[200:]
    assert sum(late) / len(late) < 2 * WORTH_A_LOOK + sum(early) / len(early)
    assert sum(late) / len(late) < 1.5
