"""Which channel takes which key of a plan, and what each channel asks for.

A key that nobody would act on is refused, with the channels that do take it. What each of Cekura's endpoints takes is
from its OpenAPI of August 2026: `SchemaPostRunScenariosPipecat`, `SchemaPostRunScenariosPipecatV2`,
`RunLivekitScenarios`, `SchemaPostRunScenarios`. The rest are keys of sessions that we start ourselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.domain.channel import Channel
from orchestrator.plans.finding import Finding, Place
from orchestrator.plans.template import names_in

Channels = frozenset[Channel]

MANUAL: Final[Channels] = frozenset({Channel.PIPECAT_V1})
AUTOMATED: Final[Channels] = frozenset(channel for channel in Channel if channel.automated)
IN_ROOMS: Final[Channels] = frozenset(Channel) - {Channel.VOICE}
MOST_FREQUENT: Final = 100  # on pipecat_v2 and livekit_v2; on voice Cekura names no maximum
OF_ONE_RUN: Final = ("run.id", "run.index")

# Keys by their place, list indexes left out; a key that is not here is taken by every channel.
TAKEN_BY: Final[Mapping[tuple[str, ...], Channels]] = {
    ("agent",): MANUAL,
    ("cekura", "frequency"): AUTOMATED,
    ("cekura", "personality_ids"): AUTOMATED,
    ("cekura", "test_profile_ids"): AUTOMATED,
    ("cekura", "concurrency_limit"): AUTOMATED,
    ("cekura", "test_profile_variables"): MANUAL,
    ("cekura", "pipecat_data"): frozenset({Channel.PIPECAT_V2}),
    ("cekura", "livekit_data"): frozenset({Channel.LIVEKIT_V2}),
    ("cekura", "assistant_id"): frozenset({Channel.VOICE}),
    ("cekura", "outbound_phone_number"): frozenset({Channel.VOICE}),
    ("cekura", "agent_number"): frozenset({Channel.VOICE}),
    ("cekura", "mode"): frozenset({Channel.VOICE}),
    ("scenarios", "repeat"): MANUAL,
    ("scenarios", "body"): MANUAL,
    ("scenarios", "publish_data_message"): IN_ROOMS,
    ("matrix",): MANUAL,
    ("limits", "concurrency"): MANUAL,
    ("limits", "starts_per_second"): MANUAL,
    ("timeouts", "ready"): MANUAL,
    ("timing", "teardown_grace"): MANUAL,
    ("timing", "gather"): MANUAL,
    ("timing", "presence_interval"): MANUAL,
    ("readiness",): MANUAL,
    ("prefer",): MANUAL,
    ("ramp",): MANUAL,
}
INSTEAD: Final[Mapping[tuple[str, ...], str]] = {
    ("agent",): "leave it out: Cekura knows the agent by cekura.agent",
    ("cekura", "test_profile_variables"): "leave it out: Cekura gives the agent its test profile itself",
    ("cekura", "frequency"): "write repeat beside the scenario",
    ("cekura", "concurrency_limit"): "write limits.calls",
    ("cekura", "personality_ids"): "use a scenario for each personality",
    ("cekura", "test_profile_ids"): "write the values into body, or cekura.test_profile_variables: true",
    ("scenarios", "repeat"): "write cekura.frequency, which holds for every scenario",
    ("limits", "concurrency"): "write limits.calls",
    ("ramp",): "write limits.calls, which holds from the beginning",
}
LEAVE_IT_OUT: Final = "leave it out"


def channel_of(data: Mapping[str, Any]) -> Channel | None:
    """The channel that a plan's data names; None where it names none that there is."""
    named = data.get("channel", Channel.PIPECAT_V1.value)
    return Channel(named) if isinstance(named, str) and named in set(Channel) else None


def channel_findings(data: Mapping[str, Any], channel: Channel) -> Iterator[Finding]:
    """Keys that this channel does not take, and what it lacks."""
    for keys, takers in TAKEN_BY.items():
        if channel not in takers:
            yield from (_not_taken(place, keys, channel, takers) for place in _places(data, keys))
    if channel.automated:
        yield from _automated_findings(data, channel)
    elif "agent" not in data:
        example = "add agent: {kind: pipecat_cloud, name: support-bot}"
        yield Finding(place=("agent",), message="is missing", remedy=example)


def _not_taken(place: Place, keys: tuple[str, ...], channel: Channel, takers: Channels) -> Finding:
    others = ", ".join(other.value for other in Channel if other in takers)
    return Finding(
        place=place,
        message=f"channel {channel.value} does not take {keys[-1]}; {others} {'do' if len(takers) > 1 else 'does'}",
        remedy=INSTEAD.get(keys, LEAVE_IT_OUT),
    )


def _places(value: Any, keys: tuple[str, ...], above: Place = ()) -> Iterator[Place]:
    """Where in `value` these keys stand, in every entry of a list on the way."""
    if not keys:
        yield above
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _places(entry, keys, (*above, index))
    elif isinstance(value, Mapping) and keys[0] in value:
        yield from _places(value[keys[0]], keys[1:], (*above, keys[0]))


def _automated_findings(data: Mapping[str, Any], channel: Channel) -> Iterator[Finding]:
    cekura = _mapping(data.get("cekura"))
    named = [key for key in ("agent", "assistant_id") if key in cekura]
    if len(named) > 1 and channel is Channel.VOICE:
        message = "names the agent a second time, beside cekura.agent"
        yield Finding(place=("cekura", "assistant_id"), message=message, remedy="keep one of the two")
    if not named and channel is Channel.VOICE:
        message = "is missing: channel voice asks for the agent, or for cekura.assistant_id"
        yield Finding(place=("cekura", "agent"), message=message, remedy="add cekura: {agent: 5}")
    frequency = cekura.get("frequency")
    if channel is not Channel.VOICE and isinstance(frequency, int) and frequency > MOST_FREQUENT:
        message = f"must be from 1 to {MOST_FREQUENT} on channel {channel.value}, not {frequency}"
        yield Finding(place=("cekura", "frequency"), message=message, remedy="run the plan again for more")
    yield from _scenario_findings(data)


def _scenario_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """One request names each scenario once, and its data message is sent in every run of it."""
    seen: dict[Any, int] = {}
    entries = data.get("scenarios")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        scenario = _mapping(entry).get("scenario")
        if isinstance(scenario, int) and seen.setdefault(scenario, index) != index:
            message = f"is named a second time (first as entry {seen[scenario]})"
            yield Finding(
                place=("scenarios", index, "scenario"), message=message, remedy=INSTEAD["scenarios", "repeat"]
            )
        place: Place = ("scenarios", index, "publish_data_message")
        for where, name in names_in(_mapping(entry).get("publish_data_message"), place):
            if name in OF_ONE_RUN:
                message = f"{{{{ {name} }}}} is of one run, and Cekura sends one message in every run of a scenario"
                yield Finding(place=where, message=message, remedy="use {{ batch.id }} or {{ run.scenario }}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
