"""The command as a real process, pointed at a sandbox in a thread of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from orchestrator.cli.main import app
from tests.support.play import SPEED, Play

PLAN = """\
version: 1
name: small
agent: {kind: pipecat_cloud, name: support-bot}
cekura: {agent: 5, mock_tool_names: []}
scenarios:
  - {scenario: 101, publish_data_message: {run: "{{ run.id }}"}}
  - {scenario: 102}
limits: {concurrency: 2}
# Long enough for machines that are busy with other tests: hurried like everything else.
timeouts: {ready: 600, run: 3000}
timing: {lookup: 1800}
retries: {infrastructure: 0}
"""
# What a shell needs, and nothing that could hold a key.
PLAIN = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ} | {
    "PYTHONUTF8": "1",
    "TERM": "dumb",
}
LIMIT = 120.0  # seconds; a busy machine takes a good part of it


class Shell:
    """A working directory, an environment, and the `orchestrator` command in it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = dict(PLAIN)
        self._children = []
        self.plan_file = self.write("plan.yaml", PLAN)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *arguments):
        """A process under way; stdout to a pipe, stderr to a pipe."""
        child = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._children.append(child)
        return child

    def __call__(self, *arguments):
        """A finished process, with `code`, `out` and `err`."""
        child = self.start(*arguments)
        out, err = child.communicate(timeout=LIMIT)
        return Ended(child.returncode, out, err)

    def look(self, *arguments, given=None):
        """The same in this process, for what starts nothing: quicker, and no less true. `given` is its stdin."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in set(os.environ) - set(self.environment):
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            ended = CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    def run(self, *arguments):
        """One hurried batch of the plan file."""
        return self("run", self.plan_file, "--time-scale", f"{SPEED:g}", *arguments)

    def start_run(self, *arguments):
        return self.start("run", self.plan_file, "--time-scale", f"{SPEED:g}", *arguments)

    def close(self):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.communicate(timeout=LIMIT)


class Ended:
    """What a finished process returned and said."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def document(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"Ended({self.code})\n{self.out}\n{self.err}"


def read_until(child, words):
    """Read the child's stderr up to the line that holds `words`; returns all lines read."""
    lines = []
    for line in child.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"the process never said {words!r}:\n{''.join(lines)}")


def finish(child):
    """Wait for a process that ends by itself."""
    out, err = child.communicate(timeout=LIMIT)
    return Ended(child.returncode, out, err)


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.fixture
def play(shell):
    """Starts sandboxes, and points the shell at the last one."""
    opened = []

    def open_play(**settings):
        sandbox = Play(**settings)
        opened.append(sandbox)
        shell.environment |= sandbox.environment()
        return sandbox

    yield open_play
    for sandbox in opened:
        sandbox.close()


@pytest.fixture
def steps():
    """Reading, ending and interrupting processes under way."""
    return Steps


class Steps:
    read_until = staticmethod(read_until)
    finish = staticmethod(finish)

    @staticmethod
    def wait_for(condition):
        """Wait until `condition` holds of the world."""
        ends = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < ends
            time.sleep(0.1)

    @staticmethod
    def interrupt(child):
        child.send_signal(signal.SIGINT)


def nothing_left(world):
    """True when the world holds no session and no room, nobody was called twice and no call was cut short."""
    return not (world["sessions"]["alive"] or world["rooms"]["alive"] or world["submitted_twice"] or world["cut_short"])


@pytest.fixture
def is_clean():
    return nothing_left
