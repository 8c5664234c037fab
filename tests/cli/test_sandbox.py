"""`sandbox` prints what a client needs and, at its end, how the world was left."""

import socket
import urllib.request

import pytest


def test_it_serves_until_it_is_interrupted(shell, steps):
    child = shell.start("sandbox", "--port", "0", "--speed", "10")
    lines = steps.read_until(child, "--time-scale 10")
    exports = dict(line.removeprefix("export ").strip().split("=", 1) for line in map(str, iter_lines(child.stdout, 8)))

    with urllib.request.urlopen(f"{exports['CEKURA_API_URL']}/world.json", timeout=10) as answer:
        assert answer.status == 200
    steps.interrupt(child)
    ended = steps.finish(child)

    assert ended.code == 0
    assert f"{exports['CEKURA_API_URL']}/world" in "".join(lines)
    assert exports["PIPECAT_CLOUD_API_KEY"] == "pk_sandbox"
    assert "0 sessions and 0 rooms left of 0 and 0" in ended.err


def iter_lines(stream, count):
    return [stream.readline() for _ in range(count)]


def test_every_fault_is_listed_with_its_meaning(shell):
    ended = shell.look("sandbox", "--list-faults")

    assert ended.code == 0
    assert "bot.never_joins" in ended.out
    assert "the session starts, its bot never reaches the room" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "bot.never_jions=1"), "did you mean 'bot.never_joins'?"),
        (("--fault", "bot.never_joins=often"), "OPERATION.FAULT=COUNT"),
        (("--speed", "0"), "--speed"),
        (("--webhook-url", "worker:8080"), "--webhook-url"),
    ],
)
def test_what_cannot_be_played_is_refused(shell, arguments, said):
    ended = shell.look("sandbox", "--port", "0", *arguments)

    assert ended.code == 2
    assert said in ended.err


def test_a_port_in_use_is_named(shell):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        ended = shell.look("sandbox", "--port", taken.getsockname()[1])

    assert ended.code == 2
    assert "Choose another port" in ended.err


@pytest.mark.parametrize(("given", "printed"), [(None, ["export CEKURA_WEBHOOK_SECRET=whsec_sandbox"]), ("mine", [])])
def test_the_secret_of_its_webhooks_is_printed_unless_it_was_brought_along(shell, steps, given, printed):
    if given:
        shell.environment["CEKURA_WEBHOOK_SECRET"] = given
    child = shell.start("sandbox", "--port", "0", "--webhook-url", "http://127.0.0.1:9/webhooks/cekura")
    steps.read_until(child, "Ctrl-C ends")
    steps.interrupt(child)
    ended = steps.finish(child)

    assert [line for line in ended.out.splitlines() if "WEBHOOK" in line] == printed
    assert "mine" not in ended.out + ended.err
