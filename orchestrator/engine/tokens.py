"""The tester's meeting token: a minted non-owner one where a Daily key reaches the room.

It is minted while the bot is on its way, so that a ready bot does not wait for it, and held in memory only.
"""

from __future__ import annotations

from typing import Final

from loguru import logger

from orchestrator.clients.daily import DailyClient
from orchestrator.domain.errors import RemoteError
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import Session

TESTER_NAME: Final = "Cekura"


class TesterTokens:
    """The tokens minted ahead, by nonce; one per process."""

    def __init__(self) -> None:
        self._minted: dict[str, MeetingToken] = {}

    async def mint_ahead(self, session: Session, client: DailyClient, room_name: str) -> None:
        """Have a token ready for when the session is submitted; where that fails, it is asked for again then."""
        try:
            self._minted[session.nonce] = await _mint(session, client, room_name)
        except RemoteError as error:
            logger.debug("no token could be minted ahead", error=str(error))

    async def token_for(self, session: Session, client: DailyClient, room_name: str) -> MeetingToken | None:
        """The token minted ahead, else a new one; the session's own where none can be had."""
        minted = self._minted.get(session.nonce)
        if minted is not None:
            return minted
        try:
            return await _mint(session, client, room_name)
        except RemoteError as error:
            logger.warning("no token could be minted; the session's own is used", error=str(error))
            return session.meeting_token

    def drop(self, nonce: str) -> None:
        """Forget the token of a session: it did its work, or will never be called."""
        self._minted.pop(nonce, None)


async def _mint(session: Session, client: DailyClient, room_name: str) -> MeetingToken:
    return await client.create_meeting_token(
        room_name=room_name, expires_at=session.room_expires_at, is_owner=False, user_name=TESTER_NAME
    )
