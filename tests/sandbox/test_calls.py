"""Cekura's calls: the queue in front of them, the meeting in the room, the ways they end."""

import asyncio

import pytest

LONG = (100_000.0, 100_000.0)


async def test_a_call_that_goes_well_passes(play):
    caller = await play()
    submission = await caller.submit(await caller.ready())

    (run,) = await caller.judged(submission)

    assert (run["status"], run["success"], run["evaluation_status"]) == ("completed", True, "success")
    assert run["metadata"] == {"ended_reason": "Main agent-ended-call"}
    assert caller.sandbox.world()["calls"] == {"total": 1, "active": 0, "peak": 1, "peak_alive_sessions": 1}


async def test_the_tester_waits_for_a_bot_that_comes_later(play):
    caller = await play(join_seconds=(10.0, 10.0))

    (run,) = await caller.judged(await caller.submit(await caller.start()))

    assert (run["status"], run["success"]) == ("completed", True)


async def test_the_tester_gives_up_where_no_bot_comes(play):
    caller = await play(faults=("bot.never_joins=1",))

    (run,) = await caller.judged(await caller.submit(await caller.start()))

    assert (run["status"], run["success"]) == ("failed", False)
    assert run["metadata"] == {"ended_reason": "Main agent-did-not-answer"}
    assert run["error_message"]


@pytest.mark.parametrize("token", ["nonsense", None])
async def test_the_tester_needs_a_token_that_is_good_for_the_room(play, token):
    caller = await play()
    room = (await caller.http.post("/v1/rooms", json={"privacy": "private"}, headers=caller.daily)).json()

    (run,) = await caller.judged(await caller.submit({"dailyRoom": room["url"], "dailyToken": token}))

    assert run["metadata"] == {"ended_reason": "Testing agent-did-not-connect"}


@pytest.mark.parametrize("properties", [{"room_name": "another"}, {"exp": 1}, {"nbf": 4_000_000_000}])
async def test_a_token_of_another_room_or_time_does_not_open_even_a_public_room(play, properties):
    caller = await play()
    session = await caller.ready()
    minted = await caller.http.post("/v1/meeting-tokens", json={"properties": properties}, headers=caller.cloud_daily)

    (run,) = await caller.judged(await caller.submit({**session, "dailyToken": minted.json()["token"]}))

    assert run["metadata"] == {"ended_reason": "Testing agent-did-not-connect"}


async def test_a_deleted_room_fails_its_run_but_nothing_was_cut_short(play):
    caller = await play()
    session = await caller.ready()
    await caller.http.delete(f"/v1/rooms/{caller.room_name(session)}", headers=caller.cloud_daily)

    (run,) = await caller.judged(await caller.submit(session))

    assert run["status"] == "failed"
    assert caller.sandbox.world()["cut_short"] == []


@pytest.mark.parametrize("how", ["stop", "delete", "eject", "expire"])
async def test_a_teardown_in_mid_call_cuts_it_short(play, how):
    caller = await play(call_seconds=LONG)
    session = await caller.ready(dailyRoomProperties={"eject_at_room_exp": True})
    submission = await caller.submit(session)
    await caller.run_until(submission, "in_progress")
    path = f"/v1/rooms/{caller.room_name(session)}"

    if how == "stop":
        await caller.stop(session)
    elif how == "delete":
        await caller.http.delete(path, headers=caller.cloud_daily)
    elif how == "eject":
        ids = [entry["id"] for entry in await caller.present(session)]
        await caller.http.post(f"{path}/eject", json={"ids": ids}, headers=caller.cloud_daily)
    else:
        await caller.http.post(path, json={"properties": {"exp": 1}}, headers=caller.cloud_daily)

    (run,) = await caller.judged(submission)
    assert run["status"] == "failed"
    assert run["metadata"]["ended_reason"] == "participant_disconnected"
    assert caller.sandbox.world()["cut_short"] == [run["id"]]


async def test_a_teardown_after_end_call_cuts_nothing_short(play):
    caller = await play(call_seconds=LONG)
    session = await caller.ready()
    submission = await caller.submit(session)
    run = await caller.run_until(submission, "in_progress")

    ended = await caller.http.post(f"{caller.api}/v1/runs/{run['id']}/end_call/", headers=caller.cekura)
    await caller.stop(session)
    await caller.http.delete(f"/v1/rooms/{caller.room_name(session)}", headers=caller.cloud_daily)

    assert (ended.status_code, ended.content) == (200, b"")
    (run,) = await caller.judged(submission)
    assert (run["status"], run["metadata"]) == ("cancelled", {"ended_reason": "run-cancelled-by-user"})
    assert caller.sandbox.world()["cut_short"] == []


async def test_a_bot_that_leaves_by_itself_fails_the_run_and_nobody_is_blamed(play):
    caller = await play(call_seconds=LONG, faults=("bot.leaves_early=1",))

    (run,) = await caller.judged(await caller.submit(await caller.ready()))

    assert run["metadata"]["ended_reason"] == "participant_disconnected"
    world = caller.sandbox.world()
    assert (world["cut_short"], world["sessions"]["alive"]) == ([], [])


@pytest.mark.parametrize(
    ("fault", "status", "success", "reason"),
    [
        ("fails_evaluation", "completed", False, "Main agent-ended-call"),
        ("never_connects", "failed", False, "Testing agent-did-not-connect"),
        ("times_out", "timeout", False, "exceeded-max-duration"),
        ("tester_crashes", "failed", False, "Testing agent-pipeline-error"),
    ],
)
async def test_a_call_ends_as_its_fault_says(play, fault, status, success, reason):
    caller = await play(faults=(f"call.{fault}=1",))

    (run,) = await caller.judged(await caller.submit(await caller.ready()))

    assert (run["status"], run["success"], run["metadata"]["ended_reason"]) == (status, success, reason)
    assert caller.sandbox.world()["faults_fired"] == {f"call.{fault}": 1}


async def test_a_run_may_be_queued_although_a_slot_is_free(play):
    caller = await play(faults=("call.queued_long=1",))
    submission = await caller.submit(await caller.ready())

    assert (await caller.runs(submission))[0]["status"] == "in_queue"
    assert (await caller.judged(submission))[0]["success"] is True


async def test_runs_above_the_limit_wait_in_the_queue(play):
    caller = await play(calls_limit=2, call_seconds=LONG)
    sessions = [await caller.ready() for _ in range(3)]
    submission = await caller.submit(*sessions)

    async def two_talk():
        return sorted(run["status"] for run in await caller.runs(submission)) == ["in_progress"] * 2 + ["in_queue"]

    assert await caller.eventually(two_talk)
    talking = next(run for run in await caller.runs(submission) if run["status"] == "in_progress")
    await caller.http.post(f"{caller.api}/v1/runs/{talking['id']}/end_call/", headers=caller.cekura)

    async def the_third_talks():
        statuses = [run["status"] for run in await caller.runs(submission)]
        return sorted(statuses) == ["cancelled", "in_progress", "in_progress"]

    assert await caller.eventually(the_third_talks)
    assert caller.sandbox.world()["calls"]["peak"] == 2


@pytest.mark.parametrize("rule", ["judged", "call_ended"])
async def test_the_slot_rule_says_whether_an_evaluation_holds_its_slot(play, rule):
    caller = await play(calls_limit=1, slot_rule=rule, evaluate_seconds=100_000.0, faults=("call.times_out=1@1",))
    first = await caller.submit(await caller.ready())
    await caller.run_until(first, "evaluating")
    second = await caller.submit(await caller.ready())

    if rule == "judged":
        await asyncio.sleep(0.2)
        assert (await caller.runs(second))[0]["status"] == "in_queue"
    else:
        assert (await caller.judged(second))[0]["status"] == "timeout"
    assert (await caller.runs(first))[0]["status"] == "evaluating"


async def test_calls_begin_one_after_the_other(play):
    caller = await play(dispatch_per_second=1.0, speed=20.0, call_seconds=LONG)
    submission = await caller.submit(*[await caller.ready() for _ in range(3)])

    async def all_began():
        return all(run["executed_at"] for run in await caller.runs(submission))

    await caller.eventually(all_began)
    moments = sorted(run["executed_at"] for run in await caller.runs(submission))
    assert len(set(moments)) == 3


async def test_ending_a_result_ends_its_calls_and_those_still_queued(play):
    caller = await play(calls_limit=1, call_seconds=LONG)
    submission = await caller.submit(*[await caller.ready() for _ in range(2)])

    await caller.http.post(f"{caller.api}/v1/results/{submission['id']}/end_calls/", headers=caller.cekura)

    assert {run["status"] for run in await caller.judged(submission)} == {"cancelled"}


async def test_the_same_seed_gives_the_same_order_and_another_may_not(play):
    async def order(seed):
        caller = await play(seed=seed)
        rooms = [{"dailyRoom": f"http://sandbox.localhost/{n}", "dailyToken": None} for n in range(8)]
        return [run["scenario"] for run in (await caller.submit(*rooms))["runs"]]

    assert await order(1) == await order(1)
    assert len({tuple(await order(seed)) for seed in range(5)}) > 1


async def test_ids_that_do_not_exist_are_left_out_of_a_poll(play):
    caller = await play()
    submission = await caller.submit(await caller.ready())
    known = submission["runs"][0]["id"]

    async def poll(run_ids):
        return await caller.http.get(f"{caller.api}/v2/runs/bulk/", params={"run_ids": run_ids}, headers=caller.cekura)

    assert [run["id"] for run in (await poll(f"1,{known}")).json()] == [known]
    assert (await poll(f"[{known}]")).status_code == 400
    assert (await poll("")).status_code == 400
    assert caller.sandbox.world()["poll_ids"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "scenarios"),
        ({"scenarios": []}, "scenarios"),
        ({"scenarios": "101"}, "scenarios"),
        ({"scenarios": [{"scenario": 1}]}, "scenarios"),
        ({"scenarios": [{"scenario": "one", "pipecat_room_url": "https://x.daily.co/r"}]}, "scenarios"),
        ({"scenarios": [{"scenario": 404, "pipecat_room_url": "https://x.daily.co/r"}]}, "scenarios"),
        ({"scenarios": [{"scenario": 1, "pipecat_room_url": "https://x.daily.co/r"}], "frequency": 2}, "frequency"),
        ({"scenarios": [{"scenario": 1, "pipecat_room_url": "https://x.daily.co/r"}], "agent": "five"}, "agent"),
        ([], "non_field_errors"),
    ],
)
async def test_a_submission_with_wrong_fields_is_refused_and_nothing_runs(play, body, field):
    caller = await play(unknown_scenarios=(404,))

    answer = await caller.http.post(caller.submit_path, json=body, headers=caller.cekura)

    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert caller.sandbox.world()["submits"] == 0


async def test_results_are_found_by_agent_and_scenario_newest_first(play):
    caller = await play()
    rooms = [{"dailyRoom": f"http://sandbox.localhost/{n}", "dailyToken": None} for n in range(2)]
    older, newer = await caller.submit(rooms[0]), await caller.submit(*rooms)

    async def listed(**params):
        answer = await caller.http.get(f"{caller.api}/v2/results/", params=params, headers=caller.cekura)
        return [one["id"] for one in answer.json()["results"]]

    assert await listed(agent_id=5) == [newer["id"], older["id"]]
    assert await listed(agent_id=6) == []
    assert await listed(scenarios="2") == [newer["id"]]
    assert await listed(page_size=1, page=2) == [older["id"]]
