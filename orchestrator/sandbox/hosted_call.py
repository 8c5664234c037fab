"""One call that Cekura makes by itself: it starts the agent's session, dispatches its worker or dials its number.

Whatever session and room such a call has are Cekura's own, started and cleaned up by it: neither is seen at Pipecat
Cloud or Daily here, and neither can leak. Not simulated: the deployed agent and its capacity, what the agent makes of
data messages and profile variables, and agents that dial out themselves within their 300 seconds.
"""

from __future__ import annotations

import random
from typing import Final

from orchestrator.sandbox.calls import Call, CallEnd

NEVER_CONNECTED: Final = CallEnd(
    status="failed", reason="Testing agent-did-not-connect", error="The testing agent could not connect to the agent."
)


class HostedCall(Call):
    """The tester of a run of one of Cekura's automated channels."""

    def dispatch(self) -> None:
        """Let Cekura bring the agent; only a telephone needs no scaling up."""
        self._run.executed_at = self._clock.now()
        self._become("running" if self._run.channel == "voice" else "scaling_up")
        self._clock.after(self._around.settings.dispatch_seconds, self._arrive)

    def _arrive(self) -> None:
        if self._over:
            return
        if self._fate == "never_connects":
            self.hang_up(NEVER_CONNECTED)
            return
        self._run.tester_joined_at = self._clock.now()
        self._become("running")
        self._clock.after(self._seconds_to_join(), self._begin)

    def _seconds_to_join(self) -> float:
        settings = self._around.settings
        return random.Random(f"{settings.seed}:hosted:{self._run.ordinal}").uniform(*settings.join_seconds)

    def _begin(self) -> None:
        if not self._over:
            self._talk()

    def _leave(self) -> None:
        """Cekura cleans up after itself."""
