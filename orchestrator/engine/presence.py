"""Who is in which room, as far as Daily's limits let us ask: one picture of a domain for all who want one.

Daily asks for 15 s between requests for a whole domain, whose answer may be that old. Looks at single rooms are fresher
and share 20 requests a second with everything else that a key is asked, so they are counted here, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.clients.daily import DailyClient
from orchestrator.clients.pace import Share, alone
from orchestrator.domain.observation import Participant

LOOKS_PER_SECOND: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Who was in each room of a domain, by room name; asked for at that monotonic time."""

    asked_at: float
    rooms: Mapping[str, Sequence[Participant]]


class Presence:
    """One per process; `now` is monotonic seconds. `share` says how many workers look under the same keys."""

    def __init__(self, *, share: Share = alone) -> None:
        self._share = share
        self._asked_at: dict[DailyClient, float] = {}
        self._pictures: dict[DailyClient, Picture] = {}
        self._looks: dict[DailyClient, tuple[float, float]] = {}  # how many could be made, and when that was counted

    def latest(self, client: DailyClient) -> Picture | None:
        """The last picture of a key's domain, whoever asked for it."""
        return self._pictures.get(client)

    async def picture(self, client: DailyClient, *, now: float, every: float) -> Picture | None:
        """The last picture; a new one where nobody has asked for `every` seconds. Raises what Daily's refusal is."""
        if now - self._asked_at.get(client, float("-inf")) >= every * self._share():
            self._asked_at[client] = now
            self._pictures[client] = Picture(asked_at=now, rooms=await client.presence_all())
        return self._pictures.get(client)

    def looks_left(self, client: DailyClient, *, now: float, speed: float) -> int:
        """How many single rooms may be looked at now; `speed` hurries it, for a sandbox faster than life."""
        left, counted_at = self._looks.get(client, (LOOKS_PER_SECOND, now))
        left = min(LOOKS_PER_SECOND, left + (now - counted_at) * LOOKS_PER_SECOND * speed / self._share())
        self._looks[client] = (left, now)
        return int(left)

    def count_looks(self, client: DailyClient, number: int, *, now: float) -> None:
        """Note looks that are being made."""
        left, _ = self._looks.get(client, (LOOKS_PER_SECOND, now))
        self._looks[client] = (left - number, now)
