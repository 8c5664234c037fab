"""Cekura's wire shapes: what a submission, a run and a result look like.

Types follow Cekura's OpenAPI file, also where it declares counts as strings and `expected_outcome` as a text; observed
servers send numbers and objects there, so a client has to take both. Fields that the file types beyond use (lists
declared as strings) are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.sandbox.calls import TERMINAL, Run
from orchestrator.sandbox.catalogue import PERSONALITIES, PROFILES, Channel, agent_name, scenario_of
from orchestrator.sandbox.cekura import Result
from orchestrator.sandbox.clock import iso

METRIC_ID: Final = 7
PERCENT: Final = 100.0
MINUTE: Final = 60
# What a run is called is not documented.
RUN_TYPES: Final[Mapping[Channel, str]] = {
    "pipecat_v1": "Pipecat",
    "pipecat_v2": "Pipecat v2",
    "livekit_v2": "LiveKit v2",
    "voice": "Voice",
}


def submission(result: Result) -> dict[str, Any]:
    """The answer to a run request of any channel; its status words are fewer than those of polls."""
    return {
        "id": result.id,
        "name": result.name,
        "agent": result.agent,
        "status": "running",
        "success_rate": 0.0,
        "run_as_text": False,
        "is_cronjob": False,
        "runs": [
            {
                "id": run.id,
                "status": "pending",
                "scenario": run.scenario,
                "number": run.numbers.agent,
                "inbound_number": run.numbers.own or None,
                "scenario_name": scenario_of(run.scenario).name,
                "test_profile_data": _profile(run),
                "outbound_dial_window_opens_at": None,
                "outbound_dial_window_seconds": None,
                "outbound_dial_window_closes_at": None,
            }
            for run in result.runs
        ],
        "created_at": iso(result.created_at),
        "updated_at": iso(result.updated_at),
    }


def run_json(run: Run, result: Result) -> bytes:
    """A run as polls show it, kept until the run changes: a poll of hundreds of ids stays cheap."""
    if run.cached is None:
        run.cached = json.dumps(run_document(run, result)).encode()
    return run.cached


def run_document(run: Run, result: Result) -> dict[str, Any]:
    """The `Run` object of runs/bulk and runs/{id}."""
    judged = run.status in TERMINAL
    return {
        "id": run.id,
        "provider_call_id": "",
        "trace_id": "",
        "scenario": run.scenario,
        "scenario_name": scenario_of(run.scenario).name,
        "scenario_type": "instruction",
        "personality": run.personality,
        "personality_name": PERSONALITIES.get(run.personality, "Normal"),
        "agent": run.agent,
        "agent_name": agent_name(run.agent),
        "result_id": run.result_id,
        "result_name": result.name,
        "expected_outcome_prompt": "The agent resolves the request.",
        "expected_outcome": json.dumps(_expected_outcome(run)) if judged else "",
        "evaluation": {"metrics": [_metric(run)] if run.status == "completed" else []},
        "rubric": [],
        "transcript": _transcript(run),
        "transcript_object": _transcript_object(run),
        "duration": _duration(run),
        "voice_recording_url": "",
        "email_id": None,
        "status": run.status,
        "evaluation_status": "success" if run.success else "failure",
        "metadata": {"ended_reason": run.ended_reason} if run.ended_reason else {},
        "success": run.success,
        "is_reviewed": False,
        "feedback": "",
        "timestamp": iso(run.created_at),
        "executed_at": iso(run.executed_at) if run.executed_at else None,
        "outbound_number": run.numbers.own,
        "inbound_number": "",
        "critical_categories": [],
        "error_message": run.error_message,
        "scenario_instructions": "",
        "run_as_text": False,
        "test_profile_data": _profile(run),
        "generated_mock_tool_entries": [],
        "mocked_tool_names": [],
        "provider_call_details": {},
        "agent_number": run.numbers.agent or None,
        "testing_channel_index": None,
        "run_type": RUN_TYPES[run.channel],
    }


def result_document(result: Result) -> dict[str, Any]:
    """The `ResultDetailV2` object."""
    return {
        **_result_core(result),
        "overall_evaluation": {},
        "total_duration": _clock_time(sum(_seconds(run) for run in result.runs)),
        "failed_reasons": {"issues": [], "total_failed_runs": _counts(result)["failed"]},
        "ai_summary": "",
        "ai_summary_status": "pending",
        "next_steps": [],
        "path_coverage": {},
        "run_settings": {} if result.calls_limit is None else {"concurrency_limit": result.calls_limit},
    }


def result_listing(result: Result) -> dict[str, Any]:
    """The `Result` object of the list."""
    return {**_result_core(result), "agent_inbound": True}


def _result_core(result: Result) -> dict[str, Any]:
    counts = _counts(result)
    return {
        "id": result.id,
        "name": result.name,
        "agent": result.agent,
        "agent_name": agent_name(result.agent),
        "status": result.status,
        "success_rate": PERCENT * counts["passed"] / max(1, len(result.runs)),
        "run_as_text": False,
        "is_cronjob": "false",
        "runs": {str(run.id): _brief_run(run) for run in result.runs},
        "met_expected_outcome_count": str(counts["passed"]),
        "total_expected_outcome_count": str(len(result.runs)),
        "total_runs_count": str(len(result.runs)),
        "completed_runs_count": str(counts["completed"]),
        "success_runs_count": str(counts["passed"]),
        # Only completed runs that failed their evaluation; runs that timed out or errored are in neither count.
        "failed_runs_count": str(counts["failed"]),
        "run_type": RUN_TYPES[result.channel],
        "created_at": iso(result.created_at),
        "updated_at": iso(result.updated_at),
    }


def _profile(run: Run) -> dict[str, Any] | None:
    return None if run.profile is None else PROFILES[run.profile].shown()


def _counts(result: Result) -> dict[str, int]:
    completed = [run for run in result.runs if run.status == "completed"]
    passed = sum(run.success for run in completed)
    return {"completed": len(completed), "passed": passed, "failed": len(completed) - passed}


def _brief_run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status,
        "success": run.success,
        "error_message": run.error_message,
        "scenario": run.scenario,
        "scenario_name": scenario_of(run.scenario).name,
        "duration": _duration(run),
        "executed_at": iso(run.executed_at) if run.executed_at else None,
    }


def _expected_outcome(run: Run) -> dict[str, Any]:
    return {
        "score": PERCENT if run.success else 0.0,
        "explanation": ["The outcome was met." if run.success else "The outcome was not met."],
        "outcome_alignments": [
            {"outcome": "resolved", "prompt_part": "The agent resolves the request.", "aligned": run.success}
        ],
    }


def _metric(run: Run) -> dict[str, Any]:
    return {
        "id": METRIC_ID,
        "name": "greeting_by_name",
        "eval_type": "binary",
        "passed": run.success,
        "type": "binary",
        "score": 1.0 if run.success else 0.0,
        "enum": "",
        "value": "",
        "explanation": ["The agent greeted the caller." if run.success else "The agent never greeted the caller."],
        "extra": {},
    }


def _transcript(run: Run) -> str:
    return "Testing Agent: Hello.\nMain Agent: Hello, how can I help?" if run.call_began_at else ""


def _transcript_object(run: Run) -> list[dict[str, Any]]:
    lines = [("Testing Agent", "Hello."), ("Main Agent", "Hello, how can I help?")] if run.call_began_at else []
    return [
        {
            "role": role,
            "content": content,
            "timestamp": float(second),
            "normalized_content": content,
            "comparison_spans": [],
        }
        for second, (role, content) in enumerate(lines)
    ]


def _seconds(run: Run) -> float:
    return (run.call_ended_at or 0.0) - run.call_began_at if run.call_began_at and run.call_ended_at else 0.0


def _duration(run: Run) -> str:
    return _clock_time(_seconds(run))


def _clock_time(seconds: float) -> str:
    return f"{int(seconds) // MINUTE:02d}:{int(seconds) % MINUTE:02d}"
