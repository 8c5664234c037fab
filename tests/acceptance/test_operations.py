"""The operations guide is true: its quick start works as it stands there, and whatever it names exists."""

import json
import re
import signal
import subprocess
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.settings import variable_names
from tests.support.checkout import answers, check_out, environment, free_port, is_written, said, started
from tests.support.typed import options, unknown_in

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "operations.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SHOWN = re.findall(r"^\$ ((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
LIMIT = 60.0  # seconds for one command


@dataclass
class Terminals:
    """Somebody who types the guide's blocks, each in a terminal of its own, in one checkout; only ports differ."""

    folder: Path
    processes: ExitStack
    port: int

    def starts(self, block, is_ready):
        """Type a block whose last command goes on."""
        *before, last = self._on_free_ports(block).splitlines()
        script = " && ".join([*before, f"exec {last}"])
        return started(script, folder=self.folder, processes=self.processes, is_ready=is_ready)

    def types(self, block):
        """Type a block, and return what each of its commands printed."""
        before, printed = [], []
        for line in self._on_free_ports(block).splitlines():
            script = " && ".join([*before, line])
            done = subprocess.run(
                ["sh", "-c", script],
                cwd=self.folder,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
            assert done.returncode == 0, (
                f"{line}\nended with {done.returncode}\n{done.stdout}{done.stderr}{said(self.folder)}"
            )
            if line.startswith(". "):
                before.append(line)
            printed.append(done.stdout)
        return printed

    def _on_free_ports(self, block):
        block = block.replace("orchestrator sandbox", "orchestrator sandbox --port 0")
        block = block.replace("orchestrator serve", f"orchestrator serve --port {self.port}")
        block = block.replace("orchestrator health", f"orchestrator health --url {self.url}")
        return block.replace("http://127.0.0.1:8080", self.url)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def terminals(tmp_path):
    check_out(tmp_path)
    with ExitStack() as processes:
        yield Terminals(folder=tmp_path, processes=processes, port=free_port())


@pytest.mark.slow
def test_the_quick_start_works_as_written_and_leaves_nothing_behind(terminals):
    sandbox, serve, asking = BLOCKS
    terminals.starts(sandbox, lambda: is_written(terminals.folder / "sandbox.env"))
    worker = terminals.starts(serve, lambda: answers(f"{terminals.url}/livez"))
    _activated, health, created, events, report, _shown = terminals.types(asking)
    assert health == "ready\n"
    assert json.loads(created)["status"] == "open"
    assert "event: end" in events
    assert json.loads(report)["totals"]["passed"] == 1
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LIMIT) == 0, said(terminals.folder)
    assert "nothing is left" in said(terminals.folder)
    address = re.search(r"CEKURA_API_URL=(\S+)", (terminals.folder / "sandbox.env").read_text())[1]
    with urllib.request.urlopen(f"{address}/world.json", timeout=5) as answer:
        world = json.load(answer)
    assert world["calls"]["total"] == 1
    assert world["rooms"]["alive"] == world["sessions"]["alive"] == []


def commands():
    """Whatever the guide shows after `orchestrator`, as it would be typed."""
    spans = re.findall(r"`(orchestrator [^`\n]+)`", TEXT)
    lines = [line for block in BLOCKS for line in block.splitlines() if line.startswith("orchestrator ")]
    joined = [shown.replace("\\\n", " ") for shown in SHOWN]
    inner = [
        found for shown in joined for found in re.findall(r"\borchestrator ((?:serve|tokens|batches)\b[^']*)", shown)
    ]
    return sorted({line.partition(" > ")[0] for line in [*spans, *lines, *(f"orchestrator {one}" for one in inner)]})


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_exists_with_its_options(line):
    assert unknown_in(line) == set()


def test_every_option_in_the_text_exists():
    spans = {span.split(" ")[0] for span in re.findall(r"`(--[^`\n]+)`", TEXT)}
    assert spans - {"--stop-timeout"} <= options()  # the container engine's


def test_no_variable_is_invented():
    named = set(re.findall(r"\b(?:ORCHESTRATOR|CEKURA|PIPECAT|DAILY)_[A-Z_]+\b", TEXT))
    assert named
    assert named <= set(variable_names())


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    titles = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert {target[1:] for target in targets if target.startswith("#")} == headings
    paths = {target.partition("#")[0] for target in targets} - {""}
    assert [path for path in paths if "://" not in path and not (GUIDE.parent / path).exists()] == []


def test_every_message_quoted_is_one_of_ours():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "orchestrator").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # a sentence over several lines
    table = TEXT.partition("| what you see |")[2]
    quoted = {one for one in re.findall(r"`([^`]+)`", table) if re.match(r"(the |a |this |is |\.\.\. )", one)}
    assert len(quoted) > 5
    parts = {part.strip() for one in quoted for part in one.split("...") if part.strip()}
    assert {part for part in parts if part not in source} == set()


def test_every_metric_named_is_in_the_page_of_metrics():
    named = set(re.findall(r"\borchestrator_[a-z_]+\b", TEXT))
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert named
    assert {name for name in named if f"`{name}`" not in page} == set()
