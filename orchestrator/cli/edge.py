"""The edge of the process: runs one command, and turns whatever ends it into words, a document and an exit code."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

import typer

from orchestrator.domain.batch import ExitCode
from orchestrator.domain.errors import (
    BudgetExhausted,
    InvalidPlan,
    InvalidSettings,
    OrchestratorError,
    RemoteAuthFailed,
    RemoteError,
)

LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_VARIABLES: Final = ("ORCHESTRATOR_LOG_LEVEL", "ORCHESTRATOR_LOG_FORMAT")
DEFECT_STEP: Final = (
    "`orchestrator gc` finds and tears down whatever this process may have left. Repeat with --log-level DEBUG for the"
    " details, and report them."
)
INTERRUPTED: Final = "interrupted before anything was started"
Work = Callable[[], Coroutine[Any, Any, int]]


def carry_out(work: Work, *, as_json: bool = False, log_level: str | None = None) -> NoReturn:
    """Run one command to its exit code; every failure becomes its message, next step and code."""
    import asyncio

    try:
        _configure_logging(log_level)
        code = asyncio.run(work())
    except OrchestratorError as error:
        code = _report(error, as_json=as_json)
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = int(ExitCode.CANCELLED)
        _say(INTERRUPTED, kind="Interrupted", code=code, as_json=as_json)
    except BrokenPipeError:
        raise  # the reader of a pipe went away: typer ends quietly
    except Exception as error:  # noqa: BLE001  the last supervised boundary: a defect still ends with a sentence
        code = _report_defect(error, as_json=as_json, debug=(log_level == "DEBUG"))
    raise typer.Exit(code)


class Underway(OrchestratorError):
    """What stopped this process after a batch was begun: the batch stays open, whatever the cause."""

    def __init__(self, cause: OrchestratorError, *, batch_id: str) -> None:
        self.next_step = (
            f"`orchestrator run --resume {batch_id}` continues batch {batch_id}; `orchestrator gc` tears it down."
        )
        super().__init__(f"the batch could not be driven on: {cause}")


def exit_code_of(error: OrchestratorError) -> ExitCode:
    """What a command returns that ended with `error` before it drove anything."""
    if isinstance(error, BudgetExhausted):
        return ExitCode.BUDGET
    if isinstance(error, Underway):
        return ExitCode.INCONCLUSIVE
    if isinstance(error, RemoteError) and not isinstance(error, RemoteAuthFailed):
        return ExitCode.INCONCLUSIVE
    return ExitCode.BAD_INPUT


def error_document(
    *, kind: str, message: str, code: int, next_step: str = "", problems: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """What `--json` prints instead of a report."""
    return {
        "error": {"kind": kind, "message": message, "problems": list(problems), "next_step": next_step},
        "exit_code": code,
    }


def print_json(document: dict[str, Any]) -> None:
    """Write one document to stdout, and nothing else ever under `--json`."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def exit_now(code: ExitCode) -> NoReturn:
    """End the process with everything said and closed, but without the interpreter's own goodbyes: time is up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def end_within(seconds: float, code: ExitCode) -> None:
    """Let closing take this long and no longer, whatever thread or disk it waits for."""
    timer = threading.Timer(seconds, exit_now, [code])
    timer.daemon = True
    timer.start()


def _configure_logging(log_level: str | None) -> None:
    from orchestrator.cli.console import current_stderr
    from orchestrator.settings import load_settings
    from orchestrator.telemetry.logs import configure_logging

    # These variables only: a sandbox or a demo must not stumble over keys it does not need.
    settings = load_settings({name: value for name, value in os.environ.items() if name.startswith(LOG_VARIABLES)})
    level = (log_level or settings.log_level).upper()
    if level not in LOG_LEVELS:
        raise InvalidSettings(
            "ORCHESTRATOR_LOG_LEVEL does not name a level", next_step=f"Use one of {', '.join(LOG_LEVELS)}."
        )
    configure_logging(level, as_json=settings.log_format == "json", stream=current_stderr())


def _report(error: OrchestratorError, *, as_json: bool) -> int:
    code = int(exit_code_of(error))
    problems: tuple[dict[str, Any], ...] = ()
    if isinstance(error, InvalidPlan):
        problems = tuple(
            {"path": one.path, "line": one.line, "message": one.message, "remedy": one.remedy} for one in error.problems
        )
    _say(
        str(error),
        kind=type(error).__name__,
        code=code,
        next_step=error.next_step,
        problems=problems,
        as_json=as_json,
    )
    return code


def _report_defect(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Its kind and place, not its text: an exception's text may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    if debug:
        sys.stderr.write("Traceback (without the exception's own words):\n")
        traceback.print_tb(error.__traceback__)
    code = int(ExitCode.INCONCLUSIVE)
    message = f"this is a defect of the orchestrator: {type(error).__name__}{place}"
    _say(message, kind="Defect", code=code, next_step=DEFECT_STEP, as_json=as_json)
    return code


def _say(
    message: str,
    *,
    kind: str,
    code: int,
    as_json: bool,
    next_step: str = "",
    problems: tuple[dict[str, Any], ...] = (),
) -> None:
    for line in (message, next_step):
        if line:
            sys.stderr.write(line + "\n")
    if as_json:
        print_json(error_document(kind=kind, message=message, code=code, next_step=next_step, problems=problems))
