"""The ways in which Cekura reaches an agent."""

from __future__ import annotations

from enum import StrEnum


class Channel(StrEnum):
    """How a run reaches the agent: `pipecat_v1` is ours to drive, the others are Cekura's."""

    PIPECAT_V1 = "pipecat_v1"
    PIPECAT_V2 = "pipecat_v2"
    LIVEKIT_V2 = "livekit_v2"
    VOICE = "voice"

    @property
    def automated(self) -> bool:
        """True where Cekura starts and ends the sessions itself: one request, and we follow its runs."""
        return self is not Channel.PIPECAT_V1
