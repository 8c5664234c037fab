"""The one door: what each way of failing means, size and time bounds, redirects, and no secret in any message."""

import asyncio
import traceback

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.clients.http import AnswerTooLarge, RemoteHttp
from orchestrator.clients.pace import Pace
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import (
    InvalidSettings,
    OutcomeUnknown,
    RemoteBusy,
    RemoteError,
    RemoteProtocolError,
    RemoteRejected,
    RemoteUnavailable,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CUT = OK + b'Content-Length: 100\r\n\r\n{"id": 1'
CUT_REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 900\r\n\r\n" + b'["no such scenario"'
BAD_GZIP = OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_refused_connection_certainly_did_nothing_even_for_a_paid_call(door, closed_port):
    http = door(closed_port)
    with pytest.raises(RemoteUnavailable, match="no connection"):
        await http.act("POST", "/start", operation="start", json={})
    with pytest.raises(RemoteUnavailable):
        await http.read("GET", "/start", operation="look")


@pytest.mark.parametrize("reply", [None, CUT, BAD_GZIP, b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_lost_answer_is_unknown_for_a_paid_call_and_harmless_for_a_read(door, raw, reply):
    async with raw(reply) as url:
        http = door(url)
        with pytest.raises(OutcomeUnknown) as lost:
            await http.act("POST", "/start", operation="start", json={})
        assert lost.value.next_step
        with pytest.raises(RemoteUnavailable):
            await http.read("GET", "/start", operation="look")


async def test_a_refusal_whose_body_was_cut_is_still_a_refusal(door, raw):
    async with raw(CUT_REFUSAL) as url:
        with pytest.raises(RemoteRejected):
            await door(url).act("POST", "/submit/", operation="submit", json={})


async def test_a_server_that_never_answers_is_unknown_for_a_paid_call(door, tcp):
    async def listen(reader, writer):
        await reader.read()

    async with tcp(listen) as url:
        http = door(url, connect_timeout=0.4)
        with pytest.raises(OutcomeUnknown, match=r"no whole answer within 0\.4 s"):
            await http.act("POST", "/start", operation="start", timeout=0.4)


async def test_a_server_that_drips_bytes_is_cut_off(door, tcp):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with tcp(drip) as url, asyncio.timeout(5):
        http = door(url, connect_timeout=0.3)
        with pytest.raises(OutcomeUnknown, match=r"no whole answer within 0\.9 s"):
            await http.act("POST", "/start", operation="start", timeout=0.3)


async def test_a_redirect_is_never_followed(door):
    asked = []

    def handler(request):
        asked.append(request.url.path)
        return httpx.Response(301, headers={"Location": "https://elsewhere.example/"})

    http = door(handler)
    for call in (http.act("POST", "/submit", operation="submit"), http.read("GET", "/runs", operation="runs")):
        with pytest.raises(RemoteProtocolError, match="trailing slash"):
            await call
    assert asked == ["/submit", "/runs"]


async def test_an_answer_over_the_limit_is_not_read_to_its_end(door):
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000

    http = door(lambda _: httpx.Response(200, content=endless()), answer_limit=5000)
    with pytest.raises(AnswerTooLarge):
        await http.read("GET", "/runs", operation="runs")
    assert sent <= 7000
    with pytest.raises(OutcomeUnknown, match="larger than 5000 bytes"):
        await http.act("POST", "/start", operation="start")


async def test_an_endless_error_page_is_read_only_at_its_beginning(door):
    async def endless():
        while True:
            yield b"oops " * 1000

    with pytest.raises(RemoteUnavailable, match="oops"):
        await door(lambda _: httpx.Response(503, content=endless())).read("GET", "/runs", operation="runs")


@pytest.mark.parametrize(
    "content", [b"<html>", b"", b"\xff", b"[1]", b"null", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
async def test_an_answer_of_another_shape_breaks_the_contract(door, content):
    http = door(lambda _: httpx.Response(200, content=content))
    with pytest.raises(RemoteProtocolError):
        (await http.read("GET", "/x", operation="look")).record()
    with pytest.raises(OutcomeUnknown):
        (await http.act("POST", "/x", operation="start")).record()


async def test_a_missing_list_is_never_read_as_an_empty_one(door):
    http = door(lambda _: httpx.Response(200, json={"data": None}))
    with pytest.raises(RemoteProtocolError, match="no list of objects named data"):
        (await http.read("GET", "/x", operation="look")).array("data")


async def test_retry_after_silences_the_key_until_it_has_passed(door):
    answers = [httpx.Response(429, headers={"Retry-After": "0.2"}), httpx.Response(200, json={})]
    http = door(lambda _: answers.pop(0), pace=Pace(rate=1000, burst=100))
    with pytest.raises(RemoteBusy) as busy:
        await http.read("GET", "/x", operation="look")
    assert busy.value.retry_after == 0.2
    before = SystemClock().monotonic()
    await http.read("GET", "/x", operation="look")
    assert SystemClock().monotonic() - before >= 0.15


async def test_a_proxy_of_the_environment_never_carries_what_stays_on_this_machine(door, raw, closed_port, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", closed_port)
    monkeypatch.setenv("ALL_PROXY", closed_port)
    async with raw(OK + b"Content-Length: 2\r\n\r\n{}") as url:
        assert (await door(url).read("GET", "/x", operation="look")).record() == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://api.cekura.ai",
        "ftp://api.cekura.ai",
        "https://",
        "api.cekura.ai",
        "https://me:secret@api.cekura.ai",
        "https://api.cekura.ai?x=1",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "https://api.cekura.ai:port",
    ],
)
def test_a_key_travels_by_https_or_not_at_all(url):
    with pytest.raises(InvalidSettings) as refused:
        RemoteHttp(remote="Cekura", base_url=url, headers={}, clock=SystemClock())
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.9:80", "http://[::1]:80", "http://localhost", "http://a.localhost:1"])
async def test_plain_http_is_for_loopback(door, url):
    assert door(url).base_url == url


async def test_plain_http_elsewhere_needs_a_remote_without_a_key(door):
    assert door("http://runner:7860/", headers={}, plain_http=True).base_url == "http://runner:7860"
    with pytest.raises(InvalidSettings):
        door("http://runner:7860", headers={"Authorization": "Bearer abcdef"}, plain_http=True)


@pytest.mark.parametrize("key", ["abc\ndef-secret", "abc\u00e9-secret", "abc\x00secret"])
def test_a_key_that_cannot_be_a_header_is_refused_without_being_quoted(key):
    with pytest.raises(InvalidSettings) as refused:
        RemoteHttp(
            remote="Cekura", base_url="https://a.example", headers={"X-CEKURA-API-KEY": key}, clock=SystemClock()
        )
    assert "abc" not in "".join(traceback.format_exception(refused.value))


keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60).map(lambda text: f"k{text}")


@given(key=keys, status=st.sampled_from([200, 302, 400, 401, 404, 429, 500]), paid=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_error_or_door_ever_shows_its_key(key, status, paid):
    """The remote echoes the key in every place it can."""

    def echo(request):
        sent = request.headers["authorization"]
        return httpx.Response(status, json={"detail": f"no {sent}", sent: [key], "error": key}, headers={"X-Key": key})

    async def ask():
        http = RemoteHttp(
            remote="Remote",
            base_url="https://remote.example",
            headers={"Authorization": f"Bearer {key}"},
            clock=SystemClock(),
            transport=httpx.MockTransport(echo),
        )
        call = http.act if paid else http.read
        try:
            raise (await call("POST", "/x", operation="op", json={})).broken(f"no {key}")
        except RemoteError as error:
            return http, error
        finally:
            await http.aclose()

    http, error = asyncio.run(ask())
    shown = [repr(http), repr(error), str(error), error.next_step, error.detail, *traceback.format_exception(error)]
    assert not [text for text in shown if key in text]


async def test_a_key_is_not_shown_when_the_connection_breaks(door, raw, closed_port):
    async with raw(None) as url:
        for target in (url, closed_port):
            with pytest.raises(RemoteError) as broken:
                await door(target).act("POST", "/x", operation="op")
            assert "key-of-tests" not in "".join(traceback.format_exception(broken.value))


async def test_what_a_paid_body_holds_is_masked_when_echoed(door):
    http = door(lambda request: httpx.Response(400, json={"pipecat_token": ["not " + request.content.decode()]}))
    with pytest.raises(RemoteRejected) as refused:
        await http.act("POST", "/x", operation="submit", json={"t": "meeting-token-1"}, secrets=("meeting-token-1",))
    assert "meeting-token-1" not in str(refused.value)


async def test_a_paid_call_is_never_put_on_a_connection_that_was_kept(door, tcp):
    """The remote closes every kept connection unread, as a busy server may: a paid call on one would be lost."""

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        await reader.read(1)

    async with tcp(talk) as url:
        http = door(url)
        await http.read("GET", "/", operation="look")
        for _ in range(3):
            assert (await http.act("POST", "/", operation="pay")).status == 200
