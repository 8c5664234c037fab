"""A self-managed Pipecat runner (`python bot.py -t daily`): it starts sessions and knows nothing else.

Source: pipecat-ai 1.14, pipecat/runner/run.py. It has no list, no get and no stop; it never deletes a room; caller and
bot share one owner token that ends after two hours while the room lives for four.
"""

from __future__ import annotations

from typing import ClassVar, Final

from orchestrator.clients.http import RemoteHttp
from orchestrator.clients.observer import RequestObserver, watched_start
from orchestrator.clients.refusal import Dialect
from orchestrator.clients.start import start_payload, started_session
from orchestrator.clients.wire import list_of
from orchestrator.clock import Clock
from orchestrator.domain.observation import StartedSession, StartRequest
from orchestrator.settings import Settings

REMOTE: Final = "Pipecat runner"
SHARED_ROOM_ADVICE: Final = (
    "The runner gave the same room to several sessions: DAILY_ROOM_URL is set in its environment."
    " Unset it there, so that each session gets a room of its own. The shared room is left alone."
)
NO_ROOM: Final = (
    "it answered without a session: a bot runs in a room we were not told, or on another transport than Daily"
)
DIALECT: Final = Dialect(
    key_advice="The runner itself asks for no key: a proxy in front of it refuses us.",
    missing_advice="Check agent.url in the plan: it must be the address of the runner, without /start.",
    address_advice="Check agent.url in the plan, and that the runner is up (GET /status).",
    lookup_advice="A bot and a room may exist: the runner's own log tells. It has no stop; ends are the room's expiry"
    " and the bot's idle timeout.",
)


class PipecatRunnerClient:
    """One runner; its sessions can be neither seen nor stopped through it, only their rooms can."""

    observable: ClassVar[bool] = False
    stoppable: ClassVar[bool] = False
    token_seconds: ClassVar[float] = 7200.0  # its tokens end after two hours, whatever the room's own expiry

    def __init__(self, http: RemoteHttp, *, daily_api_url: str) -> None:
        self._http = http
        self._daily_api_url = daily_api_url

    @classmethod
    def open(
        cls, settings: Settings, *, url: str, clock: Clock, observer: RequestObserver | None = None
    ) -> PipecatRunnerClient:
        """The runner at `url`. Plain http is accepted anywhere: no key travels, and the runner speaks nothing else."""
        http = RemoteHttp(
            remote=REMOTE, base_url=url, headers={}, clock=clock, dialect=DIALECT, plain_http=True, observer=observer
        )
        return cls(http, daily_api_url=settings.daily_api_url)

    def __repr__(self) -> str:
        return f"PipecatRunnerClient(url={self._http.base_url!r})"

    async def start_session(self, request: StartRequest) -> StartedSession:
        """Start one bot with a Daily room of its own; the token is an owner's.

        Never repeated. A lost answer, a 5xx (it may have made the room and then failed) and a 200 without a session are
        OutcomeUnknown. The caller wrote its intent before and deletes the room after.
        """
        with watched_start(self._http.observer):
            answer = await self._http.act("POST", "/start", operation="start_session", json=start_payload(request))
            if answer.json() is None:
                raise answer.broken(NO_ROOM)
            return started_session(answer, daily_api_url=self._daily_api_url)

    async def get_status(self) -> tuple[str, ...]:
        """The transports the runner offers (all it knows, installed or not, where none was chosen); may be repeated."""
        answer = await self._http.read("GET", "/status", operation="get_status")
        return tuple(str(item) for item in list_of(answer.record().get("transports")))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
