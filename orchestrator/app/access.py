"""Who may use the service: tokens are made, revoked and listed here, and the gatekeeper knows whoever presents one."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import Final, NoReturn

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.access import AccessToken, Caller, Scope, Standing, actor_of
from orchestrator.domain.errors import InvalidSettings, NotAuthenticated, StateUnusable
from orchestrator.domain.secret import ApiKey, Secret
from orchestrator.store import access as token_rows
from orchestrator.store.database import Store

PREFIX: Final = "orc_"  # so that whoever finds one, a person or a scanner, knows what it opens
SECRET_BYTES: Final = 32
TRUSTED_FOR: Final = 2.0  # seconds: how long a revoked token may still be taken for good by a worker that knew it
MOST_REMEMBERED: Final = 1000
_SECRET: Final = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")  # 32 bytes in base64 without its filling
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


async def create_token(
    store: Store,
    clock: Clock,
    *,
    name: str,
    scopes: Collection[Scope],
    lifetime: timedelta | None,
    actor: str,
) -> tuple[AccessToken, ApiKey]:
    """Make a token; its secret is returned here and nowhere kept. Without a `lifetime` it is good until revoked.

    InvalidSettings for a name or lifetime that cannot be; Conflict where a token that is not revoked has that name.
    """
    _check_name(name)
    now = clock.now()
    secret = ApiKey(PREFIX + secrets.token_urlsafe(SECRET_BYTES))
    token = AccessToken(
        token_id=secrets.token_hex(6),
        name=name,
        scopes=frozenset(scopes),
        created_at=now,
        expires_at=now + lifetime if lifetime is not None else None,
    )
    await store.write(partial(token_rows.record_token, token=token, digest=digest_of(secret), by=actor))
    return token, secret


async def revoke_token(store: Store, clock: Clock, *, name: str, actor: str) -> AccessToken:
    """Revoke a token by its id or name, for good; every worker refuses it within TRUSTED_FOR seconds.

    NotFound without such a token, Conflict when it was revoked already.
    """
    return await store.write(partial(token_rows.record_revoked, name=name, at=clock.now(), by=actor))


async def list_tokens(store: Store) -> list[AccessToken]:
    """All there ever were, newest first; never with a secret, which nobody has."""
    return await store.read(token_rows.list_tokens)


async def has_live_token(store: Store, clock: Clock) -> bool:
    """Whether anybody could be told from anybody: some token opens something now."""
    now = clock.now()
    return any(token.standing(now) is Standing.VALID for token in await list_tokens(store))


def digest_of(secret: Secret) -> str:
    """What is kept of a secret: its SHA-256 as hex."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


class Gatekeeper:
    """Knows whoever presents a token. What was found once is believed for TRUSTED_FOR seconds without asking the state.

    An expired token is refused at once, a revoked one within that time. Only what was found is remembered: whoever
    sends rubbish takes no memory.
    """

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._anybody = False
        self._look_again = float("-inf")  # by the monotonic clock
        self._known: dict[str, tuple[AccessToken, float]] = {}  # by digest; until when, by the monotonic clock

    async def authenticate(self, presented: Secret | None) -> Caller:
        """Whose token this is. NotAuthenticated, in the same words whatever the cause; only the log tells it."""
        if presented is None or not _SECRET.fullmatch(presented.reveal()):
            _refuse("no token" if presented is None else "not what a token looks like")
        token = await self._find(digest_of(presented))
        if token is None:
            _refuse("unknown")
        standing = token.standing(self._clock.now())
        if standing is not Standing.VALID:
            _refuse(standing.value, token=token)
        return Caller(actor=actor_of(token), scope=token.scope)

    async def knows_anybody(self) -> bool:
        """Whether there is a token that opens something; looked for once in TRUSTED_FOR seconds."""
        now = self._clock.monotonic()
        if now >= self._look_again:
            self._anybody = await has_live_token(self._store, self._clock)
            self._look_again = now + TRUSTED_FOR
        return self._anybody

    async def _find(self, digest: str) -> AccessToken | None:
        now = self._clock.monotonic()
        token, until = self._known.get(digest, (None, now))
        if now < until:
            return token
        token = await self._store.read(partial(token_rows.find_by_digest, digest=digest))
        if token is not None:
            self._remember(digest, token, until=now + TRUSTED_FOR)
            await self._note_use(token)
        return token

    def _remember(self, digest: str, token: AccessToken, *, until: float) -> None:
        self._known.pop(digest, None)
        if len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]  # the one that was found first
        self._known[digest] = token, until

    async def _note_use(self, token: AccessToken) -> None:
        """Once a minute at most, and never in the way: whoever may look may do so while the disk is full."""
        now = self._clock.now()
        if token.standing(now) is not Standing.VALID or not token_rows.use_is_due(token, now):
            return
        try:
            await self._store.write(partial(token_rows.record_used, token_id=token.token_id, at=now))
        except StateUnusable as error:
            logger.debug("the last use of a token was not noted", token=token.token_id, error=str(error))


def _refuse(reason: str, *, token: AccessToken | None = None) -> NoReturn:
    logger.info("refused a request without a valid token", reason=reason, token=token.token_id if token else "-")
    raise NotAuthenticated("a valid token is needed")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidSettings(
            "a token's name begins with a letter or digit and has letters, digits, `.`, `_` and `-`, 80 at most",
            next_step="Name it after whoever holds it: `orchestrator tokens create nightly-ci --scope run`.",
        )
