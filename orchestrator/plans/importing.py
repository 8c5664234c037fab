"""From requests to Cekura's automated flows to a plan, on their own channel or another: nothing is lost in silence.

What the channel of the plan does not take is left out with a note. Requests that differ only in personality or test
profile are one plan, as `plan --as v2` makes several of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Final

from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidPlan, Problem
from orchestrator.domain.observation import AutomatedScenario
from orchestrator.plans.cekura_model import RESULT_NAME_LIMIT
from orchestrator.plans.channels import INSTEAD, TAKEN_BY
from orchestrator.plans.json_text import ROOT, invalid_source
from orchestrator.plans.loading import plan_from_data, usable_name
from orchestrator.plans.model import LimitsSection
from orchestrator.plans.requests import MESSAGE, Request, Requests
from orchestrator.plans.rooms import set_by_us
from orchestrator.plans.template import OPENING

BATCH_ID: Final = "BATCH-ID"  # what stands for a batch's id where there is no batch yet
NAME_PLACEHOLDERS: Final = f" {BATCH_ID} SUBMISSION"  # what comes after a result's name
LITERAL_OPENING: Final = "{{ '{{' }}"
DEFAULT_AT_ONCE: Final = int(LimitsSection.model_fields["concurrency"].default)
NEEDS_AGENT: Final = (
    "add --agent-name NAME, its name on Pipecat Cloud, or --agent-url URL, the address of a Pipecat runner"
)

Plan = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person who moves says: to which channel (None: the source's own), and which agent it is there."""

    to: Channel | None = None
    agent_name: str | None = None
    agent_url: str | None = None
    cekura_agent_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A plan's data as a file holds it, what a person must know of it, and remarks on scenarios by their id."""

    plan: Plan
    notes: tuple[str, ...]
    remarks: Mapping[int, str] = field(default_factory=dict)


def plan_of_requests(given: Requests, wishes: Wishes) -> Imported:
    """The plan that does what the requests ask; InvalidPlan where there is none, or it would not load."""
    requests = _combined(given.requests)
    to = wishes.to or requests[0].channel
    if wishes.agent_url is not None and to.automated:
        raise _refusal("--agent-url", f"channel {to.value} takes none: Cekura starts its sessions", "leave it out")
    notes = list(given.notes)
    text = _texts(ours=given.ours)
    make = _by_hand if not to.automated else _automated
    plan = make(requests, to, wishes, text, notes)
    imported = Imported(plan=plan, notes=tuple(dict.fromkeys(notes)))
    return checked(imported)


def checked(imported: Imported) -> Imported:
    """The same, once it is known to load; InvalidPlan in the words of the plan otherwise."""
    try:
        plan_from_data(imported.plan)
    except InvalidPlan as error:
        problems = (replace(one, path=f"as a plan, {one.path}") for one in error.problems)
        raise invalid_source(*problems) from error
    return imported


def _combined(requests: Sequence[Request]) -> list[Request]:
    """Requests alike but for personality and profile as one, where every personality has every profile."""
    groups: dict[str, list[Request]] = {}
    for request in requests:
        alike = replace(request, personality_ids=(), test_profile_ids=())
        groups.setdefault(repr(alike) + _canonical(alike.agent_data), []).append(request)
    return [one for group in groups.values() for one in _as_one(group)]


def _as_one(group: Sequence[Request]) -> Sequence[Request]:
    pairs = [pair for one in group for pair in product(one.personality_ids or (0,), one.test_profile_ids or (0,))]
    personalities = tuple(dict.fromkeys(personality for personality, _ in pairs))
    profiles = tuple(dict.fromkeys(profile for _, profile in pairs))
    full = len(pairs) == len(set(pairs)) == len(personalities) * len(profiles)
    mixed = any(0 in ids and len(ids) > 1 for ids in (personalities, profiles))
    if not full or mixed:
        return group
    return [replace(group[0], personality_ids=_given(personalities), test_profile_ids=_given(profiles))]


def _given(ids: tuple[int, ...]) -> tuple[int, ...]:
    return () if ids == (0,) else ids


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


# --- sessions of ours ------------------------------------------------------------------------------------------------


def _by_hand(
    requests: Sequence[Request], to: Channel, wishes: Wishes, text: Callable[[Any], Any], notes: list[str]
) -> Plan:
    bodies = [text(_config(request, notes)) for request in requests]
    shared = bodies[0] if all(_canonical(body) == _canonical(bodies[0]) for body in bodies) else {}
    entries: dict[str, Plan] = {}
    for request, body in zip(requests, bodies, strict=True):
        for scenario in request.scenarios:
            own = {"body": body} if body and not shared else {}
            entry = {"scenario": scenario.scenario_id, "repeat": 0, **own, **_message(scenario, text)}
            entries.setdefault(_canonical(entry), entry)["repeat"] += request.frequency
    data = _agreed(requests, "agent_data", lambda one: {**(one.agent_data or {}), "config": None})
    agent = _agent(requests[0], data, wishes, notes)
    if shared:
        agent["body"] = shared
    if rooms := _room_properties(data, notes):
        agent["room_properties"] = rooms
    return {
        "version": 1,
        **_name(requests),
        "agent": agent,
        **_section("cekura", _cekura(requests, to, wishes, notes)),
        "scenarios": [_without_default(entry) for entry in entries.values()],
        **_limits(requests, to, notes),
    }


def _without_default(entry: Plan) -> Plan:
    return {key: value for key, value in entry.items() if (key, value) != ("repeat", 1)}


def _config(request: Request, notes: list[str]) -> Plan:
    config = (request.agent_data or {}).get("config")
    if config is None:
        return {}
    if not isinstance(config, dict):
        kind = type(config).__name__
        remedy = "give it a key, and let the bot read that"
        raise _refusal("config", f"is a {kind}, and a session's body is a mapping of keys to values", remedy)
    if request.channel is Channel.LIVEKIT_V2:
        notes.append("livekit_data.config, the job's metadata, becomes agent.body: see that the bot reads it there")
    return config


def _agent(request: Request, data: Mapping[str, Any], wishes: Wishes, notes: list[str]) -> Plan:
    named = wishes.agent_name or data.get("pipecat_agent_name")
    if request.channel is Channel.LIVEKIT_V2:
        notes += [f"livekit_data.{key} is left out: it is LiveKit's" for key in ("agent_name", "url") if data.get(key)]
    if wishes.agent_url is not None:
        return {"kind": "pipecat_runner", "url": wishes.agent_url, **({"name": named} if named else {})}
    if not named:
        raise _refusal(ROOT, "does not say which agent Pipecat Cloud is to start", NEEDS_AGENT)
    return {"kind": "pipecat_cloud", "name": named}


def _room_properties(data: Mapping[str, Any], notes: list[str]) -> Plan:
    rooms = data.get("room_properties")
    if rooms is None:
        return {}
    if not isinstance(rooms, dict):
        raise _refusal("pipecat_data.room_properties", "must be a mapping of keys to values", "see Daily's reference")
    ours = {name: why for name in rooms if (why := set_by_us(name)) is not None}
    notes += [f"room_properties.{name} is left out: {why}" for name, why in ours.items()]
    return {name: value for name, value in rooms.items() if name not in ours}


# --- sessions of Cekura's --------------------------------------------------------------------------------------------


def _automated(
    requests: Sequence[Request], to: Channel, wishes: Wishes, text: Callable[[Any], Any], notes: list[str]
) -> Plan:
    if len(requests) > 1:
        parts = ("scenarios", "frequency", "agent_data", "calls", "personality_ids", "test_profile_ids")
        differing = [one for one in parts if len({repr(getattr(request, one)) for request in requests}) > 1]
        message = f"holds {len(requests)} requests that differ in {', '.join(differing) or 'nothing'}: not one plan"
        raise _refusal(ROOT, message, "add --to pipecat_v1, or import the body of each by itself")
    request = requests[0]
    entries = [{"scenario": one.scenario_id, **_message(one, text)} for one in request.scenarios]
    if to is Channel.VOICE and any(MESSAGE in entry for entry in entries):
        notes.append(f"{MESSAGE} is left out: channel voice has no rooms to publish it in")
        entries = [{"scenario": entry["scenario"]} for entry in entries]
    return {
        "version": 1,
        "channel": to.value,
        **_name(requests),
        **_section("cekura", _cekura(requests, to, wishes, notes)),
        "scenarios": entries,
        **_limits(requests, to, notes),
    }


def _agent_data(request: Request, to: Channel, wishes: Wishes, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """The override for the channel's agent: as it is, or its config alone where the agent is another provider's."""
    keys = {Channel.PIPECAT_V2: "pipecat_agent_name", Channel.LIVEKIT_V2: "agent_name"}
    data = dict(request.agent_data or {})
    if request.channel is not to:
        foreign = [key for key in data if key != "config" and data[key] is not None]
        notes += [f"{key} is left out: it is of channel {request.channel.value}" for key in foreign]
        data = {key: value for key, value in data.items() if key == "config"}
    if wishes.agent_name is not None and to in keys:
        data[keys[to]] = wishes.agent_name
    if data and to in keys:
        yield f"{to.value.partition('_')[0]}_data", data
    elif data:
        notes.append(f"the agent's config is left out: channel {to.value} takes none")


# --- what both have --------------------------------------------------------------------------------------------------


def _cekura(requests: Sequence[Request], to: Channel, wishes: Wishes, notes: list[str]) -> Plan:
    first = requests[0]
    agent = wishes.cekura_agent_id or _agreed(requests, "cekura_agent_id")
    mocked = _agreed(requests, "mock_tool_names")
    asked = {
        "agent": agent,
        "assistant_id": None if wishes.cekura_agent_id else _agreed(requests, "assistant_id"),
        "name": _result_name(requests),
        "frequency": first.frequency if to.automated and first.frequency > 1 else None,
        "personality_ids": _all(one.personality_ids for one in requests),
        "test_profile_ids": _all(one.test_profile_ids for one in requests),
        "mock_tool_names": None if mocked is None else list(mocked),
        **(dict(_agent_data(first, to, wishes, notes)) if to.automated else {}),
        "outbound_phone_number": first.outbound_phone_number,
        "agent_number": first.agent_number,
        "mode": first.number_mode,
    }
    said = {key: value for key, value in asked.items() if value is not None}
    foreign = [key for key in said if to not in TAKEN_BY.get(("cekura", key), {to})]
    notes += [_not_taken(key, said[key], to) for key in foreign]
    return {key: value for key, value in said.items() if key not in foreign}


def _all(ids: Iterable[Sequence[int]]) -> list[int] | None:
    return list(dict.fromkeys(one for some in ids for one in some)) or None


def _not_taken(key: str, value: Any, to: Channel) -> str:
    remedy = INSTEAD.get(("cekura", key), "it has no place there")
    if key == "test_profile_ids":
        remedy += ", or let cekura.test_profile_variables give the bot what each scenario's own profile holds"
    named = f" {value}" if isinstance(value, list) else ""
    return f"{key}{named} is left out, for channel {to.value} takes none: {remedy}"


def _limits(requests: Sequence[Request], to: Channel, notes: list[str]) -> Plan:
    calls = max((request.calls for request in requests if request.calls is not None), default=None)
    if calls is None:
        notes.append(f"the source bounds no calls; the plan's limits.calls is {DEFAULT_AT_ONCE} unless you write more")
        return {}
    sessions = {"concurrency": calls} if not to.automated and calls > DEFAULT_AT_ONCE else {}
    return {"limits": {**sessions, "calls": calls}}


def _result_name(requests: Sequence[Request]) -> str | None:
    names = [request.name for request in requests if request.name]
    name = names[0].removesuffix(NAME_PLACEHOLDERS).strip()[:RESULT_NAME_LIMIT].strip() if names else ""
    return name or None


def _name(requests: Sequence[Request]) -> Plan:
    """The batch's name, after that of the results, where it makes one."""
    name = _result_name(requests)
    return {"name": usable_name(name)} if name is not None and re.search("[a-zA-Z0-9]", name) else {}


def _section(key: str, value: Plan) -> Plan:
    return {key: value} if value else {}


def _message(scenario: AutomatedScenario, text: Callable[[Any], Any]) -> Plan:
    return {MESSAGE: text(scenario.publish_data_message)} if scenario.has_data_message else {}


def _texts(*, ours: bool) -> Callable[[Any], Any]:
    """How text comes into a plan, where braces begin a template: as it is meant, and with our placeholders filled."""

    def written(value: Any) -> Any:
        if isinstance(value, str):
            literal = value.replace(OPENING, LITERAL_OPENING)
            return literal.replace(BATCH_ID, "{{ batch.id }}") if ours else literal
        if isinstance(value, Mapping):
            return {key: written(item) for key, item in value.items()}
        return [written(item) for item in value] if isinstance(value, list | tuple) else value

    return written


def _agreed(requests: Sequence[Request], name: str, of: Callable[[Request], Any] | None = None) -> Any:
    """What all requests say; InvalidPlan where they differ."""
    values = [of(request) if of is not None else getattr(request, name) for request in requests]
    if any(_canonical(value) != _canonical(values[0]) for value in values):
        message = f"holds requests that differ in {name}, of which a plan has one"
        raise _refusal(ROOT, message, "import the body of each request by itself")
    return values[0]


def _refusal(path: str, message: str, remedy: str) -> InvalidPlan:
    return invalid_source(Problem(path=path, message=message, remedy=remedy))
