"""Who observes a client hears of each request and of what became of each start, and of nothing else."""

import asyncio

import pytest

from orchestrator.app.graph import open_remotes
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import RemoteError
from orchestrator.domain.observation import StartRequest
from orchestrator.domain.plan import AgentKind
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from tests.support.watched import KEYS

START = StartRequest(body={}, room_properties={}, token_properties={})


class Heard:
    def __init__(self):
        self.requests, self.starts = [], []

    def request(self, remote, operation, status, seconds):
        assert seconds >= 0
        self.requests.append((remote, operation, status))

    def start(self, outcome):
        self.starts.append(outcome)


@pytest.fixture
def heard():
    return Heard()


async def ask(heard, ask_for, *faults, **environ):
    """Ask a sandbox for something through clients that are observed."""
    async with Sandbox(SandboxSettings(speed=50, faults=faults)) as box:
        settings = load_settings(box.environment() | environ)
        remotes = open_remotes(settings, clock=SystemClock(), speed=50, observer=heard)
        try:
            await ask_for(remotes, box)
        except RemoteError:
            pass
        finally:
            await remotes.aclose()


async def start_at_cloud(remotes, _):
    await remotes.agent(AgentKind.PIPECAT_CLOUD, "support-bot").start_session(START)


async def start_at_runner(remotes, box):
    await remotes.agent(AgentKind.PIPECAT_RUNNER, box.url).start_session(START)


@pytest.mark.parametrize(
    ("fault", "outcome", "status"),
    [
        ((), "answered", 200),
        (("start.busy",), "busy", 429),
        (("start.refused",), "refused", 401),
        (("start.lost_answer",), "lost", None),
        (("start.error",), "lost", 500),
        (("start.wrong_type",), "lost", 200),
        (("start.oversized",), "lost", None),
    ],
)
@pytest.mark.parametrize("start", [start_at_cloud, start_at_runner])
async def test_a_start_is_told_by_what_its_answer_means_and_a_request_by_its_status(
    heard, start, fault, outcome, status
):
    await ask(heard, start, *fault)

    assert heard.starts == [outcome]
    (request,) = heard.requests
    assert request[1:] == ("start_session", status)


async def test_a_session_without_a_room_is_a_lost_start(heard):
    await ask(heard, start_at_runner, "start.null")

    assert heard.starts == ["lost"]


async def test_a_start_that_reaches_nobody_is_asked_again_later(heard, closed_port):
    await ask(heard, start_at_cloud, PIPECAT_API_HOST=closed_port)

    assert (heard.starts, heard.requests) == (["busy"], [("Pipecat Cloud", "start_session", None)])


async def test_every_remote_is_heard_and_nothing_but_its_names(heard):
    async def everything(remotes, box):
        await start_at_cloud(remotes, box)
        await remotes.agent(AgentKind.PIPECAT_CLOUD, "support-bot").list_sessions()
        await remotes.daily.clients[0].list_rooms()
        await remotes.cekura.billing()

    await ask(heard, everything)

    assert {(remote, operation) for remote, operation, _ in heard.requests} == {
        ("Pipecat Cloud", "start_session"),
        ("Pipecat Cloud", "list_sessions"),
        ("Daily", "list_rooms"),
        ("Cekura", "billing"),
    }
    assert not any(key in str(heard.requests) for key in KEYS)


async def test_a_request_that_we_gave_up_ourselves_says_nothing_about_the_remote(heard, tcp):
    """Cancelled, it had no answer to be late with."""
    asked = asyncio.Event()

    async def hang(reader, _):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await asyncio.sleep(60)

    async with tcp(hang) as url:
        settings = load_settings({"CEKURA_API_KEY": "key-of-tests", "CEKURA_API_URL": url})
        remotes = open_remotes(settings, clock=SystemClock(), observer=heard)
        asking = asyncio.create_task(remotes.cekura.billing())
        await asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await remotes.aclose()

    assert heard.requests == []
