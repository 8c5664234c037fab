"""Statements on access tokens. Of the secret only its digest is kept, and found again by it.

A slow hash protects what people think up. A token is 32 random bytes: whoever holds its SHA-256 can try until the sun
is cold, and each request may be checked in microseconds.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.access import AccessToken, Scope
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.store import audit
from orchestrator.store.locks import may_be_rerun
from orchestrator.store.tables import access_tokens

USE_NOTED_EVERY: Final = timedelta(minutes=1)


def record_token(connection: Connection, token: AccessToken, *, digest: str, by: str) -> None:
    """Insert a token with the digest (hex) of its secret; Conflict where one that is not revoked has its name."""
    if may_be_rerun(connection) and find_by_digest(connection, digest) is not None:
        return
    values = {
        "token_id": token.token_id,
        "name": token.name,
        "digest": digest,
        "scopes": sorted(scope.value for scope in token.scopes),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }
    try:
        connection.execute(insert(access_tokens).values(values))
    except IntegrityError:
        error = Conflict(f"there is a token named {token.name} already")
        error.next_step = f"Choose another name, or `orchestrator tokens revoke {token.name}` first."
        raise error from None
    expires = token.expires_at.isoformat() if token.expires_at is not None else None
    detail = {"token_id": token.token_id, "scope": token.scope.value, "expires_at": expires}
    audit.append(connection, at=token.created_at, actor=by, action="token.create", target=token.name, detail=detail)


def find_by_digest(connection: Connection, digest: str) -> AccessToken | None:
    """The token whose secret has this digest (hex), valid or not.

    The index does not compare in constant time. That tells nothing: nobody can make a secret whose digest begins as
    they like. The last comparison is in constant time all the same.
    """
    row = connection.execute(select(access_tokens).where(access_tokens.c.digest == digest)).one_or_none()
    return _token(row) if row is not None and hmac.compare_digest(row.digest, digest) else None


def list_tokens(connection: Connection) -> list[AccessToken]:
    """All there ever were, newest first."""
    newest = select(access_tokens).order_by(access_tokens.c.created_at.desc(), access_tokens.c.token_id.desc())
    return [_token(row) for row in connection.execute(newest)]


def record_revoked(connection: Connection, name: str, *, at: datetime, by: str) -> AccessToken:
    """Revoke a token by its id, or the one of that name that is not revoked yet.

    NotFound without any; Conflict when it was revoked already.
    """
    token = _find(connection, name)
    if may_be_rerun(connection) and token.revoked_at == at:
        return token
    revoked = connection.execute(
        update(access_tokens)
        .where(access_tokens.c.token_id == token.token_id, access_tokens.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    if revoked.rowcount == 0:
        raise Conflict(f"token {name} was revoked already; it opens nothing")
    detail = {"token_id": token.token_id, "scope": token.scope.value}
    audit.append(connection, at=at, actor=by, action="token.revoke", target=token.name, detail=detail)
    return replace(token, revoked_at=at)


def use_is_due(token: AccessToken, now: datetime) -> bool:
    """Whether its last use was noted longer ago than a minute."""
    return token.last_used_at is None or token.last_used_at <= now - USE_NOTED_EVERY


def record_used(connection: Connection, token_id: str, *, at: datetime) -> bool:
    """Note when a token was last used; False (and nothing written) when that was noted less than a minute ago."""
    last = access_tokens.c.last_used_at
    noted = connection.execute(
        update(access_tokens)
        .where(access_tokens.c.token_id == token_id, or_(last.is_(None), last <= at - USE_NOTED_EVERY))
        .values(last_used_at=at)
    )
    return noted.rowcount == 1


def _find(connection: Connection, name: str) -> AccessToken:
    named = select(access_tokens).where(or_(access_tokens.c.token_id == name, access_tokens.c.name == name))
    found = [_token(row) for row in connection.execute(named)]
    if not found:
        error = NotFound(f"no token {name} in this state")
        error.next_step = "`orchestrator tokens list` shows the ones it knows."
        raise error
    return max(found, key=lambda token: (token.token_id == name, token.revoked_at is None, token.created_at))


def _token(row: Row[Any]) -> AccessToken:
    return AccessToken(
        token_id=row.token_id,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
