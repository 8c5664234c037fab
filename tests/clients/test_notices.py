"""One try of a notice against a receiver: what is posted, how it is signed, and what each answer comes to."""

import base64
import hashlib
import hmac
import re
import socket
import threading
from pathlib import Path

import pytest

from orchestrator.clients.notices import post_notice
from orchestrator.clock import SystemClock
from orchestrator.domain.notice import DeliveryResult, NoticeKind
from orchestrator.domain.secret import Secret
from orchestrator.plans.notifications import key_in
from tests.support.mailbox import receiving

GUIDE = Path(__file__).parents[2] / "docs" / "notifications.md"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
DOCUMENT = {"type": "batch.closed", "batch": {"name": "Zürich & <b>"}}
HIDDEN = "T0pS3cr3tPart"


async def post(url, *, kind=NoticeKind.WEBHOOK, key=None):
    clock = SystemClock()
    return await post_notice(DOCUMENT, kind=kind, url=Secret(url), key=key, notice_id="msg_1", clock=clock)


async def test_a_webhook_is_signed_over_the_very_bytes_that_arrive():
    with receiving() as box:
        delivery = await post(f"{box.url}/in?token=x", key=key_in(SECRET))
    (posted,) = box.posted
    assert delivery.result is DeliveryResult.SENT
    assert (posted.path, posted.document, posted.notice_id) == ("/in?token=x", DOCUMENT, "msg_1")
    signed = b".".join((b"msg_1", posted.headers["webhook-timestamp"].encode(), posted.body))
    expected = hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()
    version, _, signature = posted.headers["webhook-signature"].partition(",")
    assert (version, base64.b64decode(signature)) == ("v1", expected)


async def test_the_guides_example_verifies_what_is_sent_and_nothing_else():
    (example,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names = {}
    exec(example, names)
    verified = names["verified"]
    with receiving() as box:
        await post(box.url, key=key_in(SECRET))
    (posted,) = box.posted
    other = base64.b64encode(bytes(32)).decode()
    old = {**posted.headers, "webhook-timestamp": "1674087231"}
    assert verified(SECRET, posted.headers, posted.body)
    assert verified(SECRET.removeprefix("whsec_"), posted.headers, posted.body)
    assert not verified(other, posted.headers, posted.body)
    assert not verified(SECRET, posted.headers, posted.body + b" ")
    assert not verified(SECRET, old, posted.body)


async def test_slack_gets_no_signature():
    with receiving() as box:
        delivery = await post(f"{box.url}/services/T0/B0/x", kind=NoticeKind.SLACK)
    (posted,) = box.posted
    assert delivery.result is DeliveryResult.SENT
    assert not [name for name in posted.headers if name.startswith("webhook-")]


@pytest.mark.parametrize(
    ("answer", "result", "trouble", "retry_after"),
    [
        ((204, {}, b""), "sent", "", None),
        (500, "failed", "HTTP 500", None),
        (408, "failed", "HTTP 408", None),
        ((429, {"Retry-After": "7"}, b""), "failed", "HTTP 429", 7.0),
        ((503, {"Retry-After": "90"}, HIDDEN.encode()), "failed", "HTTP 503", 90.0),
        ((404, {}, b"no_service"), "refused", "HTTP 404", None),
        (410, "refused", "HTTP 410", None),
        ((301, {"Location": "/elsewhere"}, b""), "refused", "HTTP 301: a redirect, which is never followed", None),
        ((307, {"Location": "/elsewhere"}, b""), "refused", "HTTP 307: a redirect, which is never followed", None),
        ((200, {}, b"x" * 2**20), "sent", "", None),
        ((500, {}, b"x" * 2**20), "failed", "HTTP 500", None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_each_answer_is_taken_for_what_it_is(answer, result, trouble, retry_after):
    with receiving(answer) as box:
        delivery = await post(f"{box.url}/{HIDDEN}", key=key_in(SECRET))
    assert (delivery.result, delivery.trouble, delivery.retry_after) == (result, trouble, retry_after)
    assert [one.path for one in box.posted] == [f"/{HIDDEN}"]


async def test_slacks_own_word_for_a_refusal_is_passed_on():
    with receiving((404, {}, b"channel_is_archived\n")) as box:
        delivery = await post(box.url, kind=NoticeKind.SLACK)
    assert (delivery.result, delivery.trouble) == ("refused", "HTTP 404 (channel_is_archived)")


async def test_a_receiver_that_is_not_there_is_asked_again_and_its_address_is_not_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        delivery = await post(f"http://127.0.0.1:{port}/{HIDDEN}?key={HIDDEN}", key=key_in(SECRET))
    assert delivery.result is DeliveryResult.FAILED
    assert "no connection" in delivery.trouble
    assert not [part for part in (HIDDEN, "127.0.0.1", str(port)) if part in delivery.trouble]


async def test_a_receiver_that_does_not_answer_is_let_go_and_asked_again(monkeypatch):
    monkeypatch.setattr("orchestrator.clients.notices.TIMEOUT", 0.2)
    with receiving() as box:
        box.hold = threading.Event()
        delivery = await post(box.url, key=key_in(SECRET))
    assert (delivery.result, delivery.trouble[:15]) == ("failed", "no whole answer")
