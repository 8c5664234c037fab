"""One execution of a plan: its totals, its gate, and the exit code that sums it up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from orchestrator.domain.plan import Gate
from orchestrator.domain.run import Run
from orchestrator.domain.session import Session
from orchestrator.domain.verdict import Outcome


class BatchStatus(StrEnum):
    """`open` while it is driven; `closed` when every run has an outcome and every teardown is confirmed or bounded."""

    OPEN = "open"
    CLOSED = "closed"


class Origin(StrEnum):
    """Who asked for a batch."""

    COMMAND = "command"
    API = "api"
    SCHEDULE = "schedule"


class ExitCode(IntEnum):
    """What the process returns, in the order in which one overrides another (`precedence`)."""

    PASSED = 0
    GATE_FAILED = 1
    BAD_INPUT = 2
    INCONCLUSIVE = 3
    BUDGET = 4
    LEFT_BEHIND = 5
    CANCELLED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch; `document` is the validated plan it executes, `speed` divides the plan's durations (sandbox only).

    `cancel_drains`: it is cancelled, but calls under way may finish. `refusal` is why the batch ended before it cost
    anything (a key or a request refused by the first start). `owner` is the worker that drives it, None while it waits
    for one. `stopped` is why its ramp was stopped before its end (at `stopped_at`): nothing more was begun, and the
    gate judges what was. `client_key`: whoever asks twice with one key gets one batch. `poked_at`: when somebody last
    heard that Cekura has news of it.
    """

    batch_id: str
    name: str
    status: BatchStatus
    created_at: datetime
    document: Mapping[str, Any]
    digest: str
    speed: float = 1.0
    cancel_asked_at: datetime | None = None
    cancel_reason: str = ""
    cancel_drains: bool = False
    refusal: str = ""
    outcome: Outcome | None = None
    closed_at: datetime | None = None
    owner: str | None = None
    origin: Origin = Origin.COMMAND
    client_key: str | None = None
    schedule: str | None = None
    poked_at: datetime | None = None
    stopped: str = ""
    stopped_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Runs by outcome; runs without one yet are in `runs` only."""

    runs: int
    passed: int
    failed: int
    inconclusive: int

    @property
    def conclusive(self) -> int:
        """Runs that say something about the agent."""
        return self.passed + self.failed

    @property
    def pass_rate(self) -> float | None:
        """Passed over conclusive runs; None where nothing was conclusive."""
        return self.passed / self.conclusive if self.conclusive else None


def count(runs: Iterable[Run]) -> Totals:
    """Add up the outcomes of runs."""
    return count_outcomes(run.outcome for run in runs)


def count_outcomes(outcomes: Iterable[Outcome | None]) -> Totals:
    """Add outcomes up, one for each run; None for a run that has none yet."""
    reached = list(outcomes)
    return Totals(
        runs=len(reached),
        passed=reached.count(Outcome.PASSED),
        failed=reached.count(Outcome.FAILED),
        inconclusive=reached.count(Outcome.INCONCLUSIVE),
    )


def gate_outcome(gate: Gate, totals: Totals) -> Outcome:
    """The batch's outcome: failed outranks inconclusive, and nothing passes on runs that were never judged."""
    rate = totals.pass_rate
    if rate is not None and rate < gate.min_pass_rate:
        return Outcome.FAILED
    if rate is None or totals.runs - totals.conclusive > gate.max_inconclusive:
        return Outcome.INCONCLUSIVE
    return Outcome.PASSED


def exit_code(batch: Batch, *, gate: Gate, totals: Totals, sessions: Iterable[Session]) -> ExitCode:
    """Sum a batch up; the highest in the documented order wins (130, 2, 4, 1, 3, 5, 0)."""
    if batch.cancel_asked_at is not None:
        return ExitCode.CANCELLED
    if batch.refusal:
        return ExitCode.BAD_INPUT
    outcome = gate_outcome(gate, totals)
    if outcome is Outcome.FAILED:
        return ExitCode.GATE_FAILED
    if outcome is Outcome.INCONCLUSIVE:
        return ExitCode.INCONCLUSIVE
    return ExitCode.PASSED if all(session.torn_down for session in sessions) else ExitCode.LEFT_BEHIND
