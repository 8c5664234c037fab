"""What one private key of Pipecat Cloud reaches across agents: their names.

Source: Pipecat Cloud's REST reference (OpenAPI, August 2026), `listServices`.
"""

from __future__ import annotations

from orchestrator.clients.http import RemoteHttp
from orchestrator.clients.pipecat_cloud import PRIVATE, REMOTE
from orchestrator.clients.wire import text_of
from orchestrator.clock import Clock
from orchestrator.settings import Settings


class PipecatCloudAccount:
    """The agents of the organisation that a private key belongs to."""

    def __init__(self, private: RemoteHttp) -> None:
        self._private = private

    @classmethod
    def open(cls, settings: Settings, *, clock: Clock) -> PipecatCloudAccount | None:
        """The account of PIPECAT_CLOUD_PRIVATE_KEY; None without one."""
        key = settings.pipecat_private_key
        if key is None:
            return None
        headers = {"Authorization": f"Bearer {key.reveal()}"}
        base_url = settings.pipecat_api_host
        return cls(RemoteHttp(remote=REMOTE, base_url=base_url, headers=headers, clock=clock, dialect=PRIVATE))

    async def list_agents(self) -> list[str]:
        """The names of all agents, of every region; may be repeated. One request: the list has no pages."""
        answer = await self._private.read("GET", "/v1/agents", operation="list_agents")
        return [name for item in answer.array("services") if (name := text_of(item.get("name")))]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._private.aclose()
