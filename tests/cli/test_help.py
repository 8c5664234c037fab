"""Help answers at once and shows an example everywhere; nothing heavy is imported on the way."""

import subprocess
import sys

import pytest

from orchestrator import __version__
from orchestrator.cli.main import app

HEAVY = {
    "aiohttp",
    "alembic",
    "daily",
    "httpx",
    "loguru",
    "orchestrator.app",
    "orchestrator.clients",
    "orchestrator.engine",
    "orchestrator.plans.loading",
    "orchestrator.sandbox",
    "orchestrator.settings",
    "orchestrator.store",
    "pipecat",
    "pydantic",
    "sqlalchemy",
    "yaml",
}
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
GROUPS = {group.typer_instance.info.name: group.typer_instance for group in app.registered_groups}
RECORDS = [(name, command.name) for name, group in GROUPS.items() for command in group.registered_commands]


def test_the_root_lists_every_command_and_the_exit_codes(shell):
    ended = shell.look("--help")

    assert ended.code == 0
    words = " ".join(ended.out.split())
    for name in [
        "run",
        "plan",
        "import",
        "doctor",
        "sandbox",
        "demo",
        "batches",
        "runs",
        "sessions",
        "cancel",
        "gc",
        "health",
        "probe",
        "--version",
    ]:
        assert f" {name} " in words
    assert "orchestrator demo" in words
    assert "0 gate passed, 1 gate failed, 2 bad usage" in words


@pytest.mark.parametrize("words", [(name,) for name in COMMANDS] + [(name,) for name in GROUPS] + RECORDS, ids=" ".join)
def test_every_help_has_an_example_of_its_own(shell, words):
    ended = shell.look(*words, "--help")

    assert ended.code == 0
    assert f"orchestrator {' '.join(words)}" in ended.out.partition("Example")[2]


def test_the_version_is_the_packages(shell):
    assert shell.look("--version").out == f"orchestrator {__version__}\n"


def test_help_imports_nothing_heavy():
    probe = (
        "import sys\n"
        "from orchestrator.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )

    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=30)

    assert "typer" in ended.stderr.split()
    assert HEAVY.isdisjoint(ended.stderr.split())


def test_an_unknown_option_ends_with_2(shell):
    ended = shell.look("run", "--resmue", "latest")

    assert (ended.code, ended.out) == (2, "")
    assert "--resmue" in ended.err
