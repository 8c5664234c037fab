"""The operations guide's backups, made and restored with its own commands, and what an older state does then."""

import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import installed

GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"
SHOWN = re.findall(r"^\$ (.*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
ENDLESS = {"call_seconds": (2900.0, 2900.0), "idle_timeout": 1_000_000.0}


def typed(program, shell, *, path="", **replaced):
    """Run the guide's one command that begins with `program`, with other paths."""
    (line,) = [line for line in SHOWN if line.startswith(f"{program} ")]
    for old, new in replaced.items():
        line = line.replace(old, new)
    environment = shell.environment | {"PATH": f"{path}:{shell.environment['PATH']}"}
    subprocess.run(["sh", "-c", line], cwd=shell.folder, env=environment, check=True, timeout=60)


def restore(shell, backup):
    """As the guide says: the log of what was written since must not be played onto it."""
    state = shell.folder / ".orchestrator" / "state.db"
    for name in ("state.db-wal", "state.db-shm"):
        state.with_name(name).unlink(missing_ok=True)
    shutil.copy2(backup, state)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the sqlite3 command")
def test_gc_on_an_older_sqlite_state_ends_what_was_started_since(shell, play, steps):
    sandbox = play(**ENDLESS)
    key = shell.environment["PIPECAT_CLOUD_API_KEY"]
    shell.environment["PIPECAT_CLOUD_API_KEY"] = "pk_another"
    shell.run()  # its first start is refused: a state with one batch
    shell.environment["PIPECAT_CLOUD_API_KEY"] = key
    backup = shell.folder / "backup.db"
    paths = {"/var/lib/orchestrator/state.db": ".orchestrator/state.db", "/var/backups/orchestrator.db": str(backup)}
    typed("sqlite3", shell, **paths)
    killed = shell.start_run()
    steps.read_until(killed, "-> in_call")
    steps.read_until(killed, "-> in_call")
    killed.kill()
    killed.wait(10)
    assert len(sandbox.world()["sessions"]["alive"]) == 2
    restore(shell, backup)

    shown = shell("gc", "--dry-run")
    ended = shell("gc")

    assert shown.code == 0
    assert ended.code == 0, ended
    world = sandbox.world()
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == world["submitted_twice"] == []
    assert shown.out.count("it bears our mark") == 2
    assert len(shell("batches", "list", "--json").document["batches"]) == 1


@pytest.mark.slow
def test_a_postgresql_state_comes_back_as_it_was_dumped(shell, play, postgres_url_to_spoil):
    play()
    shell.environment["ORCHESTRATOR_DATABASE_URL"] = postgres_url_to_spoil
    programs = str(installed() / "bin")
    assert shell.run().code == 0
    before = shell("batches", "show", "latest", "--json").document
    typed("pg_dump", shell, path=programs)
    with psycopg.connect(postgres_url_to_spoil) as connection:
        connection.execute("UPDATE runs SET outcome = 'failed'")
    assert shell("batches", "show", "latest", "--json").document != before
    typed("pg_restore", shell, path=programs)
    assert shell("batches", "show", "latest", "--json").document == before
