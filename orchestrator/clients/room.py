"""A room's address: which Daily domain it lives on and what it is called there.

A public room's URL is itself a credential, so no error here repeats it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from orchestrator.domain.address import is_loopback
from orchestrator.domain.errors import RemoteProtocolError

ROOM_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.daily\.co")  # one label: the domain's name
ROOM_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")  # Daily's create-room page
HTTPS_PORTS: Final = (None, 443)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomAddress:
    """Where a room is; `domain` is the first label of the host, `url` holds neither query nor trailing slash."""

    url: str = field(repr=False)
    domain: str
    name: str = field(repr=False)


def parse_room_url(url: str, *, daily_api_url: str) -> RoomAddress:
    """Accept a room on Daily, or on loopback where `daily_api_url` is a stand-in there; else RemoteProtocolError."""
    text = url.strip()
    # Python reads past some of these, and a browser reads a backslash as a slash: it would end up on another host.
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _refused("holds a letter that no address has")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _refused("is not a URL") from None
    if not _trusted(parts, host, port, daily_api_url):
        raise _refused("is not an https address of a Daily room")
    name = parts.path.strip("/")
    if not ROOM_NAME.fullmatch(name):
        raise _refused("does not end in the name of a room")
    host_text = f"[{host}]" if ":" in host else host
    place = host_text if port in HTTPS_PORTS else f"{host_text}:{port}"
    return RoomAddress(url=f"{parts.scheme}://{place}/{name}", domain=host.partition(".")[0], name=name)


def _trusted(parts: SplitResult, host: str, port: int | None, daily_api_url: str) -> bool:
    if "@" in parts.netloc:
        return False
    if parts.scheme == "https" and ROOM_HOST.fullmatch(host) and port in HTTPS_PORTS:
        return True
    stand_in = urlsplit(daily_api_url)
    local = is_loopback(stand_in.hostname or "") and is_loopback(host)
    return local and parts.scheme == stand_in.scheme and port == stand_in.port


def _refused(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        remote="Daily",
        operation="room address",
        detail=f"the room's URL {why}",
        next_step="Check DAILY_API_URL, and who made the room: its URL must be https on a Daily host.",
    )
