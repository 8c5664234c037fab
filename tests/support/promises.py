"""What must hold once a batch is closed, whatever befell it; the world and the rows are the judges."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.app.batches import BatchView
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import Session, Teardown
from orchestrator.domain.submission import Submission, SubmissionStatus
from orchestrator.sandbox import Sandbox
from orchestrator.sandbox.tokens import read_token


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A closed batch: its rows, and the world when it was closed."""

    view: BatchView
    submissions: list[Submission]
    sandbox: Sandbox
    world: dict[str, Any]
    bought: dict[str, int] | None  # starts and submissions asked for when a collection began

    @property
    def remote(self):
        """The sandbox's sessions, with the mark that each start gave them."""
        return [(mark_of(one), one) for one in self.sandbox._world.sessions.all.values()]

    @property
    def calls(self):
        return self.sandbox._world.cekura.runs


def mark_of(session):
    """The mark in the token of a session's bot; None where a runner started it without a room."""
    if session.token is None:
        return None
    return read_token(session.token, key=session.room.key, domain=session.room.domain).get("user_id")


def broken_promises(ended):
    """Each promise that does not hold, as a sentence; nothing when all do."""
    for promises in (_outcomes, _ends, _alive, _starts, _calls, _settled, _budgets, _cancelled):
        yield from promises(ended)


def _outcomes(ended):
    if ended.view.batch.status is not BatchStatus.CLOSED:
        yield "the batch is not closed"
    for run in ended.view.runs:
        call = ended.calls.get(run.cekura_run_id)
        completed = call is not None and call.status == "completed"
        if run.outcome is None:
            yield f"run {run.index} has no outcome"
        elif run.outcome != "passed" and not run.reason:
            yield f"run {run.index} is {run.outcome} without a reason"
        if run.outcome == "passed" and not (completed and call.success):
            yield f"run {run.index} passed, and Cekura judged no such run a success"
        if run.outcome == "failed" and not (completed and not call.success):
            yield f"run {run.index} failed, and Cekura judged no such run a failure"


def _ends(ended):
    """Every row says of session and room that they are gone, or what ends them and when: no later than was asked."""
    for session in filter(lambda one: one.exists, ended.view.sessions):
        latest = {"session": session.ends_at, "room": session.room_expires_at}
        for thing, end in (("session", session.session_end), ("room", session.room_end)):
            if end.state not in {Teardown.CONFIRMED, Teardown.BOUNDED}:
                yield f"the {thing} of {session.nonce} is {end.state}: {end.how}"
            if end.state is Teardown.BOUNDED and (end.at is None or not end.how or end.at > latest[thing]):
                yield f"the {thing} of {session.nonce} is bounded by {end.how!r} at {end.at}, not by {latest[thing]}"
        if session.meeting_token is not None:
            yield f"the meeting token of {session.nonce} is still in its row"


def _alive(ended):
    """What lives is named by a row as bounded. A start without an answer has no id: its row stands for one of each."""
    for thing, key, living in (
        ("session", "session_id", [one["id"] for one in ended.world["sessions"]["alive"]]),
        ("room", "room_url", [one["url"] for one in ended.world["rooms"]["alive"]]),
    ):
        bounded = [one for one in ended.view.sessions if getattr(one, f"{thing}_end").state is Teardown.BOUNDED]
        named = {getattr(one, key) for one in bounded} - {None}
        nameless = sum(getattr(one, key) is None for one in bounded)
        unnamed = [one for one in living if one not in named]
        if len(unnamed) > nameless:
            yield f"alive and named by no row: {thing} {', '.join(unnamed)}"


def _starts(ended):
    """No start is made twice, and none without a row that says it may have been."""
    rows = {one.nonce for one in ended.view.sessions if one.exists}
    made = Counter(mark for mark, _ in ended.remote)
    yield from (f"{mark} was started {times} times" for mark, times in made.items() if mark and times > 1)
    yield from (f"{mark} was started, and no row says so" for mark in made if mark and mark not in rows)
    if made.total() > len(rows):
        yield f"{made.total()} sessions were started for {len(rows)} rows"


def _calls(ended):
    """No room is submitted twice. A call is ended by its name; one that never had one can only be cut short."""
    if ended.world["submitted_twice"]:
        yield f"submitted twice: {', '.join(ended.world['submitted_twice'])}"
    named = {one.cekura_run_id for one in (*ended.view.runs, *ended.view.sessions)}
    cut_short = [one for one in ended.world["cut_short"] if one in named]
    if cut_short:
        yield f"cut short, though their names were known: calls {', '.join(map(str, cut_short))}"
    if len(ended.world["cut_short"]) > len(cut_short) + _rooms_of_lost_submissions(ended):
        yield f"cut short, though no submission was lost: calls {', '.join(map(str, ended.world['cut_short']))}"
    if ended.world["calls"]["active"]:
        yield f"calls still on: {ended.world['calls']['active']}"


def _settled(ended):
    """What became of a submission is said by its row, whoever died of it."""
    for one in ended.submissions:
        if one.status in {SubmissionStatus.INTENT, SubmissionStatus.SENT}:
            yield f"submission {one.submission_id} is {one.status}, and nothing says what became of it"


def _rooms_of_lost_submissions(ended):
    return sum(len(one.scenario_ids) for one in ended.submissions if one.status is SubmissionStatus.UNKNOWN)


def _budgets(ended):
    limits = ended.view.plan.limits
    if ended.world["calls"]["peak"] > limits.calls:
        yield f"{ended.world['calls']['peak']} calls at once, and the plan allows {limits.calls}"
    peak = most_at_once(ended)
    if peak > limits.concurrency:
        yield f"{peak} sessions at once, and the plan allows {limits.concurrency}"


def most_at_once(ended):
    """Most sessions alive at once; one of a runner is let go once it is condemned (docs/decisions/0005)."""
    if ended.view.plan.agent.kind is AgentKind.PIPECAT_CLOUD:
        return ended.world["calls"]["peak_alive_sessions"]
    rows = {one.nonce: one for one in ended.view.sessions}
    moments = []
    for mark, one in ended.remote:
        if mark in rows:
            ends = [end for end in (one.ended_at, _unix(rows[mark].condemned_at)) if end is not None]
            moments += [(one.created_at, 1), *([(min(ends), -1)] if ends else [])]
    held, most = 0, 0
    for _, change in sorted(moments):
        held += change
        most = max(most, held)
    return most


def _unix(moment):
    return None if moment is None else moment.timestamp()


def _cancelled(ended):
    """Who was told to end buys nothing any more."""
    asked = ended.view.batch.cancel_asked_at
    if asked is not None:
        yield from (f"{one.nonce} was sent after the cancel" for one in ended.view.sessions if _later(one, asked))
        yield from (f"{one.submission_id} was sent after the cancel" for one in ended.submissions if _later(one, asked))
    if ended.bought is not None:
        for operation, count in ended.bought.items():
            more = ended.world["requests"].get(operation, 0) - count
            if more:
                yield f"collecting asked for {more} more: {operation}"


def _later(row: Session | Submission, moment: datetime):
    return row.sent_at is not None and row.sent_at > moment


def last_bound(view):
    """When the last of what the rows name as bounded is over; None where nothing is."""
    ends = (end for one in view.sessions for end in (one.session_end, one.room_end) if one.exists)
    return max((end.at for end in ends if end.state is Teardown.BOUNDED and end.at), default=None)


def outlived(world, moment):
    """What lives although the rows said that it would be over by itself by now."""
    for one in world["sessions"]["alive"]:
        yield f"session {one['id']} lives beyond the bound its row names ({moment})"
    for one in world["rooms"]["alive"]:
        yield f"room {one['url']} lives beyond the bound its row names ({moment})"
