"""One call in a room of somebody else's: the tester comes to it, waits for an agent, talks and hangs up."""

from __future__ import annotations

from typing import Final

from orchestrator.sandbox.calls import Call, CallEnd, CallSurroundings, Run
from orchestrator.sandbox.rooms import Cause, JoinRefused, Participant, RoomEvent
from orchestrator.sandbox.sessions import Session

# What a caller's own teardown looks like from inside a call.
TEARDOWN: Final = frozenset({Cause.STOPPED, Cause.EJECTED, Cause.DELETED, Cause.EXPIRED})
NEVER_CONNECTED: Final = CallEnd(
    status="failed", reason="Testing agent-did-not-connect", error="The testing agent could not join the room."
)
NOBODY_THERE: Final = CallEnd(
    status="failed", reason="Main agent-did-not-answer", error="The main agent did not join within the timeout period."
)


class RoomCall(Call):
    """The tester of a run of the manual flow."""

    def __init__(self, *, run: Run, around: CallSurroundings, fate: str | None, room_url: str) -> None:
        super().__init__(run=run, around=around, fate=fate)
        self._room_url = room_url
        self._participant: Participant | None = None
        self._session: Session | None = None

    def dispatch(self) -> None:
        """Send the tester to the room."""
        self._run.executed_at = self._clock.now()
        self._become("running")
        self._clock.after(self._around.settings.dispatch_seconds, self._arrive)

    def _arrive(self) -> None:
        if self._over:
            return
        found = self._around.daily.room_at(self._room_url)
        if found is None or self._fate == "never_connects":
            self.hang_up(NEVER_CONNECTED)
            return
        _, room = found
        try:
            self._participant = room.join(
                token=self._run.token,
                listener=self._hear,
                user_name="Cekura",
                is_tester=True,
                carries_user_id=self._around.settings.carries_mark,
            )
        except JoinRefused:
            self.hang_up(NEVER_CONNECTED)
            return
        self._run.tester_joined_at = self._clock.now()
        if room.agents():
            self._begin()
        else:
            self._clock.after(self._around.settings.connect_timeout, self._give_up)

    def _give_up(self) -> None:
        if self._run.call_began_at is None:
            self.hang_up(NOBODY_THERE)

    def _begin(self) -> None:
        self._talk()
        if self._participant is not None and self._run.message is not None:
            self._participant.room.send(self._run.message, sender=self._participant)
        self._session = self._around.sessions.by_room.get(self._room_url)
        if self._session is not None:
            self._around.sessions.note_call_begin(self._session)

    def _hear(self, event: RoomEvent) -> None:
        if event.name == "participant-joined":
            # The newcomer is in the room only once everybody has been told.
            self._clock.after(0.0, self._begin_if_waiting)
        elif event.name in {"ejected", "room-deleted"} or (
            event.name == "participant-left" and self._talks_to_nobody()
        ):
            self._lose(event.cause)

    def _talks_to_nobody(self) -> bool:
        talking = self._participant is not None and self._run.call_began_at is not None
        return talking and self._participant is not None and not self._participant.room.agents()

    def _begin_if_waiting(self) -> None:
        waiting = not self._over and self._run.call_began_at is None
        if waiting and self._participant is not None and self._participant.room.agents():
            self._begin()

    def _lose(self, cause: Cause | None) -> None:
        talking = self._run.call_began_at is not None
        self.hang_up(
            CallEnd(
                status="failed",
                reason="participant_disconnected" if talking else "Main agent-call-not-connected",
                error=f"The call was lost: {cause}.",
                cut_short=talking and cause in TEARDOWN and not self._run.end_asked,
            )
        )

    def _leave(self) -> None:
        if self._session is not None:
            self._around.sessions.note_call_end(self._session)
        if self._participant is not None:
            self._participant.room.leave(self._participant)
