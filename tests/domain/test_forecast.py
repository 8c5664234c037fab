"""What a batch has shown of its calls, and how many slots it lets us count on."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.forecast import Forecast, Lasting, Outlook, Preference

SECONDS = st.floats(0, 1000, allow_nan=False)
CHANCES = st.lists(st.floats(0, 1), max_size=30)


def outlook(*, calls=(), evaluations=(), call_ages=(), evaluation_ages=()):
    return Outlook(
        calls=Lasting.of(calls, call_ages),
        evaluations=Lasting.of(evaluations, evaluation_ages),
        call_ages=call_ages,
        evaluation_ages=evaluation_ages,
    )


# --- how long things last ---------------------------------------------------------------------------------------------


def test_the_share_left_falls_with_each_end():
    lasting = Lasting.of([10, 20, 20, 40])
    assert [lasting.share_after(at) for at in (0, 9, 10, 19, 20, 39, 40)] == [1, 1, 0.75, 0.75, 0.25, 0.25, 0]
    assert lasting.typical == 20


def test_what_goes_on_counts_as_lasting_at_least_so_long():
    """One call of ten ended after 20 s, the others go on: nobody may conclude that calls last 20 s."""
    lasting = Lasting.of([20], [30] * 9)
    assert lasting.share_after(25) == pytest.approx(0.9)
    assert lasting.typical is None


def test_with_doubt_few_ends_prove_little_and_many_prove_much():
    ages, old = [30.0] * 40, 50.0
    few = Lasting.of([40.0], [*ages, 45.0], doubt=5).chance_of_end(35, within=10)
    many = Lasting.of([40.0] * 500, [*ages, *[45.0] * 500], doubt=5).chance_of_end(35, within=10)
    assert few == pytest.approx(1 / 7)
    assert many == pytest.approx(0.5, abs=0.01)
    assert Lasting.of([40.0] * 500, ages, doubt=5).chance_of_end(old, within=10) == 0


def test_what_is_younger_than_an_end_says_nothing_of_it():
    assert Lasting.of([20], [5] * 9).share_after(25) == 0


def test_nothing_is_foreseen_where_nothing_is_known():
    assert Lasting.of([]).chance_of_end(10, within=1000) == 0
    assert Lasting.of([20], [30] * 9).chance_of_end(30, within=1000) == 0


def test_the_chance_of_an_end_rises_with_age():
    lasting = Lasting.of(range(20, 121))
    chances = [lasting.chance_of_end(age, within=10) for age in (0, 20, 60, 100, 119, 500)]
    assert chances == sorted(chances)
    assert (chances[0], chances[-1]) == (0, 1)
    assert lasting.chance_of_end(500, within=0) == 1  # longer than any: it is over, or about to be


@given(st.lists(SECONDS), st.lists(SECONDS), SECONDS, SECONDS, SECONDS)
def test_a_chance_is_a_chance_and_grows_with_the_time_given(ended, ages, age, within, more):
    lasting = Lasting.of(ended, ages)
    assert 0 <= lasting.chance_of_end(age, within=within) <= lasting.chance_of_end(age, within=within + more) <= 1


def test_learning_while_most_still_go_on_is_not_fooled_by_the_short_ones():
    """Looked at after 40 s, calls of 20 to 120 s have hardly begun to end; the estimate must be near the truth."""
    random = Random(1)
    lengths = [random.uniform(20, 120) for _ in range(2000)]
    lasting = Lasting.of([one for one in lengths if one <= 40], [40.0] * sum(one > 40 for one in lengths))
    assert lasting.chance_of_end(25, within=10) == pytest.approx(10 / 95, abs=0.02)


# --- how many slots ---------------------------------------------------------------------------------------------------


def test_what_is_certain_is_counted_whatever_the_confidence():
    for preference in Preference:
        assert Forecast.of([1.0, 1.0, 0.0]).at_least(preference.confidence) == 2


def test_the_surer_one_wants_to_be_the_fewer_slots_one_counts_on():
    forecast = Forecast.of([0.3] * 20)
    counts = [forecast.at_least(one.confidence) for one in (Preference.COST, Preference.BALANCED, Preference.TIME)]
    assert counts == sorted(set(counts))
    assert counts[0] < forecast.mean < counts[2]


@given(CHANCES, st.sampled_from(Preference))
def test_no_more_slots_are_counted_on_than_might_be(chances, preference):
    assert 0 <= Forecast.of(chances).at_least(preference.confidence) <= len(chances) + 1


def test_at_least_agrees_with_drawing_lots():
    random, chances = Random(2), [0.1, 0.2, 0.5, 0.7, 0.05, 0.3] * 5
    drawn = [sum(random.random() < chance for chance in chances) for _ in range(4000)]
    for preference in Preference:
        counted_on = Forecast.of(chances).at_least(preference.confidence)
        share = sum(one >= counted_on for one in drawn) / len(drawn)
        beyond = sum(one >= counted_on + 1 for one in drawn) / len(drawn)
        assert beyond - 0.03 <= preference.confidence <= share + 0.03


# --- whose slots ------------------------------------------------------------------------------------------------------


def test_where_a_slot_frees_at_call_end_only_calls_matter():
    seen = outlook(calls=[30.0] * 4, evaluations=[10.0] * 4, call_ages=[25.0, 5.0], evaluation_ages=[9.0])
    assert seen.freed(within=8, until_judged=False).mean == 1


def test_where_a_slot_frees_at_the_verdict_evaluations_come_first():
    seen = outlook(calls=[30.0] * 4, evaluations=[10.0] * 4, call_ages=[25.0, 5.0], evaluation_ages=[9.0, 1.0])
    assert seen.freed(within=8, until_judged=True).mean == 1
    assert seen.freed(within=9.5, until_judged=True).mean == 2


def test_a_call_frees_its_slot_only_after_its_evaluation_as_well():
    seen = outlook(calls=[30.0] * 4, evaluations=[10.0] * 4, call_ages=[25.0])
    assert seen.freed(within=14, until_judged=True).mean == 0
    assert seen.freed(within=16, until_judged=True).mean == 1


def test_before_any_evaluation_was_seen_no_slot_is_foreseen():
    assert outlook(calls=[30.0] * 4, call_ages=[29.0]).freed(within=100, until_judged=True).mean == 0
