"""Which addresses we are willing to talk to: https anywhere, plain http only where nothing leaves this machine."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from orchestrator.domain.address import is_loopback
from orchestrator.domain.errors import InvalidSettings

UNSAFE_SEGMENTS: Final = frozenset({"", ".", ".."})


def checked_base_url(url: str, *, remote: str, plain_http: bool = False) -> str:
    """Return `url` without its trailing slash; InvalidSettings where a key could travel in the clear or hide in it.

    `plain_http` is for a remote that takes no key.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidSettings(f"{remote}: its address is not a URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidSettings(f"{remote}: its address must be an http(s) URL with a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidSettings(f"{remote}: its address must hold no credentials, query or fragment")
    if parts.scheme == "http" and not plain_http and not is_loopback(host):
        raise InvalidSettings(f"{remote}: {host} must be reached by https; plain http is for loopback only")
    return url.rstrip("/")


def segment(value: str | int) -> str:
    """`value` quoted as one segment of a path; ValueError where it would climb out of its folder."""
    text = str(value)
    if text in UNSAFE_SEGMENTS:
        raise ValueError("a path segment is empty or made of dots")
    return quote(text, safe="")
