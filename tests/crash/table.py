"""The table of trials and its totals, for a terminal and as Markdown."""

import os
import platform
import statistics
from collections import Counter

from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import SessionStatus
from orchestrator.domain.submission import SubmissionStatus
from tests.crash.rows import TABLES

STATES = {"runs": RunStatus, "sessions": SessionStatus, "submissions": SubmissionStatus}
HEAD = (
    "case",
    "row states found",
    "outcomes",
    "started",
    "submits",
    "twice",
    "cut short",
    "left",
    "bounded",
    "drained s",
    "exit",
    "verdict",
)


def cells(trial):
    """One row of the table."""
    world = trial.world
    return (
        str(trial.case),
        " > ".join(map(str, trial.found)) or "not reached",
        ", ".join(f"{count} {outcome}" for outcome, count in sorted(_outcomes(trial).items())) or "none",
        str(world["sessions"]["started"]),
        str(world["submits"]),
        str(len(world["submitted_twice"])),
        str(len(world["cut_short"])),
        str(len(trial.alive.left)),
        str(len(trial.alive.bounded)),
        f"{trial.drained:.1f}",
        "hung" if trial.ended.hung else str(trial.ended.code),
        "BROKEN: " + "; ".join(trial.broken) if trial.broken else "ok" if trial.kills else "ok, not killed",
    )


def _outcomes(trial):
    return Counter(run["outcome"] or "no outcome" for run in trial.rows.runs)


def states_found(trials):
    """How often each state occurred among the rows that a death left, by table and state."""
    return {table: sum((rows.states[table] for trial in trials for rows in trial.found), Counter()) for table in TABLES}


def states_missing(trials):
    """The states that never occurred, by table."""
    found = states_found(trials)
    return {table: [state.value for state in STATES[table] if not found[table][state.value]] for table in TABLES}


def totals(trials):
    """The figures below the table, a line each."""
    kills = sum(trial.kills for trial in trials)
    drained = sorted(trial.drained for trial in trials if trial.kills) or [0.0]
    worlds = [trial.world for trial in trials]
    yield f"{kills} kills in {len(trials)} cases; {sum(not trial.kills for trial in trials)} never reached their point"
    yield (
        f"sessions started {sum(world['sessions']['started'] for world in worlds)}, "
        f"rooms submitted {sum(len(world['submitted']) for world in worlds)}, "
        f"submitted twice {sum(len(world['submitted_twice']) for world in worlds)}, "
        f"calls cut short {sum(len(world['cut_short']) for world in worlds)}, "
        f"left alive {sum(len(trial.alive.left) for trial in trials)}, "
        f"named as bounded {sum(len(trial.alive.bounded) for trial in trials)}"
    )
    yield f"seconds from the last death to drained: median {statistics.median(drained):.1f}, longest {drained[-1]:.1f}"
    missing = states_missing(trials)
    for table, found in states_found(trials).items():
        named = ", ".join(f"{state} {count}" for state, count in found.most_common())
        never = f"; never: {', '.join(missing[table])}" if missing[table] else "; every state occurred"
        yield f"{table} found {named or 'none'}{never}"
    broken = [trial for trial in trials if trial.broken]
    yield f"broken promises: {len(broken)} cases" if broken else "broken promises: none"


def machine():
    """What ran it."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def markdown(trials, *, command, speed):
    """A page: how it was made, what came of it, every case."""
    lines = [
        "# Reliability",
        "",
        "The real command is killed with SIGKILL at chosen requests and restarted; the sandbox's world is the judge.",
        "A case reads `OPERATION.EDGE@SKIP`: on receipt of the request after SKIP others (`received`), after its",
        "effect and before its answer (`done`), or just after the answer's last byte (`answered`, plus a delay). Then",
        "the kind of agent, the restart (`run --resume latest`, or `gc` alone), the scene, and the faults beside it.",
        "A point after `>` is a second death, of the restarted process. Bounded is what lives on and is named in the",
        "teardown statement with what ends it and when.",
        "",
        f"Command: `{command}` ({speed:g} times faster than life). Machine: {machine()}.",
        "",
        *(f"- {line}" for line in totals(trials)),
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{'---|' * len(HEAD)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in cells(trial))} |" for trial in trials),
    ]
    return "\n".join(lines) + "\n"


def plain(trial):
    """One trial as lines of a terminal."""
    case, found, outcomes, *figures, verdict = cells(trial)
    named = ", ".join(f"{name} {value}" for name, value in zip(HEAD[3:-1], figures, strict=True))
    return f"{verdict}  {case}\n    {found}\n    {outcomes}; {named}"
