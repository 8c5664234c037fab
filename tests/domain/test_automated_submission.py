"""Submissions of automated channels: what one POST carries, and which of our runs got which of Cekura's."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.observation import AcceptedRun, CallObservation, CallStatus
from orchestrator.domain.run import (
    CallSeen,
    CancelAsked,
    NeverStarted,
    Patience,
    Run,
    RunStatus,
    SubmissionAccepted,
    SubmissionFailed,
    SubmissionIntended,
    SubmissionReturned,
    next_step,
)
from orchestrator.domain.submission import least_calls, pair_runs, plan_portions

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PATIENCE = Patience(retries=1)


def a_run(index, scenario_id=101, **changes):
    return Run(run_id=f"r{index}", batch_id="b1", index=index, scenario_id=scenario_id, scenario_position=0, **changes)


def theirs(cekura_run_id, scenario_id):
    return AcceptedRun(
        cekura_run_id=cekura_run_id, scenario_id=scenario_id, status=CallStatus.PENDING, raw_status="pending"
    )


@st.composite
def waiting(draw):
    """Runs of a few scenarios, personalities and profiles, as unevenly many of each as retries may leave."""
    asked = st.tuples(
        st.integers(101, 104), st.sampled_from((None, 1, 2)), st.sampled_from((None, 31)), st.integers(1, 5)
    )
    groups = draw(st.lists(asked, max_size=12))
    kinds = [(scenario, one, other) for scenario, one, other, count in groups for _ in range(count)]
    return [
        a_run(index, scenario, personality_id=personality, test_profile_id=profile)
        for index, (scenario, personality, profile) in enumerate(kinds, start=1)
    ]


# --- what one POST carries -------------------------------------------------------------------------------------------


@given(waiting(), st.integers(1, 4))
def test_every_run_is_carried_by_exactly_one_submission(runs, most):
    portions = plan_portions(runs, most_frequent=most)
    assert Counter(run_id for one in portions for run_id in one.run_ids) == Counter(run.run_id for run in runs)


@given(waiting(), st.integers(1, 4))
def test_a_submission_carries_what_its_request_makes_and_nothing_else(runs, most):
    """Each of its scenarios `frequency` times, all with its one personality and profile."""
    known = {run.run_id: run for run in runs}
    for portion in plan_portions(runs, most_frequent=most):
        assert 1 <= portion.frequency <= most
        assert len(portion.run_ids) == len(portion.scenario_ids) * portion.frequency
        carried = [known[run_id] for run_id in portion.run_ids]
        assert Counter(run.scenario_id for run in carried) == dict.fromkeys(portion.scenario_ids, portion.frequency)
        assert {(run.personality_id, run.test_profile_id) for run in carried} == {
            (portion.personality_id, portion.test_profile_id)
        }


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4))
def test_runs_as_a_plan_asks_for_them_take_one_submission_for_each_combination(scenarios, frequency, combinations):
    kinds = [(scenario, one) for one in range(combinations) for _ in range(frequency) for scenario in range(scenarios)]
    runs = [a_run(index, scenario, personality_id=one) for index, (scenario, one) in enumerate(kinds)]
    assert len(plan_portions(runs, most_frequent=100)) == combinations


def test_more_repeats_than_a_request_takes_go_in_several():
    portions = plan_portions([a_run(index) for index in range(250)], most_frequent=100)
    assert [one.frequency for one in portions] == [100, 100, 50]


def test_nothing_waiting_is_nothing_to_submit():
    assert plan_portions([], most_frequent=100) == []


@given(st.integers(1, 10_000))
def test_a_submission_is_worth_making_with_half_of_the_calls_it_could_use(wanted):
    least = least_calls(wanted)
    assert 1 <= least <= wanted
    assert least - 1 < wanted / 2 <= least


# --- which run got which ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(101, 103), max_size=12),
    st.lists(st.one_of(st.none(), st.integers(101, 104)), max_size=15),
    st.randoms(use_true_random=False),
)
def test_whatever_the_answer_holds_no_run_is_paired_twice_and_none_is_lost(ours, answered, random):
    runs = [a_run(index, scenario) for index, scenario in enumerate(ours)]
    made = [theirs(number, scenario) for number, scenario in enumerate(answered, start=1)]
    pairing = pair_runs(runs, random.sample(made, len(made)))
    mine = [run_id for run_id, _ in pairing.paired] + list(pairing.missing)
    numbers = [run.cekura_run_id for _, run in pairing.paired] + [run.cekura_run_id for run in pairing.surplus]
    assert sorted(mine) == sorted(run.run_id for run in runs)
    assert sorted(numbers) == [run.cekura_run_id for run in made]
    scenario_of = {run.run_id: run.scenario_id for run in runs}
    assert all(run.scenario_id in {None, scenario_of[run_id]} for run_id, run in pairing.paired)


@given(st.lists(st.integers(101, 103), max_size=12), st.lists(st.integers(101, 104), max_size=15))
def test_what_is_missing_and_what_is_too_much_is_exact_for_each_scenario(ours, answered):
    asked, given_back = Counter(ours), Counter(answered)
    runs = [a_run(index, scenario) for index, scenario in enumerate(ours)]
    pairing = pair_runs(runs, [theirs(number, scenario) for number, scenario in enumerate(answered)])
    scenario_of = {run.run_id: run.scenario_id for run in runs}
    assert Counter(scenario_of[run_id] for run_id in pairing.missing) == asked - given_back
    assert Counter(run.scenario_id for run in pairing.surplus) == given_back - asked


def test_an_unnamed_scenario_is_the_only_one_asked_for_and_otherwise_nobodys():
    assert [run_id for run_id, _ in pair_runs([a_run(1), a_run(2)], [theirs(7, None)]).paired] == ["r1"]
    pairing = pair_runs([a_run(1, 101), a_run(2, 102)], [theirs(7, None)])
    assert (pairing.paired, pairing.missing) == ((), ("r1", "r2"))
    assert [run.cekura_run_id for run in pairing.surplus] == [7]


# --- what a run makes of it ------------------------------------------------------------------------------------------

INTENDED = SubmissionIntended(at=NOW, submission_id="s1")
ACCEPTED = SubmissionAccepted(at=NOW, cekura_run_id=7, cekura_result_id=70)


def after(run, *facts, patience=PATIENCE):
    for fact in facts:
        run = next_step(run, fact, patience).run
    return run


def seen(**changes):
    values = {"cekura_run_id": 7, "status": CallStatus.FAILED, "raw_status": "failed", "success": False}
    return CallSeen(at=NOW, call=CallObservation(**{**values, **changes}))


def test_a_run_that_a_submission_takes_up_waits_no_longer_but_is_not_submitted_yet():
    run = after(a_run(1), INTENDED)
    assert (run.status, run.submission_id, run.attempt) == (RunStatus.PLANNED, "s1", 1)
    assert run.taken_up
    assert not run.waits


@pytest.mark.parametrize("fact", [SubmissionIntended(at=NOW, submission_id="s2"), NeverStarted(at=NOW, reason="full")])
def test_nothing_else_is_begun_for_a_run_that_is_taken_up(fact):
    run = after(a_run(1), INTENDED)
    assert next_step(run, fact, PATIENCE).run is run


def test_a_run_that_is_given_back_waits_as_if_nothing_had_been_begun():
    run = after(a_run(1), INTENDED, SubmissionReturned(at=NOW, reason="busy"))
    assert (run.waits, run.attempt, run.retries_used, run.reason) == (True, 0, 0, "busy")
    assert after(run, SubmissionIntended(at=NOW, submission_id="s2")).submission_id == "s2"


@pytest.mark.parametrize("fact", [ACCEPTED, SubmissionReturned(at=NOW, reason="busy")])
def test_a_run_that_nothing_took_up_hears_of_no_answer(fact):
    run = a_run(1)
    assert next_step(run, fact, PATIENCE).run is run


def test_an_accepted_run_is_submitted_under_cekuras_numbers():
    run = after(a_run(1), INTENDED, ACCEPTED)
    assert (run.status, run.cekura_run_id, run.cekura_result_id) == (RunStatus.SUBMITTED, 7, 70)


def test_a_run_whose_submission_failed_is_inconclusive_and_never_carried_again():
    run = after(a_run(1), INTENDED, SubmissionFailed(at=NOW, reason="unknown"))
    assert (run.status, run.outcome, run.reason) == (RunStatus.ABANDONED, "inconclusive", "unknown")
    assert after(run, INTENDED) is run


def test_a_run_whose_call_was_lost_waits_for_another_submission_once():
    run = after(a_run(1), INTENDED, ACCEPTED, seen())
    assert (run.waits, run.retries_used, run.attempt) == (True, 1, 1)
    again = after(run, SubmissionIntended(at=NOW, submission_id="s2"))
    assert (again.submission_id, again.attempt, again.cekura_run_id) == ("s2", 2, None)
    assert after(again, ACCEPTED, seen()).status is RunStatus.JUDGED


def test_what_an_earlier_submission_shows_is_not_believed_of_a_later_one():
    run = after(a_run(1), INTENDED, ACCEPTED, seen(), SubmissionIntended(at=NOW, submission_id="s2"))
    assert after(run, seen(status=CallStatus.COMPLETED, success=True)) is run


@pytest.mark.parametrize(("facts", "ends_call"), [((INTENDED,), False), ((INTENDED, ACCEPTED), True)])
def test_a_cancelled_run_has_its_call_ended_once_it_has_a_name(facts, ends_call):
    step = next_step(after(a_run(1), *facts), CancelAsked(at=NOW, reason="stop"), PATIENCE)
    assert (step.run.status, step.end_call) == (RunStatus.CANCELLED, ends_call)
    assert after(step.run, ACCEPTED) is step.run
