"""Makes, lists and revokes tokens, and lists the audit, beside whoever drives the state."""

from __future__ import annotations

import os
import pwd
import sys
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text

from orchestrator.app import access
from orchestrator.app.pages import audit_page, gather_pages
from orchestrator.app.reading import open_reader, open_state, state_exists
from orchestrator.cli.console import local_moment, stderr_console, stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.cli.tables import new_table
from orchestrator.clock import SystemClock
from orchestrator.domain.access import AccessToken, Scope
from orchestrator.domain.audit import AuditEntry
from orchestrator.settings import load_settings


def command_actor() -> str:
    """How the audit names whoever types a command: the user that the process runs as, whatever the environment says."""
    number = os.getuid()
    try:
        return f"command:{pwd.getpwuid(number).pw_name}"
    except KeyError:  # a container need not know its users by name
        return f"command:{number}"


async def create_token(name: str, *, scope: Scope, lifetime: timedelta | None, as_json: bool) -> int:
    """The secret alone goes to stdout, so that it can be piped to where it is kept."""
    clock = SystemClock()
    async with open_state(load_settings()) as store:
        token, secret = await access.create_token(
            store, clock, name=name, scopes=[scope], lifetime=lifetime, actor=command_actor()
        )
    if as_json:
        print_json({"token": _token_document(token, clock.now()), "secret": secret.reveal()})
        return 0
    sys.stdout.write(secret.reveal() + "\n")
    until = f"until {local_moment(token.expires_at)}" if token.expires_at else "until it is revoked"
    stderr_console().print(
        f"Token {token.name} ({token.token_id}) may {scope}, {until}. Its secret is shown this once and kept nowhere.",
        soft_wrap=True,
    )
    return 0


async def list_tokens(*, as_json: bool) -> int:
    """All tokens, newest first."""
    settings, now = load_settings(), SystemClock().now()
    found: list[AccessToken] = []
    if state_exists(settings):
        async with open_reader(settings) as store:
            found = await access.list_tokens(store)
    if as_json:
        print_json({"tokens": [_token_document(token, now) for token in found]})
        return 0
    table = new_table("token", "id", "scope", "standing", "created", "expires", "last used")
    for token in found:
        moments = map(local_moment, (token.created_at, token.expires_at, token.last_used_at))
        table.add_row(token.name, token.token_id, token.scope.value, token.standing(now).value, *moments)
    stdout_console().print(table)
    return 0


async def revoke_token(name: str, *, as_json: bool) -> int:
    """One token, for good."""
    clock = SystemClock()
    async with open_reader(load_settings()) as store:
        token = await access.revoke_token(store, clock, name=name, actor=command_actor())
    if as_json:
        print_json({"token": _token_document(token, clock.now())})
    else:
        stdout_console().print(
            f"Token {token.name} ({token.token_id}) is revoked; running workers refuse it within seconds.",
            soft_wrap=True,
        )
    return 0


async def list_entries(*, limit: int, target: str | None, actor: str | None, as_json: bool) -> int:
    """The newest lines of the audit."""
    settings = load_settings()
    found: list[AuditEntry] = []
    if state_exists(settings):
        async with open_reader(settings) as store:
            found = await gather_pages(
                lambda most, cursor: audit_page(store, limit=most, cursor=cursor, target=target, actor=actor),
                most=limit,
            )
    if as_json:
        print_json({"entries": [_entry_document(entry) for entry in found]})
        return 0
    table = new_table("at", "actor", "action", "target", "detail")
    for entry in found:
        detail = ", ".join(f"{name}={value}" for name, value in entry.detail.items() if value is not None)
        table.add_row(local_moment(entry.at), Text(entry.actor), entry.action, Text(entry.target), Text(detail))
    stdout_console().print(table)
    return 0


def _token_document(token: AccessToken, now: datetime) -> dict[str, Any]:
    return {
        "id": token.token_id,
        "name": token.name,
        "scope": token.scope.value,
        "standing": token.standing(now).value,
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
    }


def _entry_document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.entry_id,
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "detail": dict(entry.detail),
    }
