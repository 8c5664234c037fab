"""Each remote's error bodies become one short plain text, a code, and the error that says what to do."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients import cekura, pipecat_cloud
from orchestrator.clients.daily import _dialect
from orchestrator.clients.refusal import error_for, plain, read_refusal, retry_after_seconds
from orchestrator.domain.errors import (
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteError,
    RemoteNotFound,
    RemoteProtocolError,
    RemoteRejected,
    RemoteUnavailable,
)

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"
BARE_HTML = b"<!doctype html><script>steal()</script><p>Server &amp; Error</p>"
CEKURA = cekura.DIALECT
PUBLIC = pipecat_cloud.PUBLIC
DAILY = _dialect("DAILY_API_KEY")


def translated(dialect, status, body, *, paid=False, retry_after=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_for(
        remote="Remote",
        operation="operation",
        dialect=dialect,
        status=status,
        refusal=read_refusal(content, status=status),
        paid=paid,
        retry_after=retry_after,
    )


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (400, {"scenarios": ["This field is required."]}, RemoteRejected, "scenarios: This field is required."),
        (
            400,
            {"scenarios": [{}, {"scenario": ["Invalid pk."], "pipecat_room_url": ["Required."]}]},
            RemoteRejected,
            "scenarios[1].scenario: Invalid pk.; scenarios[1].pipecat_room_url: Required.",
        ),
        (400, ["Invalid personalities provided."], RemoteRejected, "Invalid personalities provided."),
        (400, {"non_field_errors": ["No runs created"]}, RemoteRejected, "No runs created"),
        (400, {"errors": {"scenarios[0].name": ["too long"]}}, RemoteRejected, "scenarios[0].name: too long"),
        (400, {"url": ["Enter a valid URL."]}, RemoteRejected, "url: Enter a valid URL."),
        (404, {"detail": "Not found."}, RemoteNotFound, "Not found."),
        (401, {"detail": "Invalid API key."}, RemoteAuthFailed, "Invalid API key."),
        (403, {"detail": "No permission."}, RemoteAuthFailed, "No permission."),
        (400, HTML, RemoteRejected, "502 Bad Gateway"),
        (400, BARE_HTML, RemoteRejected, "Server & Error"),
        (400, b"plain words", RemoteRejected, "plain words"),
        (400, b"", RemoteRejected, "Bad Request"),
        (400, b"\xff\xfe\x1b[31mred", RemoteRejected, "\ufffd\ufffd [31mred"),
        (502, HTML, RemoteUnavailable, "502 Bad Gateway"),
        (408, b"", RemoteUnavailable, "Request Timeout"),
        (301, b"", RemoteProtocolError, "trailing slash"),
    ],
)
def test_cekura_error_bodies_become_short_text(status, body, kind, text):
    error = translated(CEKURA, status, body)
    assert type(error) is kind
    assert text in str(error)
    assert error.next_step


@pytest.mark.parametrize(
    ("status", "body", "kind", "capacity"),
    [
        (429, {"status": 429, "code": "429", "message": "Rate limit exceeded"}, RemoteBusy, None),
        (429, {"error": "max agents reached", "code": "PCC-AGENT-AT-CAPACITY"}, RemoteBusy, True),
        (400, {"error": "image pull secret valid?", "code": "PCC-1001"}, RemoteRejected, "not ready"),
        (400, {"error": "no public key", "code": "PCC-1002"}, RemoteAuthFailed, "public key"),
        (400, {"error": "billing", "code": "PCC-1004"}, RemoteRejected, "billing"),
        (401, {"error": "Unauthorized / token expired", "code": "401"}, RemoteAuthFailed, "PIPECAT_CLOUD_API_KEY"),
        (404, {"error": "Agent not found", "code": "404"}, RemoteNotFound, "agent.name"),
        (413, b"", RemoteRejected, "Mend"),
        (
            400,
            {"error": "invalid", "err": {"issues": [{"code": "too_big", "path": ["limit"], "message": "max 50"}]}},
            RemoteRejected,
            "Mend",
        ),
        (500, {"error": "internal", "code": "500"}, OutcomeUnknown, "never start it again"),
    ],
)
def test_pipecat_cloud_codes_decide_the_error_and_the_advice(status, body, kind, capacity):
    error = translated(PUBLIC, status, body, paid=True)
    assert type(error) is kind
    if isinstance(error, RemoteBusy):
        assert error.capacity is capacity
    else:
        assert capacity in error.next_step


def test_zod_issues_name_their_field():
    body = {"error": "invalid", "err": {"issues": [{"code": "too_big", "path": ["query", "limit"], "message": "max"}]}}
    assert translated(PUBLIC, 400, body).detail == "invalid; query.limit: max"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "authorization-header-error"}, RemoteAuthFailed),
        (401, {"error": "authentication-error", "info": "bad key"}, RemoteAuthFailed),
        (429, {"error": "rate-limit-error"}, RemoteBusy),
        (404, {"error": "not-found", "info": "no room x", "deleted": True}, RemoteNotFound),
        (400, {"error": "invalid-request-error", "info": "a room named x already exists"}, RemoteRejected),
    ],
)
def test_daily_error_words_decide_the_error(status, body, kind):
    error = translated(DAILY, status, body)
    assert type(error) is kind
    assert error.detail == "; ".join(word for word in (body["error"], body.get("info")) if word)
    assert getattr(error, "capacity", False) is False


def test_the_runners_validation_answer_never_echoes_what_we_sent():
    body = {"detail": [{"type": "x", "loc": ["body", "transport"], "msg": "bad value", "input": {"token": "s3cret"}}]}
    assert translated(CEKURA, 422, body).detail == "body.transport: bad value"


def test_a_paid_call_with_a_server_error_has_an_unknown_outcome():
    for status in (408, 500, 502, 503, 504):
        assert type(translated(CEKURA, status, HTML, paid=True)) is OutcomeUnknown
        assert type(translated(CEKURA, status, HTML)) is RemoteUnavailable


def test_tokens_and_keys_are_masked_before_the_text_is_cut():
    token = "eyJhbGciOiJIUzI1NiJ9.eyJyIjoicm9vbSJ9.c2lnbmF0dXJl"
    text = plain("x" * 250 + f" key-123456 {token}", secrets=("key-123456",))
    assert "key-1" not in text
    assert "eyJ" not in text
    assert len(text) <= 300


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 1.5 ", 1.5),
        ("Sat, 21 Nov 2026 10:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("inf", None),
        ("Sat, 99 Nov 2026 09:00:00", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after_seconds(value, now=datetime(2026, 11, 21, 10, tzinfo=UTC)) == seconds


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(status=st.integers(300, 599), body=st.binary() | json_values.map(lambda v: json.dumps(v).encode()))
def test_any_error_body_becomes_one_printable_line(status, body):
    error = translated(CEKURA, status, body)
    assert isinstance(error, RemoteError)
    assert len(error.detail) <= 300
    assert error.detail.isprintable()


def test_a_body_nested_without_end_is_still_read():
    assert read_refusal(b"[" * 100_000, status=400).text
    assert read_refusal(b'{"a":' * 50 + b'"deep"' + b"}" * 50, status=400).text == "Bad Request"
