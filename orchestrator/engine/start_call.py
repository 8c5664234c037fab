"""One start call, whoever it is for: what a session is bound by, what it is told, and what its answer means.

What an answer means is decided by its error's type: certainly nothing happened (`RemoteBusy`, `RemoteUnavailable`,
`RemoteRejected`, `RemoteAuthFailed`), or nobody knows (`OutcomeUnknown`, `RemoteProtocolError`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.domain.errors import (
    InvalidPlan,
    InvalidSettings,
    OrchestratorError,
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteError,
    RemoteProtocolError,
    RemoteRejected,
    RemoteUnavailable,
)
from orchestrator.domain.mark import RANDOM_BYTES, make_mark
from orchestrator.domain.observation import AgentRecord, StartedSession, StartRequest
from orchestrator.domain.plan import AgentKind, AgentSpec
from orchestrator.domain.session import Session
from orchestrator.engine.remotes import AgentClient, Remotes
from orchestrator.engine.roster import SessionUnit
from orchestrator.engine.teardown import CLOUD_LIMIT, made_by
from orchestrator.store import sessions as session_rows

MARK: Final = "_orchestrator"
DEFAULT_SESSION_LIMIT: Final = 7200.0  # Pipecat Cloud's default maxSessionDuration
RUNNER_IDLE_SECONDS: Final = (
    300.0  # Pipecat's default pipeline idle timeout (runner/types.py), where the bot passes it on
)
REFUSALS: Final = (RemoteAuthFailed, RemoteRejected, InvalidPlan, InvalidSettings)
SHARED_ROOM: Final = (
    "the runner gave the same room to two sessions: DAILY_ROOM_URL is set in its environment; unset it and restart the "
    "runner, so that each session gets a room of its own"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedForNow:
    """The remote certainly did nothing, and may take it later."""

    error: RemoteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The remote certainly did nothing, and never will with this key, name or request."""

    error: OrchestratorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Nobody knows what the start did. `session_id`: the session that its unusable answer named all the same."""

    error: RemoteError

    @property
    def session_id(self) -> str | None:
        """What to stop without looking for it."""
        return self.error.session_id if isinstance(self.error, OutcomeUnknown) else None


StartAnswer = StartedSession | RefusedForNow | Refused | Lost


async def call_start(agent: AgentClient, request: StartRequest) -> StartAnswer:
    """Make the one start call of a session.

    May it be repeated: no. A lost answer: the session is looked up by its mark. Committed first: the session row, as
    `sent`. If we die here: the row is found `sent`, and whoever comes next looks for it.
    """
    try:
        return await agent.start_session(request)
    except (RemoteBusy, RemoteUnavailable) as error:
        return RefusedForNow(error=error)
    except REFUSALS as error:
        return Refused(error=error)
    except (OutcomeUnknown, RemoteProtocolError) as error:
        return Lost(error=error)


def new_nonce(place: str) -> str:
    """A mark of `place` that no other session has."""
    return make_mark(place=place, random=os.urandom(RANDOM_BYTES))


def start_request(
    agent: AgentSpec, session: Session, *, body: Mapping[str, Any], mark: Mapping[str, str]
) -> StartRequest:
    """What the agent is told: its body with our mark, and a room that ends by itself."""
    ends = {"exp": int(session.room_expires_at.timestamp()), "eject_at_room_exp": True}
    return StartRequest(
        body={**body, MARK: {"nonce": session.nonce, **mark}},
        room_properties={**agent.room_properties, **ends},
        token_properties={**agent.token_properties, "user_id": session.nonce},
    )


def start_bound(
    kind: AgentKind, *, now: datetime, room_expires_at: datetime, session_limit: float
) -> tuple[str, datetime]:
    """What ends a session by itself, and when; `session_limit` is the platform's, in seconds."""
    if kind is AgentKind.PIPECAT_CLOUD:
        return CLOUD_LIMIT, now + timedelta(seconds=session_limit)
    return "the bot's own idle timeout once its room has expired", room_expires_at + timedelta(
        seconds=RUNNER_IDLE_SECONDS
    )


async def platform_limit(agent: AgentClient) -> float:
    """How long the platform lets a session live, in seconds, by the agent's own record where it can be read."""
    record = await agent_record(agent)
    return (record.max_session_seconds if record is not None else None) or DEFAULT_SESSION_LIMIT


async def agent_record(agent: AgentClient) -> AgentRecord | None:
    """The agent's own record at its platform; None where there is none to read."""
    if not isinstance(agent, PipecatCloudClient):
        return None
    try:
        return await agent.get_agent()
    except OrchestratorError:
        return None


async def is_shared(remotes: Remotes, session: Session, room_url: str, *, others: Iterable[Session]) -> bool:
    """True for a room that this start did not make: `others` have it too, or it expires when we did not ask."""
    if session.agent_kind is not AgentKind.PIPECAT_RUNNER:
        return False
    if any(other.room_url == room_url for other in others if other.nonce != session.nonce):
        return True
    room = await remotes.room(room_url)
    if room is None:
        return False  # no key of ours reaches it, so we could not delete it either
    return not made_by(session, room)


def record_started(session: Session, started: StartedSession, *, at: datetime) -> SessionUnit:
    """The unit that writes down what a start made."""
    return partial(
        session_rows.record_answer,
        nonce=session.nonce,
        at=at,
        session_id=started.session_id,
        room_url=started.room_url,
        meeting_token=started.meeting_token,
    )


def record_named(session: Session, *, session_id: str | None, room_url: str | None, at: datetime) -> SessionUnit:
    """The unit that writes down as much as is known of what a start made, without a token."""
    return partial(
        session_rows.record_answer,
        nonce=session.nonce,
        at=at,
        session_id=session_id,
        room_url=room_url,
        meeting_token=None,
    )
