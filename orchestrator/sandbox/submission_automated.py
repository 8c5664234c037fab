"""What Cekura makes of a submission to one of its automated channels: runs to make, or what its 400 says.

Fields from `SchemaPostRunScenariosPipecatV2`, `RunLivekitScenarios` and `SchemaPostRunScenarios`. Cekura itself may
pass over a field of another channel; here it is refused, so that who confuses two channels hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from orchestrator.sandbox.calls import Numbers
from orchestrator.sandbox.catalogue import (
    AGENTS,
    PERSONALITIES,
    PROFILES,
    PROJECTS,
    PROVIDER_OF,
    SCENARIOS,
    Agent,
    Channel,
    agent_of_assistant,
    select,
)
from orchestrator.sandbox.cekura import Submission, SubmittedRun
from orchestrator.sandbox.fields import (
    EMPTY,
    NOT_A_LIST,
    NOT_A_MAP,
    NOT_SUPPORTED,
    REQUIRED,
    FieldErrors,
    Rule,
    anything,
    choice,
    integer,
    is_integer,
    list_of,
    map_of,
    no_such,
    nullable,
    refusals,
    text,
)
from orchestrator.sandbox.submission import OWN, scenario_errors

NAME_LIMIT: Final = 255
MOST_TIMES: Final = 100
ONE_WAY: Final = "Provide exactly one of scenarios, tags and folder_path."
NOTHING_SELECTED: Final = "No scenarios match."
NOT_ENABLED: Final = "Invalid personalities provided."
UNCONFIGURED: Final = {
    "pipecat_v2": "Agent does not have a Pipecat Cloud API key and agent name",
    "livekit_v2": "Agent does not have LiveKit credentials",
    "voice": "Agent does not have a phone number",
}
Pair = tuple[int | None, int | None]
# A call of Cekura's comes from one of these numbers, counted up.
FIRST_NUMBER: Final = 15_550_200

_MATRIX: Final[Mapping[str, Rule]] = {
    "personality_ids": nullable(list_of(integer())),
    "test_profile_ids": nullable(list_of(integer())),
    "personality_id": nullable(integer()),
    "test_profile_id": nullable(integer()),
}
_WEBRTC: Final[Mapping[str, Rule]] = {
    **_MATRIX,
    "agent": nullable(integer()),
    "name": nullable(text(longest=NAME_LIMIT)),
    "frequency": integer(at_least=1, at_most=MOST_TIMES),
    "concurrency_limit": nullable(integer(at_least=1)),
    "mock_tool_names": nullable(list_of(text())),
}
RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "pipecat_v2": {
        **_WEBRTC,
        "pipecat_data": map_of(
            {"pipecat_agent_name": nullable(text()), "config": anything, "room_properties": anything}
        ),
    },
    "livekit_v2": {
        **_WEBRTC,
        "livekit_data": map_of({"config": anything, "agent_name": nullable(text()), "url": nullable(text())}),
    },
    "voice": {
        **_MATRIX,
        "agent_id": integer(),
        "assistant_id": text(),
        "agent_version_id": nullable(integer()),
        "tags": list_of(text(), empty=False),
        "folder_path": text(),
        "project_id": integer(),
        "frequency": integer(at_least=1),
        "name": text(longest=NAME_LIMIT),
        "outbound_phone_number": text(),
        "agent_number": text(),
        "mode": choice("same_number", "different_numbers"),
        "concurrency_limit": integer(at_least=1),
        "mock_tool_names": list_of(text()),
    },
}
_ALL: Final = frozenset(OWN) | frozenset(name for rules in RULES.values() for name in rules)


def foreign_to(channel: Channel) -> frozenset[str]:
    """The fields that other channels' endpoints know and this one's does not."""
    return _ALL - frozenset(RULES.get(channel, OWN))


def read_automated(channel: Channel, body: Any, *, unknown: Sequence[int], multiplies: bool) -> Submission:
    """The runs that the body asks for; FieldErrors where it is not right."""
    if not isinstance(body, Mapping):
        raise FieldErrors({"non_field_errors": [NOT_A_MAP]})
    errors: dict[str, Any] = {name: [NOT_SUPPORTED] for name in body if name in foreign_to(channel)}
    errors |= refusals(body, RULES[channel])
    errors |= {name: said for name, said in _reference_errors(body).items() if name not in errors}
    errors |= _voice_errors(body, unknown, errors) if channel == "voice" else _item_errors(body, unknown)
    if errors:
        raise FieldErrors(errors)
    items = _selected(body) if channel == "voice" else [_Item(**_known(item)) for item in body["scenarios"]]
    agent = _agent_of(channel, body, items)
    _check_agent(channel, body, agent)
    matrix = _matrix(body, multiplies=multiplies or channel == "voice")
    return Submission(
        channel=channel,
        agent=agent.id,
        name=body.get("name") or "",
        calls_limit=body.get("concurrency_limit"),
        runs=_numbered(_multiplied(items, body.get("frequency", 1), matrix), body, agent, channel),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    scenario: int
    publish_data_message: Any = None


def _known(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("scenario", "publish_data_message") if name in item}


def _item_errors(body: Mapping[str, Any], unknown: Sequence[int]) -> dict[str, Any]:
    """Against the objects of the WebRTC channels, one map each."""
    items = body.get("scenarios")
    if items is None:
        return {"scenarios": [REQUIRED]}
    if not isinstance(items, list):
        return {"scenarios": [NOT_A_LIST]}
    if not items:
        return {"scenarios": [EMPTY]}
    each = [_errors_of_item(item, unknown) for item in items]
    return {"scenarios": each} if any(each) else {}


def _errors_of_item(item: Any, unknown: Sequence[int]) -> dict[str, list[str]]:
    if not isinstance(item, Mapping):
        return {"non_field_errors": [NOT_A_MAP]}
    errors = {name: [NOT_SUPPORTED] for name in ("pipecat_room_url", "pipecat_token") if name in item}
    wrong = [REQUIRED] if item.get("scenario") is None else scenario_errors(item["scenario"], unknown)
    return errors | ({"scenario": wrong} if wrong else {})


def _voice_errors(body: Mapping[str, Any], unknown: Sequence[int], errors: Mapping[str, Any]) -> dict[str, Any]:
    """Against the ways to name an agent and scenarios that a voice run has; `errors` are those found already."""
    found: dict[str, Any] = {}
    if "agent_id" not in body and "assistant_id" not in body:
        found["agent_id"] = [REQUIRED]
    elif "agent_id" in body and "assistant_id" in body:
        found["assistant_id"] = ["Provide either agent_id or assistant_id."]
    ways = [name for name in ("scenarios", "tags", "folder_path") if name in body]
    if not ways:
        found["scenarios"] = [REQUIRED]
    elif len(ways) > 1:
        found["non_field_errors"] = [ONE_WAY]
    if "scenarios" in body and (wrong := _id_errors(body["scenarios"], unknown)):
        found["scenarios"] = wrong
    if "folder_path" in body and "project_id" not in body:
        found["project_id"] = [REQUIRED]
    if not found and not errors and not _selected(body):
        found[ways[0]] = [NOTHING_SELECTED]
    return found


def _id_errors(scenarios: Any, unknown: Sequence[int]) -> list[str]:
    return list_of(lambda one: scenario_errors(one, unknown), empty=False)(scenarios)


def _selected(body: Mapping[str, Any]) -> list[_Item]:
    """The scenarios of a voice run: those named, or the agent's that have one of the tags or lie in the folder."""
    if "scenarios" in body:
        return [_Item(scenario=scenario) for scenario in body["scenarios"]]
    agent = AGENTS.get(body["agent_id"]) if "agent_id" in body else agent_of_assistant(body["assistant_id"])
    found = select(
        agent=agent.id if agent else None,
        project=body.get("project_id"),
        tags=tuple(body.get("tags", ())),
        folder=body.get("folder_path"),
    )
    return [_Item(scenario=one.id) for one in found]


def _reference_errors(body: Mapping[str, Any]) -> dict[str, list[str]]:
    """Against ids of agents, projects and profiles that are none."""
    errors: dict[str, list[str]] = {}
    for name, known in (
        ("agent", AGENTS),
        ("agent_id", AGENTS),
        ("project_id", PROJECTS),
        ("test_profile_id", PROFILES),
    ):
        value = body.get(name)
        if is_integer(value) and value not in known:
            errors[name] = [no_such(value)]
    if isinstance(assistant := body.get("assistant_id"), str) and agent_of_assistant(assistant) is None:
        errors["assistant_id"] = [no_such(assistant)]
    profiles = body.get("test_profile_ids")
    if isinstance(profiles, list):
        strange = [one for one in profiles if is_integer(one) and one not in PROFILES]
        errors |= {"test_profile_ids": [no_such(one) for one in strange]} if strange else {}
    return errors


def _agent_of(channel: Channel, body: Mapping[str, Any], items: Sequence[_Item]) -> Agent:
    """Whom the body names, else the first scenario's agent, else the first one of the channel's kind."""
    if channel == "voice":
        assistant = agent_of_assistant(body.get("assistant_id", ""))
        return assistant or AGENTS[body["agent_id"]]
    if body.get("agent") is not None:
        return AGENTS[body["agent"]]
    known = SCENARIOS.get(items[0].scenario)
    if known is not None:
        return AGENTS[known.agent]
    return next(agent for agent in AGENTS.values() if agent.provider == PROVIDER_OF[channel])


def _check_agent(channel: Channel, body: Mapping[str, Any], agent: Agent) -> None:
    """Raise the bare lists with which Cekura refuses what the agent is not set up for."""
    if not _is_set_up(channel, body, agent):
        raise FieldErrors([UNCONFIGURED[channel]])
    wanted = _merged(body, "personality")
    if any(one not in PERSONALITIES or one not in agent.personalities for one in wanted):
        raise FieldErrors([NOT_ENABLED])


def _is_set_up(channel: Channel, body: Mapping[str, Any], agent: Agent) -> bool:
    if channel == "voice":
        return bool(body.get("agent_number") or agent.phone_number)
    if agent.provider != PROVIDER_OF[channel] or not agent.keyed:
        return False
    return channel == "livekit_v2" or bool(
        body.get("pipecat_data", {}).get("pipecat_agent_name") or agent.provider_name
    )


def _merged(body: Mapping[str, Any], what: str) -> list[int]:
    """The ids of the plural field and then the singular one's, each once."""
    singular = body.get(f"{what}_id")
    return list(dict.fromkeys([*(body.get(f"{what}_ids") or ()), *([] if singular is None else [singular])]))


def _matrix(body: Mapping[str, Any], *, multiplies: bool) -> list[list[Pair]]:
    """Who a scenario's runs are made for, in turns: one turn of all pairs, or as many turns as there are pairs."""
    personalities: list[int | None] = [*_merged(body, "personality")] or [None]
    profiles: list[int | None] = [*_merged(body, "test_profile")] or [None]
    pairs = list(product(personalities, profiles))
    return [pairs] if multiplies else [[pair] for pair in pairs]


def _multiplied(items: Sequence[_Item], frequency: int, matrix: Sequence[Sequence[Pair]]) -> list[SubmittedRun]:
    return [
        SubmittedRun(
            scenario=item.scenario, message=item.publish_data_message, personality=personality, profile=profile
        )
        for item in items
        for turn in range(frequency)
        for personality, profile in matrix[turn % len(matrix)]
    ]


def _numbered(
    runs: Sequence[SubmittedRun], body: Mapping[str, Any], agent: Agent, channel: Channel
) -> Sequence[SubmittedRun]:
    """The runs with the telephone numbers of a voice run; `different_numbers` gives each its own."""
    if channel != "voice":
        return runs
    given, apart = body.get("outbound_phone_number"), body.get("mode") == "different_numbers"
    called = body.get("agent_number") or agent.phone_number
    return [
        replace(run, numbers=Numbers(own=given or f"+{FIRST_NUMBER + (n if apart else 0)}", agent=called))
        for n, run in enumerate(runs)
    ]
