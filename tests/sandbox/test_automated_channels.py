"""Cekura's automated channels: it brings the agent itself, so nothing of the caller's is started and nothing leaks."""

from collections import Counter

import httpx
import pytest

CHANNELS = ["pipecat_v2", "livekit_v2", "voice"]
LONG = (100_000.0, 100_000.0)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_run_passes_without_a_session_or_room_of_the_callers(play, channel):
    caller = await play()

    submission = await caller.run_automated(channel, name="nightly")
    (run,) = await caller.judged(submission)

    assert (run["status"], run["success"], run["result_name"]) == ("completed", True, "nightly")
    world = caller.sandbox.world()
    assert (world["sessions"]["started"], world["rooms"]["created"]) == (0, 0)
    assert world["leaked"] == {"sessions": [], "rooms": []}
    assert (world["submits_by_channel"], world["calls_by_channel"]) == ({channel: 1}, {channel: 1})
    (result,) = world["results"]
    assert (result["name"], result["channel"], result["runs"]) == ("nightly", channel, 1)
    assert (world["submitted"], world["submitted_twice"]) == ({}, [])


async def test_a_pipecat_run_goes_through_every_status(play):
    caller = await play(speed=20.0)
    submission = await caller.run_automated("pipecat_v2")
    seen = []

    async def judged():
        (run,) = await caller.runs(submission)
        seen.append(run["status"])
        return run["status"] == "completed"

    await caller.eventually(judged)
    assert list(dict.fromkeys(seen))[-4:] == ["running", "in_progress", "evaluating", "completed"]
    assert "scaling_up" in seen


async def test_a_voice_run_is_dialled_and_never_scaled_up(play):
    caller = await play(dispatch_seconds=100_000.0)

    run = await caller.run_until(await caller.run_automated("voice"), "running", "scaling_up")

    assert run["status"] == "running"


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("fails_evaluation", "completed", "Main agent-ended-call"),
        ("never_connects", "failed", "Testing agent-did-not-connect"),
        ("times_out", "timeout", "exceeded-max-duration"),
        ("tester_crashes", "failed", "Testing agent-pipeline-error"),
    ],
)
async def test_a_call_ends_as_its_fault_says(play, channel, fault, status, reason):
    caller = await play(faults=(f"call.{fault}=1",))

    (run,) = await caller.judged(await caller.run_automated(channel))

    assert (run["status"], run["success"], run["metadata"]["ended_reason"]) == (status, False, reason)


async def test_a_run_may_be_queued_although_a_slot_is_free(play):
    caller = await play(faults=("call.queued_long=1",))
    submission = await caller.run_automated("livekit_v2")

    assert (await caller.runs(submission))[0]["status"] == "in_queue"
    assert (await caller.judged(submission))[0]["success"] is True


async def test_all_channels_draw_on_one_limit_of_calls(play):
    caller = await play(calls_limit=2, call_seconds=LONG)
    manual = await caller.submit(await caller.ready())
    voice = await caller.run_automated("voice")
    await caller.run_until(manual, "in_progress")
    await caller.run_until(voice, "in_progress")

    waiting = await caller.run_automated("pipecat_v2")
    assert (await caller.runs(waiting))[0]["status"] == "in_queue"

    await caller.http.post(f"{caller.api}/v1/results/{voice['id']}/end_calls/", headers=caller.cekura)
    await caller.run_until(waiting, "in_progress")
    assert caller.sandbox.world()["calls"]["peak"] == 2


async def test_a_results_own_limit_holds_its_calls_back_and_nobody_elses(play):
    caller = await play(call_seconds=LONG)
    limited = await caller.run_automated("pipecat_v2", frequency=3, concurrency_limit=1)
    other = await caller.run_automated("livekit_v2")

    async def one_talks():
        return sorted(run["status"] for run in await caller.runs(limited)) == ["in_progress", "in_queue", "in_queue"]

    await caller.run_until(other, "in_progress")
    await caller.eventually(one_talks)
    (talking,) = [run for run in await caller.runs(limited) if run["status"] == "in_progress"]
    await caller.http.post(f"{caller.api}/v1/runs/{talking['id']}/end_call/", headers=caller.cekura)

    async def the_next_talks():
        return sorted(run["status"] for run in await caller.runs(limited)) == ["cancelled", "in_progress", "in_queue"]

    assert await caller.eventually(the_next_talks)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_ending_a_result_ends_its_calls_and_those_still_queued(play, channel):
    caller = await play(calls_limit=1, call_seconds=LONG)
    submission = await caller.run_automated(channel, frequency=2)

    await caller.http.post(f"{caller.api}/v1/results/{submission['id']}/end_calls/", headers=caller.cekura)

    runs = await caller.judged(submission)
    assert [(run["status"], run["metadata"]["ended_reason"]) for run in runs] == [
        ("cancelled", "run-cancelled-by-user")
    ] * 2
    assert caller.sandbox.world()["cut_short"] == []


@pytest.mark.parametrize("channel", CHANNELS)
async def test_frequency_personalities_and_profiles_multiply_runs(play, channel):
    caller = await play()
    submission = await caller.run_automated(
        channel, frequency=2, personality_ids=[1, 2], personality_id=3, test_profile_ids=[31], test_profile_id=32
    )

    runs = await caller.runs(submission)

    assert Counter((run["personality"], run["test_profile_data"]["id"]) for run in runs) == {
        (personality, profile): 2 for personality in (1, 2, 3) for profile in (31, 32)
    }


@pytest.mark.parametrize(("channel", "runs"), [("pipecat_v2", 4), ("livekit_v2", 4), ("voice", 8)])
async def test_lists_may_be_told_not_to_multiply_where_nobody_documents_that_they_do(play, channel, runs):
    caller = await play(lists_multiply=False)

    submission = await caller.run_automated(channel, frequency=4, personality_ids=[1, 2])

    polled = await caller.runs(submission)
    assert Counter(run["personality"] for run in polled) == {1: runs // 2, 2: runs // 2}


async def test_an_id_given_in_both_forms_counts_once(play):
    caller = await play()

    submission = await caller.run_automated("voice", personality_ids=[2], personality_id=2)

    assert [run["personality"] for run in await caller.runs(submission)] == [2]


async def test_a_run_has_its_scenarios_profile_unless_the_request_names_one(play):
    caller = await play()

    async def profile(**body):
        (run,) = (await caller.run_automated("pipecat_v2", **body))["runs"]
        return run["test_profile_data"]

    own = await profile()
    assert own["information"]["main_agent_variables"] == {"customer": "U-31", "tier": "gold", "locale": "en"}
    assert own["information"]["testing_agent_variables"]["order"] == "A-1001"
    assert (await profile(test_profile_id=32))["name"] == "New customer"
    assert await profile(scenarios=[{"scenario": 103}]) is None


@pytest.mark.parametrize(
    ("selection", "scenarios"),
    [
        ({"scenarios": [301, 302]}, [301, 302]),
        ({"tags": ["hard"]}, [302, 303]),
        ({"tags": ["smoke", "billing"]}, [301, 304]),
        ({"folder_path": "hotline.noise", "project_id": 1}, [302, 303]),
        ({"folder_path": "", "project_id": 1}, [304]),
    ],
)
@pytest.mark.parametrize("agent", [{"agent_id": 7}, {"assistant_id": "asst-hotline"}])
async def test_a_voice_run_names_its_scenarios_in_one_of_three_ways(play, agent, selection, scenarios):
    caller = await play()

    answer = await caller.post_automated("voice", agent | selection)

    assert answer.status_code == 201
    assert sorted(run["scenario"] for run in answer.json()["runs"]) == scenarios


@pytest.mark.parametrize(("mode", "numbers"), [("same_number", 1), ("different_numbers", 3)])
async def test_a_voice_run_calls_from_one_number_or_several(play, mode, numbers):
    caller = await play()

    submission = await caller.run_automated("voice", frequency=3, mode=mode)

    assert {run["number"] for run in submission["runs"]} == {"+15550100"}
    assert len({run["inbound_number"] for run in submission["runs"]}) == numbers


async def test_a_voice_run_uses_the_numbers_it_is_told(play):
    caller = await play()

    (run,) = (await caller.run_automated("voice", outbound_phone_number="+1999", agent_number="+1888"))["runs"]

    assert (run["number"], run["inbound_number"]) == ("+1888", "+1999")


@pytest.mark.parametrize(
    ("channel", "body", "agent"),
    [
        ("pipecat_v2", {"scenarios": [{"scenario": 101}]}, 5),
        ("pipecat_v2", {"scenarios": [{"scenario": 123_456}]}, 5),
        ("pipecat_v2", {"scenarios": [{"scenario": 401}], "agent": 5}, 5),
        ("pipecat_v2", {"scenarios": [{"scenario": 101}], "agent": 9, "pipecat_data": {"pipecat_agent_name": "b"}}, 9),
        ("livekit_v2", {"scenarios": [{"scenario": 201}]}, 6),
        ("livekit_v2", {"scenarios": [{"scenario": 123_456}], "agent": None}, 6),
    ],
)
async def test_the_agent_is_the_one_named_or_the_first_scenarios(play, channel, body, agent):
    caller = await play()

    answer = await caller.post_automated(channel, body)

    assert (answer.status_code, answer.json()["agent"]) == (200, agent)


@pytest.mark.parametrize("family", ["v1/scenarios", "v1/scenarios-external", "v2/scenarios"])
@pytest.mark.parametrize("channel", CHANNELS)
async def test_every_family_of_paths_has_the_channel(play, channel, family):
    caller = await play()
    body = {"agent_id": 7, "scenarios": [301]} if channel == "voice" else {"scenarios": [{"scenario": 101}], "agent": 5}
    body |= {"agent": 6} if channel == "livekit_v2" else {}

    answer = await caller.post_automated(channel, body, family)

    assert answer.status_code == (201 if channel == "voice" else 200)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_name_given_by_two_requests_is_told(play, channel):
    caller = await play()
    for name in ("a", "b", "a"):
        await caller.run_automated(channel, name=name)
    await caller.run_automated(channel)
    await caller.run_automated(channel)

    assert caller.sandbox.world()["names_twice"] == ["a"]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("fault", "made"), [("lost_answer", 1), ("lost_request", 0)])
async def test_an_answer_may_be_lost_and_the_result_found_by_its_name(play, channel, fault, made):
    caller = await play(faults=(f"submit.{fault}=1",))

    with pytest.raises(httpx.TransportError):
        await caller.run_automated(channel, name="lost one")

    listed = (await caller.get("v2/results/", search="lost ONE")).json()
    assert (listed["count"], [one["name"] for one in listed["results"]]) == (made, ["lost one"] * made)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_submission_faults_strike_every_channel(play, channel):
    caller = await play(faults=("submit.no_runs=1", "submit.fewer_runs=1", "submit.bare_list=1", "submit.busy=1"))

    first = await caller.run_automated(channel, frequency=2)
    second = await caller.run_automated(channel, frequency=2)
    third = await caller.post_automated(channel, {})
    fourth = await caller.post_automated(channel, {})

    assert (len(first["runs"]), len(second["runs"])) == (0, 1)
    assert (third.status_code, fourth.status_code) == (400, 429)
    assert isinstance(third.json(), list)


async def test_results_are_found_by_name_agent_assistant_and_project(play):
    caller = await play()
    support = await caller.run_automated("pipecat_v2", name="Nightly support")
    hotline = await caller.run_automated("voice", name="nightly hotline")
    staging = await caller.run_automated("pipecat_v2", agent=9, pipecat_data={"pipecat_agent_name": "b"})

    async def listed(**params):
        return [one["id"] for one in (await caller.get("v2/results/", **params)).json()["results"]]

    assert await listed(search="nightly") == [hotline["id"], support["id"]]
    assert await listed(search="NIGHTLY s") == [support["id"]]
    assert await listed(search="weekly") == []
    assert await listed(agent_id=7) == await listed(assistant_id="asst-hotline") == [hotline["id"]]
    assert await listed(assistant_id="nobody") == []
    assert await listed(project_id=2) == [staging["id"]]
    assert await listed(search="nightly", page_size=1, page=2) == [support["id"]]


async def test_a_result_is_named_afterwards_and_found_by_its_new_name(play):
    caller = await play()
    submission = await caller.submit({"dailyRoom": "http://sandbox.localhost/r", "dailyToken": None})
    path = f"{caller.api}/v2/results/{submission['id']}/"

    renamed = await caller.http.patch(path, json={"name": "x" * 255}, headers=caller.cekura)
    refused = await caller.http.patch(path, json={"name": "x" * 256}, headers=caller.cekura)

    assert (renamed.status_code, refused.status_code) == (200, 400)
    assert (await caller.get("v2/results/", search="xxx")).json()["count"] == 1
    assert caller.sandbox.world()["results"][0]["name"] == "x" * 255
    assert caller.sandbox.world()["names_twice"] == []


async def test_the_history_has_runs_without_a_room(play):
    caller = await play()
    await caller.judged(await caller.run_automated("voice"))

    (run,) = (await caller.http.get("/sandbox/history.json")).json()["runs"]

    assert (run["channel"], run["room_url"]) == ("voice", None)
    times = [run[name] for name in ("submitted_at", "dispatched_at", "call_began_at", "call_ended_at", "judged_at")]
    assert times == sorted(times)
