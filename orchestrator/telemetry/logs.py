"""Logging: one place that decides where lines go (stderr) and in which form. Text is static, values are fields."""

from __future__ import annotations

import json
import sys
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from loguru import Message, Record

LOG_FORMATS: Final = ("human", "json")


def configure_logging(level: str, *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send our lines of `level` and above to `stream` (stderr), for people or as JSON; libraries stay silent.

    As JSON each line is one object: `at` (UTC), `level`, `message`, `module`, the line's own fields under `fields`, and
    `error` with the kind and place of a defect. An exception's own words are never written: they may hold anything.
    """
    from loguru import logger

    target = stream or sys.stderr
    logger.remove()
    if as_json:
        as_lines = partial(_write_json, stream=target)
        logger.add(as_lines, level=level, filter="orchestrator", format="{message}", diagnose=False, backtrace=False)
    else:
        logger.add(target, level=level, format=_line, filter="orchestrator", diagnose=False, backtrace=False)


def _line(record: Record) -> str:
    # A template for loguru to fill: values reach the line as fields, so braces in them cannot be misread.
    fields = "".join(f" {name}={{extra[{name}]}}" for name in record["extra"])
    return "{time:HH:mm:ss} {level: <7} {message}" + fields + "\n{exception}"


def _write_json(message: Message, *, stream: TextIO) -> None:
    record = message.record
    line: dict[str, Any] = {
        "at": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        "module": record["name"],
    }
    if record["extra"]:
        line["fields"] = {name: _plain(value) for name, value in record["extra"].items()}
    error = _error(record)
    if error is not None:
        line["error"] = error
    stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    stream.flush()


def _plain(value: Any) -> str | int | float | bool | None:
    """Numbers stay numbers; everything else is what it says of itself (a secret says nothing)."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):  # noqa: PLR0124  JSON has no NaN
        return value
    return str(value)


def _error(record: Record) -> dict[str, Any] | None:
    caught = record["exception"]
    if caught is None or caught.type is None:
        return None
    places, trace = [], caught.traceback
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/orchestrator/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    kinds = (
        [type(one).__name__ for one in caught.value.exceptions] if isinstance(caught.value, BaseExceptionGroup) else []
    )
    return {"kind": " of ".join([caught.type.__name__, *kinds[:1]]), "trace": places}
