"""`orchestrator probe`: who is in a room, seen from inside."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from orchestrator.app.probing import probe as look
from orchestrator.cli.console import stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.clients.probe import probe_report_lines
from orchestrator.domain.batch import ExitCode
from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.secret import MeetingToken
from orchestrator.settings import load_settings


async def probe(room_url: str, *, token_file: Path | None, deadline: float, ask_ready: bool, as_json: bool) -> int:
    """Join, look, listen, leave; 0 when the room was joined, 3 when not."""
    report, how = await look(
        room_url, _token(token_file), settings=load_settings(), deadline=deadline, ask_ready=ask_ready
    )
    if as_json:
        print_json({**asdict(report), "token": how})
    else:
        console = stdout_console()
        for line in [f"joining with {how}", *probe_report_lines(report)]:
            console.print(line, soft_wrap=True)
    return int(ExitCode.PASSED if report.joined else ExitCode.INCONCLUSIVE)


def _token(path: Path | None) -> MeetingToken | None:
    """A token comes from a file: arguments are seen by everybody on the machine."""
    if path is None:
        return None
    try:
        return MeetingToken(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise InvalidSettings(f"--token-file {path}: {why}", next_step="Name a readable file.") from error
