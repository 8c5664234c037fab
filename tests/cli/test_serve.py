"""`serve` as one process on an SQLite file: how it stops, what it goes on with, and why it would not begin."""

import re
import signal
import socket

import pytest

from orchestrator.app.service import Left
from orchestrator.cli.serve import left_text
from tests.support.asked import ask
from tests.support.play import SPEED

PLAN = """\
version: 1
name: small
agent: {kind: pipecat_cloud, name: support-bot}
cekura: {agent: 5, mock_tool_names: []}
scenarios: [{scenario: 101, repeat: 2}]
limits: {concurrency: 2}
timeouts: {ready: 600, run: 3000}
timing: {lookup: 1800}
"""
LONG = (300.0, 300.0)  # six seconds at this speed: a call that lasts while one process is stopped and another started


class Served:
    """One `serve` under way: its process and where it answers."""

    def __init__(self, shell, steps, *arguments):
        arguments = ("--port", "0", "--time-scale", f"{SPEED:g}", *arguments)
        self.process = shell.start("serve", *arguments)
        self.said = steps.read_until(self.process, " serves ")
        self.url = re.search(r"http://\S+", self.said[-1]).group()
        self._finish = steps.finish

    def ask(self, path, order=None):
        return ask(f"{self.url}{path}", order)

    def begin(self, plan=PLAN):
        return self.ask("/v1/batches", {"plan_yaml": plan, "speed": SPEED})["id"]

    def runs(self, batch_id):
        return self.ask(f"/v1/batches/{batch_id}/runs")["runs"]

    def in_call(self, batch_id, count):
        return lambda: sum(run["status"] == "in_call" for run in self.runs(batch_id)) >= count

    def closed(self, batch_id):
        return lambda: self.ask(f"/v1/batches/{batch_id}")["status"] == "closed"

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self._finish(self.process)


@pytest.fixture
def serve(shell, steps):
    def start(*arguments):
        return Served(shell, steps, *arguments)

    return start


def ready_in(shell, pool):
    """How many sessions wait in a pool; None where it cannot be shown, as before it is made."""
    shown = shell.look("pools", "show", pool, "--json")
    return shown.document["sessions"]["ready"] if shown.code == 0 else None


def outcomes(runs):
    return [(run["outcome"], run["attempt"]) for run in runs]


@pytest.mark.slow
def test_a_first_signal_lets_calls_finish_and_leaves_nothing_not_even_in_a_pool(serve, play, steps, is_clean, shell):
    sandbox = play(call_seconds=(100.0, 150.0))
    pool = "{name: support, agent: {kind: pipecat_cloud, name: support-bot}, min_ready: 2, max_alive: 4, ready: 10m}"
    shell.write("serve.yaml", f"version: 1\npools: [{pool}]\n")
    served = serve("--config", "serve.yaml")
    batch_id = served.begin(PLAN.replace("repeat: 2", "repeat: 3"))
    steps.wait_for(served.in_call(batch_id, 2))
    steps.wait_for(lambda: ready_in(shell, "support") == 2)

    ended = served.stop()

    assert (ended.code, is_clean(sandbox.world())) == (0, True), ended
    assert sandbox.world()["starts"] == 4, "no session was started for the third run"
    document = shell.look("batches", "show", batch_id, "--json").document
    assert [run["outcome"] for run in document["runs"]].count("passed") == 2


@pytest.mark.slow
def test_what_a_stop_in_a_hurry_leaves_is_said_and_the_next_one_goes_on_with_it(serve, play, steps, is_clean):
    sandbox = play(call_seconds=LONG)
    served = serve("--drain", "0")
    batch_id = served.begin()
    steps.wait_for(served.in_call(batch_id, 2))

    ended = served.stop()

    assert ended.code == 5, ended
    assert (
        "stopped with 1 batch open, 2 sessions that may be alive: `orchestrator serve` goes on with them" in ended.err
    )
    assert len(sandbox.world()["sessions"]["alive"]) == 2

    asked_twice = serve()
    asked_twice.process.send_signal(signal.SIGTERM)
    steps.read_until(asked_twice.process, "stopping: nothing new is begun")
    ended = asked_twice.stop(signal.SIGINT)
    assert ended.code == 130, ended
    assert "left at once" in ended.err

    after = serve()
    steps.wait_for(after.closed(batch_id))
    assert outcomes(after.runs(batch_id)) == [("passed", 1)] * 2
    assert after.stop().code == 0
    assert is_clean(sandbox.world())


@pytest.mark.slow
def test_after_a_kill_it_goes_on_with_what_was_asked_by_http_and_ends_what_a_command_began(
    serve, shell, play, steps, is_clean
):
    sandbox = play(call_seconds=LONG)
    command = shell.start_run()
    for _ in range(2):
        steps.read_until(command, "-> in_call")
    command.kill()
    steps.finish(command)
    served = serve()
    batch_id = served.begin()
    steps.wait_for(served.in_call(batch_id, 2))
    served.process.kill()
    steps.finish(served.process)

    after = serve()

    steps.wait_for(lambda: all(one["status"] == "closed" for one in after.ask("/v1/batches")["batches"]))
    assert outcomes(after.runs(batch_id)) == [("passed", 1)] * 2
    (commanded,) = after.ask("/v1/batches?origin=command")["batches"]
    assert commanded["cancelled"]
    assert commanded["reason"] == "an earlier process ended before this batch did; its sessions are torn down"
    assert after.stop().code == 0
    world = sandbox.world()
    assert (world["sessions"]["alive"], world["rooms"]["alive"], world["submitted_twice"]) == ([], [], [])


def test_what_is_left_is_said_also_where_no_batch_is_open():
    assert left_text(Left(batches=0, sessions=0, handed_over=False)) == "stopped; nothing is left"
    alone = left_text(Left(batches=0, sessions=2, handed_over=False))
    assert alone.startswith("stopped with 0 batches open, 2 sessions that may be alive: ")
    assert "another worker goes on" in left_text(Left(batches=1, sessions=2, handed_over=True))


@pytest.mark.long
@pytest.mark.slow
def test_beside_one_that_serves_no_run_drives_the_same_state(serve, shell, play, steps):
    play()
    served = serve()
    ended = shell.run()
    assert ended.code == 2, ended
    assert f"is being driven by process {served.process.pid} on " in ended.err
    assert "(`orchestrator serve`, since " in ended.err
    assert served.stop().code == 0


def test_it_begins_nothing_where_it_cannot_serve(shell, play):
    sandbox = play()
    open_to_all = shell.look("serve", "--host", "0.0.0.0", "--port", "0")
    assert open_to_all.code == 2, open_to_all
    assert "orchestrator tokens create" in open_to_all.err

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = shell.look("serve", "--port", port)
    assert ended.code == 2, ended
    assert f"cannot listen on 127.0.0.1, port {port}" in ended.err

    shell.write(
        "serve.yaml",
        "version: 1\n"
        "schedules: [{name: a, plan: plan.yaml, cron: '0 0 31 2 *'}, {name: a, plan: plan.yaml, every: 5}]\n"
        "pools: [{name: p, agent: {kind: pipecat_cloud, name: b}, min_ready: 3, max_alive: 2, idle: 9}]\n",
    )
    refused = shell.look("serve", "--config", "serve.yaml")
    assert refused.code == 2, refused
    for problem in ("schedules.0.cron", "schedules.1.every", "schedules.1.name", "pools.0.idle", "pools.0.min_ready"):
        assert problem in refused.err, refused
    assert sandbox.world()["requests"].get("start", 0) == 0
