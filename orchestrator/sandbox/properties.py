"""Which properties Daily knows, and of which type: what it would refuse, and what Pipecat's runner would drop.

Names from Daily's create-room and create-meeting-token pages. That an unknown property is a 400 is Daily's habit as
far as known, not documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_BOOL: Final = (bool,)
_NUMBER: Final = (int, float)
_INT: Final = (int,)
_TEXT: Final = (str,)
_OBJECT: Final = (dict,)
_ANY: Final = (object,)

ROOM: Final[Mapping[str, tuple[type, ...]]] = {
    "exp": _NUMBER,
    "nbf": _NUMBER,
    "max_participants": _INT,
    "eject_after_elapsed": _INT,
    "eject_at_room_exp": _BOOL,
    **dict.fromkeys(
        (
            "audio_only", "disable_rtmp_geo_fallback", "enable_cpu_warning_notifications",
            "enable_adaptive_simulcast", "enable_advanced_chat", "enable_breakout_rooms", "enable_chat",
            "enable_dialout", "enable_emoji_reactions", "enable_hand_raising", "enable_hidden_participants",
            "enable_hipaa_wrap", "enable_knocking", "enable_live_captions_ui", "enable_mesh_sfu",
            "enable_multiparty_adaptive_simulcast", "enable_network_ui", "enable_noise_cancellation_ui",
            "enable_opus_fec", "enable_people_ui", "enable_pip_ui", "enable_prejoin_ui", "enable_raw_tracks",
            "enable_recording_ui", "enable_screenshare", "enable_shared_chat_history", "enable_terse_logging",
            "enable_transcription_storage", "enable_video_processing_ui", "enforce_unique_user_ids",
            "experimental_optimize_large_calls", "owner_only_broadcast", "redact_ip", "sfu_switchover",
            "start_audio_off", "start_video_off",
        ),
        _BOOL,
    ),
    **dict.fromkeys(
        (
            "auto_transcription_settings", "dialin", "dialout_config", "permissions", "recordings_bucket",
            "sip", "sip_uri", "streaming_endpoints", "transcription_bucket",
        ),
        _ANY,
    ),
    **dict.fromkeys(
        ("enable_recording", "geo", "lang", "meeting_join_hook", "recordings_template", "rtmp_geo",
         "rtmp_ingress", "signaling_impl", "transcription_template"),
        _TEXT,
    ),
}  # fmt: skip

TOKEN: Final[Mapping[str, tuple[type, ...]]] = {
    "room_name": _TEXT,
    "exp": _NUMBER,
    "nbf": _NUMBER,
    "eject_after_elapsed": _INT,
    "user_name": _TEXT,
    "user_id": _TEXT,
    "enable_recording": _TEXT,
    "lang": _TEXT,
    "permissions": _OBJECT,
    "recordings_template": _TEXT,
    **dict.fromkeys(
        (
            "auto_start_transcription", "close_tab_on_exit", "eject_at_token_exp", "enable_live_captions_ui",
            "enable_prejoin_ui", "enable_recording_ui", "enable_screenshare", "enable_terse_logging", "is_owner",
            "start_audio_off", "start_cloud_recording", "start_video_off",
        ),
        _BOOL,
    ),
    "redirect_on_meeting_exit": _TEXT,
    "start_cloud_recording_opts": _OBJECT,
    "knocking": _BOOL,
}  # fmt: skip

USER_ID_LIMIT: Final = 36


def why_refused(properties: Any, known: Mapping[str, tuple[type, ...]]) -> str | None:
    """What Daily would answer to these properties; None when it takes them."""
    if not isinstance(properties, Mapping):
        return "'properties' must be an object"
    for name, value in properties.items():
        if name not in known:
            return f"unknown property '{name}'"
        if not _fits(value, known[name]):
            return f"property '{name}' has the wrong type"
    if len(str(properties.get("user_id") or "")) > USER_ID_LIMIT:
        return f"property 'user_id' is longer than {USER_ID_LIMIT} characters"
    return None


def well_typed(properties: Any, known: Mapping[str, tuple[type, ...]]) -> bool:
    """Whether Pipecat's own models would take them: wrong types are refused, unknown names are let through."""
    return isinstance(properties, Mapping) and all(
        _fits(value, known[name]) for name, value in properties.items() if name in known
    )


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    if value is None:
        return True
    return isinstance(value, types) and (types in {_BOOL, _ANY} or not isinstance(value, bool))
