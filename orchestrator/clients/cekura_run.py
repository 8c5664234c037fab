"""Cekura's run and result objects as values: the one place that knows their words and their slips.

Source: Cekura's OpenAPI (`Run`, `Result`), checked against its documented examples. The document declares several
integers and objects as strings, so everything is read tolerantly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.clients.refusal import plain
from orchestrator.clients.wire import (
    clock_seconds,
    flag,
    id_of,
    list_of,
    moment,
    number,
    object_of,
    record_of,
    text_of,
    whole_number,
)
from orchestrator.domain.observation import AcceptedRun, AcceptedSubmission, CallObservation, CallStatus

# Both vocabularies of the OpenAPI. `failed` here means that the call failed; a failed evaluation is a completed run.
STATUSES: Final[Mapping[str, CallStatus]] = {
    "in_queue": CallStatus.QUEUED,
    "pending": CallStatus.PENDING,
    "scaling_up": CallStatus.PENDING,
    "running": CallStatus.IN_CALL,
    "in_progress": CallStatus.IN_CALL,
    "evaluating": CallStatus.EVALUATING,
    "completed": CallStatus.COMPLETED,
    "failed": CallStatus.FAILED,
    "timeout": CallStatus.TIMED_OUT,
    "cancelled": CallStatus.CANCELLED,
}
FULL_SCORE: Final = 100.0
LONGEST_WORD: Final = 80  # characters kept of a status we do not know


def call_status(word: Any) -> tuple[CallStatus, str]:
    """Our status for one of Cekura's words, and the word as it came; an unknown word is UNRECOGNISED."""
    raw = plain(word if isinstance(word, str) else str(word or ""), limit=LONGEST_WORD)
    return STATUSES.get(raw.strip().lower(), CallStatus.UNRECOGNISED), raw


def call_observation(body: Mapping[str, Any]) -> CallObservation | None:
    """One `Run`; None where it has no id."""
    run_id = whole_number(body.get("id"))
    if run_id is None:
        return None
    status, raw = call_status(body.get("status"))
    success = flag(body.get("success")) or False
    return CallObservation(
        cekura_run_id=run_id,
        status=status,
        raw_status=raw,
        success=success,
        scenario_id=id_of(body.get("scenario")),
        cekura_result_id=whole_number(body.get("result_id")),
        error_message=plain(text_of(body.get("error_message"))),
        ended_reason=plain(_ended_reason(body)),
        executed_at=moment(body.get("executed_at")),
        duration_seconds=clock_seconds(body.get("duration")),
        explanation="" if success or not status.finished else _explanation(body),
    )


def accepted_submission(body: Mapping[str, Any]) -> AcceptedSubmission | None:
    """A result as a submission answers it or as the result list shows it; None where it has no id."""
    result_id = whole_number(body.get("id"))
    if result_id is None:
        return None
    return AcceptedSubmission(
        cekura_result_id=result_id,
        cekura_agent_id=whole_number(body.get("agent")),
        created_at=moment(body.get("created_at")),
        runs=tuple(_accepted_runs(body.get("runs"))),
        name=text_of(body.get("name")),
    )


def _accepted_runs(runs: Any) -> Iterator[AcceptedRun]:
    """The runs of a result: an array in some answers, an object keyed by run id in others."""
    items = runs.items() if isinstance(runs, dict) else ((None, run) for run in list_of(runs))
    for key, value in items:
        run = record_of(value)
        run_id = whole_number(run.get("id", key))
        if run_id is None:
            continue  # a run nobody can ask about; the caller sees one run fewer than it submitted
        status, raw = call_status(run.get("status"))
        yield AcceptedRun(
            cekura_run_id=run_id,
            scenario_id=id_of(run.get("scenario")),
            status=status,
            raw_status=raw,
            test_profile_id=id_of(object_of(run.get("test_profile_data"))),
        )


def _ended_reason(body: Mapping[str, Any]) -> str:
    return text_of(object_of(body.get("metadata")).get("ended_reason")) or text_of(body.get("call_ended_reason"))


def _explanation(body: Mapping[str, Any]) -> str:
    """Why the evaluation failed: the expected outcome's own words, then the names of the checks that failed."""
    return plain("; ".join([*_missed_outcome(object_of(body.get("expected_outcome"))), *_failed_checks(body)]))


def _missed_outcome(outcome: Mapping[str, Any]) -> Iterator[str]:
    score = number(outcome.get("score"))
    if score is None or score >= FULL_SCORE:
        return
    words = outcome.get("explanation")
    said = " ".join(text_of(word) for word in words) if isinstance(words, list) else text_of(words)
    yield f"expected outcome {score:g}/100" + (f": {said}" if said.strip() else "")


def _failed_checks(body: Mapping[str, Any]) -> Iterator[str]:
    metrics = [record_of(metric) for metric in list_of(object_of(body.get("evaluation")).get("metrics"))]
    names = [text_of(metric.get("name")) or "unnamed" for metric in metrics if _failed(metric)]
    if names:
        yield f"failed metrics: {', '.join(names)}"
    rubric = [record_of(item) for item in list_of(body.get("rubric"))]
    missed = sum(1 for item in rubric if item.get("passed") is False)
    if missed:
        yield f"{missed} of {len(rubric)} rubric items failed"


def _failed(metric: Mapping[str, Any]) -> bool:
    passed = flag(metric.get("passed"))
    if passed is not None:
        return not passed
    kind = text_of(metric.get("eval_type")) or text_of(metric.get("type"))
    score = metric.get("score_normalized", metric.get("score"))
    return kind.startswith("binary") and number(score) == 0
