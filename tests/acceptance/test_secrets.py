"""No key and no meeting token anywhere a person or a disk could keep it: the real command, talkative, amid faults."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import pytest
from typer.testing import CliRunner

from orchestrator.cli.main import app
from orchestrator.sandbox import Sandbox, SandboxSettings
from tests.crash.process import Place
from tests.support.bench import until
from tests.support.watched import KEYS, family, files_below, watch

SPEED = 25.0
LIMIT = 60.0
LOUD = ("--log-level", "DEBUG")
PLAN = """
version: 1
name: secrets
agent: {kind: pipecat_cloud, name: support-bot}
cekura: {agent: 5, mock_tool_names: []}
scenarios: [{scenario: 101, repeat: 3}, {scenario: 102, repeat: 2}, {scenario: 103}]
limits: {concurrency: 6, starts_per_second: 20}
timing: {lookup: 60}
timeouts: {ready: 900, run: 4000, judge: 4000}
"""
FAULTS = (
    "agent_get.html=1@1",
    "start.lost_answer=1@1",
    "start.oversized=1@2",
    "submit.lost_answer=1@2",
    "submit.html=1@3",
    "poll.refused=1@2",
    "poll.not_json=1@4",
    "presence.html=1@3",
    "session_stop.refused=1",
    "session_get.truncated=1@2",
    "room_delete.error=1@1",
)
ECHOES = {"start": (429, 1), "token_create": (500, 1), "submit": (400, 2), "session_stop": (500, 1), "poll": (500, 1)}


@pytest.fixture
def watched(monkeypatch):
    return watch(monkeypatch)


@asynccontextmanager
async def playing(tmp_path, *, files=(), **sandbox):
    """A sandbox and the command pointed at it; keys named in `files` come from mounted files."""
    async with Sandbox(SandboxSettings(speed=SPEED, **sandbox)) as box:
        environment, mounted = box.environment(), tmp_path / "mounted"
        mounted.mkdir()
        for name in files:
            path = mounted / name.lower()
            path.write_text(environment.pop(name) + "\n", encoding="utf-8")
            environment[f"{name}_FILE"] = str(path)
        folder = tmp_path / "work"
        folder.mkdir()
        (folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
        yield box, Place(folder=folder, environment=environment, limit=LIMIT)


def look_everywhere(watched, ended, place):
    """Where in what a finished command left behind a secret is seen."""
    left = [("stdout", ended.stdout), ("stderr", ended.stderr), *files_below(place.folder)]
    return {where: found for where, content in left if (found := watched.found_in(content))}


async def keep_looking(watched, place, pid, seen):
    """While a process lives: keys in its files, keys and tokens in what it and its children were started with."""
    while True:
        for arguments in family(pid):
            seen["looks"] += 1
            seen["arguments"] += watched.found_in(arguments)
        for name, content in await asyncio.to_thread(lambda: list(files_below(place.folder))):
            seen[f"file {name}"] = [key for key in KEYS if key.encode() in content] or seen.get(f"file {name}", [])
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_a_batch_amid_faults_shows_and_keeps_no_secret_while_it_runs_or_after(tmp_path, watched):
    watched.echoes = ECHOES
    keyed = ("CEKURA_API_KEY", "PIPECAT_CLOUD_PRIVATE_KEY", "ORCHESTRATOR_DAILY_KEYS")
    seen = {"looks": 0, "arguments": []}
    looking = []
    async with playing(tmp_path, files=keyed, faults=FAULTS, call_seconds=(40.0, 50.0)) as (box, place):

        def begun(pid):
            looking.append(asyncio.create_task(keep_looking(watched, place, pid, seen)))

        ended = await place.command(
            *("run", "plan.yaml", "--json", "--report-dir", "out", "--time-scale", f"{SPEED:g}", *LOUD), begun=begun
        )
        looking[0].cancel()
        world = box.world()
    assert not ended.hung
    assert sorted(path.name for path in (place.folder / "out").iterdir()) == ["report.json", "report.md"]
    assert look_everywhere(watched, ended, place) == {}
    assert {where: found for where, found in seen.items() if where != "looks" and found} == {}
    assert seen["looks"] > 3
    # What was promised to be said was said, so there was something to keep quiet about.
    assert dict(watched.echoed) == {operation: count for operation, (_, count) in ECHOES.items()}
    assert set(world["faults_fired"]) >= {"start.lost_answer", "submit.lost_answer", "start.oversized", "poll.refused"}
    assert "echo of" in ended.stderr
    assert len(watched.tokens) > world["sessions"]["started"]


@pytest.mark.slow
async def test_a_meeting_token_leaves_the_state_once_it_was_submitted_and_a_killed_process_leaves_none(
    tmp_path, watched
):
    async with playing(tmp_path, call_seconds=(300.0, 310.0)) as (box, place):
        pids = []
        running = asyncio.create_task(
            place.command("run", "plan.yaml", "--json", "--time-scale", f"{SPEED:g}", *LOUD, begun=pids.append)
        )
        await until(lambda: box.world()["calls"]["active"] == 6, LIMIT)
        await until(lambda: not any(watched.found_in(content) for _, content in files_below(place.folder)), LIMIT)
        assert box.world()["calls"]["active"] == 6
        assert len(watched.tokens) == 12  # a bot's and a tester's for each room
        os.kill(pids[0], signal.SIGKILL)
        ended = await running
        assert ended.killed
        assert look_everywhere(watched, ended, place) == {}
        collected = await place.command("gc", *LOUD)
        assert collected.code == 0, collected.stderr
        assert look_everywhere(watched, collected, place) == {}
        assert box.world()["sessions"]["alive"] == box.world()["rooms"]["alive"] == []


@pytest.mark.slow
async def test_what_only_looks_shows_no_secret_however_the_remotes_refuse(tmp_path, watched):
    watched.echoes = dict.fromkeys(("agent_get", "result_list", "room_list", "billing", "session_list"), (401, 9))
    async with playing(tmp_path) as (_, place):
        looks = (("plan", "plan.yaml"), ("doctor", "plan.yaml"), ("run", "plan.yaml", "--json"), ("gc", "--dry-run"))
        said = await asyncio.gather(*(place.command(*look, *LOUD) for look in looks))
    assert [look_everywhere(watched, ended, place) for ended in said] == [{}] * len(looks)
    assert watched.echoed["agent_get"] + watched.echoed["result_list"] >= 2
    assert [ended.code for ended in said] == [0, 2, 2, 0]


HIDDEN = "hunter2-never-shown"
WRONG = {
    "a password in an address": {"CEKURA_API_URL": f"https://me:{HIDDEN}@cekura.invalid"},
    "a key of two lines": {"CEKURA_API_KEY": f"{HIDDEN}\n{HIDDEN}"},
    "a key instead of pairs": {"ORCHESTRATOR_DAILY_KEYS": HIDDEN},
    "a key as the private one": {"PIPECAT_CLOUD_PRIVATE_KEY": f"pk_{HIDDEN}"},
    "a key as the public one": {"PIPECAT_CLOUD_API_KEY": f"sk_{HIDDEN}"},
    "a key as the level of logs": {"ORCHESTRATOR_LOG_LEVEL": HIDDEN},
    "a state with a password": {"ORCHESTRATOR_DATABASE_URL": f"postgresql://me:{HIDDEN}@db.invalid/x"},
    "a state that is no address": {"ORCHESTRATOR_DATABASE_URL": HIDDEN},
    "a proxy that is none": {
        "HTTPS_PROXY": f"gopher://me:{HIDDEN}@proxy.invalid",
        "CEKURA_API_URL": "https://cekura.invalid",
    },
    "a key instead of its file": {"CEKURA_API_KEY_FILE": HIDDEN},
}


@pytest.mark.parametrize("why", WRONG)
def test_no_complaint_about_the_environment_quotes_what_it_holds(why, tmp_path, monkeypatch):
    """In this process: all of it is refused before anything is asked of a remote."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    nowhere = "http://127.0.0.1:9"
    addresses = {"CEKURA_API_URL": nowhere, "PIPECAT_API_HOST": nowhere, "DAILY_API_URL": f"{nowhere}/v1"}
    keys = {"CEKURA_API_KEY": "ck_any", "PIPECAT_CLOUD_API_KEY": "pk_any", "DAILY_API_KEY": "daily_any"}
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_PROXY", "_proxy"))]:
        monkeypatch.delenv(name)
    for name, value in {**keys, **addresses, **WRONG[why]}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["run", str(plan), *(() if "level" in why else LOUD)])
    assert ended.exit_code in {2, 3}
    assert [line for line in (ended.stdout + ended.stderr).splitlines() if HIDDEN in line] == []
    assert [name for name, content in files_below(tmp_path) if HIDDEN.encode() in content] == []
