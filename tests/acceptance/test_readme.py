"""The README is true: its commands work in the order they stand in, and it leaves no command, code or variable out.

Every command in a `sh` block is executed, but those that NOT_EXECUTED names. The remotes are the sandbox that the
README itself starts; only ports and the pace differ from what is written.
"""

import json
import re
import shlex
import shutil
import subprocess
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from orchestrator.domain.batch import ExitCode
from orchestrator.plans import plan_from_text
from orchestrator.settings import variable_names
from tests.support.checkout import answers, check_out, environment, free_port, is_written, started
from tests.support.typed import TYPED, options, unknown_in

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(found[1], found[2]) for found in re.finditer(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]

SANDBOX = "orchestrator sandbox --speed 20 > sandbox.env"
RUNNER = "python examples/bot.py -t daily"
DEMO = "make demo"
NOT_EXECUTED = {
    "set -a; . ./settings.env; set +a": "loads real keys; what follows it runs with the sandbox's",
    "docker build --tag orchestrator .": "needs a container engine; test_dockerfile.py runs what it would run",
    "docker run --rm orchestrator demo": "needs the image",
    'docker run --rm --env-file settings.env --volume "$PWD:/plans:ro" --volume orchestrator-state:/state'
    " orchestrator run /plans/plan.yaml": "needs the image and real keys",
}
PACE = 30  # instead of the 20 that a person may watch
LIMIT = 120.0  # seconds for one command; most take two


@dataclass
class Reader:
    """Somebody who types what the README says, in one folder; what one command exports, the next one sees."""

    folder: Path
    processes: ExitStack
    runner_port: int

    def types(self, command):
        """Type one command, and wait until it has done what the README expects of it."""
        if command == SANDBOX:
            self._starts(self.hurried(command), lambda: is_written(self.folder / "sandbox.env"))
        elif command == RUNNER:
            self._starts(self.hurried(command), lambda: answers(f"http://127.0.0.1:{self.runner_port}/status"))
        elif command.startswith("jq ") and shutil.which("jq") is None:
            self._has_the_fields_of(command)
        else:
            self._runs(self.hurried(command), said=command)

    def hurried(self, command):
        """The command as typed here: quicker, and on free ports."""
        if command == DEMO:
            return f"$(make --dry-run --no-print-directory demo) --speed {PACE}"
        if command == SANDBOX:
            return command.replace("--speed 20", f"--speed {PACE} --port 0")
        if command == RUNNER:
            return f"{command} --host 127.0.0.1 --port {self.runner_port}"
        if command.startswith("orchestrator run ") and "--resume" not in command:
            command = f"{command.removesuffix(' --time-scale 20')} ".replace(" run ", f" run --time-scale {PACE} ", 1)
        if "config/runner-" in command:
            command += f" --set agent.url=http://127.0.0.1:{self.runner_port}"
        return command

    def _runs(self, command, *, said):
        done = subprocess.run(
            ["sh", "-c", f"{self._exported} && {{ {command}\n}} && export -p > .exported"],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{said}\nended with {done.returncode}\n{done.stdout}{done.stderr}"

    def _starts(self, command, is_ready):
        script = f"{self._exported} && exec {command}"
        started(script, folder=self.folder, processes=self.processes, is_ready=is_ready)

    @property
    def _exported(self):
        return ". ./.exported" if (self.folder / ".exported").exists() else "true"

    def _has_the_fields_of(self, command):
        document = json.loads((self.folder / "report.json").read_text())
        known = {*document, *(name for run in document["runs"] for name in run)}
        assert set(re.findall(r"\.([a-z_]+)\b(?!json)", shlex.split(command)[2])) <= known


@pytest.fixture
def reader(tmp_path):
    """A reader in a fresh checkout whose packages are installed already."""
    check_out(tmp_path)
    with ExitStack() as processes:
        yield Reader(folder=tmp_path, processes=processes, runner_port=free_port())


@pytest.mark.slow
def test_every_command_works_as_written_and_leaves_nothing_behind(reader):
    for command in COMMANDS:
        if command not in NOT_EXECUTED:
            reader.types(command)
    address = re.search(r"CEKURA_API_URL=(\S+)", (reader.folder / "sandbox.env").read_text())[1]
    with urllib.request.urlopen(f"{address}/world.json", timeout=5) as answer:
        world = json.load(answer)
    # The cloud's plan twice, its report once more for CI, the runner's plan; and four telephone calls.
    assert world["calls_by_channel"] == {"pipecat_v1": 4, "voice": 4}
    assert world["rooms"]["alive"] == world["sessions"]["alive"] == []
    assert world["submitted_twice"] == world["cut_short"] == []
    assert json.loads((reader.folder / "report.json").read_text())["totals"]["passed"] == 1


def test_what_is_not_executed_is_still_in_the_readme():
    assert set(NOT_EXECUTED) <= set(COMMANDS)
    assert {SANDBOX, RUNNER, DEMO} <= set(COMMANDS)


def test_the_plan_shown_is_a_plan():
    plans = [text for language, text in BLOCKS if language == "yaml" and text.startswith("version:")]
    assert len(plans) == 1
    assert plan_from_text(plans[0], name="readme").plan.run_count == 3


def test_every_link_leads_somewhere():
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("words", TYPED, ids=" ".join)
def test_every_command_is_mentioned(words):
    assert f"orchestrator {' '.join(words)}" in TEXT


def mentioned_commands():
    """Whatever the README shows after `orchestrator`: in blocks, in running text, in the CI example."""
    steps = [step["run"] for language, text in BLOCKS if language == "yaml" for step in steps_of(yaml.safe_load(text))]
    spans = re.findall(r"`([^`\n]+)`", TEXT)
    lines = [one.removeprefix("exec ") for one in (*COMMANDS, *spans, *steps)]
    return sorted({one.partition(" > ")[0] for one in lines if one.startswith("orchestrator ")})


def steps_of(document):
    return [step for step in document if "run" in step] if isinstance(document, list) else []


@pytest.mark.parametrize("line", mentioned_commands())
def test_every_command_shown_exists_with_its_options(line):
    assert unknown_in(line) == set()


def test_every_option_in_the_text_exists():
    spans = {span.split(" ")[0] for span in re.findall(r"`(--[^`\n]+)`", TEXT)}
    assert spans
    assert spans <= options()


def test_every_make_target_in_the_text_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.MULTILINE))
    assert named
    assert named <= targets


def test_exit_codes_are_all_there_in_their_order():
    rows = [int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)]
    assert rows == [130, 2, 4, 1, 3, 5, 0]
    assert set(rows) == set(ExitCode)


@pytest.mark.parametrize("name", variable_names())
def test_every_variable_is_in_the_settings_reference(name):
    reference = (ROOT / "config" / "settings.env.example").read_text(encoding="utf-8")
    assert re.search(rf"^#?{name}=", reference, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in variable_names() if name.endswith(("_KEY", "_KEYS"))])
def test_every_key_is_explained(name):
    assert f"| `{name}` |" in TEXT


def test_every_message_quoted_is_one_of_ours():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "orchestrator").rglob("*.py"))
    table = TEXT.partition("| you see | do |")[2].partition("\n\n")[0]
    quoted = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert quoted
    parts = {part.strip() for one in quoted for part in re.split(r"\.\.\.|\d+ s$", one) if part.strip()}
    assert {part for part in parts if part not in source} == set()


def test_no_variable_is_invented():
    named = set(re.findall(r"\b(?:ORCHESTRATOR|CEKURA|PIPECAT|DAILY)_[A-Z_]+\b", TEXT))
    foreign = {"DAILY_ROOM_URL"}  # the runner's
    assert named - foreign <= set(variable_names())
