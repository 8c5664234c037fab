"""The two ways to start a session: Pipecat Cloud's REST API, and a self-managed Pipecat runner's `/start`.

Pipecat Cloud: the public key starts, the private key lists, gets and stops; the paths under `/organizations` are the
ones its SDK uses. The runner knows no keys, no stop and no session list (pipecat.runner.run, 1.14).
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.daily import Daily, Domain
from orchestrator.sandbox.edge import Edge
from orchestrator.sandbox.exchange import Answer, Asked, text
from orchestrator.sandbox.properties import ROOM, TOKEN, well_typed, why_refused
from orchestrator.sandbox.sessions import Session, Sessions, matching
from orchestrator.sandbox.settings import PRIVATE_KEY, PUBLIC_KEY, SandboxSettings

RUNNER_ROOM_HOURS: Final = 4
RUNNER_TOKEN_HOURS: Final = 2
HOUR: Final = 3600
BODY_LIMIT: Final = 1_000_000  # bytes of the bot's body; "1 MB" (docs, fundamentals/active-sessions)
CAPACITY: Final = {"status": 429, "code": "429", "message": "Rate limit exceeded. Please try again later"}
CAPACITY_PCC: Final = {"error": "The agent is at capacity.", "code": "PCC-AGENT-AT-CAPACITY"}
RUNNER_ROOM: Final = {
    "enable_chat": False,
    "enable_prejoin_ui": False,
    "enable_emoji_reactions": False,
    "eject_at_room_exp": True,
    "start_video_off": False,
}


class PipecatCloudRoutes:
    """Pipecat Cloud's manners and handlers."""

    flavour = "cloud"

    def __init__(self, *, daily: Daily, sessions: Sessions, settings: SandboxSettings) -> None:
        self._daily = daily
        self._sessions = sessions
        self._settings = settings

    def add_to(self, app: web.Application, edge: Edge) -> None:
        """Register every path."""
        add = edge.routes_of(self, app)
        add("start", "POST", "/v1/public/{agent}/start", self.start)
        add("agent_list", "GET", "/v1/agents", self.list_agents)
        for base in ("/v1/agents/{agent}", "/v1/organizations/{org}/services/{agent}"):
            add("agent_get", "GET", base, self.get_agent)
            add("session_list", "GET", f"{base}/sessions", self.list_sessions)
            add("session_get", "GET", f"{base}/sessions/{{id}}", self.get_session)
            add("session_stop", "DELETE", f"{base}/sessions/{{id}}", self.stop_session)
        add("organizations", "GET", "/v1/organizations", self.list_organizations)
        add("daily_key", "GET", "/v1/organizations/{org}/daily", self.get_daily_key)

    def refusal(self, asked: Asked, operation: str) -> Answer | None:
        """401 for any key but the one kind that this operation takes; 404 for an unknown agent."""
        key = PUBLIC_KEY if operation == "start" else PRIVATE_KEY
        if asked.bearer() != key:
            return self.error(401, "Unauthorized / token expired")
        if asked.parts.get("agent") in self._settings.unknown_agents:
            return self.error(404, "Agent not found")
        return None

    def error(self, status: int, message: str) -> Answer:
        """Pipecat Cloud's error object; the documented 429 has another."""
        return Answer(status=status, body=CAPACITY if status == 429 else {"error": message, "code": str(status)})  # noqa: PLR2004

    def start(self, asked: Asked) -> Answer:
        """POST /public/{agent}/start."""
        agent = asked.parts["agent"]
        if asked.fault == "no_public_key":
            return Answer(status=401, body={"error": "No public API key provided", "code": "PCC-1002"})
        if asked.fault == "capacity_pcc":
            return Answer(status=429, body=CAPACITY_PCC)
        if asked.fault == "capacity" or self._sessions.active_count(agent) >= self._settings.max_sessions:
            return self.error(429, "")
        try:
            body = asked.json()
        except ValueError:
            return self.error(400, "Invalid JSON")
        if isinstance(body, Mapping) and _size(body.get("body")) > BODY_LIMIT:
            return self.error(413, "Request body too large")
        refused = _why_start_refused(body)
        return self.error(400, refused) if refused else self._started(agent, body)

    def list_agents(self, asked: Asked) -> Answer:  # noqa: ARG002  every handler has one signature
        """GET /agents: here any name is an agent, so the list holds those that were started."""
        return Answer(body={"services": [_listed(name) for name in self._sessions.cloud_agents()]})

    def get_agent(self, asked: Asked) -> Answer:
        """GET /agents/{agent}; the SDK's path wraps it in `body`."""
        document = self._agent_document(asked.parts["agent"])
        return Answer(body={"body": document} if "org" in asked.parts else document)

    def list_sessions(self, asked: Asked) -> Answer:
        """GET .../sessions with its filters."""
        try:
            offset, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", 10))
            found = matching(self._sessions.of_agent(asked.parts["agent"]), asked.query)
        except ValueError:
            return self.error(400, "Invalid query")
        page = found[offset : offset + limit]
        return Answer(body={"total_count": len(found), "sessions": [session.document() for session in page]})

    def get_session(self, asked: Asked) -> Answer:
        """GET .../sessions/{id}."""
        session = self._find(asked)
        if session is None:
            return self.error(404, "Session not found")
        return Answer(body={**session.document(), "resourceMetrics": None, "meetingIds": session.meetings()})

    def stop_session(self, asked: Asked) -> Answer:
        """DELETE .../sessions/{id}. What a second stop answers is not documented; here the session is not found."""
        try:
            uuid.UUID(asked.parts["id"])
        except ValueError:
            return self.error(400, "Malformed session id")
        session = self._find(asked)
        if session is None or not session.alive:
            return self.error(404, "Session not found")
        self._sessions.end(session, state="terminated", code="HTTP_COMPLETED")
        return Answer(body={"status": "terminated", "session_id": session.id})

    def list_organizations(self, asked: Asked) -> Answer:  # noqa: ARG002  every handler has one signature
        """GET /organizations, for the SDK."""
        return Answer(body={"organizations": [{"name": "org-sandbox", "verboseName": "Sandbox"}]})

    def get_daily_key(self, asked: Asked) -> Answer:  # noqa: ARG002  every handler has one signature
        """GET /organizations/{org}/daily: the key of the domain that Pipecat Cloud's rooms live on."""
        return Answer(body={"apiKey": self._daily.cloud.key})

    def _started(self, agent: str, body: Mapping[str, Any]) -> Answer:
        if not body.get("createDailyRoom"):
            session = self._sessions.start(agent=agent, kind="cloud", room=None, token=None)
            return Answer(body={"sessionId": session.id}, delay=self._settings.start_seconds)
        room = self._daily.cloud.create(
            name=None, privacy="public", properties=body.get("dailyRoomProperties") or {}, why=f"session of {agent}"
        )
        properties = {**(body.get("dailyMeetingTokenProperties") or {}), "room_name": room.name}
        token = self._daily.cloud.sign(properties)
        session = self._sessions.start(agent=agent, kind="cloud", room=room, token=token)
        return Answer(
            body={"sessionId": session.id, "dailyRoom": room.url, "dailyToken": token},
            delay=self._settings.start_seconds,
        )

    def _find(self, asked: Asked) -> Session | None:
        session = self._sessions.all.get(asked.parts["id"])
        return session if session and session.kind == "cloud" and session.agent == asked.parts["agent"] else None

    def _agent_document(self, agent: str) -> dict[str, Any]:
        return {
            "name": agent,
            "region": "us-west",
            "ready": True,
            "available": True,
            "activeDeploymentReady": True,
            "autoScaling": {"minReplicas": 0, "maxReplicas": self._settings.max_sessions},
            "activeSessionCount": self._sessions.active_count(agent),
            "deployment": {
                "manifest": {"spec": {"maxSessionDurationSeconds": int(self._settings.max_session_seconds)}}
            },
        }


class RunnerRoutes:
    """A self-managed runner's manners and handlers; its rooms are public and live on the user's domain."""

    flavour = "runner"

    def __init__(self, *, daily: Daily, sessions: Sessions, clock: SandboxClock) -> None:
        self._domain: Domain = daily.user
        self._sessions = sessions
        self._clock = clock

    def add_to(self, app: web.Application, edge: Edge) -> None:
        """Register both paths."""
        add = edge.routes_of(self, app)
        add("start", "POST", "/start", self.start)
        add("runner_status", "GET", "/status", self.status)

    def refusal(self, asked: Asked, operation: str) -> Answer | None:  # noqa: ARG002  the protocol's signature
        """The runner knows no keys."""
        return None

    def error(self, status: int, message: str) -> Answer:
        """FastAPI's shape."""
        return Answer(status=status, body={"detail": message})

    def status(self, asked: Asked) -> Answer:  # noqa: ARG002  every handler has one signature
        """GET /status: capabilities only, no sessions."""
        return Answer(body={"status": "ready", "transports": ["daily"]})

    def start(self, asked: Asked) -> Answer:
        """POST /start. Invalid JSON counts as `{}`; without createDailyRoom the answer is `null` and a bot runs."""
        body = _lenient(asked)
        transport = body.get("transport") or "daily"
        if transport != "daily":
            return self.error(400, f"Transport '{transport}' is not enabled")
        if asked.fault == "plain_error":
            self._make_room(body)
            return text(500, "Internal Server Error")
        if asked.fault == "null" or not body.get("createDailyRoom"):
            self._sessions.start(agent="runner", kind="runner", room=None, token=None)
            return Answer(body=None)
        room_name, room_url = self._make_room(body)
        token = self._domain.sign(self._token_properties(body, room_name))
        session = self._sessions.start(agent="runner", kind="runner", room=self._domain.find(room_name), token=token)
        return Answer(body={"dailyRoom": room_url, "dailyToken": token, "sessionId": session.id})

    def _make_room(self, body: Mapping[str, Any]) -> tuple[str, str]:
        asked = body.get("dailyRoomProperties") or {}
        # The runner logs properties of the wrong type and goes on without them.
        given = asked if well_typed(asked, ROOM) else {}
        expiry = self._clock.now() + self._clock.scaled(RUNNER_ROOM_HOURS * HOUR)
        room = self._domain.create(
            name=f"pipecat-{secrets.token_hex(4)}",
            privacy="public",
            properties={"exp": expiry, **RUNNER_ROOM, **given},
            why="session of the runner",
        )
        return room.name, room.url

    def _token_properties(self, body: Mapping[str, Any], room_name: str) -> dict[str, Any]:
        asked = body.get("dailyMeetingTokenProperties") or {}
        given = asked if well_typed(asked, TOKEN) else {}
        own = {
            "room_name": room_name,
            "exp": int(self._clock.now() + self._clock.scaled(RUNNER_TOKEN_HOURS * HOUR)),
            "is_owner": True,
            "eject_at_token_exp": False,
        }
        return {**given, **own}


def _listed(agent: str) -> dict[str, Any]:
    """An entry of the list of agents."""
    return {"id": f"service-{agent}", "name": agent, "region": "us-west", "deletedAt": None}


def _size(body: Any) -> int:
    return len(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())


def _why_start_refused(body: Any) -> str | None:
    if not isinstance(body, Mapping):
        return "The body must be an object"
    room = body.get("dailyRoomProperties") or {}
    return why_refused(room, ROOM) or why_refused(body.get("dailyMeetingTokenProperties") or {}, TOKEN)


def _lenient(asked: Asked) -> Mapping[str, Any]:
    try:
        body = asked.json()
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}
