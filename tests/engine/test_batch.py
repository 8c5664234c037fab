"""Whole batches against the sandbox: what each run comes to, and what is left in the world."""

import asyncio
from collections import Counter

import pytest

from orchestrator.app.batches import cancel_batch, cancel_leftovers, run_batch, view_batch
from orchestrator.domain.batch import BatchStatus, ExitCode
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import Teardown
from orchestrator.sandbox import Sandbox, SandboxSettings
from tests.support.bench import in_call, until

MIXED = "[{scenario: 101, repeat: 3}, {scenario: 102, repeat: 2}, {scenario: 103}]"


async def test_every_run_is_called_once_judged_and_torn_down(bench):
    ended = await bench.run(scenarios=MIXED)
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 6
    assert ended.view.exit_code is ExitCode.PASSED
    assert ended.view.batch.status is BatchStatus.CLOSED
    assert ended.world["starts"] == 6
    assert sorted(ended.world["submitted"].values()) == [1] * 6
    assert {session.session_end.state for session in ended.view.sessions} == {Teardown.CONFIRMED}
    assert {session.room_end.state for session in ended.view.sessions} == {Teardown.CONFIRMED}
    assert {session.evidence for session in ended.view.sessions} == {Evidence.PRESENCE}
    assert all(session.meeting_token is None for session in ended.view.sessions)


async def test_a_runner_comes_to_the_same_outcomes_as_pipecat_cloud(bench):
    faults = ("call.fails_evaluation=1@1", "bot.never_joins=1")
    cloud = await bench.run(*faults, scenarios=MIXED)
    (bench.folder / "state.db").unlink()
    runner = await bench.run(*faults, scenarios=MIXED, runner=True, agent=", name: the-same-bot")
    assert Counter(runner.outcomes) == Counter(cloud.outcomes) == {"passed": 5, "failed": 1}
    assert runner.view.exit_code is cloud.view.exit_code is ExitCode.GATE_FAILED
    assert runner.world["rooms"]["alive"] == []
    assert runner.world["submitted_twice"] == []


async def test_a_failed_evaluation_fails_the_run_with_cekuras_reason(bench):
    ended = await bench.run("call.fails_evaluation=1")
    ended.assert_clean()
    assert Counter(ended.outcomes) == {"passed": 2, "failed": 1}
    assert "outcome" in next(run.reason for run in ended.view.runs if run.outcome == "failed")
    assert ended.view.exit_code is ExitCode.GATE_FAILED


async def test_a_bot_that_never_joins_is_replaced_by_a_new_session(bench):
    ended = await bench.run("bot.never_joins=1", more="timeouts: {ready: 60}")
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 3
    assert ended.world["starts"] == 4
    assert sorted(run.attempt for run in ended.view.runs) == [1, 1, 2]


async def test_without_retries_a_bot_that_never_joins_is_inconclusive(bench):
    ended = await bench.run("bot.never_joins=1", more="timeouts: {ready: 60}\nretries: {infrastructure: 0}")
    ended.assert_clean()
    assert Counter(ended.outcomes) == {"passed": 2, "inconclusive": 1}
    assert ended.view.exit_code is ExitCode.INCONCLUSIVE
    assert any("did not join its room" in reason for reason in ended.reasons)


async def test_a_lost_start_answer_is_found_by_its_mark_and_not_repeated(bench):
    ended = await bench.run("start.lost_answer=1")
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 3
    assert ended.world["starts"] == 3


async def test_a_lost_start_that_bears_no_mark_is_named_and_never_started_again(bench):
    ended = await bench.run("start.lost_answer=1", sandbox={"carries_mark": False}, more="timing: {lookup: 40}")
    assert ended.world["starts"] == 3
    assert Counter(ended.outcomes) == {"passed": 2, "inconclusive": 1}
    lost = next(run for run in ended.view.runs if run.outcome == "inconclusive")
    assert "Pipecat Cloud's session limit ends it by" in lost.reason
    assert "not started again" in lost.reason
    session = next(session for session in ended.view.sessions if session.run_id == lost.run_id)
    assert session.session_end.state is Teardown.BOUNDED
    assert session.session_end.at == session.ends_at


async def test_an_exclusive_agents_lost_session_is_stopped_and_its_run_started_anew(bench):
    ended = await bench.run("start.lost_answer=1", sandbox={"carries_mark": False}, agent=", exclusive: true")
    assert ended.outcomes == ["passed"] * 3
    assert ended.world["starts"] == 4
    assert ended.world["sessions"]["alive"] == []
    assert ended.world["submitted_twice"] == []


async def test_a_lost_submit_answer_is_found_in_the_result_list_and_never_sent_again(bench):
    ended = await bench.run("submit.lost_answer=1", scenarios=MIXED)
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 6
    assert sorted(ended.world["submitted"].values()) == [1] * 6


async def test_a_submission_that_never_arrived_ends_unknown_with_what_an_operator_needs(bench):
    ended = await bench.run("submit.lost_request=1", scenarios="[{scenario: 101}]", more="timing: {lookup: 40}")
    ended.assert_clean()
    assert ended.world["submits"] == 0
    assert ended.outcomes == ["inconclusive"]
    assert "scenarios 101" in ended.reasons[0]
    assert "not sent again" in ended.reasons[0]


async def test_fewer_runs_than_rooms_settles_the_ones_that_came_back(bench):
    ended = await bench.run("submit.fewer_runs=1", scenarios="[{scenario: 101}, {scenario: 102}, {scenario: 103}]")
    assert ended.world["rooms"]["alive"] == []
    assert Counter(ended.outcomes) == {"passed": 2, "inconclusive": 1}
    assert any("no run that can be paired with this room" in reason for reason in ended.reasons)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("submit.field_errors", "not enabled for this agent"),
        ("submit.bare_list", "HTTP 400"),
        ("submit.detail", "HTTP 400"),
        ("submit.html_error", "HTTP 400"),
    ],
)
async def test_a_refused_submission_puts_cekuras_words_beside_the_run_and_tears_its_session_down(bench, fault, text):
    ended = await bench.run(f"{fault}=1", scenarios="[{scenario: 101}]")
    ended.assert_clean()
    assert ended.outcomes == ["inconclusive"]
    assert text in ended.reasons[0]
    assert "<" not in ended.reasons[0]


async def test_one_scenarios_refusal_does_not_take_its_group_down(bench):
    ended = await bench.run(
        sandbox={"unknown_scenarios": (102,)}, scenarios="[{scenario: 101}, {scenario: 102}, {scenario: 103}]"
    )
    ended.assert_clean()
    assert [(run.scenario_id, str(run.outcome)) for run in ended.view.runs] == [
        (101, "passed"),
        (102, "inconclusive"),
        (103, "passed"),
    ]


@pytest.mark.parametrize("fault", ["start.capacity", "start.capacity_pcc", "start.busy"])
async def test_an_agent_at_capacity_is_waited_for(bench, fault):
    ended = await bench.run(f"{fault}=3")
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 3


async def test_an_agent_that_stays_at_capacity_makes_its_run_inconclusive_with_that_reason(bench):
    ended = await bench.run("start.capacity_pcc=999", scenarios="[{scenario: 101}]", more="timeouts: {capacity: 20}")
    ended.assert_clean()
    assert ended.outcomes == ["inconclusive"]
    assert "waited" in ended.reasons[0]
    assert ended.view.exit_code is ExitCode.INCONCLUSIVE


@pytest.mark.parametrize("fault", ["start.refused", "start.no_public_key"])
async def test_a_refused_first_start_ends_the_batch_before_it_costs_anything(bench, fault):
    ended = await bench.run(f"{fault}=99")
    ended.assert_clean()
    assert ended.world["requests"]["start"] == 1
    assert ended.view.exit_code is ExitCode.BAD_INPUT
    assert ended.view.batch.refusal


async def test_an_unknown_status_word_is_waited_out(bench):
    ended = await bench.run("poll.unknown_status=4")
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 3


async def test_a_call_that_never_connects_is_tried_once_more_and_then_inconclusive(bench):
    ended = await bench.run("call.never_connects=2", scenarios="[{scenario: 101}]")
    ended.assert_clean()
    assert ended.outcomes == ["inconclusive"]
    assert ended.world["starts"] == 2


async def test_a_call_without_end_is_ended_at_our_deadline(bench):
    ended = await bench.run(
        sandbox={"dispatch_per_second": 0.001, "calls_limit": 1},
        scenarios="[{scenario: 101}, {scenario: 102}]",
        more="timeouts: {run: 60}\nretries: {infrastructure: 0}",
    )
    assert ended.world["sessions"]["alive"] == []
    assert ended.world["cut_short"] == []
    assert "inconclusive" in ended.outcomes
    assert any("after submission" in reason for reason in ended.reasons)


async def test_a_call_whose_end_no_poll_shows_ends_when_its_tester_has_left(bench):
    """Polls show that the call runs, and then fail for longer than it lasts."""
    ended = await bench.run(
        "poll.error=400@6",
        scenarios="[{scenario: 101}]",
        sandbox={"call_seconds": (40.0, 50.0), "presence_lag": 5.0},
        more="timing: {presence_interval: 15}\ntimeouts: {run: 600, judge: 60}",
    )
    ended.assert_clean()
    statuses = [after.status for _, after in ended.steps]
    assert statuses[-2:] == [RunStatus.CALL_ENDED, RunStatus.ABANDONED]
    assert "no verdict came" in ended.reasons[0]


async def test_neither_budget_is_exceeded(bench):
    ended = await bench.run(scenarios="[{scenario: 101, repeat: 12}]", concurrency=4, calls=3)
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 12
    assert ended.world["calls"]["peak_alive_sessions"] <= 4
    assert ended.world["calls"]["peak"] <= 3


async def test_being_queued_makes_us_count_on_fewer_calls(bench):
    ended = await bench.run(
        scenarios="[{scenario: 101, repeat: 10}]", sandbox={"calls_limit": 2}, concurrency=6, calls=6
    )
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 10


async def test_the_freeing_of_slots_at_call_end_is_learned(bench):
    ended = await bench.run(
        scenarios="[{scenario: 101, repeat: 8}]", sandbox={"calls_limit": 2, "slot_rule": "call_ended"}, calls=2
    )
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 8


async def test_without_a_daily_key_rooms_are_bounded_and_sessions_confirmed(bench):
    keys = {"DAILY_API_KEY": None, "ORCHESTRATOR_DAILY_KEYS": None}
    ended = await bench.run(environ=keys)
    assert ended.outcomes == ["passed"] * 3
    assert {session.evidence for session in ended.view.sessions} == {Evidence.RECORD}
    for session in ended.view.sessions:
        assert session.session_end.state is Teardown.CONFIRMED
        assert session.room_end.state is Teardown.BOUNDED
        assert session.room_end.at == session.room_expires_at
    assert ended.view.exit_code is ExitCode.PASSED


async def test_without_a_private_key_the_platforms_limit_is_named_as_the_bound(bench):
    ended = await bench.run(environ={"PIPECAT_CLOUD_PRIVATE_KEY": None})
    assert ended.outcomes == ["passed"] * 3
    for session in ended.view.sessions:
        assert (session.session_end.state, session.session_end.at) == (Teardown.BOUNDED, session.ends_at)


@pytest.mark.parametrize(
    "fault", ["session_stop.error=2", "session_stop.lost_answer=2", "session_get.html=3", "room_delete.error=3"]
)
async def test_teardown_goes_on_until_the_remote_answers(bench, fault):
    ended = await bench.run(fault)
    ended.assert_clean()
    assert ended.outcomes == ["passed"] * 3
    assert all(session.torn_down for session in ended.view.sessions)


@pytest.mark.parametrize("fault", ["start.null=1", "start.plain_error=1"])
async def test_a_runner_that_may_have_started_a_bot_is_not_asked_again(bench, fault):
    ended = await bench.run(
        fault, runner=True, scenarios="[{scenario: 101}]", sandbox={"carries_mark": False}, more="timing: {lookup: 40}"
    )
    assert ended.world["requests"]["start"] == 1
    assert ended.outcomes == ["inconclusive"]
    assert "not started again" in ended.reasons[0]


async def test_a_cancelled_batch_ends_its_calls_and_leaves_nothing(bench):
    settings = SandboxSettings(speed=bench.speed, call_seconds=(3000.0, 4000.0), connect_timeout=3000.0)
    async with Sandbox(settings) as box:
        async with bench.worker(box) as worker:
            batch_id = await bench.start(worker, bench.plan(scenarios="[{scenario: 101, repeat: 6}]", calls=3))
            running = asyncio.create_task(run_batch(worker, batch_id))
            await until(lambda: in_call(worker, batch_id) == 3)
            await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="cancelled by a test")
            await running
            view = await view_batch(worker.store, batch_id)
        world = box.world()
    assert view.exit_code is ExitCode.CANCELLED
    assert {run.status for run in view.runs} == {RunStatus.CANCELLED}
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == world["cut_short"] == []


@pytest.mark.parametrize("at", ["starting", "started", "ready", "submitted", "in_call", "call_ended"])
async def test_a_batch_is_taken_up_where_a_stopped_process_left_it(bench, at):
    settings = SandboxSettings(speed=bench.speed, call_seconds=(8.0, 16.0))
    reached = asyncio.Event()

    def listener(before, after):
        if after.status.value == at:
            reached.set()

    async with Sandbox(settings) as box:
        async with bench.worker(box, listener=listener) as worker:
            batch_id = await bench.start(worker, bench.plan(scenarios=MIXED))
            running = asyncio.create_task(run_batch(worker, batch_id))
            await reached.wait()
        running.cancel()
        async with bench.worker(box) as worker:
            await run_batch(worker, batch_id)
            view = await view_batch(worker.store, batch_id)
        world = box.world()
    assert view.batch.status is BatchStatus.CLOSED
    assert all(run.outcome is not None for run in view.runs)
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []
    assert world["submitted_twice"] == world["cut_short"] == []
    assert world["starts"] <= 6


async def test_what_a_dead_process_left_is_found_said_and_torn_down(bench):
    settings = SandboxSettings(speed=bench.speed, call_seconds=(300.0, 400.0))
    async with Sandbox(settings) as box:
        async with bench.worker(box) as worker:
            batch_id = await bench.start(worker, bench.plan())
            running = asyncio.create_task(run_batch(worker, batch_id))
            await until(lambda: in_call(worker, batch_id) == 3)
        running.cancel()
        async with bench.worker(box) as worker:
            found = await cancel_leftovers(worker)
            await run_batch(worker, batch_id)
        world = box.world()
    assert [view.batch.batch_id for view in found] == [batch_id]
    assert {run.status for run in found[0].runs} == {RunStatus.IN_CALL}
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == world["cut_short"] == []
