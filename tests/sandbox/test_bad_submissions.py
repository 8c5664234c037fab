"""What Cekura refuses of a run request, channel by channel: nothing runs, and the answer says why."""

import pytest

OWN = {
    "pipecat_v1": {"scenarios": [{"scenario": 101, "pipecat_room_url": "https://x.daily.co/r"}]},
    "pipecat_v2": {"scenarios": [{"scenario": 101}]},
    "livekit_v2": {"scenarios": [{"scenario": 201}]},
    "voice": {"agent_id": 7, "scenarios": [301]},
}
WEBRTC = ["pipecat_v2", "livekit_v2"]
AUTOMATED = [*WEBRTC, "voice"]


@pytest.fixture
def refused(play):
    """The JSON of the 400 against a body, once it is sure that nothing ran."""

    async def submit(channel, body):
        caller = await play(unknown_scenarios=(404,))
        if channel == "pipecat_v1":
            answer = await caller.http.post(caller.submit_path, json=body, headers=caller.cekura)
        else:
            answer = await caller.post_automated(channel, body)
        world = caller.sandbox.world()
        assert (answer.status_code, world["submits"], world["results"]) == (400, 0, [])
        return answer.json()

    return submit


@pytest.mark.parametrize(
    ("channel", "field", "value"),
    [
        *[("pipecat_v1", field, value) for field, value in [("frequency", 2), ("name", "n"), ("tags", ["smoke"])]],
        *[("pipecat_v1", field, 1) for field in ("agent_id", "concurrency_limit", "personality_id")],
        ("pipecat_v1", "pipecat_data", {}),
        ("pipecat_v2", "livekit_data", {}),
        ("pipecat_v2", "agent_id", 5),
        ("pipecat_v2", "folder_path", "support"),
        ("livekit_v2", "pipecat_data", {}),
        ("livekit_v2", "tags", ["smoke"]),
        ("livekit_v2", "mode", "same_number"),
        ("voice", "agent", 7),
        ("voice", "pipecat_data", {}),
        ("voice", "livekit_data", {}),
    ],
)
async def test_a_field_of_another_channel_is_refused(refused, channel, field, value):
    assert await refused(channel, OWN[channel] | {field: value}) == {field: ["This field is not supported."]}


@pytest.mark.parametrize("channel", WEBRTC)
@pytest.mark.parametrize("field", ["pipecat_room_url", "pipecat_token"])
async def test_a_room_of_the_callers_own_is_refused_where_cekura_brings_its_own(refused, channel, field):
    said = await refused(channel, {"scenarios": [{"scenario": 101, field: "https://x.daily.co/r"}]})

    assert said == {"scenarios": [{field: ["This field is not supported."]}]}


@pytest.mark.parametrize(
    ("channel", "frequency"),
    [(channel, bad) for channel in WEBRTC for bad in (0, 101, -1, "2", 1.5, True, None)]
    + [("voice", bad) for bad in (0, -1, "2", None)],
)
async def test_a_frequency_out_of_its_range_is_refused(refused, channel, frequency):
    assert list(await refused(channel, OWN[channel] | {"frequency": frequency})) == ["frequency"]


@pytest.mark.parametrize(("channel", "frequency"), [("pipecat_v2", 100), ("livekit_v2", 100), ("voice", 101)])
async def test_the_highest_frequency_is_a_hundred_but_for_voice(play, channel, frequency):
    caller = await play()

    assert len((await caller.run_automated(channel, frequency=frequency))["runs"]) == frequency


@pytest.mark.parametrize(
    ("channel", "scenarios"),
    [(channel, bad) for channel in WEBRTC for bad in ([], None, "101", [101], [{}], [{"scenario": 404}])]
    + [(channel, [{"scenario": bad}]) for channel in WEBRTC for bad in ("101", 0, [], True, None)]
    + [("voice", bad) for bad in ([], None, 301, ["301"], [{"scenario": 301}], [404], [[]])],
)
async def test_scenarios_that_are_none_are_refused(refused, channel, scenarios):
    assert list(await refused(channel, OWN[channel] | {"scenarios": scenarios})) == ["scenarios"]


@pytest.mark.parametrize("channel", AUTOMATED)
@pytest.mark.parametrize("body", [{"agent_id": 7}, {}])
async def test_scenarios_are_required(refused, channel, body):
    assert (await refused(channel, body if channel == "voice" else {}))["scenarios"] == ["This field is required."]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tags": []}, "tags"),
        ({"tags": ["no-such-tag"]}, "tags"),
        ({"tags": "smoke"}, "tags"),
        ({"tags": ["orders"]}, "tags"),  # tags of another agent's scenarios
        ({"folder_path": "no.such.folder", "project_id": 1}, "folder_path"),
        ({"folder_path": "support.orders", "project_id": 1}, "folder_path"),  # another agent's folder
        ({"folder_path": "hotline"}, "project_id"),
        ({"folder_path": "hotline", "project_id": 404}, "project_id"),
        ({"folder_path": "hotline", "project_id": "one"}, "project_id"),
        ({"folder_path": "hotline", "project_id": 1, "tags": ["smoke"]}, "non_field_errors"),
        ({"scenarios": [301], "tags": ["smoke"]}, "non_field_errors"),
        ({"scenarios": [301], "folder_path": "hotline", "project_id": 1}, "non_field_errors"),
    ],
)
async def test_a_voice_selection_that_names_nothing_or_too_much_is_refused(refused, body, field):
    assert list(await refused("voice", {"agent_id": 7} | body)) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scenarios": [301]}, "agent_id"),
        ({"scenarios": [301], "agent_id": 404}, "agent_id"),
        ({"scenarios": [301], "agent_id": "7"}, "agent_id"),
        ({"scenarios": [301], "assistant_id": "nobody"}, "assistant_id"),
        ({"scenarios": [301], "assistant_id": 7}, "assistant_id"),
        ({"scenarios": [301], "agent_id": 7, "assistant_id": "asst-hotline"}, "assistant_id"),
    ],
)
async def test_a_voice_run_needs_one_agent_that_exists(refused, body, field):
    assert list(await refused("voice", body)) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "any_number"),
        ("mode", None),
        ("outbound_phone_number", 15550100),
        ("agent_number", 15550100),
        ("mock_tool_names", [1]),
        ("concurrency_limit", None),
        ("name", None),
    ],
)
async def test_a_voice_field_of_the_wrong_kind_is_refused(refused, field, value):
    assert list(await refused("voice", OWN["voice"] | {field: value})) == [field]


@pytest.mark.parametrize("channel", AUTOMATED)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 256),
        ("name", 7),
        ("concurrency_limit", 0),
        ("concurrency_limit", "2"),
        ("personality_ids", 1),
        ("personality_ids", ["one"]),
        ("personality_id", {}),
        ("test_profile_ids", [404]),
        ("test_profile_ids", [{}]),
        ("test_profile_id", 404),
        ("mock_tool_names", "all"),
    ],
)
async def test_a_field_of_the_wrong_kind_is_refused(refused, channel, field, value):
    assert list(await refused(channel, OWN[channel] | {field: value})) == [field]


@pytest.mark.parametrize("channel", WEBRTC)
@pytest.mark.parametrize("agent", [404, "5", {}, True])
async def test_an_agent_that_is_none_is_refused(refused, channel, agent):
    assert list(await refused(channel, OWN[channel] | {"agent": agent})) == ["agent"]


@pytest.mark.parametrize(
    ("channel", "field", "value"),
    [
        ("pipecat_v2", "pipecat_data", {"session_config": {}}),
        ("pipecat_v2", "pipecat_data", {"pipecat_agent_name": 5}),
        ("pipecat_v2", "pipecat_data", None),
        ("pipecat_v2", "pipecat_data", "bot"),
        ("livekit_v2", "livekit_data", {"pipecat_agent_name": "bot"}),
        ("livekit_v2", "livekit_data", {"url": 5}),
    ],
)
async def test_an_override_that_the_channel_does_not_know_is_refused(refused, channel, field, value):
    assert list(await refused(channel, OWN[channel] | {field: value})) == [field]


@pytest.mark.parametrize("channel", AUTOMATED)
@pytest.mark.parametrize("asked", [{"personality_ids": [1, 9]}, {"personality_id": 9}, {"personality_ids": [404]}])
async def test_a_personality_that_is_not_enabled_is_refused_with_a_bare_list(refused, channel, asked):
    assert await refused(channel, OWN[channel] | asked) == ["Invalid personalities provided."]


@pytest.mark.parametrize(
    ("channel", "body"),
    [
        ("pipecat_v2", {"scenarios": [{"scenario": 401}]}),
        ("pipecat_v2", {"scenarios": [{"scenario": 101}], "agent": 8}),
        ("pipecat_v2", {"scenarios": [{"scenario": 101}], "agent": 9}),
        ("pipecat_v2", {"scenarios": [{"scenario": 401}], "pipecat_data": {"pipecat_agent_name": "bot"}}),
        ("pipecat_v2", {"scenarios": [{"scenario": 201}]}),
        ("livekit_v2", {"scenarios": [{"scenario": 101}]}),
        ("voice", {"agent_id": 5, "scenarios": [101]}),
    ],
)
async def test_an_agent_that_is_not_set_up_for_the_channel_is_refused_with_a_bare_list(refused, channel, body):
    (said,) = await refused(channel, body)

    assert said.startswith("Agent does not have")


@pytest.mark.parametrize("channel", AUTOMATED)
@pytest.mark.parametrize("body", [[], "scenarios", 5])
async def test_a_body_that_is_no_object_is_refused(refused, channel, body):
    assert list(await refused(channel, body)) == ["non_field_errors"]


@pytest.mark.parametrize("channel", AUTOMATED)
async def test_every_wrong_field_is_named_at_once(refused, channel):
    said = await refused(channel, OWN[channel] | {"frequency": 0, "name": 1, "test_profile_id": 404, "scenarios": []})

    assert set(said) == {"frequency", "name", "test_profile_id", "scenarios"}


async def test_a_body_that_is_no_json_is_refused(play):
    caller = await play()

    answer = await caller.http.post(
        f"{caller.api}/v1/scenarios/run_scenarios/", content=b"{scenarios", headers=caller.cekura
    )

    assert (answer.status_code, list(answer.json())) == (400, ["detail"])
