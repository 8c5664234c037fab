"""The server on a real port: where it may listen, what it takes off the wire, how it ends."""

import asyncio
import signal
import socket
from dataclasses import replace

import httpx
import pytest

from orchestrator.api.server import ApiServer, check_door
from orchestrator.app.access import revoke_token
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import InvalidSettings

LOOPBACK = "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "orchestrator.example"])
async def test_beyond_loopback_nothing_listens_without_a_token(service, host):
    for context in (service.context, replace(service.context, gatekeeper=None)):
        with pytest.raises(InvalidSettings) as refused:
            async with ApiServer(context, host=host, port=0):
                pass
        assert "orchestrator tokens create" in refused.value.next_step


async def test_beyond_loopback_a_valid_token_is_enough_and_a_revoked_one_is_none(service):
    await service.token(Scope.READ, name="one")
    await check_door(service.context, "0.0.0.0")
    with pytest.raises(InvalidSettings):
        await check_door(replace(service.context, gatekeeper=None), "0.0.0.0")
    await revoke_token(service.store, service.clock, name="one", actor="test")
    with pytest.raises(InvalidSettings):
        await check_door(service.context, "0.0.0.0")


@pytest.mark.parametrize("host", [LOOPBACK, "localhost", "::1"])
async def test_on_loopback_it_serves_without_tokens(service, host):
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    context = replace(service.context, gatekeeper=None)
    async with ApiServer(context, host=host, port=0) as server, httpx.AsyncClient() as client:
        assert (await client.get(f"{server.url}/v1/whoami")).json()["actor"] == "local"


async def test_a_port_that_is_taken_is_told_and_nothing_is_left(service):
    async with ApiServer(service.context, host=LOOPBACK, port=0) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(InvalidSettings, match=f"cannot listen on {LOOPBACK}, port {port}"):
            async with ApiServer(service.context, host=LOOPBACK, port=port):
                pass


async def test_signals_stay_with_whoever_runs_the_loop(service):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with ApiServer(service.context, host=LOOPBACK, port=0):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_after_the_end_nobody_is_answered_and_no_task_is_left(service):
    before = asyncio.all_tasks()
    async with ApiServer(service.context, host=LOOPBACK, port=0) as server:
        url = server.url
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/livez")
    assert asyncio.all_tasks() == before


async def test_a_request_under_way_is_answered_before_it_ends(service):
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def ready():
        entered.set()
        await go_on.wait()
        return {"store": "ok"}

    server = ApiServer(replace(service.context, ready=ready), host=LOOPBACK, port=0)
    async with httpx.AsyncClient() as client:
        async with server:
            asking = asyncio.create_task(client.get(f"{server.url}/readyz"))
            await entered.wait()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
        assert (await asking).json()["status"] == "ready"


async def test_bodies_in_parts_are_bounded_on_the_wire(service, problem_in):
    limits = replace(service.context.limits, body_bytes=1000)
    context = replace(service.context, gatekeeper=None, limits=limits)

    async def endless():
        for _ in range(100):
            yield b"x" * 100

    async with ApiServer(context, host=LOOPBACK, port=0) as server, httpx.AsyncClient() as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post(f"{server.url}/v1/batches", content=endless(), headers=headers)
        problem_in(answer, 413, "too-large")


async def test_a_body_that_never_ends_is_given_up_on_the_wire(service):
    limits = replace(service.context.limits, body_seconds=0.1)
    context = replace(service.context, gatekeeper=None, limits=limits)
    async with ApiServer(context, host=LOOPBACK, port=0) as server:
        reader, writer = await asyncio.open_connection(LOOPBACK, int(server.url.rpartition(":")[2]))
        head = ("POST /v1/batches HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 10")
        writer.write("\r\n".join((*head, "", "{")).encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


async def test_headers_are_bounded_on_the_wire(service):
    context = replace(service.context, gatekeeper=None)
    async with ApiServer(context, host=LOOPBACK, port=0) as server, httpx.AsyncClient() as client:
        try:
            answer = await client.get(f"{server.url}/livez", headers={"X-Large": "x" * 200_000})
        except httpx.TransportError:
            return  # it hung up while we were still sending
        assert answer.status_code == 400
