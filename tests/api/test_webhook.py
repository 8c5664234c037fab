"""POST /webhooks/cekura: 401 without the secret, 404 while off, 202 for whatever else comes."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from orchestrator.api.webhook import PATH, webhook_router
from orchestrator.clients.cekura_webhook import LARGEST_BODY
from orchestrator.domain.secret import ApiKey
from orchestrator.store.database import open_store
from tests.support.hand_clock import HandClock
from tests.support.receiver import Receiver, listening
from tests.support.webhooks import of_result

SECRET = ApiKey("s3cret")
KNOWN = {"X-CEKURA-SECRET": "s3cret"}
DONE = json.dumps(of_result()).encode()


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/state.db", driving="test")
    yield opened
    opened.close()


@pytest.fixture
def receiver(store):
    receiver = Receiver()
    receiver.serve(store, HandClock(), secret=SECRET)
    return receiver


async def post(receiver, body=DONE, headers=KNOWN):
    async with receiver.client() as client:
        return await client.post(PATH, content=body, headers=headers)


async def test_what_cekura_sends_is_taken(receiver):
    answer = await post(receiver)
    assert answer.status_code == 202
    assert answer.json() == {"verdict": "ignored", "reason": "no open batch holds its result or runs"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"[" * 50_000, b" " * (LARGEST_BODY + 1)])
async def test_what_cannot_be_read_is_taken_too_for_to_send_it_again_is_of_no_use(receiver, body):
    answer = await post(receiver, body)
    assert answer.status_code == 202
    assert answer.json()["verdict"] == "ignored"


@pytest.mark.parametrize("headers", [{}, {"X-CEKURA-SECRET": ""}, {"X-CEKURA-SECRET": "guessed"}])
async def test_without_the_secret_it_is_refused(receiver, headers):
    answer = await post(receiver, headers=headers)
    problem = answer.json()
    assert answer.status_code == problem["status"] == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "CEKURA_WEBHOOK_SECRET" in problem["next_step"]
    assert "s3cret" not in answer.text
    assert receiver.verdicts() == ["refused"]


async def test_a_header_beyond_ascii_is_only_a_wrong_one(receiver):
    answer = await post(receiver, headers={b"X-CEKURA-SECRET": b"\xff\xfe\x80"})
    assert answer.status_code == 401


async def test_whoever_lacks_the_secret_is_turned_away_before_the_body_is_read(receiver):
    read = []

    async def body():
        for _ in range(1000):
            read.append(1)
            yield b"x" * 1000

    assert (await asked(receiver.app, {}, body())) == 401
    assert len(read) == 0


async def test_no_more_is_read_than_its_bound(receiver):
    read = []

    async def body():
        for _ in range(100):
            read.append(1)
            yield b" " * (LARGEST_BODY // 10)

    assert (await asked(receiver.app, KNOWN, body())) == 202
    assert len(read) <= 12


async def asked(app, headers, chunks):
    """The status of a request whose body is only made as it is asked for, which httpx does not do."""
    status = []

    async def receive():
        async for chunk in chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            status.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    return status[0]


async def test_it_is_off_unless_a_secret_is_set(store):
    receiver = Receiver()
    receiver.serve(store, HandClock(), secret=None)
    answer = await post(receiver)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "CEKURA_WEBHOOK_SECRET" in answer.json()["next_step"]
    assert receiver.receipts == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_a_post_is_a_webhook(receiver, method):
    async with receiver.client() as client:
        assert (await client.request(method, PATH, headers=KNOWN)).status_code == 405


async def test_a_caller_who_hangs_up_in_mid_body_leaves_nothing_behind(store):
    async with listening() as receiver:
        receiver.serve(store, HandClock(), secret=SECRET)
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(receiver.url).port)
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-CEKURA-SECRET: s3cret\r\nContent-Length: 999\r\n\r\n{{".encode()
        )
        await writer.drain()
        writer.close()
        async with asyncio.timeout(10):
            while not receiver.receipts:  # noqa: ASYNC110  what is awaited is the server's doing
                await asyncio.sleep(0.01)
    assert receiver.verdicts() == ["ignored"]


def test_the_document_of_the_api_says_what_it_answers(store):
    app = FastAPI()
    app.include_router(webhook_router(store=store, clock=HandClock(), secret=SECRET))
    operation = app.openapi()["paths"][PATH]["post"]
    assert {"202", "401", "404"} <= set(operation["responses"])
    assert operation["parameters"][0]["name"] == "X-CEKURA-SECRET"
    assert "s3cret" not in json.dumps(app.openapi())
