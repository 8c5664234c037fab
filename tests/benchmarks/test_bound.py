"""The bound, against schedules worked out by hand. Seconds of life."""

import pytest

from benchmarks.bound import Rules, bound, dispatch, longest_first, optimum_floor


def rules(**changes):
    return Rules(**{"calls": 2, "slot_rule": "call_ended", "dispatch_per_second": 5.0, **changes})


def test_calls_are_dispatched_no_faster_than_the_rate():
    # 0.2 s apart: begin at 0, 0.2, 0.4
    assert dispatch([10, 10, 10], rules(calls=3)) == pytest.approx([10.0, 10.2, 10.4])


def test_a_call_waits_for_the_slot_that_frees_first():
    # two slots: A 0-30, B 0.2-10.2, so C takes B's slot at 10.2 and D follows it at 15.2
    assert dispatch([30, 10, 5, 5], rules()) == pytest.approx([30.0, 10.2, 15.2, 20.2])


def test_under_the_judged_rule_a_slot_is_held_through_the_evaluation():
    # A 0-30 frees at 40, B 0.2-10.2 frees at 20.2: C 20.2-25.2 frees at 35.2: D 35.2-40.2
    assert dispatch([30, 10, 5, 5], rules(slot_rule="judged")) == pytest.approx([30.0, 10.2, 25.2, 40.2])


def test_the_testers_way_holds_the_slot_too():
    # one slot: dispatched at 0, talking 1-11, free at 11; dispatched at 11, talking 12-22
    assert dispatch([10, 10], rules(calls=1, tester_seconds=1.0)) == pytest.approx([11.0, 22.0])


def test_calls_keep_their_order_even_where_the_rate_holds_the_first_back():
    # four slots free at once are still taken a fifth of a second apart, in order
    ends = dispatch([1, 1, 1, 1], rules(calls=4))
    assert ends == pytest.approx([1.0, 1.2, 1.4, 1.6])


def test_the_bound_spans_first_start_to_last_verdict_and_half_a_poll():
    # first call at 7, calls end at 30, 10.2, 15.2, 20.2 after it, verdict 10 later, half of 5 s until it is known
    lengths = [30, 10, 5, 5]
    assert bound(lengths, rules(), first_call=7.0, poll_interval=5.0) == pytest.approx(7 + 30 + 10 + 2.5)
    judged = bound(lengths, rules(slot_rule="judged"), first_call=7.0, poll_interval=5.0)
    assert judged == pytest.approx(7 + 40.2 + 10 + 2.5)


def test_the_first_testers_way_counts_once_for_it_is_in_the_first_call_already():
    # one slot, first call seen at 7: the second begins one way later than it would without
    with_way = bound([10, 10], rules(calls=1, tester_seconds=1.0), first_call=7.0, poll_interval=5.0)
    assert with_way == pytest.approx(7 + 10 + 1 + 10 + 10 + 2.5)


def test_the_longest_first_order_is_shorter_here():
    # in order: A 0-5, B 0.2-5.2, C 5-35; longest first: C 0-30, the others on the second slot
    lengths = [5, 5, 30]
    assert bound(lengths, rules(), first_call=0.0, poll_interval=0.0) == pytest.approx(45.0)
    assert longest_first(lengths, rules(), first_call=0.0, poll_interval=0.0) == pytest.approx(40.0)


def test_the_optimum_is_no_less_than_work_spread_evenly_or_the_longest_call():
    assert optimum_floor([10] * 4, rules(), first_call=0.0, poll_interval=0.0) == pytest.approx(20 + 10)
    assert optimum_floor([50, 1], rules(), first_call=0.0, poll_interval=0.0) == pytest.approx(50 + 10)
    # judged: two of the four calls must be judged before another can begin in their slot
    judged = rules(slot_rule="judged")
    assert optimum_floor([10] * 4, judged, first_call=0.0, poll_interval=0.0) == pytest.approx(30 + 10)


@pytest.mark.parametrize("slot_rule", ["judged", "call_ended"])
@pytest.mark.parametrize("calls", [1, 3, 7, 50])
def test_no_order_beats_the_floor(slot_rule, calls):
    lengths = [20 + (37 * number) % 101 for number in range(40)]
    asked = {"first_call": 5.0, "poll_interval": 5.0}
    these = rules(calls=calls, slot_rule=slot_rule)
    floor = optimum_floor(lengths, these, **asked)
    assert floor <= longest_first(lengths, these, **asked) + 1e-9
    assert floor <= bound(lengths, these, **asked) + 1e-9


def test_a_batch_without_a_call_is_bounded_by_its_beginning():
    assert bound([], rules(), first_call=3.0, poll_interval=5.0) == 3.0
    assert optimum_floor([], rules(), first_call=3.0, poll_interval=5.0) == 3.0
