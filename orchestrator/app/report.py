"""The `--json` document: one shape for `run`, `batches show` and their readers. Fields are added, never changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, Final

from orchestrator.app.batches import BatchView
from orchestrator.app.statement import moment, teardown_statement
from orchestrator.domain.batch import BatchStatus, ExitCode
from orchestrator.domain.plan import Plan
from orchestrator.domain.ramp import highest_until
from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.session import Session, first_start
from orchestrator.domain.submission import SubmissionStatus

ResultUrl = Callable[[int], str | None]
EXIT_MEANINGS: Final = {
    ExitCode.PASSED: "the gate passed; every session and room is confirmed gone or bounded",
    ExitCode.GATE_FAILED: "the gate failed",
    ExitCode.BAD_INPUT: "bad usage, plan, settings or keys; nothing was paid",
    ExitCode.INCONCLUSIVE: "inconclusive: trouble with the infrastructure, not a verdict on the agent",
    ExitCode.BUDGET: "stopped by a budget or quota",
    ExitCode.LEFT_BEHIND: "the gate passed, but a session or room is neither confirmed gone nor bounded",
    ExitCode.CANCELLED: "cancelled and torn down",
}
PHASES: Final = (
    ("start", RunStatus.STARTING, RunStatus.STARTED),
    ("join", RunStatus.STARTED, RunStatus.READY),
    ("submit", RunStatus.READY, RunStatus.SUBMITTED),
    ("connect", RunStatus.SUBMITTED, RunStatus.IN_CALL),
    ("call", RunStatus.IN_CALL, RunStatus.CALL_ENDED),
    ("judge", RunStatus.CALL_ENDED, RunStatus.JUDGED),
)


def report_document(view: BatchView, *, result_url: ResultUrl) -> dict[str, Any]:
    """A batch as JSON: `batch`, `totals`, `results[]`, `runs[]`, `teardown`, `phases`; UTC, lengths in seconds."""
    totals, batch = view.totals, view.batch
    outcome = batch.outcome
    return {
        "batch": {
            "id": batch.batch_id,
            "name": batch.name,
            "channel": view.plan.channel.value,
            "status": batch.status.value,
            "outcome": outcome.value if outcome else None,
            "created_at": moment(batch.created_at),
            "closed_at": moment(batch.closed_at),
            "cancelled": batch.cancel_asked_at is not None,
            "reason": batch.refusal or batch.cancel_reason,
            "stopped": batch.stopped or None,
            "stopped_at": moment(batch.stopped_at),
            "ramp": _ramp(view),
            "exit_code": int(view.exit_code),
            "exit_meaning": exit_meaning(view),
            "speed": batch.speed,
            "gate": {
                "min_pass_rate": view.plan.gate.min_pass_rate,
                "max_inconclusive": view.plan.gate.max_inconclusive,
            },
        },
        "totals": {
            "runs": totals.runs,
            "passed": totals.passed,
            "failed": totals.failed,
            "inconclusive": totals.inconclusive,
            "pass_rate": totals.pass_rate,
        },
        "results": _results(view, result_url),
        "runs": [_run(run, _sessions_of(run, view.sessions), result_url, view.plan) for run in view.runs],
        "teardown": {
            **teardown_statement(view.sessions, view.submissions),
            "by_cekura": view.plan.channel.automated,  # its sessions are its own to end
        },
        "phases": phase_seconds(view.runs),
    }


def _results(view: BatchView, result_url: ResultUrl) -> list[dict[str, Any]]:
    """Cekura's results that the batch made: what they are called, where to look, and the link for others, if asked."""
    named = f"{view.plan.result_name} {view.batch.batch_id}" if view.plan.result_name else None
    return [
        {
            "id": one.cekura_result_id,
            "name": one.name or named,
            "url": result_url(one.cekura_result_id),
            "shared_url": one.shared_url,
        }
        for one in view.submissions
        if one.cekura_result_id is not None and one.status is SubmissionStatus.ACCEPTED
    ]


def _ramp(view: BatchView) -> dict[str, Any] | None:
    """The plan's ramp: its profile, and the highest level at which anything was started, until it was stopped."""
    ramp, begun_at = view.plan.ramp, first_start(view.sessions)
    if ramp is None:
        return None
    last = view.batch.stopped_at or max((session.given_at for session in view.sessions), default=None)
    seconds = (last - begun_at).total_seconds() * view.batch.speed if last and begun_at else 0.0
    return {"profile": ramp.profile.value, "highest_level": highest_until(ramp, seconds) if begun_at else None}


def exit_meaning(view: BatchView) -> str:
    """What the exit code says in words, and no more than is known."""
    if view.batch.status is BatchStatus.OPEN and view.batch.cancel_asked_at is None:
        return "the batch is not over; this is what it would come to now"
    if view.exit_code is ExitCode.CANCELLED and not all(session.torn_down for session in view.sessions):
        return "cancelled; what is named as left is not torn down yet"
    return EXIT_MEANINGS[view.exit_code]


def _sessions_of(run: Run, sessions: tuple[Session, ...]) -> list[Session]:
    """The sessions that existed for a run, oldest first."""
    own = [session for session in sessions if session.run_id == run.run_id and session.exists]
    return sorted(own, key=lambda session: session.intended_at)


def _run(run: Run, sessions: list[Session], result_url: ResultUrl, plan: Plan) -> dict[str, Any]:
    session = sessions[-1] if sessions else None
    return {
        "id": run.run_id,
        "index": run.index,
        "scenario": run.scenario_id,
        "matrix": plan.scenarios[run.scenario_position].cell,
        **_asked_for(run),
        "status": run.status.value,
        "outcome": run.outcome.value if run.outcome else None,
        "reason": run.reason,
        "attempts": run.attempt,
        "earlier_attempts": [
            {"attempt": one.attempt, "session_id": one.session_id, "reason": one.condemned_for} for one in sessions[:-1]
        ],
        "cekura_run_id": run.cekura_run_id,
        "cekura_result_id": run.cekura_result_id,
        "result_url": result_url(run.cekura_result_id) if run.cekura_result_id else None,
        "session_id": session.session_id if session else None,
        "room_url": session.room_url if session else None,
        "evidence": session.evidence.value if session and session.evidence else None,
        "call_seconds": call_seconds(run),
        "timeline": {status: moment(at) for status, at in sorted(run.timeline.items(), key=lambda item: item[1])},
    }


def scenario_label(run: Mapping[str, Any]) -> str:
    """The scenario of a run of the document, and what tells it from others: `101 (locale en)`, `101, personality 2`."""
    cell = [f"{axis} {_plain(value)}" for axis, value in (run.get("matrix") or {}).items()]
    asked = (("personality", run.get("personality_id")), ("profile", run.get("test_profile_id")))
    more = [f"{name} {value}" for name, value in asked if value is not None]
    return ", ".join([str(run["scenario"]) + (f" ({', '.join(cell)})" if cell else ""), *more])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _asked_for(run: Run) -> dict[str, int]:
    """What an automated channel was asked for beside the scenario; nothing where it was asked for nothing."""
    asked = {"personality_id": run.personality_id, "test_profile_id": run.test_profile_id}
    return {name: value for name, value in asked.items() if value is not None}


def call_seconds(run: Run) -> float | None:
    """How long the run's last call was seen to last; None where it was not seen to begin or to end."""
    begin, end = run.since(RunStatus.IN_CALL), run.since(RunStatus.CALL_ENDED)
    return round((end - begin).total_seconds(), 3) if begin and end and end >= begin else None


def phase_seconds(runs: tuple[Run, ...]) -> dict[str, dict[str, float]]:
    """How long each phase took over the runs that went through it: count, median and 95th percentile in seconds."""
    phases: dict[str, dict[str, float]] = {}
    for name, begin, end in PHASES:
        seconds = sorted(
            (until - since).total_seconds()
            for run in runs
            if (since := run.since(begin)) and (until := run.since(end)) and until >= since
        )
        if seconds:
            p95 = seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))]
            phases[name] = {"count": len(seconds), "median": round(median(seconds), 3), "p95": round(p95, 3)}
    return phases
