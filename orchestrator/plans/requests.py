"""Requests to Cekura's automated flows as others wrote them: which flow each is for, and what it asks.

What each endpoint takes is from Cekura's OpenAPI (`SchemaPostRunScenariosPipecatV2`, `RunLivekitScenarios`,
`SchemaPostRunScenarios`). A field that is not known is named in a note and left out; a null is as if nothing was said,
except as a data message and within an override of the agent's data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import Field

from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import Problem
from orchestrator.domain.observation import AutomatedScenario
from orchestrator.domain.plan import Json
from orchestrator.plans.cekura_model import LivekitDataSection, PipecatDataSection
from orchestrator.plans.finding import Place, dotted, shortened
from orchestrator.plans.json_text import ROOT, invalid_source
from orchestrator.plans.refusals import Shape, shape_findings
from orchestrator.plans.section import LARGEST_ID, Section

MESSAGE: Final = "publish_data_message"
OVERRIDES: Final = (PipecatDataSection, LivekitDataSection)  # where a null, too, replaces what is saved
EXPECTED: Final = (
    "give the body of a request to run_scenarios_pipecat_v2, run_scenarios_livekit_v2 or run_scenarios, what"
    " `orchestrator plan PLAN --as v2` prints, or a tests-as-code file"
)


class _RequestFields(Section):
    name: str | None = Field(default=None, examples=["nightly"])
    frequency: int = Field(default=1, ge=1, examples=[3])
    personality_ids: list[int] = Field(default=[], examples=[[7]])
    test_profile_ids: list[int] = Field(default=[], examples=[[31]])
    personality_id: int | None = Field(default=None, examples=[7])
    test_profile_id: int | None = Field(default=None, examples=[31])
    mock_tool_names: list[str] | None = Field(default=None, examples=[["lookup_order"]])
    concurrency_limit: int | None = Field(default=None, ge=1, examples=[5])


class ScenarioFields(Section):
    """One element of a request for calls in rooms."""

    scenario: int = Field(ge=1, le=LARGEST_ID, examples=[101])
    publish_data_message: Any = None


class _RoomFields(_RequestFields):
    agent: int | None = Field(default=None, examples=[5])
    scenarios: list[ScenarioFields] = Field(min_length=1, examples=[[{"scenario": 101}]])


class PipecatFields(_RoomFields):
    """The body of run_scenarios_pipecat_v2."""

    pipecat_data: PipecatDataSection | None = Field(default=None, examples=[{"pipecat_agent_name": "support-bot"}])


class LivekitFields(_RoomFields):
    """The body of run_scenarios_livekit_v2."""

    livekit_data: LivekitDataSection | None = Field(default=None, examples=[{"agent_name": "support"}])


class VoiceFields(_RequestFields):
    """The body of run_scenarios, where it names its scenarios."""

    agent_id: int | None = Field(default=None, examples=[5])
    assistant_id: str | None = Field(default=None, examples=["asst_7f3a"])
    scenarios: list[int] = Field(min_length=1, examples=[[101]])
    outbound_phone_number: str | None = Field(default=None, examples=["+15550100001"])
    agent_number: str | None = Field(default=None, examples=["+15550100002"])
    mode: Literal["same_number", "different_numbers"] | None = Field(default=None, examples=["same_number"])


MODELS: Final[Mapping[Channel, type[_RequestFields]]] = {
    Channel.PIPECAT_V2: PipecatFields,
    Channel.LIVEKIT_V2: LivekitFields,
    Channel.VOICE: VoiceFields,
}
ENDPOINTS: Final[Mapping[str, Channel]] = {
    "run_scenarios_pipecat_v2": Channel.PIPECAT_V2,
    "run_scenarios_livekit_v2": Channel.LIVEKIT_V2,
    "run_scenarios": Channel.VOICE,
}
SELECTING: Final = ("tags", "folder_path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one request asks for, whichever endpoint it is for; nothing said is None or empty.

    Each scenario is called `frequency` times for each personality and test profile. `agent_data` may hold secrets.
    """

    channel: Channel
    scenarios: tuple[AutomatedScenario, ...]
    frequency: int = 1
    name: str | None = None
    cekura_agent_id: int | None = None
    assistant_id: str | None = None
    personality_ids: tuple[int, ...] = ()
    test_profile_ids: tuple[int, ...] = ()
    mock_tool_names: tuple[str, ...] | None = None
    calls: int | None = None
    agent_data: Json | None = None
    outbound_phone_number: str | None = None
    agent_number: str | None = None
    number_mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests that belong together; `ours`: they are what `plan --as v2` printed, with its placeholders."""

    requests: tuple[Request, ...]
    notes: tuple[str, ...]
    ours: bool = False


def read_requests(data: Mapping[str, Any], *, wanted: Channel | None) -> Requests:
    """A request's body, or our own list of them; InvalidPlan with every problem.

    `wanted`, the channel to move to, decides where a body could be for Pipecat as well as for LiveKit.
    """
    if "requests" in data:
        return _read_document(data, wanted)
    channel, notes = _channel_of(data, wanted)
    request, more = _read(data, channel, ())
    return Requests(requests=(request,), notes=(*notes, *more))


def _read_document(data: Mapping[str, Any], wanted: Channel | None) -> Requests:
    items = data["requests"]
    if not isinstance(items, list) or not items:
        raise _refusal(("requests",), "must be a list of requests, and not empty")
    read, notes = [], []
    for index, item in enumerate(items):
        place: Place = ("requests", index, "body")
        body = item.get("body") if isinstance(item, Mapping) else None
        if not isinstance(body, Mapping):
            raise _refusal(place, "is missing or no object")
        channel, more = _of_path(item.get("path"), index) or _channel_of(body, wanted)
        request, left_out = _read(body, channel, place)
        read.append(request)
        notes += [*more, *left_out]
    return Requests(requests=tuple(read), notes=tuple(dict.fromkeys(notes)), ours=True)


def _of_path(path: Any, index: int) -> tuple[Channel, tuple[str, ...]] | None:
    if path is None:
        return None
    endpoint = str(path).rstrip("/").rpartition("/")[2]
    if endpoint not in ENDPOINTS:
        raise _refusal(("requests", index, "path"), f"{shortened(path)} is none of {', '.join(ENDPOINTS)}")
    return ENDPOINTS[endpoint], ()


def _channel_of(data: Mapping[str, Any], wanted: Channel | None) -> tuple[Channel, tuple[str, ...]]:
    """Which endpoint a body is for, by the fields that only one takes."""
    entries = data.get("scenarios")
    chosen = [key for key in SELECTING if data.get(key) is not None]
    if chosen and not entries:
        remedy = "list the ids of those scenarios as `scenarios`"
        raise _refusal((chosen[0],), "selects scenarios at Cekura, and an imported plan names each", remedy)
    if not isinstance(entries, list) or not entries:
        raise _refusal((), "is neither a request with scenarios nor a tests-as-code file")
    if any(isinstance(entry, Mapping) and "pipecat_room_url" in entry for entry in entries):
        remedy = "write a plan for channel pipecat_v1: it starts a session for each run; config/ has examples"
        raise _refusal((), "is a request of the manual flow, whose rooms are of sessions already started", remedy)
    if all(isinstance(entry, int) for entry in entries):
        return Channel.VOICE, ()
    if "livekit_data" in data:
        return Channel.LIVEKIT_V2, ()
    if "pipecat_data" in data:
        return Channel.PIPECAT_V2, ()
    if wanted is Channel.LIVEKIT_V2:
        return wanted, ()
    told = () if wanted is not None else (_EITHER,)
    return Channel.PIPECAT_V2, told


_EITHER: Final = (
    "the request holds neither pipecat_data nor livekit_data, so it is taken for one of Pipecat; --to livekit_v2 takes"
    " it for one of LiveKit"
)


def _read(data: Mapping[str, Any], channel: Channel, place: Place) -> tuple[Request, list[str]]:
    notes: list[str] = []
    known = _known(data, MODELS[channel], place, notes)
    shape = Shape(root=MODELS[channel], sections={}, what="the request", not_built={})
    problems = [
        Problem(path=dotted((*place, *finding.place)), message=finding.message, remedy=finding.remedy)
        for finding in shape_findings(known, shape)
    ]
    if problems:
        raise invalid_source(*problems)
    return _request(channel, MODELS[channel].model_validate(known)), notes


def _known(data: Mapping[str, Any], model: type[Section], place: Place, notes: list[str]) -> dict[str, Any]:
    """The fields that the model has; a note for each other one."""
    known: dict[str, Any] = {}
    for key, value in data.items():
        where = (*place, key)
        if key not in model.model_fields:
            notes.append(f"{dotted(where)} is left out: it is no field of such a request that is known here")
        elif value is not None or key == MESSAGE or model in OVERRIDES:
            known[key] = _known_within(key, value, where, notes)
    return known


def _known_within(key: str, value: Any, place: Place, notes: list[str]) -> Any:
    data: dict[str, type[Section]] = {"pipecat_data": PipecatDataSection, "livekit_data": LivekitDataSection}
    inner = data.get(key)
    if inner is not None and isinstance(value, Mapping):
        return _known(value, inner, place, notes)
    if key == "scenarios" and isinstance(value, list):
        return [
            _known(one, ScenarioFields, (*place, index), notes) if isinstance(one, Mapping) else one
            for index, one in enumerate(value)
        ]
    return value


def _request(channel: Channel, fields: _RequestFields) -> Request:
    given = fields.model_dump(exclude_unset=True)
    data = given.get("pipecat_data") or given.get("livekit_data")
    mocked = fields.mock_tool_names
    return Request(
        channel=channel,
        scenarios=tuple(_scenarios(given["scenarios"])),
        frequency=fields.frequency,
        name=fields.name,
        cekura_agent_id=given.get("agent", given.get("agent_id")),
        assistant_id=given.get("assistant_id"),
        personality_ids=_ids(fields.personality_ids, fields.personality_id),
        test_profile_ids=_ids(fields.test_profile_ids, fields.test_profile_id),
        mock_tool_names=None if mocked is None else tuple(dict.fromkeys(mocked)),
        calls=fields.concurrency_limit,
        agent_data=data or None,
        outbound_phone_number=given.get("outbound_phone_number"),
        agent_number=given.get("agent_number"),
        number_mode=given.get("mode"),
    )


def _scenarios(entries: list[Any]) -> Iterator[AutomatedScenario]:
    for entry in entries:
        if isinstance(entry, int):
            yield AutomatedScenario(scenario_id=entry)
        else:
            yield AutomatedScenario(
                scenario_id=entry["scenario"],
                publish_data_message=entry.get(MESSAGE),
                has_data_message=MESSAGE in entry,
            )


def _ids(many: list[int], one: int | None) -> tuple[int, ...]:
    """The singular field is merged into the plural one, as Cekura does."""
    return tuple(dict.fromkeys([*many, *([] if one is None else [one])]))


def _refusal(place: Place, message: str, remedy: str = EXPECTED) -> Exception:
    return invalid_source(Problem(path=dotted(place) if place else ROOT, message=message, remedy=remedy))
