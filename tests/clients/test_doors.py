"""What no door lets through: a redirect of a paid call, an answer that swells, a room on a host that is not Daily's."""

import gzip
import ssl
import tracemalloc
import zlib

import pytest

from orchestrator.clients.cekura import CekuraClient
from orchestrator.clients.http import AnswerTooLarge, RemoteHttp, _trusted_authorities
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clients.pipecat_runner import PipecatRunnerClient
from orchestrator.clients.room import parse_room_url
from orchestrator.clients.wire import text_of
from orchestrator.clock import SystemClock
from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidSettings, OutcomeUnknown, RemoteProtocolError
from orchestrator.domain.observation import AutomatedScenario, AutomatedSubmission, StartRequest, SubmittedRoom
from orchestrator.domain.secret import MeetingToken
from orchestrator.settings import load_settings

REAL = "https://api.daily.co/v1"
LIMIT = 100_000
SWOLLEN = b'{"padding": "' + b" " * 30_000_000 + b'"}'


async def start_at_cloud(settings, url):
    client = PipecatCloudClient.open(settings, agent_name="support-bot", clock=SystemClock())
    return client, client.start_session(StartRequest(body={}, room_properties={}, token_properties={}))


async def start_at_runner(settings, url):
    client = PipecatRunnerClient.open(settings, url=url, clock=SystemClock())
    return client, client.start_session(StartRequest(body={}, room_properties={}, token_properties={}))


async def submit(settings, url):
    client = CekuraClient.open(settings, clock=SystemClock())
    token = MeetingToken("eyJ-of-tests")
    room = SubmittedRoom(
        scenario_id=101,
        room_url="https://acme.daily.co/r",
        meeting_token=token,
        publish_data_message=None,
        has_data_message=False,
    )
    return client, client.submit(cekura_agent_id=5, mock_tool_names=None, rooms=[room])


async def submit_automated(settings, url):
    client = CekuraClient.open(settings, clock=SystemClock())
    submission = AutomatedSubmission(
        channel=Channel.VOICE,
        name="nightly",
        cekura_agent_id=5,
        scenarios=(AutomatedScenario(scenario_id=101),),
        frequency=1,
        personality_id=None,
        test_profile_id=None,
        calls=None,
        mock_tool_names=None,
    )
    return client, client.submit_automated(submission)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("paid", [start_at_cloud, start_at_runner, submit, submit_automated])
async def test_a_redirected_paid_call_is_looked_up_and_sent_nowhere_else(paid, status, tcp):
    """Taken or not, nobody knows: neither the same host nor another hears of it again."""
    heard, elsewhere = [], []

    async def another(reader, writer):
        elsewhere.append(await reader.readuntil(b"\r\n\r\n"))

    async def redirect(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        place = target if len(heard) % 2 else ""
        head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {place}/again\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()

    async with tcp(another) as target, tcp(redirect) as url:
        keys = {"CEKURA_API_KEY": "ck_tests", "PIPECAT_CLOUD_API_KEY": "pk_tests"}
        addresses = {"CEKURA_API_URL": url, "PIPECAT_API_HOST": url, "DAILY_API_URL": f"{url}/v1"}
        for _ in range(2):
            client, call = await paid(load_settings(keys | addresses), url)
            with pytest.raises((OutcomeUnknown, RemoteProtocolError), match="redirected, which is never followed"):
                await call
            await client.aclose()
    assert len(heard) == 2
    assert elsewhere == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("paid", [False, True], ids=["read", "act"])
async def test_the_size_of_an_answer_is_what_it_swells_to(encoding, paid, tcp):
    """30 MB that travel as 30 kB."""
    packed = gzip.compress(SWOLLEN) if encoding == "gzip" else zlib.compress(SWOLLEN)
    assert len(packed) < LIMIT

    async def bomb(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        writer.write(head.encode() + packed)
        await writer.drain()

    async with tcp(bomb) as url:
        http = RemoteHttp(remote="Remote", base_url=url, headers={}, clock=SystemClock(), answer_limit=LIMIT)
        with pytest.raises(OutcomeUnknown if paid else AnswerTooLarge, match=f"larger than {LIMIT} bytes"):
            await (http.act if paid else http.read)("POST", "/x", operation="x")
        await http.aclose()


async def test_a_swollen_answer_is_not_unpacked_to_its_end(tcp):
    """200 MB that travel as 900 kB: what is held is the limit and what one read of the network swells to."""
    packed = gzip.compress(b" " * 200_000_000, compresslevel=1)

    async def bomb(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        writer.write(head.encode() + packed)
        await writer.drain()

    async with tcp(bomb) as url:
        http = RemoteHttp(remote="Remote", base_url=url, headers={}, clock=SystemClock(), answer_limit=LIMIT)
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                await http.read("GET", "/x", operation="x")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            await http.aclose()
    assert peak < 100_000_000


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.daily.co/r",
        "https://me@acme.daily.co/r",
        "https://@acme.daily.co/r",
        "https://acme.daily.co@evil.example/r",
        "https://acme.daily.co\\@evil.example/r",
        "https://evil.example\\.daily.co/r",
        "https://evil.example%2f.daily.co/r",
        "https://evil.example?.daily.co/r",
        "https://evil.example#.daily.co/r",
        "https://evil.example\t.daily.co/r",
        "https://evil.example;.daily.co/r",
        "https://a.b.daily.co/r",
        "https://.daily.co/r",
        "https://-.daily.co/r",
        "https://ac me.daily.co/r",
        "https://acme.daily.co./r",
        "https://acme.daily.co:8443/r",
        "https://acme.daily.co:80/r",
        "https://acme.d\u0430ily.co/r",
        "https://\u0430cme.daily.co/r",
        "https://acme.daily\u3002co/r",
        "https://acme.daily.co\uff0fr",
        "https://acme.daily.co/r\u00f6om",
        "https://acme.daily.co/ro\nom",
        "https://acme.daily.co/%2e%2e/r",
        "https://acme.daily.co/../../r",
        "https://acme.daily.co/r;x=1",
        f"https://{'a' * 64}.daily.co/r",
        f"https://acme.daily.co/{'r' * 129}",
        "https://127.0.0.1/r",
        "https://[::1]/r",
        "javascript://acme.daily.co/r",
    ],
)
def test_a_room_elsewhere_is_refused_before_it_is_passed_on(url):
    """What a browser at Cekura would open must be a room of one Daily domain, however the address is spelt."""
    with pytest.raises(RemoteProtocolError):
        parse_room_url(url, daily_api_url=REAL)


def test_what_a_room_address_may_carry_besides_is_not_passed_on():
    room = parse_room_url("https://Acme.daily.co:443/Room-1/?t=eyJ.x.y#z", daily_api_url=REAL)
    assert room.url == "https://acme.daily.co/Room-1"


def test_a_public_host_by_plain_http_is_refused_in_words():
    with pytest.raises(InvalidSettings, match=r"cekura\.example must be reached by https; plain http is for loopback"):
        RemoteHttp(remote="Cekura", base_url="http://cekura.example", headers={}, clock=SystemClock())


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PYTHONHTTPSVERIFY": "0", "SSL_VERIFY": "0", "HTTPX_VERIFY": "0"},
        {"CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": "", "SSL_CERT_DIR": ""},
    ],
)
def test_no_variable_of_the_environment_switches_verification_off(environ, monkeypatch):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    trusted = _trusted_authorities.__wrapped__()
    assert trusted.verify_mode is ssl.CERT_REQUIRED
    assert trusted.check_hostname is True
    assert trusted.cert_store_stats()["x509_ca"] > 0


def test_half_a_letter_is_no_text():
    """It reads as JSON, and neither a state file nor a log could hold it."""
    assert text_of("eyJ\ud800") == ""
    assert text_of("caf\u00e9") == "caf\u00e9"
