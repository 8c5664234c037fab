"""The mark: the nonce of a session, made so that its owner knows it again without any record of it.

A nonce is a version-8 UUID (RFC 9562: the layout is the maker's own). Its first 32 bits are a checksum over the rest
and over the *place* that made it: who holds the same place can say, with the state file lost, "this bears our mark".
A random UUID of somebody else passes by chance once in 2^32; a mark made at another place is as foreign as any.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

RANDOM_BYTES: Final = 12
_CHECKSUM_BYTES: Final = 4
_VERSION: Final = 8
_WRITTEN: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def make_mark(*, place: str, random: bytes) -> str:
    """A new mark of `place` from 12 random bytes, in the 36 characters that a meeting token's `user_id` holds."""
    if len(random) != RANDOM_BYTES:
        message = f"a mark takes {RANDOM_BYTES} random bytes, not {len(random)}"
        raise ValueError(message)
    rest = bytearray(random)
    rest[2] = (rest[2] & 0x0F) | (_VERSION << 4)
    rest[4] = (rest[4] & 0x3F) | 0x80  # the variant of RFC 9562
    digits = (_checksum(place, bytes(rest)) + rest).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def bears_mark(text: str | None, *, place: str) -> bool:
    """Whether `text` is a mark that was made at `place`."""
    if not _WRITTEN.fullmatch(text or ""):
        return False
    made = bytes.fromhex((text or "").replace("-", ""))
    return made[:_CHECKSUM_BYTES] == _checksum(place, made[_CHECKSUM_BYTES:])


def _checksum(place: str, rest: bytes) -> bytes:
    return hashlib.sha256(place.encode() + b"\0" + rest).digest()[:_CHECKSUM_BYTES]
