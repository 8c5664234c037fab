"""What happened to one run, from its first start to its last end, as the parts of a trace; in no library's words.

The parts of one attempt join: `start` ends where `join` begins, and so on. `submit` is the time a ready bot waits for
its call, `evaluate` goes on beside `teardown`. Each begins and ends where the rows say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.session import Session, Teardown

# What a run is doing until it reaches a status, in the order in which it reaches them.
WAYS: Final = (
    ("start", RunStatus.STARTED),
    ("join", RunStatus.READY),
    ("submit", RunStatus.IN_CALL),
    ("call", RunStatus.CALL_ENDED),
    ("evaluate", RunStatus.JUDGED),
)
Value = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One span of a trace; `error` says what went wrong in it, `moments` name what happened inside it."""

    name: str
    begins: datetime
    ends: datetime
    facts: Mapping[str, Value] = field(default_factory=dict)
    moments: tuple[tuple[str, datetime], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One session of a run, and the run as it was when it left that session: `left` is when, and `why`, it did."""

    run: Run
    session: Session
    left: datetime
    why: str = ""


def tell(run: Run, attempts: Iterable[Attempt], *, over: datetime) -> tuple[Part, tuple[Part, ...]] | None:
    """The whole run and its parts; None where no session was ever begun. `over`: when its last teardown was known."""
    told = sorted(attempts, key=lambda one: one.session.attempt)
    parts = tuple(part for attempt in told for part in _parts(attempt, over=over))
    if not parts:
        return None
    whole = Part(
        name="run",
        begins=min(part.begins for part in parts),
        ends=max(part.ends for part in parts),
        facts=_facts_of(run),
        error=_error(run),
    )
    return whole, parts


def _parts(attempt: Attempt, *, over: datetime) -> Iterator[Part]:
    run, session = attempt.run, attempt.session
    at = began = run.since(RunStatus.STARTING) or session.intended_at
    reached = {status: moment for status in RunStatus if (moment := run.since(status)) is not None and moment >= began}
    facts: dict[str, Value] = {"orchestrator.attempt": session.attempt}
    if session.pool is not None:
        facts["orchestrator.pool"] = session.pool
    for name, status in WAYS:
        until = reached.get(status)
        if until is None and status is RunStatus.IN_CALL and RunStatus.CALL_ENDED in reached:
            until = reached.get(RunStatus.SUBMITTED, at)  # the call was over before a poll saw it begin
        if until is None:
            if attempt.left > at and RunStatus.JUDGED not in reached:
                yield Part(name=name, begins=at, ends=attempt.left, facts=facts, error=attempt.why)
            break
        until = max(at, until)
        yield Part(
            name=name, begins=at, ends=until, facts=facts | _more(name, session), moments=_moments(name, reached)
        )
        at = until
    if session.exists and session.condemned_at is not None:
        yield _teardown(session, began=began, over=over, facts=facts)


def _more(name: str, session: Session) -> dict[str, Value]:
    return {"orchestrator.evidence": session.evidence.value} if name == "join" and session.evidence else {}


def _moments(name: str, reached: Mapping[RunStatus, datetime]) -> tuple[tuple[str, datetime], ...]:
    accepted = reached.get(RunStatus.SUBMITTED)
    return (("accepted by Cekura", accepted),) if name == "submit" and accepted is not None else ()


def _teardown(session: Session, *, began: datetime, over: datetime, facts: Mapping[str, Value]) -> Part:
    begins = max(began, session.teardown_from or session.condemned_at or began)
    ends = {"session": session.session_end, "room": session.room_end}
    confirmed = [end.at for end in ends.values() if end.state is Teardown.CONFIRMED and end.at is not None]
    unsure = any(end.state is not Teardown.CONFIRMED for end in ends.values())
    said = {f"orchestrator.teardown.{thing}": end.state.value for thing, end in ends.items()}
    return Part(
        name="teardown",
        begins=begins,
        ends=max(begins, over if unsure else max(confirmed, default=over)),
        facts={**facts, **said, "orchestrator.teardown.reason": session.condemned_for},
    )


def _facts_of(run: Run) -> dict[str, Value]:
    facts: dict[str, Value | None] = {
        "orchestrator.batch.id": run.batch_id,
        "orchestrator.run.id": run.run_id,
        "orchestrator.run.index": run.index,
        "orchestrator.run.status": run.status.value,
        "orchestrator.run.outcome": run.outcome.value if run.outcome else None,
        "orchestrator.run.attempts": run.attempt,
        "cekura.scenario.id": run.scenario_id,
        "cekura.run.id": run.cekura_run_id,
        "cekura.result.id": run.cekura_result_id,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _error(run: Run) -> str:
    passed = run.outcome is not None and run.outcome.value == "passed"
    return "" if passed else run.reason or "it has no outcome"
