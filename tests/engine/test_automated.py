"""Batches of automated channels in virtual time: what is submitted, in whatever weather, and what is followed.

What every one of them must keep whatever befalls it (`wrongs`): nothing is sent twice, no calls beyond the plan's, what
nobody knows is named, and nothing goes on afterwards.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from orchestrator.app.batches import cancel_batch
from orchestrator.domain.run import RunStatus
from tests.support.automated import AGENTS, CHANNELS, LIVEKIT, PIPECAT, SCENARIOS, VOICE, Automated, play, wrongs
from tests.support.ordeal import virtually

LISTS = "frequency: 2, personality_ids: [1, 2], test_profile_ids: [31, 32]"
LONG = {"call_seconds": (100.0, 100.0)}
CANCELLED = "cancelled in a test"
# Every channel is played by `make weather`; by default, the one whose calls, names and answers differ least.
ON_EACH = [PIPECAT, *(pytest.param(one, marks=pytest.mark.weather) for one in (LIVEKIT, VOICE))]


def seldom(*values):
    """A row that differs little from another: played by `make weather` only."""
    return pytest.param(*values, marks=pytest.mark.weather)


IMPATIENT = "timing: {lookup: 30}"


def weathered(case, tmp_path):
    """A batch after its end that kept every promise."""
    ended = play(case, tmp_path)
    assert list(wrongs(case, ended)) == []
    return ended


# --- fair weather ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channel", "multiply"), [*product(CHANNELS, [True]), *product((PIPECAT, LIVEKIT), [False])])
def test_each_scenario_runs_as_often_as_documented(channel, multiply, tmp_path):
    """Scenarios x frequency x personalities x profiles, however Cekura itself multiplies lists: one POST for each."""
    ended = weathered(Automated(channel=channel, cekura=LISTS, sandbox={"lists_multiply": multiply}), tmp_path)
    assert ended.outcomes == {"passed": 16}
    made = Counter((run.scenario, run.personality, run.profile) for run in ended.cekura_runs)
    assert made == dict.fromkeys(product(SCENARIOS[channel], (1, 2), (31, 32)), 2)
    assert ended.world["submits_by_channel"] == {channel: 4}
    assert ended.submissions == {"accepted": 4}
    assert {run.agent for run in ended.cekura_runs} == {AGENTS[channel]}
    theirs = {run.id: (run.scenario, run.personality, run.profile) for run in ended.cekura_runs}
    for run in ended.view.runs:
        assert theirs[run.cekura_run_id] == (run.scenario_id, run.personality_id, run.test_profile_id)


def test_each_result_bears_the_batchs_name_and_no_two_the_same(tmp_path):
    ended = weathered(Automated(cekura=f"name: nightly smoke, {LISTS}"), tmp_path)
    names = {one["name"] for one in ended.world["results"]}
    assert len(names) == 4
    assert all(name.startswith(f"nightly smoke {ended.view.batch.batch_id} ") for name in names)


def test_a_plan_may_name_neither_agent_nor_lists(tmp_path):
    ended = weathered(Automated(agent=None, cekura="frequency: 3"), tmp_path)
    assert ended.outcomes == {"passed": 6}
    assert ended.world["submits"] == 1


def test_more_repeats_than_one_request_takes_are_not_asked_of_it(tmp_path):
    """A retry leaves scenarios unequally often to run: each level goes in a request of its own."""
    case = Automated(faults=("call.tester_crashes=2@1",), cekura="frequency: 3", scenarios=(101, 102))
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"passed": 6}
    assert sum(run.attempt for run in ended.view.runs) == 8
    assert len(ended.cekura_runs) == 8


# --- the answer to a submission --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "fault"),
    [
        *((channel, "lost_answer") for channel in CHANNELS),
        *((PIPECAT, one) for one in ("late", "slow", "wrong_type")),
        *(seldom(PIPECAT, one) for one in ("truncated", "not_json", "oversized")),
    ],
)
def test_a_submission_whose_answer_is_lost_is_found_by_its_name(channel, fault, tmp_path):
    case = Automated(channel=channel, faults=(f"submit.{fault}=1",), cekura="personality_ids: [1, 2]")
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"passed": 4}
    assert ended.submissions == {"accepted": 2}
    assert ended.world["submits"] == 2


@pytest.mark.parametrize("fault", ["lost_request", seldom("error"), seldom("html")])
def test_a_submission_that_is_not_found_is_unknown_and_never_sent_again(fault, tmp_path):
    case = Automated(faults=(f"submit.{fault}=1",), cekura="personality_ids: [1, 2]", more=IMPATIENT)
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"inconclusive": 2, "passed": 2}
    assert ended.submissions == {"unknown": 1, "accepted": 1}
    assert ended.world["requests"]["submit"] == 2
    [reason] = ended.reasons
    [unknown] = [one for one in ended.view.submissions if one.status == "unknown"]
    assert unknown.name in reason
    assert "It was not sent again" in reason


def test_one_that_comes_to_pass_after_it_was_given_up_is_named(tmp_path):
    case = Automated(faults=("submit.late=1",), more="timing: {lookup: 1}")
    ended = play(case, tmp_path)
    assert ended.outcomes == {"inconclusive": 2}
    assert [one["name"] in ended.uncertain[0]["reason"] for one in ended.later["results"]] == [True]
    assert ended.later["names_twice"] == []
    assert ended.world["requests"]["submit"] == 1


def test_calls_nobody_can_rule_out_count_until_they_must_be_over(tmp_path):
    """The answer is lost, and no list tells: its calls may be under way, and Cekura is not given as many again."""
    case = Automated(
        faults=("submit.lost_answer=1", "result_list.error=99"),
        cekura="personality_ids: [1, 2]",
        calls=2,
        more=f"{IMPATIENT}\ntimeouts: {{run: 150}}",
        sandbox=LONG,
    )
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"inconclusive": 2, "passed": 2}
    assert ended.world["calls"]["peak"] == 2


@pytest.mark.parametrize(
    ("fault", "outcomes"),
    [
        ("no_runs", {"inconclusive": 4}),
        ("fewer_runs", {"inconclusive": 1, "passed": 3}),
        ("shuffled", {"passed": 4}),
        ("unnested", {"passed": 4}),
    ],
)
def test_whatever_runs_the_answer_holds_are_followed_and_the_missing_are_inconclusive(fault, outcomes, tmp_path):
    ended = weathered(Automated(faults=(f"submit.{fault}=1",), cekura="frequency: 2"), tmp_path)
    assert ended.outcomes == outcomes
    assert all("holds no run for it" in reason for reason in ended.reasons)
    assert ended.world["submits"] == 1


def test_runs_that_were_not_asked_for_are_ended(tmp_path, monkeypatch):
    """Were Cekura to run every scenario once more than asked, nobody would follow those calls."""
    from orchestrator.sandbox import submission_automated

    multiplied = submission_automated._multiplied
    monkeypatch.setattr(
        submission_automated, "_multiplied", lambda items, often, matrix: multiplied(items, often + 1, matrix)
    )
    ended = weathered(Automated(sandbox=LONG), tmp_path)
    assert ended.outcomes == {"passed": 2}
    assert Counter(run.status for run in ended.cekura_runs) == {"completed": 2, "cancelled": 2}
    [submission] = ended.view.submissions
    assert "2 more runs" in submission.note


@pytest.mark.parametrize("fault", ["busy", "busy=3"])
def test_a_submission_refused_for_now_is_made_again(fault, tmp_path):
    ended = weathered(Automated(faults=(f"submit.{fault}",), cekura="personality_ids: [1, 2]"), tmp_path)
    assert ended.outcomes == {"passed": 4}
    assert ended.world["submits"] == 2
    assert all(run.attempt == 1 for run in ended.view.runs)


def test_submissions_refused_for_longer_than_the_plan_waits_end_the_batch(tmp_path):
    case = Automated(faults=("submit.busy=9999",), more="timeouts: {capacity: 60}")
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"inconclusive": 2}
    assert ended.view.exit_code == 3
    assert all("waited" in reason for reason in ended.reasons)
    assert ended.world["submits"] == 0


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Automated(cekura="personality_ids: [9, 1]"), "Invalid personalities provided."),
        (Automated(agent=8), "Agent does not have a Pipecat Cloud API key and agent name"),
        (Automated(channel=LIVEKIT, agent=5), "Agent does not have LiveKit credentials"),
        (Automated(channel=VOICE, agent=6), "Agent does not have a phone number"),
        (Automated(sandbox={"unknown_scenarios": (102,)}), "102"),
        (Automated(cekura="test_profile_ids: [99]"), "99"),
        (Automated(faults=("submit.bare_list=1",)), "No runs could be created."),
        (Automated(faults=("submit.field_errors=1",)), "A scenario is not enabled for this agent."),
        (Automated(faults=("submit.detail=1",)), "Pipecat is not configured on the project."),
        (Automated(faults=("submit.html_error=1",)), "Bad Request"),
        (Automated(faults=("submit.refused=1",)), "HTTP 401"),
    ],
)
def test_the_first_refusal_ends_the_batch_in_cekuras_words_and_costs_nothing(case, words, tmp_path):
    case = replace(case, cekura=case.cekura or "personality_ids: [1, 2]")
    ended = weathered(case, tmp_path)
    assert ended.view.exit_code == 2
    assert words in ended.view.batch.refusal
    assert [words in reason for reason in ended.reasons] == [True] * len(ended.reasons)
    assert ended.world["requests"]["submit"] == 1
    assert ended.world["submits"] == ended.world["calls"]["total"] == 0


def test_a_later_refusal_costs_its_runs_only(tmp_path):
    ended = weathered(Automated(cekura="personality_ids: [1, 9, 2]"), tmp_path)
    assert ended.outcomes == {"passed": 4, "inconclusive": 2}
    assert ended.view.batch.refusal == ""
    assert ended.view.exit_code == 3
    assert {run.personality_id for run in ended.view.runs if run.outcome == "inconclusive"} == {9}
    assert ended.submissions == {"accepted": 2, "rejected": 1}


@pytest.mark.parametrize("fault", ["lost_answer", "lost_request"])
def test_a_refusal_after_something_may_have_been_paid_is_not_called_free(fault, tmp_path):
    case = Automated(faults=(f"submit.{fault}=1",), cekura="personality_ids: [1, 9]", more=IMPATIENT)
    ended = weathered(case, tmp_path)
    assert ended.view.batch.refusal == ""
    assert ended.view.exit_code == 3


# --- calls and polls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "fault", "outcomes", "attempts"),
    [
        (PIPECAT, "fails_evaluation=1", {"failed": 1, "passed": 3}, 4),
        (VOICE, "never_connects=1", {"passed": 4}, 5),
        (PIPECAT, "never_connects=999", {"inconclusive": 4}, 8),
        seldom(PIPECAT, "tester_crashes=2", {"passed": 4}, 6),
        (PIPECAT, "times_out=1", {"inconclusive": 1, "passed": 3}, 4),
        (PIPECAT, "queued_long=2", {"passed": 4}, 4),
    ],
)
def test_what_became_of_a_call_is_what_its_run_says(channel, fault, outcomes, attempts, tmp_path):
    """Trouble of the infrastructure is tried again, in another submission; a verdict or a timeout is not."""
    case = Automated(channel=channel, faults=(f"call.{fault}",), cekura="frequency: 2")
    ended = weathered(case, tmp_path)
    assert ended.outcomes == outcomes
    assert sum(run.attempt for run in ended.view.runs) == attempts == len(ended.cekura_runs)


@pytest.mark.parametrize(
    "fault",
    ["missing_run=2", "unknown_status=2", "server_error=3"]
    + [seldom(one) for one in ("lost_answer=2", "busy=2", "truncated=2", "wrong_type=2")],
)
def test_polls_that_fail_for_a_while_cost_nothing(fault, tmp_path):
    ended = weathered(Automated(faults=(f"poll.{fault}",)), tmp_path)
    assert ended.outcomes == {"passed": 2}


def test_polls_that_fail_for_ever_end_the_calls_and_say_so(tmp_path):
    case = Automated(faults=("poll.server_error=99999",), more="timeouts: {run: 60}", sandbox=LONG)
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"inconclusive": 2}
    assert all("the last poll failed" in reason for reason in ended.reasons)
    assert {run.status for run in ended.cekura_runs} == {"cancelled"}


def test_a_call_that_does_not_end_is_ended_and_inconclusive(tmp_path):
    ended = weathered(Automated(more="timeouts: {run: 60}", sandbox=LONG), tmp_path)
    assert ended.outcomes == {"inconclusive": 2}
    assert ended.reasons == {"the call had not ended 60 s after it began"}
    assert Counter(run.status for run in ended.cekura_runs) == {"cancelled": 2}
    assert ended.world["requests"]["end_call"] == 2
    assert ended.world["submits"] == 1


@pytest.mark.parametrize("channel", ON_EACH)
def test_a_run_whose_turn_comes_late_is_not_overdue(channel, tmp_path):
    """Four calls one after another, each nearly as long as the plan allows: only the wait for a turn is longer."""
    case = Automated(
        channel=channel,
        cekura="frequency: 2, concurrency_limit: 1",
        more="timeouts: {run: 20}",
        sandbox={"call_seconds": (12.0, 12.0), "join_seconds": (1.0, 1.0)},
    )
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"passed": 4}
    assert ended.world["calls"]["peak"] == 1
    assert ended.world["submits"] == 1


def test_turns_that_were_taken_in_vain_count_as_well(tmp_path):
    """Who crashed is carried by another submission then; those behind it waited for it all the same."""
    case = Automated(
        faults=("call.tester_crashes=4",),
        scenarios=(101,),
        cekura="frequency: 6, concurrency_limit: 1",
        more="timeouts: {run: 30}",
        sandbox={"call_seconds": (6.0, 6.0), "join_seconds": (18.0, 18.0)},
    )
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"passed": 6}


# --- the budget of calls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "cekura", "calls", "peak"),
    [
        (PIPECAT, f"{LISTS}", 3, 3),
        (VOICE, f"{LISTS}", 3, 3),
        (LIVEKIT, f"{LISTS}, concurrency_limit: 2", 5, 2),
        (PIPECAT, "frequency: 5, concurrency_limit: 4", 10, 4),
    ],
)
def test_no_more_calls_than_the_plan_allows_however_many_submissions(channel, cekura, calls, peak, tmp_path):
    case = Automated(channel=channel, cekura=cekura, calls=calls, faults=("call.tester_crashes=2",))
    ended = weathered(case, tmp_path)
    assert set(ended.outcomes) == {"passed"}
    assert ended.world["calls"]["peak"] == peak


# --- ending ----------------------------------------------------------------------------------------------------------


async def cancelled_when(condition, worker, box, batch_id, *, drains=False):
    await virtually(lambda: condition(worker.driver.rosters.get(batch_id), box), every=0.25)
    await cancel_batch(worker.store, batch_id, clock=worker.clock, reason=CANCELLED, drains=drains)


def cancelling(condition, **more):
    async def during(worker, box, batch_id):
        await cancelled_when(condition, worker, box, batch_id, **more)

    return during


def in_call(count):
    return lambda roster, _box: roster is not None and roster.count(RunStatus.IN_CALL) == count


def posting(_roster, box):
    return box.world()["requests"].get("submit", 0) > 0


@pytest.mark.parametrize("channel", ON_EACH)
def test_cancelling_ends_the_calls_at_cekura_and_nothing_goes_on(channel, tmp_path):
    """Four of eight are in their calls, the others wait behind them."""
    case = Automated(
        channel=channel, cekura="frequency: 4, concurrency_limit: 4", sandbox=LONG, during=cancelling(in_call(4))
    )
    ended = weathered(case, tmp_path)
    assert ended.view.exit_code == 130
    assert ended.reasons == {CANCELLED}
    assert {run.status for run in ended.cekura_runs} == {"cancelled"}
    assert ended.world["requests"]["end_calls"] == 1
    assert ended.world["calls"]["active"] == 0
    assert ended.later["calls"]["total"] == ended.world["calls"]["total"] == 4


def test_a_cancel_before_the_first_submission_costs_nothing(tmp_path):
    case = Automated(during=cancelling(lambda roster, _box: True))
    ended = weathered(case, tmp_path)
    assert ended.view.exit_code == 130
    assert ended.later["calls"]["total"] == 0


@pytest.mark.parametrize("fault", ["slow", "lost_answer", seldom("late"), seldom("truncated")])
def test_a_cancel_during_a_submission_ends_the_calls_it_turns_out_to_have_made(fault, tmp_path):
    case = Automated(faults=(f"submit.{fault}=1",), sandbox=LONG, during=cancelling(posting))
    ended = weathered(case, tmp_path)
    assert ended.view.exit_code == 130
    assert {run.status for run in ended.cekura_runs} == {"cancelled"}
    assert ended.world["submits"] == 1


def test_a_cancel_while_nothing_is_to_be_found_names_what_may_be_under_way(tmp_path):
    case = Automated(faults=("submit.lost_request=1",), during=cancelling(posting), more=IMPATIENT)
    ended = weathered(case, tmp_path)
    assert ended.view.exit_code == 130
    assert ended.submissions == {"unknown": 1}
    assert all("look for the scenario in Cekura's results" in reason for reason in ended.reasons)


@pytest.mark.parametrize("fault", ["error", *map(seldom, ("lost_answer", "busy", "lost_request"))])
def test_a_cancel_whose_end_calls_is_struck_ends_them_all_the_same(fault, tmp_path):
    case = Automated(faults=(f"end_calls.{fault}=1",), sandbox=LONG, during=cancelling(in_call(2)))
    ended = weathered(case, tmp_path)
    assert {run.status for run in ended.cekura_runs} == {"cancelled"}


def test_a_batch_that_drains_lets_its_calls_end_and_submits_nothing_more(tmp_path):
    case = Automated(
        cekura="frequency: 2, personality_ids: [1, 2]",
        calls=4,
        sandbox=LONG,
        during=cancelling(in_call(4), drains=True),
    )
    ended = weathered(case, tmp_path)
    assert ended.outcomes == {"passed": 4, "inconclusive": 4}
    assert ended.view.exit_code == 130
    assert ended.world["submits"] == 1


def test_nothing_is_submitted_while_starts_are_held(tmp_path):
    """A worker that is to stop hands over; the calls under way are Cekura's, and nobody need wait for them."""
    seen = []

    async def during(worker, box, batch_id):
        await virtually(lambda: in_call(2)(worker.driver.rosters.get(batch_id), box))
        worker.driver.hold_starts()
        seen.append(worker.driver.busy)
        await asyncio.sleep(60)
        seen.append(box.world()["submits"])
        worker.driver._starts_held = False

    case = Automated(cekura="personality_ids: [1, 2]", calls=2, during=during)
    ended = weathered(case, tmp_path)
    assert seen == [False, 1]
    assert ended.outcomes == {"passed": 4}


def test_a_plan_that_could_use_more_calls_than_all_batches_may_have_takes_what_there_are(tmp_path):
    case = Automated(cekura="frequency: 5", calls=10, environ={"ORCHESTRATOR_CALLS_LIMIT": "3"})
    ended = play(case, tmp_path)
    assert ended.outcomes == {"passed": 10}
    assert ended.world["calls"]["peak"] <= 3
