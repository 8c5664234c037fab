"""What can go wrong, as one family tree; every error answers "what now?".

    OrchestratorError
    |-- RemoteError(remote, operation)
    |   |-- RemoteBusy           refused for load or capacity, did nothing; `retry_after` seconds, if it said
    |   |-- RemoteUnavailable    never reached, or a read failed in transit: certainly did nothing that costs money
    |   |-- RemoteRejected       it understood and refused (4xx); repeating the same request cannot help
    |   |   `-- RemoteNotFound   it knows no such thing
    |   |-- RemoteAuthFailed     the key is missing, wrong, or of the wrong kind
    |   |-- RemoteProtocolError  it answered something that breaks its own contract
    |   `-- OutcomeUnknown       a paid or destructive call whose answer was lost: look it up, never repeat it blindly
    |-- InvalidPlan              the plan file; carries every problem with its line
    |-- InvalidSettings          keys, URLs or options; names the variable
    |-- InvalidCursor            asks for the next page of a list, and is none of ours
    |-- NotAuthenticated         no token, or none that opens anything; which of the two is nobody's business
    |-- NotPermitted             the token is good, but not for this
    |-- NotFound                 no such batch, run or session in our state
    |-- Conflict                 somebody else holds it (the driving lock, a changed row)
    |   `-- Disowned             another worker drives this batch now: nothing more of it is ours to do
    |-- StateUnusable            the state file is damaged, newer than this version, or cannot be written
    `-- BudgetExhausted          a limit of money or count was reached

No message carries a body, a key or a token: `detail` is the remote's own words, shortened and stripped by the client.
"""

from __future__ import annotations

from dataclasses import dataclass


class OrchestratorError(Exception):
    """Root of the family; `next_step` says what a person can do about it."""

    next_step: str = ""


class RemoteError(OrchestratorError):
    """A call to a remote did not do what was asked."""

    def __init__(
        self, *, remote: str, operation: str, detail: str = "", status: int | None = None, next_step: str = ""
    ) -> None:
        self.remote = remote
        self.operation = operation
        self.detail = detail
        self.status = status
        self.next_step = next_step
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        status = f" (HTTP {self.status})" if self.status is not None else ""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.remote} {self.operation}{status}{detail}"


class RemoteBusy(RemoteError):
    """Refused for load; `capacity` tells a full agent from a request-rate limit (None where the remote is silent)."""

    def __init__(
        self,
        *,
        remote: str,
        operation: str,
        detail: str = "",
        status: int | None = None,
        next_step: str = "",
        retry_after: float | None = None,
        capacity: bool | None = None,
    ) -> None:
        self.retry_after = retry_after
        self.capacity = capacity
        super().__init__(remote=remote, operation=operation, detail=detail, status=status, next_step=next_step)


class RemoteUnavailable(RemoteError):
    """Not reached, or a harmless call failed on the way: it may simply be tried again."""


class RemoteRejected(RemoteError):
    """Understood and refused; the same request will be refused again."""


class RemoteNotFound(RemoteRejected):
    """The remote knows no such thing (for Daily: this key's domain knows no such room)."""


class RemoteAuthFailed(RemoteError):
    """The key is missing, wrong or of the wrong kind."""


class RemoteProtocolError(RemoteError):
    """The answer breaks the remote's contract: not JSON, wrong types, too large, truncated."""


class OutcomeUnknown(RemoteError):
    """The request may have taken effect and we cannot know; the caller reconciles, it never repeats.

    `session_id`: the session that a start's unusable answer named all the same, so that it can be stopped.
    """

    def __init__(
        self,
        *,
        remote: str,
        operation: str,
        detail: str = "",
        status: int | None = None,
        next_step: str = "",
        session_id: str | None = None,
    ) -> None:
        self.session_id = session_id
        super().__init__(remote=remote, operation=operation, detail=detail, status=status, next_step=next_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a plan: where (`line` counts from 1; None for an override), what, and the remedy."""

    path: str
    message: str
    line: int | None = None
    remedy: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, {self.path}" if self.line is not None else self.path
        return f"{place}: {self.message}" + (f" -> {self.remedy}" if self.remedy else "")


class InvalidPlan(OrchestratorError):
    """Everything wrong with a plan, at once; nothing was started."""

    next_step = "Mend the lines above; `orchestrator plan PLAN` checks again without starting anything."

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class InvalidSettings(OrchestratorError):
    """Keys, addresses or options that cannot work; nothing was started."""

    def __init__(self, message: str, *, next_step: str = "Run `orchestrator doctor` to check every key.") -> None:
        self.next_step = next_step
        super().__init__(message)


class InvalidCursor(OrchestratorError):
    """A cursor that this list never gave out."""

    next_step = "Take the cursor from the page before, unchanged; without one, the list begins anew."


class NotAuthenticated(OrchestratorError):
    """Nobody we know: the same words whatever the cause, which only the log tells."""

    next_step = "Send a token as `Authorization: Bearer`; `orchestrator tokens create NAME --scope run` makes one."


class NotPermitted(OrchestratorError):
    """Somebody we know, who may not do this."""


class NotFound(OrchestratorError):
    """Our state knows no such batch, run or session."""


class Conflict(OrchestratorError):
    """Somebody else holds what was asked for."""


class Disowned(Conflict):
    """Another worker drives this batch now; whoever hears of it lets go, and ends nothing."""


class StateUnusable(OrchestratorError):
    """The state file cannot be used as it is; it was left untouched."""


class BudgetExhausted(OrchestratorError):
    """A limit the user or provider set was reached before the work was done."""
