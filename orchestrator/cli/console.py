"""Where words go: results to stdout, everything said meanwhile to stderr; legible with and without a terminal.

NO_COLOR is honoured (rich does it). Text from outside is never read as markup.
"""

from __future__ import annotations

import io
import os
import sys
from datetime import datetime, timedelta
from typing import Final, TextIO, cast

from rich.console import Console

WIDTH_WITHOUT_TERMINAL: Final = 120
ASCII_FOR: Final = {"✓": "+", "✗": "x", "·": ".", "…": "~", "●": "*"}
_MINUTE: Final = 60
_HOUR: Final = 3600


def stdout_console() -> Console:
    """The console for results."""
    return _console(sys.stdout)


class Aside(Console):
    """A console for what is said beside the work: where nobody reads it any more, the work goes on in silence."""

    def on_broken_pipe(self) -> None:
        """Say no more; rich would redirect stdout and leave the process."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())  # or the last flush would fail, and change the exit code
        os.close(nowhere)


def stderr_console() -> Console:
    """The console for progress, notes and errors."""
    return _console(sys.stderr, Aside)


def _console(stream: TextIO, kind: type[Console] = Console) -> Console:
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return kind(file=stream, width=width, markup=False, highlight=False, emoji=False)


def glyph(sign: str, console: Console) -> str:
    """`sign`, or its stand-in where the stream cannot carry it."""
    return ASCII_FOR.get(sign, sign) if console.options.ascii_only else sign


def duration(length: timedelta | float) -> str:
    """A length of time for a person: `4.2 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 10:  # noqa: PLR2004  tenths matter below ten
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def local_time(at: datetime | None) -> str:
    """A moment on the clock of this machine, without its date."""
    return at.astimezone().strftime("%H:%M:%S") if at else "-"


def local_moment(at: datetime | None) -> str:
    """A moment with its date."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "-"


class CurrentStderr(io.TextIOBase):
    """Writes to whatever stderr is now: a live screen replaces it, and log lines must go above that screen."""

    def write(self, text: str) -> int:
        """Pass `text` on."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Pass it on."""
        sys.stderr.flush()


def current_stderr() -> TextIO:
    """The stream for log lines."""
    return cast("TextIO", CurrentStderr())
