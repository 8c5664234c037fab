"""Logging: one place that decides where lines go (stderr) and in which form. Text is static, values are fields."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from loguru import Record


def configure_logging(level: str, *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send our lines of `level` and above to `stream` (stderr), for people or as JSON; libraries stay silent."""
    from loguru import logger

    target = stream or sys.stderr
    logger.remove()
    if as_json:
        logger.add(lambda message: _write_json(message.record, target), level=level, filter="orchestrator")
    else:
        logger.add(target, level=level, format=_line, filter="orchestrator", diagnose=False, backtrace=False)


def _line(record: Record) -> str:
    # A template for loguru to fill: values reach the line as fields, so braces in them cannot be misread.
    fields = "".join(f" {name}={{extra[{name}]}}" for name in record["extra"])
    return "{time:HH:mm:ss} {level: <7} {message}" + fields + "\n{exception}"


def _write_json(record: Record, stream: TextIO) -> None:
    line: dict[str, Any] = {
        "at": record["time"].isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **{name: str(value) for name, value in record["extra"].items()},
    }
    stream.write(json.dumps(line) + "\n")
