"""What the remotes told us, in our words: wire names and shapes stop at the clients, which build these.

All times are aware UTC datetimes; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.domain.channel import Channel
from orchestrator.domain.secret import MeetingToken

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """What one start asks of an agent; `body` already holds the mark under `_orchestrator`."""

    body: Json
    room_properties: Json
    token_properties: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedSession:
    """A start that was answered: the remote's session id (None if it gave none), its room and its token."""

    session_id: str | None
    room_url: str
    meeting_token: MeetingToken | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """Pipecat Cloud's record of a session; `bot_started` None while it cannot be told.

    `participant_ids` are Daily's ids of who the session was in a room; only the record of a single session holds them.
    """

    session_id: str
    created_at: datetime | None
    ended_at: datetime | None
    bot_started: bool | None
    completion: str | None = None
    participant_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """Pipecat Cloud's agent; None where the answer lacked the field."""

    name: str
    ready: bool | None
    active_sessions: int | None
    max_sessions: int | None
    max_session_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A Daily room as its domain's key sees it."""

    room_id: str
    name: str
    url: str
    privacy: str
    expires_at: datetime | None
    eject_at_expiry: bool
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Somebody in a room, from Daily's presence (up to 15 s old)."""

    participant_id: str
    room_name: str
    user_id: str | None
    user_name: str | None
    joined_at: datetime | None


class CallStatus(StrEnum):
    """Cekura's many run words, reduced to what we act on; UNRECOGNISED is kept verbatim beside it and waited out."""

    QUEUED = "queued"  # in_queue: Cekura's call limit is full
    PENDING = "pending"  # pending, scaling_up
    IN_CALL = "in_call"  # running, in_progress
    EVALUATING = "evaluating"  # the call is over, the judging is not
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNRECOGNISED = "unrecognised"

    @property
    def finished(self) -> bool:
        """True when Cekura will not change its mind by itself."""
        return self in {CallStatus.COMPLETED, CallStatus.FAILED, CallStatus.TIMED_OUT, CallStatus.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallObservation:
    """One Cekura run as a poll showed it."""

    cekura_run_id: int
    status: CallStatus
    raw_status: str
    success: bool
    scenario_id: int | None = None
    cekura_result_id: int | None = None
    error_message: str = ""
    ended_reason: str = ""
    executed_at: datetime | None = None
    duration_seconds: float | None = None
    explanation: str = ""  # why an evaluation failed, shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedRoom:
    """One element of a submission: which scenario is to call which room, with which credential and data message."""

    scenario_id: int
    room_url: str
    meeting_token: MeetingToken | None
    publish_data_message: Any = None
    has_data_message: bool = False  # a message may itself be null


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomatedScenario:
    """One scenario of an automated submission, with the data message its channel may publish."""

    scenario_id: int
    publish_data_message: Any = None
    has_data_message: bool = False  # a message may itself be null


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomatedSubmission:
    """One request of an automated channel: Cekura makes `frequency` calls of each scenario.

    At most one personality and one test profile: combinations are split into requests, so that the number of runs is
    scenarios x frequency however the documents are read. `agent_data` replaces what Cekura has saved for the agent and
    may hold secrets; `calls` is how many of the calls may run at once. Assistant, numbers and number mode: voice only.
    """

    channel: Channel
    name: str
    cekura_agent_id: int | None
    scenarios: tuple[AutomatedScenario, ...]
    frequency: int
    personality_id: int | None
    test_profile_id: int | None
    calls: int | None
    mock_tool_names: tuple[str, ...] | None
    agent_data: Json | None = field(default=None, repr=False)
    assistant_id: str | None = None
    outbound_phone_number: str | None = None
    agent_number: str | None = None
    number_mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedRun:
    """One run Cekura says it created; it names its scenario but never its room."""

    cekura_run_id: int
    scenario_id: int | None
    status: CallStatus
    raw_status: str
    test_profile_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedSubmission:
    """Cekura's answer to a submission, also the shape of a result found in its list."""

    cekura_result_id: int
    cekura_agent_id: int | None
    created_at: datetime | None
    runs: tuple[AcceptedRun, ...] = field(default=())
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRecord:
    """A scenario as Cekura has it; `main_agent_variables` are those its test profile holds for the bot."""

    scenario_id: int
    name: str
    tags: tuple[str, ...]
    folder_path: str | None
    cekura_agent_id: int | None
    test_profile_id: int | None
    main_agent_variables: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class CekuraAgent:
    """Cekura's record of the agent under test; `provider` empty where none is set up, `inbound` None where unsaid."""

    cekura_agent_id: int
    name: str
    provider: str
    inbound: bool | None
    enabled_personalities: tuple[int, ...]
    project_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """What `billing/info` says; None where it was absent."""

    credits_remaining: float | None
    calls_limit: int | None
