"""Room and meeting token properties: which ones Daily knows, which ones are ours to set, and how long a room must live.

Properties travel a long way: to Pipecat Cloud or a runner, and from there to Daily. A runner drops a whole set with one
wrong type in it, silently, and drops every token property that Pipecat's model lacks; Pipecat's room model lets unknown
names through. So names are checked against Daily's own, and types with Pipecat's models, before anything starts.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from orchestrator.domain.plan import AgentKind, Plan
from orchestrator.plans.finding import Finding, Place, nearest, shortened
from orchestrator.plans.template import misplaced_findings

if TYPE_CHECKING:
    from types import ModuleType

START_SECONDS: Final = 120.0  # a start call times out after this
ROOM_MARGIN: Final = 120.0

# Daily's own names and types: docs/RoomProperties.md and docs/Properties.md of daily-co/daily-ruby at 287e077
# (2026-05-22, generated from Daily's OpenAPI); `enable_cpu_warning_notifications` from Daily's page on POST
# /batch/rooms; `enable_dialout` and `sip` from Pipecat 1.14's model. Compiled 2026-11-21; a name Daily adds later is
# one line here.
_BOOLEAN: Final = "true or false"
_NUMBER: Final = "a number"
_TEXT: Final = "text"
_MAPPING: Final = "a mapping of keys to values"
_LIST: Final = "a list"
_WHOLE: Final = "a whole number"
ROOM_PROPERTIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("nbf", "exp", "max_participants", "eject_after_elapsed"), _WHOLE),
    "sfu_switchover": _NUMBER,
    **dict.fromkeys(
        (
            "disable_rtmp_geo_fallback",
            "eject_at_room_exp",
            "enable_adaptive_simulcast",
            "enable_advanced_chat",
            "enable_breakout_rooms",
            "enable_chat",
            "enable_cpu_warning_notifications",
            "enable_dialout",
            "enable_emoji_reactions",
            "enable_hand_raising",
            "enable_hidden_participants",
            "enable_knocking",
            "enable_live_captions_ui",
            "enable_mesh_sfu",
            "enable_multiparty_adaptive_simulcast",
            "enable_network_ui",
            "enable_noise_cancellation_ui",
            "enable_people_ui",
            "enable_pip_ui",
            "enable_prejoin_ui",
            "enable_screenshare",
            "enable_shared_chat_history",
            "enable_terse_logging",
            "enable_transcription_storage",
            "enable_video_processing_ui",
            "enforce_unique_user_ids",
            "experimental_optimize_large_calls",
            "owner_only_broadcast",
            "start_audio_off",
            "start_video_off",
        ),
        _BOOLEAN,
    ),
    **dict.fromkeys(("enable_recording", "geo", "lang", "meeting_join_hook", "recordings_template", "rtmp_geo"), _TEXT),
    **dict.fromkeys(
        ("auto_transcription_settings", "permissions", "recordings_bucket", "sip", "transcription_bucket"), _MAPPING
    ),
    "streaming_endpoints": _LIST,
}
TOKEN_PROPERTIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("nbf", "exp", "eject_after_elapsed"), _WHOLE),
    **dict.fromkeys(
        (
            "auto_start_transcription",
            "close_tab_on_exit",
            "eject_at_token_exp",
            "enable_live_captions_ui",
            "enable_prejoin_ui",
            "enable_recording_ui",
            "enable_screenshare",
            "enable_terse_logging",
            "is_owner",
            "start_audio_off",
            "start_cloud_recording",
            "start_video_off",
        ),
        _BOOLEAN,
    ),
    **dict.fromkeys(
        ("enable_recording", "lang", "redirect_on_meeting_exit", "room_name", "user_id", "user_name"), _TEXT
    ),
    **dict.fromkeys(("permissions", "start_cloud_recording_opts"), _MAPPING),
}

_OURS: Final = "the orchestrator sets the expiry from the plan's timeouts"
_OVERRIDES_ROOM: Final = "it switches off the ejection that ends the room"
_RESERVED_ROOM: Final[Mapping[str, str]] = {
    "exp": _OURS,
    "nbf": "the orchestrator opens the room at once",
    "eject_after_elapsed": _OVERRIDES_ROOM,
    "eject_at_token_exp": _OVERRIDES_ROOM,
    "sip_uri": "Daily sets it; ask for `sip`",
}
_RESERVED_TOKEN: Final[Mapping[str, str]] = {
    "exp": _OURS,
    "nbf": "the orchestrator opens the room at once",
    "room_name": "Pipecat chooses the room",
    "user_id": "the orchestrator marks its sessions with it",
    "eject_after_elapsed": _OVERRIDES_ROOM,
    "eject_at_token_exp": _OVERRIDES_ROOM,
}
_SMALLEST_ROOM: Final = 2  # the bot and Cekura's caller


def room_seconds(plan: Plan) -> float:
    """How long each room of this plan must live, in seconds, counted from the start call."""
    return room_seconds_of(
        ready=plan.timeouts.ready,
        run=plan.timeouts.run,
        gather=plan.timing.gather,
        teardown_grace=plan.timing.teardown_grace,
    )


def room_seconds_of(*, ready: float, run: float, gather: float, teardown_grace: float) -> float:
    """Start, readiness, gathering, the call, the grace after it, and a margin; in seconds."""
    return START_SECONDS + ready + gather + run + teardown_grace + ROOM_MARGIN


def property_findings(agent: Mapping[str, Any]) -> Iterator[Finding]:
    """What Daily, Pipecat or our own teardown would make of the agent's room and token properties."""
    kind = agent.get("kind")
    if isinstance(room := agent.get("room_properties"), Mapping) and room:
        place = ("agent", "room_properties")
        yield from _findings(room, place, names=ROOM_PROPERTIES, reserved=_RESERVED_ROOM, model=_room_model)
        yield from _room_size_findings(room, place)
    if isinstance(token := agent.get("token_properties"), Mapping) and token:
        place = ("agent", "token_properties")
        reserved = dict(_RESERVED_TOKEN)
        if kind == AgentKind.PIPECAT_RUNNER:
            reserved["is_owner"] = "a Pipecat runner always makes it true"
        yield from _findings(token, place, names=TOKEN_PROPERTIES, reserved=reserved, model=_token_model)
        if kind == AgentKind.PIPECAT_RUNNER:
            yield from _dropped_by_runner(token, place, reserved)


def _findings(
    properties: Mapping[str, Any],
    place: Place,
    *,
    names: Mapping[str, str],
    reserved: Mapping[str, str],
    model: Callable[[], type[BaseModel]],
) -> Iterator[Finding]:
    yield from misplaced_findings(properties, place)
    open_names = {name: kind for name, kind in names.items() if name not in reserved}
    to_check = {}
    for name, value in properties.items():
        if name in reserved:
            yield Finding(place=(*place, name), message=f"must not be set: {reserved[name]}", remedy="leave it out")
        elif name not in open_names:
            yield _unknown(name, place, open_names)
        elif value is None:
            yield Finding(place=(*place, name), message="is empty", remedy=f"write {open_names[name]}, or leave it out")
        else:
            to_check[name] = value
    yield from _type_findings(to_check, place, open_names, model())


def set_by_us(name: str) -> str | None:
    """Why a room property is not the plan's to set; None where it is."""
    return _RESERVED_ROOM.get(name)


def _unknown(name: str, place: Place, known: Mapping[str, str]) -> Finding:
    suggestion = nearest(name, known)
    remedy = f"did you mean {suggestion}?" if suggestion else "see Daily's REST reference for the names it knows"
    return Finding(place=(*place, name), message=f"Daily knows no property {name}", remedy=remedy)


def _type_findings(
    properties: Mapping[str, Any], place: Place, kinds: Mapping[str, str], model: type[BaseModel]
) -> Iterator[Finding]:
    modelled = {name: value for name, value in properties.items() if name in model.model_fields}
    try:
        model.model_validate(modelled, strict=True)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            where: Place = (*place, *details["loc"])
            remedy = (
                f"write {kinds[str(details['loc'][0])]}" if len(details["loc"]) == 1 else "see Pipecat's Daily models"
            )
            yield Finding(place=where, message=f"Pipecat refuses it: {details['msg']}", remedy=remedy)
    for name, value in properties.items():
        if name not in modelled and not _is_a(value, kinds[name]):
            message = f"must be {kinds[name]}, not {shortened(value)}"
            yield Finding(place=(*place, name), message=message, remedy=f"write {kinds[name]}")


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == _BOOLEAN
    types = {_WHOLE: int, _NUMBER: int | float, _TEXT: str, _MAPPING: Mapping, _LIST: list}
    return kind in types and isinstance(value, types[kind])


def _room_size_findings(room: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    if room.get("eject_at_room_exp") is False:
        message = "must not be false: a room whose end ejects nobody can go on billing"
        yield Finding(place=(*place, "eject_at_room_exp"), message=message, remedy="leave it out")
    size = room.get("max_participants")
    if isinstance(size, int) and not isinstance(size, bool) and size < _SMALLEST_ROOM:
        message = f"must be at least {_SMALLEST_ROOM}: the bot and Cekura's caller share the room"
        yield Finding(place=(*place, "max_participants"), message=message, remedy="write 2 or more, or leave it out")


def _dropped_by_runner(token: Mapping[str, Any], place: Place, reserved: Mapping[str, str]) -> Iterator[Finding]:
    for name in token:
        if name in TOKEN_PROPERTIES and name not in reserved and name not in _token_model().model_fields:
            message = "a Pipecat runner drops it silently: Pipecat's token model does not have it"
            yield Finding(place=(*place, name), message=message, remedy="leave it out, or set it in the bot")


def property_warnings(room: Mapping[str, Any]) -> Iterator[str]:
    """Properties that Daily accepts and that change how a test call behaves."""
    if room.get("enforce_unique_user_ids"):
        yield (
            "agent.room_properties.enforce_unique_user_ids: without a Daily key for the room's domain, bot and caller"
            " share one token and with it one user_id; the second to join would throw the first out."
        )
    if room.get("enable_hidden_participants"):
        yield (
            "agent.room_properties.enable_hidden_participants: a caller without an owner's token is hidden and hears"
            " owners only; presence may not show it."
        )


def _room_model() -> type[BaseModel]:
    model: type[BaseModel] = _pipecat_daily().DailyRoomProperties
    return model


def _token_model() -> type[BaseModel]:
    model: type[BaseModel] = _pipecat_daily().DailyMeetingTokenProperties
    return model


def _pipecat_daily() -> ModuleType:
    """Pipecat's Daily models, imported when first needed and without the marks the import leaves on the process.

    Importing Pipecat logs a banner through loguru and, before Python 3.12, replaces `asyncio.wait_for` for everybody
    (pipecat/__init__.py, 1.14). This process drives batches with the standard one.
    """
    if "pipecat" in sys.modules:
        import pipecat.transports.daily.utils as daily

        return daily
    from loguru import logger

    standard_wait_for = asyncio.wait_for
    logger.disable("pipecat")
    try:
        import pipecat.transports.daily.utils as daily
    finally:
        logger.enable("pipecat")
        asyncio.wait_for = standard_wait_for
    return daily
