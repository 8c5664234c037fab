"""What a look around finds: what rows hold, who is in which room, which sessions live, and which of that is ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.clients.daily import DailyClient
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.domain.observation import Participant, Room, SessionRecord
from orchestrator.domain.session import Session, Teardown

CLOCK_SLACK: Final = timedelta(seconds=5)
LONGEST_JOIN: Final = timedelta(minutes=15)  # from a room's creation to its bot's coming; cold starts take a minute
BY_MARK: Final = "it bears our mark"
BY_PLAN: Final = "the plan says that nobody else starts its agent"
BY_ROW: Final = "a row names it, and could not confirm its end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the rows hold, and so is no stray; empty where the state is lost.

    A row holds what it still tears down, and what it saw the end of: that is gone, whatever a presence of some seconds
    ago shows. A row that was settled in doubt (refused, bounded) will never look again: what of it is alive is a stray.
    """

    marks: frozenset[str] = frozenset()
    room_names: frozenset[str] = frozenset()
    session_ids: frozenset[str] = frozenset()
    doubtful_ids: frozenset[str] = frozenset()

    @classmethod
    def by(cls, sessions: Iterable[Session]) -> Held:
        """What these rows hold."""
        known = list(sessions)
        in_room = [one for one in known if not one.torn_down or one.room_end.state is Teardown.CONFIRMED]
        doubtful = [one for one in known if one.torn_down and one.session_end.state is not Teardown.CONFIRMED]
        ids = frozenset(one.session_id for one in known if one.session_id)
        doubtful_ids = frozenset(one.session_id for one in doubtful if one.session_id)
        return cls(
            marks=frozenset(one.nonce for one in in_room),
            session_ids=ids - doubtful_ids,
            room_names=frozenset(one.room_url.rstrip("/").rsplit("/", 1)[-1] for one in known if one.room_url),
            doubtful_ids=doubtful_ids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRoom:
    """A room with somebody in it, as one Daily key shows it."""

    client: DailyClient
    name: str
    present: tuple[Participant, ...]

    @property
    def since(self) -> datetime | None:
        """When the first of those present came."""
        return _first(self.present)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSession:
    """A live session of an agent on Pipecat Cloud."""

    agent: PipecatCloudClient
    record: SessionRecord


@dataclass(frozen=True, slots=True)
class FoundRoom:
    """What became of a question for a room: None inside means that its key knows it no longer."""

    room: Room | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """Who in one room bears one mark, or is one session: the bot, and with it whoever was given its token."""

    mark: str
    room: SeenRoom
    present: tuple[Participant, ...]

    @property
    def participant_ids(self) -> list[str]:
        """Daily's names for them."""
        return [one.participant_id for one in self.present]

    @property
    def since(self) -> datetime | None:
        """When the first of them came."""
        return _first(self.present)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """Something of ours that no row holds: a bot in a room, the session it is, or a session whose room is not known.

    `bot` is None where no room of it is known; `room` is None beside a bot whose room is gone. `whole` is False for a
    room that may serve others too: only the bot is ours to put out.
    """

    proof: str
    session: SeenSession | None
    mark: str | None = None
    bot: Bot | None = None
    room: Room | None = None
    whole: bool = True

    @property
    def key(self) -> str:
        """What tells it from every other stray."""
        return self.mark or (self.session.record.session_id if self.session is not None else "")

    @property
    def since(self) -> datetime | None:
        """When its session was created, else when its bot came."""
        created = self.session.record.created_at if self.session is not None else None
        return created or (self.bot.since if self.bot is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Something alive that is not provably ours: never touched. `place` is its agent, or the key that shows it."""

    what: str
    name: str
    place: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What was found. `unasked`: what could not be looked at, and why. `all_sessions`: every live one was compared."""

    strays: tuple[Stray, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    unasked: tuple[str, ...] = ()
    all_sessions: bool = False


def made_for(room: Room, *, joined_at: datetime | None) -> bool:
    """Whether a start of ours made this room: it ends by itself, ejects, and is hardly older than its bot's coming.

    A room that a runner shares between sessions (DAILY_ROOM_URL) was made for something else: never ours to delete.
    """
    ends_itself = room.expires_at is not None and room.eject_at_expiry
    if not ends_itself or room.created_at is None or joined_at is None:
        return False
    return room.created_at <= joined_at + CLOCK_SLACK and joined_at <= room.created_at + LONGEST_JOIN


def _first(present: Iterable[Participant]) -> datetime | None:
    return min((one.joined_at for one in present if one.joined_at), default=None)
