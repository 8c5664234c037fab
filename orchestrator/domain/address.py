"""Which hosts are this machine itself: what is sent to them leaves it nowhere."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1, `localhost` and `*.localhost` (RFC 6761 keeps these names on the machine)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
