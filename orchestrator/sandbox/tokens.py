"""Daily's meeting tokens as Daily documents self-signing: HS256 JWTs with the domain's API key as the secret.

Nothing is stored, so a token that a client signed itself is as good as one the API made. Claims: `r` room, `d` domain,
`iat`, and the short names of properties (`exp`, `nbf`, `u` user_name, `ud` user_id, `o` is_owner, `ejt`, `eje`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

SHORT: Final[dict[str, str]] = {
    "room_name": "r",
    "exp": "exp",
    "nbf": "nbf",
    "user_name": "u",
    "user_id": "ud",
    "is_owner": "o",
    "eject_at_token_exp": "ejt",
    "eject_after_elapsed": "eje",
}
LONG: Final[dict[str, str]] = {short: name for name, short in SHORT.items()}
_HEADER: Final = {"alg": "HS256", "typ": "JWT"}


class BadToken(ValueError):
    """The text is no token of this domain."""


def sign_token(properties: Mapping[str, Any], *, key: str, domain: str, now: float) -> str:
    """A token that carries `properties` (Daily's long names; others travel under their own name)."""
    claims = {SHORT.get(name, name): value for name, value in properties.items()}
    body = f"{_encode(_HEADER)}.{_encode({**claims, 'd': domain, 'iat': int(now)})}"
    return f"{body}.{_signature(body, key)}"


def read_token(token: str, *, key: str, domain: str) -> dict[str, Any]:
    """The properties by their long names; BadToken when it was not signed for this domain."""
    body, _, signature = token.rpartition(".")
    if not body or not hmac.compare_digest(signature.encode(), _signature(body, key).encode()):
        raise BadToken("the signature is not this domain's")
    try:
        claims: dict[str, Any] = json.loads(_decode(body.partition(".")[2]))
    except ValueError as error:
        raise BadToken("the payload is not JSON") from error
    if not isinstance(claims, dict) or claims.pop("d", domain) != domain:
        raise BadToken("the token is another domain's")
    claims.pop("iat", None)
    return {LONG.get(name, name): value for name, value in claims.items()}


def _signature(body: str, key: str) -> str:
    digest = hmac.new(key.encode(), body.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _encode(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
