"""Pipecat Cloud: the public key starts sessions, the private key reads and stops them.

Source: Pipecat Cloud's REST reference (OpenAPI, August 2026). No idempotency key exists, so a start is never repeated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from orchestrator.clients.address import segment
from orchestrator.clients.http import Answer, RemoteHttp
from orchestrator.clients.observer import RequestObserver, watched_start
from orchestrator.clients.pace import Pace, Share, alone
from orchestrator.clients.refusal import Dialect
from orchestrator.clients.start import start_payload, started_session
from orchestrator.clients.wire import flag, moment, number, record_of, text_of, whole_number
from orchestrator.clock import Clock
from orchestrator.domain.errors import InvalidSettings, RemoteProtocolError
from orchestrator.domain.observation import AgentRecord, SessionRecord, StartedSession, StartRequest
from orchestrator.domain.secret import ApiKey
from orchestrator.settings import Settings

REMOTE: Final = "Pipecat Cloud"
PAGE: Final = 100
MOST_PAGES: Final = 100
# Per key. No limit is published: each pace learns its own from refusals.
REQUESTS_PER_SECOND: Final = 20.0
STARTS_PER_SECOND: Final = 50.0  # the most that a plan may ask for
GONE: Final = frozenset({HTTPStatus.NOT_FOUND.value})
NEVER_STARTED: Final = frozenset({"ended_before_agent_start", "agent_start_timeout"})  # the SDK's endState words
AT_CAPACITY: Final = "PCC-AGENT-AT-CAPACITY"

PUBLIC_ADVICE: Final = (
    "PIPECAT_CLOUD_API_KEY must be a public key (pk_...) of the organisation that deployed the agent:"
    " it starts sessions."
)
PRIVATE_ADVICE: Final = (
    "PIPECAT_CLOUD_PRIVATE_KEY must be a private key (not the public pk_ one, not a personal access token):"
    " it lists and stops sessions."
)


def _capacity(code: str) -> bool | None:
    # The documented "429" body speaks of a rate limit, and is what a full agent gets too: nobody can tell.
    return True if code == AT_CAPACITY else None


PUBLIC: Final = Dialect(
    key_advice=PUBLIC_ADVICE,
    missing_advice="Check agent.name in the plan, and that PIPECAT_CLOUD_API_KEY belongs to the agent's organisation.",
    address_advice="Check PIPECAT_API_HOST and the network, then try again.",
    lookup_advice="A session may be running and billing: look for it in the agent's sessions, never start it again.",
    capacity_of=_capacity,
    auth_codes=frozenset({"PCC-1002"}),
    code_advice={
        "PCC-1001": "The deployment is not ready: check its status and its image pull secret at Pipecat Cloud.",
        "PCC-1004": "The organisation has no billing details: add them at Pipecat Cloud.",
    },
)
PRIVATE: Final = replace(
    PUBLIC,
    key_advice=PRIVATE_ADVICE,
    missing_advice="Check agent.name and the session id; PIPECAT_CLOUD_PRIVATE_KEY may be another organisation's.",
    capacity_of=lambda _code: False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPaces:
    """How fast each of the two keys may ask, whatever the agent."""

    public: Pace
    private: Pace

    @classmethod
    def at(cls, scale: float, *, share: Share = alone) -> KeyPaces:
        """Fresh paces; `scale` hurries them for a sandbox that runs faster than life, `share`: see `Pace`."""
        return cls(
            public=Pace(rate=STARTS_PER_SECOND, burst=50, scale=scale, share=share),
            private=Pace(rate=REQUESTS_PER_SECOND, burst=20, scale=scale, share=share),
        )


class PipecatCloudClient:
    """One agent on Pipecat Cloud; without a private key its sessions can be started but neither seen nor stopped."""

    def __init__(
        self, *, public: RemoteHttp | None, private: RemoteHttp | None, daily_api_url: str, agent_name: str
    ) -> None:
        self.agent_name = agent_name
        self._public = public
        self._private = private
        self._daily_api_url = daily_api_url
        try:
            self._agent = segment(agent_name)
        except ValueError:
            raise InvalidSettings(f"{agent_name!r} cannot be the name of an agent") from None

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        agent_name: str,
        clock: Clock,
        pace_scale: float = 1.0,
        paces: KeyPaces | None = None,
        observer: RequestObserver | None = None,
    ) -> PipecatCloudClient:
        """The client that `settings` describes; keys may be missing until a call needs them.

        Several agents under the same keys share `paces`.
        """
        shared = paces or KeyPaces.at(pace_scale)
        http = partial(_http, settings, clock=clock, observer=observer)
        return cls(
            public=http(settings.pipecat_public_key, dialect=PUBLIC, pace=shared.public),
            private=http(settings.pipecat_private_key, dialect=PRIVATE, pace=shared.private),
            daily_api_url=settings.daily_api_url,
            agent_name=agent_name,
        )

    def __repr__(self) -> str:
        return f"PipecatCloudClient(agent_name={self.agent_name!r}, stoppable={self.stoppable})"

    @property
    def observable(self) -> bool:
        """True when a private key lets us ask for a session's record."""
        return self._private is not None

    @property
    def stoppable(self) -> bool:
        """True when a private key lets us stop a session."""
        return self._private is not None

    async def start_session(self, request: StartRequest) -> StartedSession:
        """Start one session with a Daily room of its own; it bills from here until it stops.

        Never repeated. A lost answer (OutcomeUnknown) may have left a session and a room. The caller wrote its intent
        before and tears down after.
        """
        if self._public is None:
            raise InvalidSettings(f"PIPECAT_CLOUD_API_KEY is missing. {PUBLIC_ADVICE}")
        with watched_start(self._public.observer):
            answer = await self._public.act(
                "POST", f"/v1/public/{self._agent}/start", operation="start_session", json=start_payload(request)
            )
            return started_session(answer, daily_api_url=self._daily_api_url)

    async def get_session(self, session_id: str) -> SessionRecord:
        """The record of one session; may be repeated, a lost answer means nothing. RemoteNotFound: it knows none."""
        answer = await self._keyed().read("GET", self._path(session_id), operation="get_session")
        found = _session(answer.record())
        if found is None:
            raise answer.broken("a session record without a sessionId")
        return found

    async def list_sessions(
        self,
        *,
        since: datetime | None = None,
        active_only: bool = False,
        urgent: bool = False,
        wanted: Collection[str] | None = None,
    ) -> list[SessionRecord]:
        """Every session of the agent, created at `since` or later where given; may be repeated.

        `wanted`: the ids that are enough; it ends with the page on which the last of them stands.
        `urgent` goes before what waits for the same pace: for confirming stops while more of them wait.
        Pages through all of them: a session that begins meanwhile may be missed or come twice (twice is removed).
        """
        found: dict[str, SessionRecord] = {}
        params: dict[str, str | int] = {"limit": PAGE, "status": "active" if active_only else "all"}
        if since is not None:
            params["startTime"] = int(since.timestamp())  # unix seconds; filtered again below, were it read otherwise
        for page in range(MOST_PAGES):
            answer = await self._list_page({**params, "offset": page * PAGE}, urgent=urgent)
            records = [_session(item) for item in answer.array("sessions")]
            found.update({record.session_id: record for record in records if record is not None})
            if wanted is not None and found.keys() >= set(wanted):
                return list(found.values())
            if len(records) < PAGE and not _more(answer, seen=page * PAGE + len(records), got=len(records)):
                return [record for record in found.values() if _since(record, since)]
        raise RemoteProtocolError(
            remote=REMOTE, operation="list_sessions", detail=f"its list did not end within {MOST_PAGES} pages"
        )

    async def stop_session(self, session_id: str) -> None:
        """Stop a session at once; may be repeated, and a lost answer only means to ask again.

        A 404 counts as gone already (what a stop of an ended session answers is documented nowhere: inference), so only
        the session's record confirms the end.
        """
        path = self._path(session_id)
        await self._keyed().read("DELETE", path, operation="stop_session", urgent=True, accept=GONE)

    async def get_agent(self) -> AgentRecord:
        """The agent's readiness and size; may be repeated."""
        answer = await self._keyed().read("GET", f"/v1/agents/{self._agent}", operation="get_agent")
        return _agent(answer.record(), self.agent_name)

    async def aclose(self) -> None:
        """Close the connections of both keys."""
        for door in (self._public, self._private):
            if door is not None:
                await door.aclose()

    async def _list_page(self, params: dict[str, str | int], *, urgent: bool) -> Answer:
        path = f"/v1/agents/{self._agent}/sessions"
        return await self._keyed().read("GET", path, operation="list_sessions", params=params, urgent=urgent)

    def _path(self, session_id: str) -> str:
        return f"/v1/agents/{self._agent}/sessions/{segment(session_id)}"

    def _keyed(self) -> RemoteHttp:
        if self._private is None:
            raise InvalidSettings(f"PIPECAT_CLOUD_PRIVATE_KEY is missing. {PRIVATE_ADVICE}")
        return self._private


def _http(
    settings: Settings,
    key: ApiKey | None,
    *,
    dialect: Dialect,
    clock: Clock,
    pace: Pace | None,
    observer: RequestObserver | None,
) -> RemoteHttp | None:
    if key is None:
        return None
    headers = {"Authorization": f"Bearer {key.reveal()}"}
    return RemoteHttp(
        remote=REMOTE,
        base_url=settings.pipecat_api_host,
        headers=headers,
        clock=clock,
        pace=pace,
        dialect=dialect,
        observer=observer,
    )


def _more(answer: Answer, *, seen: int, got: int) -> bool:
    """True where a short page is not the last: the remote may give fewer per page than we asked for."""
    total = whole_number(answer.record().get("total_count"))
    return got > 0 and total is not None and seen < total


def _since(record: SessionRecord, since: datetime | None) -> bool:
    return since is None or record.created_at is None or record.created_at >= since


def _session(body: Any) -> SessionRecord | None:
    session_id = text_of(body.get("sessionId"))
    if not session_id:
        return None
    return SessionRecord(
        session_id=session_id,
        created_at=moment(body.get("createdAt")),
        ended_at=moment(body.get("endedAt")),
        bot_started=_bot_started(body),
        completion=text_of(body.get("completionStatus")) or text_of(body.get("endState")) or None,
        participant_ids=_participant_ids(body.get("meetingIds")),
    )


def _participant_ids(meetings: Any) -> tuple[str, ...]:
    """The Daily participant ids in `meetingIds` (GET of one session, Pipecat Cloud's OpenAPI)."""
    entries = meetings if isinstance(meetings, list) else []
    return tuple(name for entry in entries if isinstance(entry, dict) and (name := text_of(entry.get("participantId"))))


def _bot_started(body: Any) -> bool | None:
    if number(body.get("botStartSeconds")) is not None:
        return True
    return False if text_of(body.get("endState")) in NEVER_STARTED else None


def _agent(body: Any, name: str) -> AgentRecord:
    spec = record_of(record_of(record_of(body.get("deployment")).get("manifest")).get("spec"))
    return AgentRecord(
        name=text_of(body.get("name")) or name,
        ready=flag(body.get("ready")),
        active_sessions=whole_number(body.get("activeSessionCount")),
        max_sessions=whole_number(record_of(body.get("autoScaling")).get("maxReplicas")),
        max_session_seconds=number(spec.get("maxSessionDurationSeconds")),
    )
