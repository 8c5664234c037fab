"""Grouping, pairing and finding lost submissions: which room got which run must never be a guess."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.observation import AcceptedRun, AcceptedSubmission, CallStatus
from orchestrator.domain.submission import (
    Candidate,
    Submission,
    SubmissionStatus,
    find_lost,
    pair,
    plan_submissions,
    worth_waiting,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GATHER = timedelta(seconds=2)


def a_candidate(number, scenario_id, *, waited=0.0):
    return Candidate(nonce=f"n{number}", scenario_id=scenario_id, ready_at=NOW - timedelta(seconds=waited))


def a_run(run_id, scenario_id):
    return AcceptedRun(cekura_run_id=run_id, scenario_id=scenario_id, status=CallStatus.PENDING, raw_status="pending")


@st.composite
def waiting(draw):
    """Ready sessions of a few scenarios, many of them repeated, that have waited up to five seconds."""
    rooms = draw(st.lists(st.tuples(st.integers(101, 104), st.integers(0, 5)), max_size=25))
    return [a_candidate(number, scenario, waited=waited) for number, (scenario, waited) in enumerate(rooms)]


# --- grouping --------------------------------------------------------------------------------------------------------


@given(waiting(), st.integers(1, 5))
def test_no_group_repeats_a_scenario_or_grows_too_large_and_no_room_is_lost(candidates, most):
    groups = plan_submissions(candidates, now=NOW, gather=timedelta(0), most=most)
    for group in groups:
        assert 1 <= len(group) <= most
        assert len({candidate.scenario_id for candidate in group}) == len(group)
    submitted = Counter(candidate.nonce for group in groups for candidate in group)
    assert submitted == Counter(candidate.nonce for candidate in candidates)


@given(waiting())
def test_there_are_as_many_groups_as_the_most_repeated_scenario_has_rooms(candidates):
    groups = plan_submissions(candidates, now=NOW, gather=timedelta(0))
    repeats = Counter(candidate.scenario_id for candidate in candidates)
    assert len(groups) == max(repeats.values(), default=0)


@given(waiting())
def test_of_one_scenario_the_room_that_waited_longest_goes_first(candidates):
    groups = plan_submissions(candidates, now=NOW, gather=timedelta(0))
    for scenario in {candidate.scenario_id for candidate in candidates}:
        order = [one.ready_at for group in groups for one in group if one.scenario_id == scenario]
        assert order == sorted(order)


@given(waiting())
def test_where_nobody_else_is_expected_nobody_waits(candidates):
    groups = plan_submissions(candidates, now=NOW, gather=timedelta(hours=1), rate=0.0)
    assert sum(len(group) for group in groups) == len(candidates)


@given(waiting())
def test_all_wait_together_or_all_go(candidates):
    groups = plan_submissions(candidates, now=NOW, gather=GATHER, rate=10.0)
    waited = [(NOW - candidate.ready_at).total_seconds() for candidate in candidates]
    go = not worth_waiting(waited, rate=10.0, gather=GATHER.total_seconds())
    assert sum(len(group) for group in groups) == (len(candidates) if go else 0)


@given(st.floats(0.1, 50), st.floats(0, 20))
def test_bots_that_share_a_request_never_idle_longer_for_it_than_it_is_worth(rate, gather):
    """They come as evenly as expected."""
    ready_at, now = [0.0], 0.0
    while worth_waiting([now - one for one in ready_at], rate=rate, gather=gather):
        now += 1 / rate
        ready_at.append(now)
    assert sum(now - one for one in ready_at) <= gather + 1e-6


def test_of_bots_that_come_every_half_second_pairs_share_a_request():
    assert worth_waiting([0.0], rate=2.0, gather=1.0)
    assert not worth_waiting([0.5, 0.0], rate=2.0, gather=1.0)


# --- pairing ---------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(101, 120), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_order_of_the_answer_gives_the_same_pairs(scenarios, random):
    rooms = [a_candidate(scenario, scenario) for scenario in scenarios]
    runs = [a_run(scenario * 10, scenario) for scenario in scenarios]
    random.shuffle(runs)
    pairing = pair(rooms, runs)
    assert {nonce: run.cekura_run_id for nonce, run in pairing.paired} == {f"n{one}": one * 10 for one in scenarios}
    assert pairing.unpaired == ()
    assert pairing.strangers == ()


@given(
    st.sets(st.integers(101, 106), max_size=6),
    st.lists(st.one_of(st.none(), st.integers(101, 109)), max_size=10),
)
def test_whatever_comes_back_no_room_or_run_is_paired_twice_and_none_is_lost(scenarios, answered):
    rooms = [a_candidate(scenario, scenario) for scenario in sorted(scenarios)]
    runs = [a_run(number, scenario) for number, scenario in enumerate(answered, start=1)]
    pairing = pair(rooms, runs)
    nonces = [nonce for nonce, _ in pairing.paired] + list(pairing.unpaired)
    numbers = [run.cekura_run_id for _, run in pairing.paired] + [run.cekura_run_id for run in pairing.strangers]
    assert sorted(nonces) == sorted(room.nonce for room in rooms)
    assert sorted(numbers) == [run.cekura_run_id for run in runs]
    for nonce, run in pairing.paired:
        assert nonce == f"n{run.scenario_id}"
        assert answered.count(run.scenario_id) == 1


def test_a_scenario_that_comes_back_twice_pairs_with_nothing():
    pairing = pair([a_candidate(1, 101), a_candidate(2, 102)], [a_run(1, 101), a_run(2, 101), a_run(3, 102)])
    assert [(nonce, run.cekura_run_id) for nonce, run in pairing.paired] == [("n2", 3)]
    assert pairing.unpaired == ("n1",)
    assert [run.cekura_run_id for run in pairing.strangers] == [1, 2]


def test_fewer_runs_than_rooms_settles_those_that_came_back():
    pairing = pair([a_candidate(1, 101), a_candidate(2, 102)], [a_run(3, 102)])
    assert [nonce for nonce, _ in pairing.paired] == ["n2"]
    assert pairing.unpaired == ("n1",)


# --- lost answers ----------------------------------------------------------------------------------------------------

LOST = Submission(
    submission_id="s1",
    batch_id="b1",
    status=SubmissionStatus.SENT,
    intended_at=NOW,
    cekura_agent_id=5,
    scenario_ids=(102, 101),
    sent_at=NOW,
)
MADE = AcceptedSubmission(cekura_result_id=70, cekura_agent_id=5, created_at=NOW, runs=(a_run(1, 101), a_run(2, 102)))


def found(submission=LOST, *results, known=frozenset()):
    return [one.cekura_result_id for one in find_lost(submission, results or (MADE,), known_result_ids=known)]


def test_a_lost_submission_is_found_by_agent_scenarios_and_time():
    assert found() == [70]
    assert found(replace(LOST, scenario_ids=(101, 102))) == [70]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(MADE, cekura_agent_id=6), id="another agent"),
        pytest.param(replace(MADE, cekura_agent_id=None), id="an agent that is not named"),
        pytest.param(replace(MADE, created_at=NOW - timedelta(seconds=6)), id="made before it was sent"),
        pytest.param(replace(MADE, runs=(a_run(1, 101),)), id="fewer scenarios"),
        pytest.param(replace(MADE, runs=(*MADE.runs, a_run(3, 103))), id="more scenarios"),
        pytest.param(replace(MADE, runs=(a_run(1, 101), a_run(2, 103))), id="other scenarios"),
        pytest.param(replace(MADE, runs=(a_run(1, 101), a_run(2, None))), id="a scenario that is not named"),
        pytest.param(replace(MADE, runs=()), id="no runs"),
    ],
)
def test_another_result_is_not_taken_for_it(other):
    assert found(LOST, other) == []
    assert found(LOST, other, MADE) == [70]


def test_a_result_that_one_of_our_rows_holds_is_not_taken_for_it():
    assert found(known=frozenset({70})) == []


def test_results_that_look_alike_are_all_named_so_that_none_is_adopted():
    assert found(LOST, MADE, replace(MADE, cekura_result_id=71)) == [70, 71]


def test_the_clocks_may_differ_a_little():
    assert found(LOST, replace(MADE, created_at=NOW - timedelta(seconds=5))) == [70]


def test_a_submission_that_names_no_agent_is_found_under_any():
    assert found(replace(LOST, cekura_agent_id=None)) == [70]


def test_what_was_never_sent_is_nowhere_to_be_found():
    assert found(replace(LOST, sent_at=None)) == []
