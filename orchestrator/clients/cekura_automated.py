"""The requests of Cekura's automated channels: what each endpoint takes, under the names it takes it.

Source: Cekura's OpenAPI (`SchemaPostRunScenariosPipecatV2`, `RunLivekitScenarios`, `SchemaPostRunScenarios`); `agent`
of Pipecat v2 stands in its later issue only, and Cekura's own client sends it. Whatever was left open is left out: an
explicit null is not the same request everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.domain.channel import Channel
from orchestrator.domain.observation import AutomatedScenario, AutomatedSubmission

ENDPOINTS: Final[Mapping[Channel, str]] = {
    Channel.PIPECAT_V2: "run_scenarios_pipecat_v2",
    Channel.LIVEKIT_V2: "run_scenarios_livekit_v2",
    Channel.VOICE: "run_scenarios",
}
AGENT_DATA: Final[Mapping[Channel, str]] = {Channel.PIPECAT_V2: "pipecat_data", Channel.LIVEKIT_V2: "livekit_data"}
LONGEST_NAME: Final = 255
SHORTEST_SECRET: Final = 8  # characters of an override's text; masking shorter ones would garble ordinary words


def result_name(name: str) -> str:
    """A name as Cekura keeps it: 255 characters, no blanks around it."""
    return name.strip()[:LONGEST_NAME].rstrip()


def automated_endpoint(channel: Channel) -> str:
    """The last part of the path that takes this channel's submissions; ValueError for the manual channel."""
    endpoint = ENDPOINTS.get(channel)
    if endpoint is None:
        raise ValueError(f"{channel.value} has rooms of ours: it is submitted room by room")
    return endpoint


def automated_body(submission: AutomatedSubmission) -> dict[str, Any]:
    """The request of one submission; ValueError for a field its channel does not take (plans refuse those)."""
    untaken = [name for name, given in _foreign(submission).items() if given]
    if untaken:
        raise ValueError(f"{submission.channel.value} does not take {', '.join(untaken)}")
    asked = _of_voice(submission) if submission.channel is Channel.VOICE else _of_rooms(submission)
    asked |= _of_every_channel(submission)
    return {key: value for key, value in asked.items() if value is not None}


def automated_secrets(submission: AutomatedSubmission) -> tuple[str, ...]:
    """What of the override no message may repeat: its config goes to the bot, and may hold keys. Longest first."""
    config = (submission.agent_data or {}).get("config")
    return tuple(sorted({text for text in _texts(config) if len(text) >= SHORTEST_SECRET}, key=len, reverse=True))


def _of_every_channel(submission: AutomatedSubmission) -> dict[str, Any]:
    mocked = submission.mock_tool_names
    return {
        "name": result_name(submission.name),
        "frequency": submission.frequency,
        # The lists are documented everywhere, their singular forms only in some places.
        "personality_ids": _list_of_one(submission.personality_id),
        "test_profile_ids": _list_of_one(submission.test_profile_id),
        "concurrency_limit": submission.calls,
        "mock_tool_names": None if mocked is None else list(mocked),
    }


def _of_rooms(submission: AutomatedSubmission) -> dict[str, Any]:
    return {
        "agent": submission.cekura_agent_id,
        "scenarios": [_element(scenario) for scenario in submission.scenarios],
        AGENT_DATA[submission.channel]: submission.agent_data,
    }


def _of_voice(submission: AutomatedSubmission) -> dict[str, Any]:
    return {
        "agent_id": submission.cekura_agent_id,
        "assistant_id": submission.assistant_id,
        "scenarios": [scenario.scenario_id for scenario in submission.scenarios],
        "outbound_phone_number": submission.outbound_phone_number,
        "agent_number": submission.agent_number,
        "mode": submission.number_mode,
    }


def _foreign(submission: AutomatedSubmission) -> dict[str, bool]:
    """The fields that other channels have and this one has not, and whether each was given."""
    if submission.channel is Channel.VOICE:
        said = any(scenario.has_data_message for scenario in submission.scenarios)
        return {"agent_data": submission.agent_data is not None, "publish_data_message": said}
    names = ("assistant_id", "outbound_phone_number", "agent_number", "number_mode")
    return {name: getattr(submission, name) is not None for name in names}


def _element(scenario: AutomatedScenario) -> dict[str, Any]:
    element: dict[str, Any] = {"scenario": scenario.scenario_id}
    if scenario.has_data_message:
        element["publish_data_message"] = scenario.publish_data_message
    return element


def _list_of_one(value: int | None) -> list[int] | None:
    return None if value is None else [value]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
