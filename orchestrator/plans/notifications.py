"""What must hold of a plan's `notifications`: addresses and secrets are variables, and what these hold can be used.

The address of an incoming webhook is a credential, so that none ever stands in a plan, in the state or in a message.
Since nobody but whoever sets the variables chooses an address, a plan that came over HTTP cannot have one of its own
asked either.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.domain.address import is_loopback
from orchestrator.domain.notice import NoticeKind
from orchestrator.plans.finding import Finding, Place

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  how Standard Webhooks marks a secret, not one
SHORTEST_KEY: Final = 24  # bytes; both from the specification's table of signature schemes
LONGEST_KEY: Final = 64
LONGEST_URL: Final = 2048

_ONE_VARIABLE: Final = re.compile(r"\{\{\s*env\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_EXAMPLES: Final = {"url": "HOOK_URL", "secret": "HOOK_SECRET"}
_NEW_SECRET: Final = "make one: echo whsec_$(openssl rand -base64 32)"  # noqa: S105  how to, not one


def variable_in(text: str) -> str | None:
    """The variable that a text is a template of and nothing else; None for any other text."""
    whole = _ONE_VARIABLE.fullmatch(text.strip())
    return whole[1] if whole is not None else None


def address_trouble(url: str) -> str | None:
    """Why notices cannot be sent to an address, without a word of it; None where they can."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port  # raises where the port is no port
    except ValueError:
        return "is not an https address"
    if parts.scheme not in {"http", "https"} or not host or not url.isascii() or not url.isprintable() or " " in url:
        return "is not an https address"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password, which would be sent in the clear to every proxy"
    if parts.fragment or len(url) > LONGEST_URL:
        return f"holds a fragment, or more than {LONGEST_URL} characters"
    if parts.scheme == "http" and not is_loopback(host):
        return "is plain http: only an address of this machine may be"
    return None


def key_in(secret: str) -> bytes | None:
    """The key that a secret of Standard Webhooks holds: base64, with or without `whsec_`; None where it holds none."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if SHORTEST_KEY <= len(key) <= LONGEST_KEY else None


def notification_findings(data: Mapping[str, Any], *, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Every rule that an entry breaks; no finding repeats what a variable or a misplaced address holds."""
    entries, listed = data.get("notifications"), data.get("env")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping):
            yield from _secret_findings(entry, ("notifications", index))
            for key in ("url", "secret"):
                if isinstance(entry.get(key), str):
                    yield from _variable_findings(entry[key], ("notifications", index, key), names, environ)


def _secret_findings(entry: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    kind = entry.get("kind")
    if kind == NoticeKind.WEBHOOK and "secret" not in entry:
        message = "is missing: what kind webhook posts is signed"
        yield Finding(place=(*place, "secret"), message=message, remedy='add secret: "{{ env.HOOK_SECRET }}"')
    if kind == NoticeKind.SLACK and "secret" in entry:
        message = "does not go with kind slack, which checks no signature"
        yield Finding(place=(*place, "secret"), message=message, remedy="leave it out, or write kind: webhook")


def _variable_findings(text: str, place: Place, names: list[str], environ: Mapping[str, str]) -> Iterator[Finding]:
    variable, key = variable_in(text), str(place[-1])
    if variable is None:
        message = "must be one template of a variable and nothing else: it is a credential, and a plan holds none"
        yield Finding(place=place, message=message, remedy=f'write {key}: "{{{{ env.{_EXAMPLES[key]} }}}}"')
    elif variable not in names:
        message = f"{{{{ env.{variable} }}}} reads a variable the plan does not list"
        yield Finding(place=place, message=message, remedy=f"list it at the top of the plan: env: [{variable}]")
    elif variable in environ:
        yield from _value_findings(variable, environ[variable], place)


def _value_findings(variable: str, value: str, place: Place) -> Iterator[Finding]:
    if place[-1] == "url" and (trouble := address_trouble(value)) is not None:
        remedy = f"export {variable}=https://..."
        yield Finding(place=place, message=f"the environment variable {variable} {trouble}", remedy=remedy)
    if place[-1] == "secret" and key_in(value) is None:
        message = f"the environment variable {variable} holds no base64 of {SHORTEST_KEY} to {LONGEST_KEY} bytes"
        yield Finding(place=place, message=message, remedy=_NEW_SECRET)
