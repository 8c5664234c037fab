"""What carries the requests says truly whether anything was sent, and sends each request once."""

import asyncio

import pytest

from orchestrator.domain.errors import OutcomeUnknown, RemoteProtocolError, RemoteUnavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body, *more):
    return OK + b"".join(line + b"\r\n" for line in more) + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def a_request(reader):
    """The lines of one request and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().splitlines()
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0)
    return lines, await reader.readexactly(length)


async def test_a_server_without_tls_where_tls_is_asked_for_saw_no_request(door, tcp):
    seen = []

    async def talk(reader, writer):
        seen.append(await reader.read(100))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with tcp(talk) as url:
        with pytest.raises(RemoteUnavailable):
            await door(url.replace("http://", "https://")).act("POST", "/start", operation="start", json={})
    assert seen
    assert not any(b"POST" in bytes_ for bytes_ in seen)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_a_read_whose_connection_broke_is_sent_once(door, tcp, method):
    """To ask again is the caller's decision, who keeps the pace."""
    requests = []

    async def talk(reader, writer):
        while True:
            requests.append(await a_request(reader))
            if len(requests) > 1:
                return
            writer.write(whole(b"{}"))

    async with tcp(talk) as url:
        http = door(url)
        await http.read("GET", "/first", operation="look")
        with pytest.raises(RemoteUnavailable):
            await http.read(method, "/second", operation="look")
    assert len(requests) == 2


async def test_a_read_keeps_its_connection_and_a_paid_call_leaves_none(door, tcp):
    connections = []

    async def talk(reader, writer):
        number = len(connections)
        connections.append(0)
        while True:
            await a_request(reader)
            connections[number] += 1
            writer.write(whole(b"{}"))

    async with tcp(talk) as url:
        http = door(url)
        for _ in range(3):
            await http.read("GET", "/", operation="look")
        for _ in range(2):
            await http.act("POST", "/", operation="start", json={})
        await http.read("GET", "/", operation="look")
    assert sorted(connections) == [1, 1, 4]


async def test_a_cookie_is_never_sent_back(door, tcp):
    requests = []

    async def talk(reader, writer):
        while True:
            requests.append(await a_request(reader))
            writer.write(whole(b"{}", b"Set-Cookie: session=abc"))

    async with tcp(talk) as url:
        http = door(url)
        for _ in range(2):
            await http.read("GET", "/", operation="look")
    assert not any("cookie" in line.lower() for lines, _ in requests for line in lines)


async def test_what_is_sent_is_compact_json_under_the_given_address(door, tcp):
    requests = []

    async def talk(reader, writer):
        requests.append(await a_request(reader))
        writer.write(whole(b"{}"))

    async with tcp(talk) as url:
        await door(url).act("POST", "/a%2Fb/?ids=1,2", operation="start", json={"name": "Zoë", "n": [1, 2]})
    lines, body = requests[0]
    assert lines[0] == "POST /a%2Fb/?ids=1,2 HTTP/1.1"
    assert body == '{"name":"Zoë","n":[1,2]}'.encode()
    assert "Content-Type: application/json" in lines
    assert "Authorization: Bearer key-of-tests" in lines


async def test_an_answer_that_is_no_http_is_unknown_for_a_paid_call(door, raw):
    async with raw(b"220 mail.example ESMTP ready\r\n\r\n") as url:
        with pytest.raises(OutcomeUnknown):
            await door(url).act("POST", "/start", operation="start", json={})
        with pytest.raises((RemoteUnavailable, RemoteProtocolError)):
            await door(url).read("GET", "/", operation="look")


async def test_a_proxy_of_the_environment_carries_what_leaves_this_machine(door, tcp, monkeypatch):
    requests = []

    async def talk(reader, writer):
        requests.append(await a_request(reader))
        writer.write(whole(b'{"by": "proxy"}'))

    async with tcp(talk) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        http = door("http://remote.example", headers={}, plain_http=True)
        answer = await http.read("GET", "/who", operation="look")
    assert answer.record() == {"by": "proxy"}
    assert requests[0][0][0] == "GET http://remote.example/who HTTP/1.1"


async def test_whoever_stops_waiting_hangs_up(door, tcp):
    gone = asyncio.Event()

    async def talk(reader, _writer):
        await a_request(reader)
        await reader.read()
        gone.set()

    async with tcp(talk) as url:
        asking = asyncio.create_task(door(url).read("GET", "/", operation="look"))
        await asyncio.sleep(0.1)
        asking.cancel()
        async with asyncio.timeout(5):
            await gone.wait()
