"""What happened when: the times of every session and every run, for whoever measures where the seconds went.

Times are real Unix seconds, null where it did not happen (yet); `speed` turns their differences into the remotes' own.
Neither keys, meeting tokens nor data messages are in it.
"""

from __future__ import annotations

from typing import Any

from orchestrator.sandbox.calls import Run
from orchestrator.sandbox.sessions import Session


def session_history(session: Session, now: float) -> dict[str, Any]:
    """One session from its start to its end. `idle` and `lived` are real seconds so far: outside calls, and in all."""
    room = session.room
    return {
        "id": session.id,
        "agent": session.agent,
        "kind": session.kind,
        "room_url": room.url if room else None,
        "created_at": session.created_at,
        "bot_joined_at": session.bot_joined_at,
        "ended_at": session.ended_at,
        "end_state": session.end_state,
        "room_ended_at": room.ended_at if room else None,
        "lived": session.lived(now),
        "idle": session.idled(now),
    }


def run_history(run: Run) -> dict[str, Any]:
    """One run from its submission to its verdict; `status` and `ended_reason` are Cekura's words; only the manual
    flow has rooms to name.
    """
    return {
        "id": run.id,
        "ordinal": run.ordinal,
        "result_id": run.result_id,
        "channel": run.channel,
        "scenario": run.scenario,
        "room_url": run.room_url,
        "submitted_at": run.created_at,
        "dispatched_at": run.executed_at,
        "tester_joined_at": run.tester_joined_at,
        "call_began_at": run.call_began_at,
        "call_ended_at": run.call_ended_at,
        "judged_at": run.judged_at,
        "status": run.status,
        "success": run.success,
        "ended_reason": run.ended_reason,
        "cut_short": run.cut_short,
    }
