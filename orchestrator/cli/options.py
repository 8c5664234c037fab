"""Options and arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LogLevel(StrEnum):
    """How much of what goes on is logged to stderr."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Flow(StrEnum):
    """A flow of Cekura's that a plan can be shown as."""

    V2 = "v2"


class ChannelName(StrEnum):
    """The channels by the names that plans have for them."""

    PIPECAT_V1 = "pipecat_v1"
    PIPECAT_V2 = "pipecat_v2"
    LIVEKIT_V2 = "livekit_v2"
    VOICE = "voice"


AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on stdout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one key of the plan (dotted; VALUE in YAML); repeatable."
    ),
]
Logged = Annotated[
    LogLevel | None,
    typer.Option(
        metavar="LEVEL",
        case_sensitive=False,
        help="DEBUG, INFO, WARNING or ERROR: such lines and above go to stderr (default: ORCHESTRATOR_LOG_LEVEL).",
    ),
]
PlanFile = Annotated[Path | None, typer.Argument(metavar="PLAN", help="The plan file (YAML).", show_default=False)]
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="An id, its beginning, or `latest`.")]
