"""Who may ask the service for what: a bearer token, the scope it was given, and who it makes of its bearer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestrator.domain.errors import NotPermitted


class Scope(StrEnum):
    """What a token is good for; each includes those before it."""

    READ = "read"  # look at everything
    RUN = "run"  # begin and cancel batches
    ADMIN = "admin"  # change schedules and pools, and everything else

    def includes(self, other: Scope) -> bool:
        """Whether whoever has this may do what asks for `other`."""
        return _RANK[self] >= _RANK[other]


_RANK: Final = {scope: rank for rank, scope in enumerate(Scope)}


class Standing(StrEnum):
    """Whether a token opens anything now."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What is kept of one bearer token; the secret itself is not. Without `expires_at` it is good until revoked.

    `last_used_at` is true to a minute.
    """

    token_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def scope(self) -> Scope:
        """The widest it has."""
        return widest(self.scopes)

    def standing(self, now: datetime) -> Standing:
        """Whether it opens anything; what was revoked stays so, whenever it would have expired."""
        if self.revoked_at is not None:
            return Standing.REVOKED
        return Standing.EXPIRED if self.expires_at is not None and now >= self.expires_at else Standing.VALID


def permits(token: AccessToken, scope: Scope, now: datetime) -> bool:
    """Whether the bearer of `token` may do what asks for `scope`."""
    return token.standing(now) is Standing.VALID and token.scope.includes(scope)


def widest(scopes: Collection[Scope]) -> Scope:
    """The one that includes all others; ValueError for none at all."""
    return max(scopes, key=lambda scope: _RANK[scope])


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever asks the service for something: `actor` is their name in the audit, `scope` what they may do."""

    actor: str
    scope: Scope

    def check(self, scope: Scope) -> None:
        """NotPermitted where `scope` is asked for and is not theirs."""
        if not self.scope.includes(scope):
            error = NotPermitted(f"this asks for scope {scope}; {self.actor} has {self.scope}")
            error.next_step = f"`orchestrator tokens create NAME --scope {scope}` makes a token that may do it."
            raise error


def actor_of(token: AccessToken) -> str:
    """How the audit names the bearer of a token: names may be given again once a token was revoked, ids never are."""
    return f"token:{token.name}:{token.token_id}"
