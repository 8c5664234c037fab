"""The two budgets: sessions alive at once and calls at once, and what is learned about the second."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.budget import RAISE_AFTER, CallBudget, count_statuses, plan_starts
from orchestrator.domain.observation import CallObservation, CallStatus
from orchestrator.domain.plan import Limits, SlotRule
from orchestrator.domain.run import RunStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMING_OR_CALLED = [
    RunStatus.STARTING,
    RunStatus.STARTED,
    RunStatus.READY,
    RunStatus.SUBMITTED,
    RunStatus.IN_CALL,
]


def limits(*, concurrency=10, calls=4, rule=SlotRule.JUDGED):
    return Limits(concurrency=concurrency, calls=calls, starts_per_second=5, call_slot_until=rule)


def a_budget(rule=SlotRule.JUDGED, *, calls=4):
    return CallBudget.of(limits(calls=calls, rule=rule), NOW)


def of(**counts):
    """Runs by status, as in of(in_call=2)."""
    return Counter({RunStatus(name): count for name, count in counts.items()})


COUNTS = st.dictionaries(st.sampled_from(RunStatus), st.integers(0, 6)).map(Counter)
BUDGETS = st.builds(
    lambda limit, working, rule, explorer, beyond: CallBudget(
        limit=limit, working=min(limit, working), rule=rule, changed_at=NOW, explorer=explorer, beyond=beyond
    ),
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from(SlotRule),
    st.sampled_from([None, "r1"]),
    st.integers(0, 4),
)


def test_a_plan_begins_with_all_its_calls():
    budget = a_budget(calls=7)
    assert (budget.limit, budget.working, budget.explorer) == (7, 7, None)


@pytest.mark.parametrize("status", COMING_OR_CALLED)
@pytest.mark.parametrize("rule", SlotRule)
def test_a_run_on_its_way_to_a_call_takes_a_slot(status, rule):
    assert a_budget(rule).used(Counter({status: 3})) == 3


@pytest.mark.parametrize("status", [status for status in RunStatus if status.final] + [RunStatus.PLANNED])
@pytest.mark.parametrize("rule", SlotRule)
def test_a_run_without_a_session_takes_none(status, rule):
    assert a_budget(rule).used(Counter({status: 3})) == 0


@pytest.mark.parametrize(("rule", "used"), [(SlotRule.JUDGED, 3), (SlotRule.AUTO, 3), (SlotRule.CALL_ENDED, 0)])
def test_a_run_under_evaluation_takes_a_slot_until_it_is_known_to_take_none(rule, used):
    assert a_budget(rule).used(of(call_ended=3)) == used


@given(st.integers(0, 20), COUNTS, BUDGETS, st.tuples(st.integers(0, 4), st.integers(0, 15)), st.integers(1, 12))
def test_neither_budget_is_exceeded_but_by_what_will_be_free_and_by_exploring(
    planned, statuses, calls, soon_and_held, concurrency
):
    soon, held = soon_and_held
    starts = plan_starts(
        planned=planned,
        statuses=statuses,
        calls=calls,
        soon=soon,
        sessions_held=held,
        limits=limits(concurrency=concurrency, calls=calls.limit),
    )
    assert 0 <= starts <= planned
    assert starts == 0 or held + starts <= concurrency
    exploring = calls.rule is SlotRule.AUTO and calls.explorer is None and statuses[RunStatus.CALL_ENDED] > 0
    beyond = calls.further if exploring else 0
    assert starts == 0 or calls.used(statuses) + starts <= calls.working + calls.beyond + soon + beyond


@given(st.integers(1, 20), st.integers(1, 8), st.integers(1, 8))
def test_what_is_free_is_used(planned, calls, concurrency):
    starts = plan_starts(
        planned=planned,
        statuses=of(planned=planned),
        calls=a_budget(calls=calls),
        soon=0,
        sessions_held=0,
        limits=limits(concurrency=concurrency, calls=calls),
    )
    assert starts == min(planned, calls, concurrency)


# --- learning when a slot is free ------------------------------------------------------------------------------------

FULL = of(in_call=3, call_ended=1)


def test_under_auto_one_run_is_started_beyond_the_safe_rule():
    budget = a_budget(SlotRule.AUTO)
    assert budget.free(FULL) == 1
    exploring = budget.exploring("r5", FULL)
    assert (exploring.explorer, exploring.beyond) == ("r5", 1)
    assert exploring.free(FULL + of(starting=1)) == 0


def test_one_that_was_called_lets_twice_as_many_go_the_next_time():
    """Bots on their way fill no slot: with many of them, one run beyond the slots never shows as one."""
    budget, statuses, begun = a_budget(SlotRule.AUTO, calls=100), of(in_call=90, call_ended=10), []
    for step in range(3):
        begun.append(budget.free(statuses))
        budget = budget.exploring(f"r{step}", statuses)
        assert budget.free(statuses + of(starting=begun[-1])) == 0
        budget = budget.called(f"r{step}")
        assert budget.free(statuses + of(in_call=begun[-1])) == 0  # those beyond have to end before more go
    assert begun == [1, 2, 4]


@pytest.mark.parametrize("rule", [SlotRule.JUDGED, SlotRule.CALL_ENDED])
def test_where_the_plan_says_the_rule_nothing_is_explored(rule):
    statuses = FULL if rule is SlotRule.JUDGED else of(in_call=4, call_ended=1)
    assert a_budget(rule).free(statuses) == 0
    assert a_budget(rule).exploring("r5", statuses).explorer is None


def test_nothing_is_explored_while_no_run_is_under_evaluation_or_more_than_full():
    assert a_budget(SlotRule.AUTO).free(of(in_call=4)) == 0
    assert a_budget(SlotRule.AUTO).free(of(in_call=4, call_ended=1)) == 0


def test_a_run_started_within_the_safe_rule_is_no_explorer():
    statuses = of(in_call=2, call_ended=1)
    assert a_budget(SlotRule.AUTO).exploring("r5", statuses).explorer is None


def test_what_frees_soon_is_counted_before_anything_is_explored():
    full = of(in_call=4)
    assert a_budget().free(full) == 0
    assert a_budget().free(full, soon=2) == 2
    assert a_budget().free(full + of(starting=2), soon=2) == 0
    assert a_budget(SlotRule.AUTO).exploring("r5", FULL, soon=1).explorer is None


def test_only_the_explorers_own_end_lets_another_go():
    exploring = a_budget(SlotRule.AUTO).exploring("r5", FULL)
    assert exploring.called("r1") is exploring


@pytest.mark.parametrize(("calls", "most"), [(4, 2), (40, 16)])
def test_where_no_poll_shows_which_rule_holds_exploring_ends_with_the_safe_one(calls, most):
    budget, statuses, seen_most = a_budget(SlotRule.AUTO, calls=calls), of(in_call=calls - 1, call_ended=1), 0
    while budget.rule is SlotRule.AUTO:
        budget = budget.exploring("r5", statuses)
        seen_most = max(seen_most, budget.beyond)
        budget = budget.called("r5")
    assert (budget.rule, budget.beyond, seen_most) == (SlotRule.JUDGED, 0, most)


def seen(**counts):
    """What a poll shows, as in seen(in_call=2); ids in the order given, queued ones first."""
    words = [CallStatus(name) for name, count in counts.items() for _ in range(count)]
    words.sort(key=lambda word: word is not CallStatus.QUEUED)
    return [
        CallObservation(cekura_run_id=number, status=word, raw_status=word.value, success=False)
        for number, word in enumerate(words)
    ]


def polled(budget, *polls):
    for poll in polls:
        budget = budget.polled(poll, at=NOW)
    return budget


def test_more_in_calls_and_evaluations_than_slots_proves_that_an_evaluation_holds_none():
    learned = polled(a_budget(SlotRule.AUTO), seen(in_call=3, evaluating=2))
    assert learned.rule is SlotRule.CALL_ENDED
    assert polled(a_budget(SlotRule.AUTO), seen(in_call=3, evaluating=1)).rule is SlotRule.AUTO


def test_waiting_while_an_evaluation_holds_the_slot_proves_that_it_does():
    waiting = seen(queued=1, in_call=3, evaluating=1)
    assert polled(a_budget(SlotRule.AUTO), waiting).rule is SlotRule.AUTO
    learned = polled(a_budget(SlotRule.AUTO), seen(in_call=3), waiting, waiting)
    assert (learned.rule, learned.working) == (SlotRule.JUDGED, 4)


def test_one_poll_with_a_queue_proves_nothing_for_it_may_have_come_in_the_middle_of_a_dispatch():
    waiting = seen(queued=1, in_call=3, evaluating=1)
    assert polled(a_budget(SlotRule.AUTO), waiting, seen(in_call=4)).rule is SlotRule.AUTO


def test_no_more_rooms_are_handed_over_than_calls_may_be_at_once():
    budget = a_budget(SlotRule.CALL_ENDED)
    assert budget.callable(of(in_call=2, submitted=1, ready=3, call_ended=5), posting=0) == 1
    assert budget.callable(of(in_call=2, submitted=1, ready=3), posting=1) == 0
    assert budget.callable(of(in_call=5), posting=0) == 0


def test_what_was_learnt_wrongly_is_learnt_again():
    waiting = seen(queued=1, in_call=3, evaluating=1)
    wrong = polled(a_budget(SlotRule.AUTO), seen(in_call=4, evaluating=1))
    assert polled(wrong, waiting, waiting).rule is SlotRule.JUDGED


@pytest.mark.parametrize("rule", [SlotRule.JUDGED, SlotRule.CALL_ENDED])
def test_a_rule_that_the_plan_states_is_not_unlearnt(rule):
    waiting = seen(queued=1, in_call=3, evaluating=1)
    assert polled(a_budget(rule), seen(in_call=4, evaluating=1), waiting, waiting).rule is rule


def test_an_explorer_that_came_to_no_call_makes_way_for_another():
    budget = a_budget(SlotRule.AUTO)
    assert budget.exploring("r5", FULL).without("r5") == budget


# --- when others use the organisation too ----------------------------------------------------------------------------


def test_waiting_beside_slots_we_believed_free_lowers_the_count_by_one_and_never_below_one():
    budget = a_budget(calls=2)
    for expected in (2, 1, 1):
        budget = polled(budget, seen(queued=1))
        assert budget.working == expected


def test_waiting_behind_our_own_calls_says_only_that_we_were_early():
    full = seen(queued=2, in_call=4)
    assert polled(a_budget(), full, full, full).working == 4


def test_waiting_while_calls_are_being_begun_says_nothing():
    assert polled(a_budget(), *(seen(queued=4 - count, in_call=count) for count in range(4))).working == 4


def test_another_run_that_waits_at_the_next_poll_says_nothing():
    first, second = seen(queued=2)
    assert polled(a_budget(), [first], [second]).working == 4


def test_a_quiet_minute_raises_it_by_one_again():
    low = polled(a_budget(), *[seen(queued=1)] * 3)
    assert low.rested(at=NOW + RAISE_AFTER - timedelta(seconds=1)) is low
    once = low.rested(at=NOW + RAISE_AFTER)
    assert once.working == 3
    assert once.rested(at=NOW + RAISE_AFTER) is once
    assert once.rested(at=NOW + 2 * RAISE_AFTER).working == 4


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 120))), st.integers(1, 6))
def test_the_count_stays_between_one_and_the_plans_limit(events, calls):
    budget, at = a_budget(calls=calls), NOW
    for was_queued, seconds in events:
        at += timedelta(seconds=seconds)
        budget = budget.polled(seen(queued=1), at=at) if was_queued else budget.rested(at=at)
        assert 1 <= budget.working <= budget.limit == calls


def test_a_full_budget_does_not_grow():
    budget = a_budget()
    assert budget.rested(at=NOW + timedelta(hours=1)) is budget
    assert replace(budget, working=5).rested(at=NOW + timedelta(hours=1)).working == 5


def test_runs_are_counted_by_status():
    assert count_statuses([RunStatus.PLANNED, RunStatus.IN_CALL, RunStatus.PLANNED]) == of(planned=2, in_call=1)


# --- at a level of a ramp --------------------------------------------------------------------------------------------


@given(COUNTS, BUDGETS, st.integers(1, 20), st.integers(0, 4), st.integers(0, 4))
def test_no_more_are_coming_or_called_than_the_level_whatever_is_foreseen(counts, calls, level, soon, posting):
    budget = calls.at_level(level)
    coming = sum(counts[status] for status in COMING_OR_CALLED)
    free = budget.free(counts, soon=soon)
    assert free >= 0
    assert free == 0 or coming + free <= level
    handed = counts[RunStatus.SUBMITTED] + counts[RunStatus.IN_CALL] + posting
    assert budget.callable(counts, posting=posting) <= max(0, level - handed)


@given(BUDGETS, st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_what_others_take_stays_taken_as_the_level_rises(calls, rises):
    budget, taken = calls, calls.limit - calls.working
    for level in sorted({calls.limit + rise for rise in rises}):
        budget = budget.at_level(level)
        assert (budget.limit, budget.limit - budget.working) == (level, taken)
        assert budget.at_level(level) == budget


@given(COUNTS, BUDGETS, st.integers(1, 8))
def test_a_level_that_falls_leaves_no_place_until_calls_have_ended(counts, calls, level):
    budget = calls.at_level(20).at_level(level)
    assert 1 <= budget.working <= level
    if sum(counts[status] for status in COMING_OR_CALLED) >= level:
        assert budget.free(counts) == 0


def test_more_calls_than_a_fallen_level_prove_nothing_about_evaluations():
    """They were placed before it fell."""
    fallen = a_budget(SlotRule.AUTO).at_level(4).at_level(1)
    assert fallen.polled(seen(in_call=4), at=NOW).rule is SlotRule.AUTO
    assert fallen.polled(seen(in_call=4, evaluating=1), at=NOW).rule is SlotRule.CALL_ENDED
