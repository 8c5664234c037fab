"""Each channel takes its own keys; one that it does not take is refused with the channels that do."""

import pytest

from orchestrator.domain.channel import Channel
from orchestrator.domain.plan import AgentKind
from orchestrator.plans import estimate, expand, plan_document, plan_from_document, plan_from_text

V1 = "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{scenario: 101}]\n"
DIGEST_BEFORE = "ef97394981b3ce8da3025ae3a87b0adc83e16f2f6db6b66f4661378606543657"
HEADS = {
    "pipecat_v1": V1,
    "pipecat_v2": "version: 1\nchannel: pipecat_v2\nscenarios: [{scenario: 101}]\n",
    "livekit_v2": "version: 1\nchannel: livekit_v2\nscenarios: [{scenario: 101}]\n",
    "voice": "version: 1\nchannel: voice\nscenarios: [{scenario: 101}]\n",
}
CEKURA = {
    "frequency": ("2", "pipecat_v2, livekit_v2, voice do"),
    "personality_ids": ("[7]", "pipecat_v2, livekit_v2, voice do"),
    "test_profile_ids": ("[3]", "pipecat_v2, livekit_v2, voice do"),
    "concurrency_limit": ("2", "pipecat_v2, livekit_v2, voice do"),
    "pipecat_data": ("{config: {a: 1}}", "pipecat_v2 does"),
    "livekit_data": ("{url: 'wss://h'}", "livekit_v2 does"),
    "assistant_id": ("asst_1", "voice does"),
    "outbound_phone_number": ("'+15550100001'", "voice does"),
    "agent_number": ("'+15550100001'", "voice does"),
    "mode": ("different_numbers", "voice does"),
}
SECTIONS = {
    "limits.concurrency": "limits: {concurrency: 3}",
    "limits.starts_per_second": "limits: {starts_per_second: 3}",
    "timeouts.ready": "timeouts: {ready: 60}",
    "timing.gather": "timing: {gather: 1}",
    "timing.teardown_grace": "timing: {teardown_grace: 1}",
    "timing.presence_interval": "timing: {presence_interval: 15}",
    "readiness": "readiness: probe",
    "prefer": "prefer: cost",
    "ramp": "ramp: {profile: soak, calls: 2}",
    "agent": "agent: {kind: pipecat_cloud, name: bot}",
}


def automated(channel, cekura="", scenarios="[{scenario: 101}, {scenario: 102}]"):
    text = f"version: 1\nchannel: {channel}\ncekura: {{agent: 5, {cekura}}}\nscenarios: {scenarios}\n"
    return plan_from_text(text).plan


@pytest.mark.parametrize("channel", list(HEADS))
@pytest.mark.parametrize("key", list(CEKURA))
def test_a_key_of_another_channel_is_refused_with_the_channels_that_take_it(channel, key, problems_of):
    value, takers = CEKURA[key]
    text = HEADS[channel] + f"cekura: {{agent: 5, {key}: {value}}}\n"
    if channel in takers:
        if key == "assistant_id":
            text = text.replace("agent: 5, ", "")
        assert plan_from_text(text).plan.channel == channel
        return
    [(path, line, message, remedy)] = problems_of(text)
    assert (path, line) == (f"cekura.{key}", 4)
    assert message == f"channel {channel} does not take {key}; {takers}"
    assert remedy


@pytest.mark.parametrize("channel", [name for name in HEADS if name != "pipecat_v1"])
@pytest.mark.parametrize("path", list(SECTIONS))
def test_what_steers_sessions_of_ours_is_refused_where_there_are_none(channel, path, problems_of):
    text = HEADS[channel] + "cekura: {agent: 5}\n" + SECTIONS[path] + "\n"
    [(found, _, message, _)] = problems_of(text)
    assert found == path
    assert message.endswith("; pipecat_v1 does")


@pytest.mark.parametrize("key", ["repeat: 2", "body: {a: 1}"])
def test_what_a_scenario_gives_its_session_is_refused_on_an_automated_channel(key, problems_of):
    text = f"version: 1\nchannel: pipecat_v2\nscenarios: [{{scenario: 101}}, {{scenario: 102, {key}}}]\n"
    [(path, _, message, _)] = problems_of(text)
    assert path == f"scenarios.1.{key.split(':')[0]}"
    assert "pipecat_v1 does" in message


def test_a_phone_call_takes_no_data_message(problems_of):
    text = "version: 1\nchannel: voice\ncekura: {agent: 8}\nscenarios: [{scenario: 1, publish_data_message: {}}]\n"
    [(path, _, message, _)] = problems_of(text)
    assert path == "scenarios.0.publish_data_message"
    assert message.endswith("; pipecat_v1, pipecat_v2, livekit_v2 do")


@pytest.mark.parametrize(("channel", "frequency"), [("pipecat_v2", 0), ("pipecat_v2", 101), ("livekit_v2", 101)])
def test_a_frequency_beyond_what_the_endpoint_takes_is_refused(channel, frequency, problems_of):
    text = HEADS[channel] + f"cekura: {{agent: 5, frequency: {frequency}}}\n"
    [(path, line, message, _)] = problems_of(text)
    assert (path, line) == ("cekura.frequency", 4)
    assert "must be from 1 to" in message


def test_the_phone_endpoint_names_no_maximum_frequency():
    assert automated("voice", "frequency: 101").run_count == 202


@pytest.mark.parametrize("channel", ["pipecat_v2", "livekit_v2", "voice"])
def test_runs_are_scenarios_times_frequency_times_personalities_times_profiles(channel):
    plan = automated(channel, "frequency: 3, personality_ids: [7, 9], test_profile_ids: [31, 32, 33]")
    assert plan.run_count == 2 * 3 * 2 * 3
    planned = expand(plan)
    assert len(planned) == plan.run_count == estimate(plan).runs
    assert {one.scenario.scenario_id for one in planned} == {101, 102}
    assert len({(one.personality_id, one.test_profile_id) for one in planned}) == 6


def test_runs_beyond_what_a_batch_holds_are_refused(problems_of):
    text = (
        "version: 1\nchannel: voice\ncekura: {agent: 8, frequency: 5001}\nscenarios: [{scenario: 1}, {scenario: 2}]\n"
    )
    [(path, _, message, _)] = problems_of(text)
    assert path == "scenarios"
    assert "make 10002 runs" in message


def test_a_scenario_named_twice_would_not_be_told_apart_in_the_answer(problems_of):
    text = "version: 1\nchannel: pipecat_v2\nscenarios: [{scenario: 101}, {scenario: 101}]\n"
    [(path, _, message, remedy)] = problems_of(text)
    assert path == "scenarios.1.scenario"
    assert "second time" in message
    assert "cekura.frequency" in remedy


def test_a_data_message_for_many_runs_cannot_name_one(problems_of):
    text = (
        "version: 1\nchannel: pipecat_v2\n"
        'scenarios: [{scenario: 101, publish_data_message: {run: "{{ run.id }}", batch: "{{ batch.id }}"}}]\n'
    )
    [(path, _, message, remedy)] = problems_of(text)
    assert path == "scenarios.0.publish_data_message.run"
    assert "{{ run.id }} is of one run" in message
    assert "{{ batch.id }}" in remedy


def test_a_phone_call_asks_for_its_agent_once(problems_of):
    [(path, _, message, _)] = problems_of(HEADS["voice"])
    assert (path, "is missing" in message) == ("cekura.agent", True)
    [(path, _, message, _)] = problems_of(HEADS["voice"] + "cekura: {agent: 8, assistant_id: a}\n")
    assert (path, "second time" in message) == ("cekura.assistant_id", True)


def test_a_channel_that_does_not_exist_is_refused_once(problems_of):
    [(path, _, message, remedy)] = problems_of(V1 + "channel: pipecat_v3\n")
    assert path == "channel"
    assert "must be pipecat_v1, pipecat_v2, livekit_v2 or voice" in message
    assert remedy.startswith("did you mean pipecat_v")


def test_a_plan_without_a_channel_is_ours_to_drive():
    plan = plan_from_text(V1).plan
    assert (plan.channel, plan.automated, plan.channel.automated) == (Channel.PIPECAT_V1, None, False)


def test_an_automated_plan_comes_back_from_its_document():
    plan = automated("livekit_v2", "frequency: 2, livekit_data: {agent_name: a, config: null}")
    assert plan_from_document(plan_document(plan)) == plan
    assert plan.agent.kind is AgentKind.CEKURA
    assert plan.agent.label == "Cekura's agent 5"
    assert plan.automated.agent_data == {"agent_name": "a", "config": None}


def test_a_plan_of_the_first_format_keeps_its_digest():
    """Whoever sent a plan with a key before an upgrade may send both again after it."""
    assert plan_from_text(V1, name="small").plan.digest == DIGEST_BEFORE
