"""Automated submissions: what each channel is sent, what a lost answer means, and how its result is found by name."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from orchestrator.clients.cekura import DIALECT, CekuraClient
from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import OutcomeUnknown, RemoteRejected
from orchestrator.domain.observation import AutomatedScenario, AutomatedSubmission

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SCENARIOS = "https://remote.example/test_framework/v1/scenarios"
BARE = AutomatedSubmission(
    channel=Channel.PIPECAT_V2,
    name="nightly 01J",
    cekura_agent_id=None,
    scenarios=(AutomatedScenario(scenario_id=7),),
    frequency=1,
    personality_id=None,
    test_profile_id=None,
    calls=None,
    mock_tool_names=None,
)
FULL = replace(
    BARE,
    cekura_agent_id=5,
    scenarios=(
        AutomatedScenario(scenario_id=7, publish_data_message={"a": 1}, has_data_message=True),
        AutomatedScenario(scenario_id=8, has_data_message=True),
        AutomatedScenario(scenario_id=9),
    ),
    frequency=3,
    personality_id=11,
    test_profile_id=12,
    calls=4,
    mock_tool_names=(),
    agent_data={"config": {"greeting": None}},
)
VOICE = replace(BARE, channel=Channel.VOICE)
EVERYWHERE = {
    "name": "nightly 01J",
    "frequency": 3,
    "personality_ids": [11],
    "test_profile_ids": [12],
    "concurrency_limit": 4,
    "mock_tool_names": [],
}
ELEMENTS = [
    {"scenario": 7, "publish_data_message": {"a": 1}},
    {"scenario": 8, "publish_data_message": None},
    {"scenario": 9},
]


def cekura(door, handler):
    return CekuraClient(door(handler, dialect=DIALECT))


@pytest.fixture
def sent(door):
    """Submit to a server that takes everything, and hand back the address and body it was sent."""

    async def submit(submission):
        asked = []

        def handler(request):
            asked.append((str(request.url), json.loads(request.content)))
            return httpx.Response(201, json={"id": 1, "runs": []})

        await cekura(door, handler).submit_automated(submission)
        [only] = asked
        return only

    return submit


@pytest.mark.parametrize(
    ("channel", "path", "override"),
    [
        (Channel.PIPECAT_V2, "run_scenarios_pipecat_v2", "pipecat_data"),
        (Channel.LIVEKIT_V2, "run_scenarios_livekit_v2", "livekit_data"),
    ],
)
async def test_the_flows_with_rooms_are_sent_objects_and_their_own_override(sent, channel, path, override):
    url, body = await sent(replace(FULL, channel=channel))
    assert url == f"{SCENARIOS}/{path}/"
    assert body == EVERYWHERE | {"agent": 5, "scenarios": ELEMENTS, override: {"config": {"greeting": None}}}


async def test_a_voice_call_is_sent_plain_ids_and_its_numbers(sent):
    submission = replace(
        FULL,
        channel=Channel.VOICE,
        scenarios=(AutomatedScenario(scenario_id=7), AutomatedScenario(scenario_id=8)),
        agent_data=None,
        outbound_phone_number="+15550100",
        agent_number="+15550101",
        number_mode="different_numbers",
    )
    numbers = {
        "outbound_phone_number": "+15550100",
        "agent_number": "+15550101",
        "mode": "different_numbers",
    }
    url, body = await sent(submission)
    assert url == f"{SCENARIOS}/run_scenarios/"
    assert body == EVERYWHERE | {"agent_id": 5, "scenarios": [7, 8]} | numbers
    url, body = await sent(replace(VOICE, assistant_id="asst-1"))
    assert body == {"assistant_id": "asst-1", "scenarios": [7], "name": "nightly 01J", "frequency": 1}


@pytest.mark.parametrize("channel", [Channel.PIPECAT_V2, Channel.LIVEKIT_V2])
async def test_what_was_left_open_is_left_out(sent, channel):
    _, body = await sent(replace(BARE, channel=channel))
    assert body == {"name": "nightly 01J", "scenarios": [{"scenario": 7}], "frequency": 1}


@pytest.mark.parametrize(
    ("submission", "complaint"),
    [
        (replace(FULL, channel=Channel.VOICE), "voice does not take agent_data, publish_data_message"),
        (replace(BARE, assistant_id="asst-1"), "pipecat_v2 does not take assistant_id"),
        (replace(BARE, channel=Channel.LIVEKIT_V2, number_mode="same_number"), "livekit_v2 does not take number_mode"),
        (replace(BARE, channel=Channel.PIPECAT_V1), "pipecat_v1 has rooms of ours"),
    ],
)
async def test_nothing_is_sent_to_a_channel_that_does_not_take_it(door, submission, complaint):
    asked = []
    client = cekura(door, lambda request: asked.append(request) or httpx.Response(500))
    with pytest.raises(ValueError, match=complaint):
        await client.submit_automated(submission)
    assert asked == []


@pytest.mark.parametrize("status", [200, 201])
async def test_an_accepted_submission_tells_its_name_and_the_profile_of_each_run(door, status):
    runs = [
        {"id": 1, "scenario": 7, "status": "pending", "test_profile_data": {"id": 12, "name": "p", "information": {}}},
        {"id": 2, "scenario": 7, "status": "pending", "test_profile_data": None},
    ]
    body = {"id": 3, "name": "nightly 01J", "agent": 5, "runs": runs}
    accepted = await cekura(door, lambda _: httpx.Response(status, json=body)).submit_automated(FULL)
    assert (accepted.cekura_result_id, accepted.name) == (3, "nightly 01J")
    assert [run.test_profile_id for run in accepted.runs] == [12, None]
    unnamed = await cekura(door, lambda _: httpx.Response(200, json={"id": 3})).submit_automated(FULL)
    assert unnamed.name == ""


@pytest.mark.parametrize("submission", [FULL, replace(FULL, channel=Channel.LIVEKIT_V2), VOICE])
@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{",
        b"HTTP/1.1 500 Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["closed", "truncated", "failed", "without an id"],
)
async def test_a_lost_answer_is_unknown_and_asked_once(door, tcp, submission, reply):
    heard = []

    async def talk(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply or b"")
        await writer.drain()

    async with tcp(talk) as url:
        with pytest.raises(OutcomeUnknown) as lost:
            await CekuraClient(door(url, dialect=DIALECT)).submit_automated(submission)
    assert "never submit again" in lost.value.next_step
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (["Invalid personalities provided."], "Invalid personalities provided."),
        ({"frequency": ["Ensure this value is less than or equal to 100."]}, "frequency: Ensure this value is less"),
        ({"scenarios": [{}, {"scenario": ["A valid integer is required."]}]}, "scenarios[1].scenario: A valid"),
        ({"personality_ids": {"0": ["A valid integer is required."]}}, "personality_ids.0: A valid integer"),
        ([{}, {"scenario": ["Unknown."]}], "[1].scenario: Unknown."),
        ({"detail": "No Pipecat credentials."}, "No Pipecat credentials."),
    ],
)
async def test_a_refusal_carries_the_words_of_cekura(door, body, words):
    client = cekura(door, lambda _: httpx.Response(400, json=body))
    with pytest.raises(RemoteRejected) as refused:
        await client.submit_automated(FULL)
    assert words in str(refused.value)
    assert refused.value.next_step


async def test_what_an_override_holds_is_neither_echoed_nor_shown(door):
    secret = "sk-of-the-bot-0123456789"
    submission = replace(BARE, agent_data={"config": {"keys": [{"tts": secret}]}, "pipecat_agent_name": "support-bot"})
    client = cekura(door, lambda request: httpx.Response(400, json=[f"bad: {request.content.decode()}"]))
    with pytest.raises(RemoteRejected) as refused:
        await client.submit_automated(submission)
    assert secret not in str(refused.value)
    assert "support-bot" in str(refused.value)
    assert secret not in repr(submission)


async def test_a_result_is_found_by_the_whole_of_its_name(door):
    asked = []
    names = ["nightly 01J", "nightly 01J retry", "NIGHTLY 01J", None]
    results = [
        {"id": index, "name": name, "created_at": "2026-11-20T10:00:00Z", "runs": []}
        for index, name in enumerate(names)
    ]

    def handler(request):
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"count": 4, "next": None, "results": results})

    client = cekura(door, handler)
    found = await client.list_results(cekura_agent_id=5, since=LONG_AGO, name="nightly 01J")
    assert [(result.cekura_result_id, result.name) for result in found] == [(0, "nightly 01J")]
    assert len(await client.list_results(cekura_agent_id=None, since=LONG_AGO)) == 4
    page = {"page": "1", "page_size": "50"}
    assert asked == [page | {"agent_id": "5", "search": "nightly 01J"}, page]


async def test_a_name_too_long_for_cekura_is_sent_and_found_as_cekura_keeps_it(door):
    """Cekura keeps 255 characters without blanks around them, and the look-up of a lost answer depends on them."""
    kept = []

    def handler(request):
        if request.method == "POST":
            kept.append(json.loads(request.content)["name"])
            return httpx.Response(200, json={"id": 1, "name": kept[0], "runs": []})
        assert request.url.params["search"] == kept[0]
        return httpx.Response(200, json={"next": None, "results": [{"id": 1, "name": kept[0], "runs": []}]})

    client = cekura(door, handler)
    name = " " + "n" * 254 + " and more "
    await client.submit_automated(replace(BARE, name=name))
    assert kept == ["n" * 254]
    assert len(await client.list_results(cekura_agent_id=None, since=LONG_AGO, name=name)) == 1


PROFILED = replace(
    BARE,
    cekura_agent_id=5,
    scenarios=(AutomatedScenario(scenario_id=101), AutomatedScenario(scenario_id=102)),
    frequency=3,
    personality_id=2,
    test_profile_id=31,
    calls=2,
    mock_tool_names=(),
)
AT_SANDBOX = {
    Channel.PIPECAT_V2: replace(PROFILED, agent_data={"config": {"greeting": "Hello."}}),
    Channel.LIVEKIT_V2: replace(PROFILED, channel=Channel.LIVEKIT_V2, cekura_agent_id=6),
    Channel.VOICE: replace(PROFILED, channel=Channel.VOICE, cekura_agent_id=7, number_mode="different_numbers"),
}


@pytest.mark.parametrize("multiply", [True, False])
@pytest.mark.parametrize("channel", AT_SANDBOX)
async def test_runs_are_scenarios_times_frequency_however_cekura_reads_its_lists(world, until, channel, multiply):
    place = await world(lists_multiply=multiply)
    accepted = await place.cekura.submit_automated(AT_SANDBOX[channel])
    assert Counter(run.scenario_id for run in accepted.runs) == {101: 3, 102: 3}
    assert {run.test_profile_id for run in accepted.runs} == {31}
    assert (accepted.name, accepted.cekura_agent_id) == ("nightly 01J", AT_SANDBOX[channel].cekura_agent_id)
    ids = [run.cekura_run_id for run in accepted.runs]
    runs = await until(lambda: place.cekura.get_runs(ids), lambda runs: all(run.status.finished for run in runs))
    assert [run.success for run in runs] == [True] * 6


@pytest.mark.parametrize("channel", AT_SANDBOX)
async def test_a_submission_whose_answer_was_lost_is_found_by_its_name(world, channel):
    place = await world(faults=("submit.lost_answer=1",))
    submission = AT_SANDBOX[channel]
    with pytest.raises(OutcomeUnknown):
        await place.cekura.submit_automated(submission)
    await place.cekura.submit_automated(replace(submission, name=f"{submission.name} again"))
    look_up = {"cekura_agent_id": submission.cekura_agent_id, "since": LONG_AGO}
    [found] = await place.cekura.list_results(**look_up, name=submission.name)
    assert (found.name, len(found.runs)) == (submission.name, 6)
    assert len(await place.cekura.list_results(**look_up)) == 2


async def test_automated_calls_are_ended_together(world, until):
    place = await world(call_seconds=(600.0, 600.0))
    accepted = await place.cekura.submit_automated(AT_SANDBOX[Channel.PIPECAT_V2])
    await place.cekura.end_calls(accepted.cekura_result_id)
    ids = [run.cekura_run_id for run in accepted.runs]
    await until(lambda: place.cekura.get_runs(ids), lambda runs: all(run.status.finished for run in runs))


@pytest.mark.parametrize(
    ("submission", "words"),
    [
        (replace(PROFILED, personality_id=9), "Invalid personalities provided."),
        (replace(AT_SANDBOX[Channel.VOICE], personality_id=9), "Invalid personalities provided."),
        (replace(PROFILED, frequency=0), "frequency: "),
        (replace(PROFILED, frequency=101), "frequency: "),
        (replace(PROFILED, calls=0), "concurrency_limit: "),
        (replace(PROFILED, cekura_agent_id=8, personality_id=1), "Pipecat Cloud API key"),
        (replace(PROFILED, cekura_agent_id=999), "agent: "),
        (replace(PROFILED, test_profile_id=999), "test_profile_ids: "),
        (replace(PROFILED, scenarios=(AutomatedScenario(scenario_id=101), AutomatedScenario(scenario_id=0))), "[1].sc"),
        (replace(AT_SANDBOX[Channel.VOICE], cekura_agent_id=None), "agent_id: "),
    ],
)
async def test_each_refusal_of_the_sandbox_is_told_in_its_words(world, submission, words):
    place = await world()
    with pytest.raises(RemoteRejected) as refused:
        await place.cekura.submit_automated(submission)
    assert type(refused.value) is RemoteRejected
    assert words in str(refused.value)
    assert await place.cekura.list_results(cekura_agent_id=None, since=LONG_AGO) == []
