"""The world: what lives, what leaked, who was called twice, what was cut short, and what all of it cost.

The strongest assertion a test can make is about this document. Neither keys nor meeting tokens are in it.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any

from orchestrator.sandbox.cekura import Cekura, Result
from orchestrator.sandbox.clock import SandboxClock, iso
from orchestrator.sandbox.daily import Daily
from orchestrator.sandbox.edge import Edge
from orchestrator.sandbox.faults import Faults
from orchestrator.sandbox.history import run_history, session_history
from orchestrator.sandbox.rooms import Room
from orchestrator.sandbox.routes_cekura import CekuraRoutes
from orchestrator.sandbox.sessions import Session, Sessions
from orchestrator.sandbox.webhooks import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything the sandbox holds, to be looked at."""

    clock: SandboxClock
    faults: Faults
    daily: Daily
    sessions: Sessions
    cekura: Cekura
    submissions: CekuraRoutes
    webhooks: Webhooks
    edge: Edge

    def document(self) -> dict[str, Any]:
        """The world as JSON. Seconds of money are the remotes' seconds: real ones times the speed."""
        now = self.clock.now()
        sessions = list(self.sessions.all.values())
        submitted = self.submissions.submitted
        return {
            "now": iso(now),
            "speed": self.clock.speed,
            "sessions": {
                "started": len(sessions),
                "alive": [self._session(session) for session in self.sessions.alive.values()],
                "ended": len(sessions) - len(self.sessions.alive),
            },
            "rooms": self._rooms(),
            "starts": self.edge.requests["start"],
            "submits": submitted.by_channel.total(),
            "submits_by_channel": dict(submitted.by_channel),
            "submitted": dict(submitted.rooms),
            "submitted_twice": [url for url, count in submitted.rooms.items() if count > 1],
            "names_twice": [name for name, count in submitted.names.items() if count > 1],
            "results": [self._result(result) for result in self.cekura.results.values()],
            "cut_short": self.cekura.cut_short,
            "calls": {
                "total": self.cekura.calls_total,
                "active": len(self.cekura.talking),
                "peak": self.cekura.peak_talking,
                "peak_alive_sessions": self.sessions.peak_alive,
            },
            "calls_by_channel": dict(self.cekura.calls_by_channel),
            "leaked": self._leaked(),
            "idle_seconds": round(self.clock.speed * sum(session.idled(now) for session in sessions), 1),
            "paid_seconds": round(self.clock.speed * sum(session.lived(now) for session in sessions), 1),
            "requests": dict(self.edge.requests),
            "poll_ids": self.submissions.polled_ids,
            "webhooks": dict(self.webhooks.answers),
            "faults_armed": self.faults.armed(),
            "faults_fired": dict(self.faults.fired),
            "attending_after_ejection": self._attending_after_ejection(),
        }

    def history(self) -> dict[str, Any]:
        """When everything happened, as JSON: sessions in the order of their starts, runs in that of their making."""
        now = self.clock.now()
        return {
            "now": now,
            "speed": self.clock.speed,
            "sessions": [session_history(session, now) for session in self.sessions.all.values()],
            "runs": [run_history(run) for run in self.cekura.runs.values()],
            "requests": dict(self.edge.requests),
        }

    def page(self) -> str:
        """The same as a page that refreshes itself."""
        text = html.escape(json.dumps(self.document(), indent=2))
        head = '<meta charset="utf-8"><meta http-equiv="refresh" content="1"><title>Sandbox world</title>'
        return f"<!DOCTYPE html><html><head>{head}</head><body><h1>Sandbox world</h1><pre>{text}</pre></body></html>"

    def _rooms(self) -> dict[str, Any]:
        domains = self.daily.domains
        return {
            "created": sum(domain.created for domain in domains),
            "alive": [self._room(room) for domain in domains for room in domain.living()],
            "deleted": sum(domain.deleted for domain in domains),
            "expired": sum(domain.expired_count for domain in domains),
        }

    def _leaked(self) -> dict[str, Any]:
        rooms = [room for domain in self.daily.domains for room in domain.living()]
        return {
            "sessions": [
                self._session(session)
                for session in self.sessions.alive.values()
                if session.room is None or session.room.url not in self.cekura.coming_by_room
            ],
            "rooms": [self._room(room) for room in rooms if room.url not in self.cekura.coming_by_room],
        }

    def _attending_after_ejection(self) -> list[dict[str, Any]]:
        return [
            {"room": room.name, "user_id": participant.user_id, "user_name": participant.user_name}
            for domain in self.daily.domains
            for room in domain.living()
            for participant in room.present()
            if participant.came_back
        ]

    def _result(self, result: Result) -> dict[str, Any]:
        return {
            "id": result.id,
            "name": result.name,
            "channel": result.channel,
            "agent": result.agent,
            "status": result.status,
            "runs": len(result.runs),
        }

    def _session(self, session: Session) -> dict[str, Any]:
        coming = session.room is not None and session.room.url in self.cekura.coming_by_room
        return {
            "id": session.id,
            "url": session.room.url if session.room else None,
            "created_at": iso(session.created_at),
            "why": f"{session.kind} session of {session.agent}; {'a call is coming' if coming else 'no call coming'}",
        }

    def _room(self, room: Room) -> dict[str, Any]:
        return {"id": room.id, "url": room.url, "created_at": iso(room.created_at), "why": room.why}
