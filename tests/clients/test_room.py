"""Room URLs: https on Daily, or loopback where Daily's API is a stand-in on loopback."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.address import segment
from orchestrator.clients.room import parse_room_url
from orchestrator.domain.errors import RemoteProtocolError

REAL = "https://api.daily.co/v1"
LOCAL = "http://127.0.0.1:4000/v1"


@pytest.mark.parametrize(
    ("url", "api", "domain", "name", "clean"),
    [
        ("https://acme.daily.co/room-1", REAL, "acme", "room-1", "https://acme.daily.co/room-1"),
        ("https://ACME.daily.co/Room_1/?t=abc#x", REAL, "acme", "Room_1", "https://acme.daily.co/Room_1"),
        ("https://acme.daily.co:443/r", REAL, "acme", "r", "https://acme.daily.co/r"),
        ("http://sandbox.localhost:4000/r", LOCAL, "sandbox", "r", "http://sandbox.localhost:4000/r"),
        ("http://127.0.0.1:4000/r", LOCAL, "127", "r", "http://127.0.0.1:4000/r"),
        ("http://[::1]:4000/r", LOCAL, "::1", "r", "http://[::1]:4000/r"),
        ("https://acme.daily.co/r", LOCAL, "acme", "r", "https://acme.daily.co/r"),
    ],
)
def test_a_room_url_names_its_domain_and_room(url, api, domain, name, clean):
    room = parse_room_url(url, daily_api_url=api)
    assert (room.domain, room.name, room.url) == (domain, name, clean)


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("http://acme.daily.co/r", REAL),
        ("https://acme.daily.co.evil.example/r", REAL),
        ("https://evildaily.co/r", REAL),
        ("https://daily.co/r", REAL),
        ("https://acme.daily.co:8443/r", REAL),
        ("https://user:pw@acme.daily.co/r", REAL),
        ("https://acme.daily.co/", REAL),
        ("https://acme.daily.co/a/b", REAL),
        ("https://acme.daily.co/../r", REAL),
        ("https://acme.daily.co/r%2e", REAL),
        (f"https://acme.daily.co/{'r' * 129}", REAL),
        ("http://127.0.0.1:4000/r", REAL),
        ("http://sandbox.localhost:4001/r", LOCAL),
        ("http://10.0.0.1:4000/r", LOCAL),
        ("https://acme.daily.co:nine/r", REAL),
        ("", REAL),
    ],
)
def test_any_other_url_is_refused_without_being_quoted(url, api):
    with pytest.raises(RemoteProtocolError) as refused:
        parse_room_url(url, daily_api_url=api)
    assert "pw@" not in str(refused.value)


@given(st.text())
def test_any_text_is_a_room_or_a_protocol_error(text):
    with suppress(RemoteProtocolError):
        assert parse_room_url(text, daily_api_url=REAL).url.startswith("https://")


def test_a_path_segment_cannot_climb():
    assert segment("a/b?c#d") == "a%2Fb%3Fc%23d"
    for text in ("", ".", ".."):
        with pytest.raises(ValueError, match="segment"):
            segment(text)
