"""Remotes for the client tests: the sandbox, single handlers, and raw sockets that misbehave below HTTP."""

import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from orchestrator.clients.cekura import CekuraClient
from orchestrator.clients.daily import DailyClient, DailyDomains
from orchestrator.clients.http import RemoteHttp
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clients.pipecat_runner import PipecatRunnerClient
from orchestrator.clock import SystemClock
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings

SPEED = 50.0


@asynccontextmanager
async def tcp_server(talk):
    """A TCP server whose every connection runs `talk(reader, writer)`; all are ended and closed on the way out."""
    talks = set()

    async def serve(reader, writer):
        talks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks)


@pytest.fixture(scope="session")
def tcp():
    return tcp_server


@pytest.fixture(scope="session")
def raw():
    """A server that reads one request and writes the bytes it was given, then closes; None closes without a word."""

    def serve(reply):
        async def talk(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply or b"")
            await writer.drain()

        return tcp_server(talk)

    return serve


@pytest.fixture
def closed_port():
    """An address of this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
async def door():
    """Open a RemoteHttp on a URL, or on a handler function of httpx requests."""
    opened = []

    def open_door(target, **options):
        given = {"remote": "Remote", "headers": {"Authorization": "Bearer key-of-tests"}, "clock": SystemClock()}
        if callable(target):
            given |= {"base_url": "https://remote.example", "transport": httpx.MockTransport(target)}
        else:
            given["base_url"] = target
        http = RemoteHttp(**(given | options))
        opened.append(http)
        return http

    yield open_door
    for http in opened:
        await http.aclose()


@pytest.fixture
async def world():
    """Start sandboxes and open every client on each."""
    stack = []

    async def start(**settings):
        sandbox = Sandbox(SandboxSettings(**({"speed": SPEED} | settings)))
        await sandbox.__aenter__()
        place = Place(sandbox)
        stack.append(place)
        return place

    yield start
    for place in stack:
        await place.aclose()


@pytest.fixture(scope="session")
def until():
    """Ask again until the answer suits, for at most twenty seconds, and hand it back."""

    async def ask(call, suits):
        async with asyncio.timeout(20):
            while True:
                answer = await call()
                if suits(answer):
                    return answer
                await asyncio.sleep(0.03)

    return ask


class Place:
    """A running sandbox and the clients that talk to it."""

    def __init__(self, sandbox, **environ):
        self.sandbox = sandbox
        self.settings = load_settings(sandbox.environment() | environ)
        clock = SystemClock()
        self.cloud = PipecatCloudClient.open(self.settings, agent_name="support-bot", clock=clock, pace_scale=SPEED)
        self.runner = PipecatRunnerClient.open(self.settings, url=sandbox.url, clock=clock)
        self.cekura = CekuraClient.open(self.settings, clock=clock, pace_scale=SPEED)
        self.domains = DailyDomains.open(self.settings, clock=clock, pace_scale=SPEED)

    @property
    def daily(self) -> DailyClient:
        return self.domains.clients[0]

    async def aclose(self):
        for client in (self.cloud, self.runner, self.cekura, self.domains):
            await client.aclose()
        await self.sandbox.__aexit__(None, None, None)
