"""Start and submit with their answer lost in every way: what is found again, what is named, that nothing is redone.

What is expected of each cell is written from the rules of looking things up (decisions 0004, 0010, 0011), not from what
the engine does.
"""

from dataclasses import replace
from itertools import combinations, product

import pytest

from orchestrator.clients.http import RemoteHttp
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.session import SessionStatus, Teardown
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.engine import reaper
from orchestrator.sandbox import edge
from tests.support.lost import cells, every_way_to_find, play_all

KINDS = pytest.mark.parametrize("runner", [False, True], ids=["pipecat_cloud", "pipecat_runner"])
# To Cekura a room is a room: what differs between the two kinds is the start.
PLAYED = pytest.mark.parametrize(
    ("operation", "runner"),
    [
        pytest.param("start", False, id="start-pipecat_cloud"),
        pytest.param("start", True, id="start-pipecat_runner"),
        pytest.param("submit", False, id="submit-pipecat_cloud"),
        pytest.param("submit", True, id="submit-pipecat_runner", marks=pytest.mark.long),
    ],
)
OPERATIONS = pytest.mark.parametrize("operation", ["start", "submit"])


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """The reaper looks for a lost session for a minute, not three: what these cells leave is found at once or never."""
    monkeypatch.setattr(reaper, "LOOKUP_SECONDS", 60.0)


def stopped_too_early(cell):
    """Found by exclusion before its mark can be seen: `test_an_exclusive_agents_marked_session_is_used`."""
    return cell.operation == "start" and cell.marked and cell.listed


@PLAYED
async def test_a_lost_answer_is_looked_up_or_named_and_never_repeated(operation, runner, tmp_path):
    every = every_way_to_find(operation, "lost_answer", runner=runner) if operation == "start" else ()
    matrix = dict.fromkeys([*cells(operation, runner=runner), *every])
    check = start_wrongs if operation == "start" else submit_wrongs
    assert await play_all([cell for cell in matrix if not stopped_too_early(cell)], tmp_path, check) == []


@OPERATIONS
async def test_an_answer_that_outlasts_our_patience_is_a_lost_one(operation, tmp_path, monkeypatch):
    """It happened at once; its answer takes four seconds, of which we wait one."""
    monkeypatch.setattr(edge, "SLOW_SECONDS", 160.0)
    monkeypatch.setitem(RemoteHttp.act.__kwdefaults__, "timeout", 1.0)
    both = [*cells(operation, runner=False), *cells(operation, runner=True)]
    slow = [replace(cell, fault="slow") for cell in both if cell.fault in {"late", "error"}]
    check = start_wrongs if operation == "start" else submit_wrongs
    assert await play_all([cell for cell in slow if not stopped_too_early(cell)], tmp_path, check) == []


async def test_an_exclusive_agents_marked_session_is_used(tmp_path):
    """Pipecat Cloud lists it at once, presence shows it some seconds later: then it can be used, its room deleted."""
    [cell] = [one for one in every_way_to_find("start", "lost_answer", runner=False) if all(vars_of(one))]
    assert await play_all([cell], tmp_path, start_wrongs, presence_lag=40.0) == []


async def test_a_start_that_stays_unknown_says_when_it_was_sent_and_where_to_look(tmp_path):
    def wrongs(cell, played):
        reason, session = played.run.reason, played.sessions[0]
        yield from missing(reason, session.agent_address, session.sent_at.isoformat(timespec="seconds"))
        if "nothing bears its mark" in reason:
            yield f"no key could look for its mark, yet it says {reason!r}"

    every = [one for runner in (False, True) for one in every_way_to_find("start", "lost_answer", runner=runner)]
    assert await play_all([cell for cell in every if not any(vars_of(cell))], tmp_path, wrongs) == []


async def test_a_submission_that_stays_unknown_says_where_to_look_and_what_ends_its_call(tmp_path):
    def wrongs(cell, played):
        yield from missing(played.run.reason, "agent 5", "room")

    lost = next(cell for cell in cells("submit", runner=False) if not cell.done)
    assert await play_all([lost], tmp_path, wrongs) == []


@KINDS
@OPERATIONS
def test_every_two_values_of_the_matrix_meet(operation, runner):
    """Guards the choice of cells: a value pair that never occurs proves nothing."""
    matrix = list(cells(operation, runner=runner))
    for one, other in combinations(("mark", "exclusive", "daily", "private"), 2):
        met = {(getattr(cell, one), getattr(cell, other)) for cell in matrix}
        assert met == set(product((False, True), repeat=2))
    for fault in {cell.fault for cell in matrix}:
        values = [vars_of(cell) for cell in matrix if cell.fault == fault]
        assert all(len(set(column)) == 2 for column in zip(*values, strict=True))


def start_wrongs(cell, played):
    """What of a cell's end is not as the rules of looking a start up say."""
    found = cell.marked
    again = not found and cell.listed
    yield from common_wrongs(cell, played)
    yield from differing(
        outcome=(str(played.run.outcome), "passed" if found or again else "inconclusive"),
        starts=(played.world["starts"], 2 if again else 1),
        submits=(played.world["submits"], 1 if found or again else 0),
        rows=(len(played.sessions), 2 if again else 1),
    )
    first = played.sessions[0]
    if not found and not again:
        yield from unfound_wrongs(cell, played, first)
        return
    yield from differing(status=(first.status, SessionStatus.ALIVE), room_known=(first.room_url is not None, found))
    yield from missing(first.note, "start answer was lost")
    yield from end_wrongs(cell, first, reached=found)
    if again:
        yield from end_wrongs(cell, played.sessions[1], reached=cell.daily)


def unfound_wrongs(cell, played, session):
    """A start that stays unknown: the row and the run's reason name what may exist, and what ends it when."""
    nothing_listed = cell.private and not cell.runner and not cell.done
    yield from differing(
        status=(session.status, SessionStatus.UNFOUND if nothing_listed else SessionStatus.LOST),
        session_id=(session.session_id, None),
        session_end=(session.session_end.state, Teardown.BOUNDED),
        session_end_at=(session.session_end.at, session.ends_at),
        room_end=(session.room_end.state, Teardown.BOUNDED),
        room_end_at=(session.room_end.at, session.room_expires_at),
    )
    yield from missing(session.session_end.how, "lost", session.ends_by)
    yield from missing(session.room_end.how, "lost", "expiry")
    ends_at = session.ends_at.isoformat(timespec="seconds")
    yield from missing(played.run.reason, "start answer was lost", "not started again", session.ends_by, ends_at)


def submit_wrongs(cell, played):
    """What of a cell's end is not as the rules of looking a submission up say."""
    yield from common_wrongs(cell, played)
    [session], [submission] = played.sessions, played.submissions
    yield from differing(
        outcome=(str(played.run.outcome), "passed" if cell.done else "inconclusive"),
        starts=(played.world["starts"], 1),
        requests=(played.world["requests"]["submit"], 1),
        submits=(played.world["submits"], 1 if cell.done else 0),
        submission=(submission.status, SubmissionStatus.ACCEPTED if cell.done else SubmissionStatus.UNKNOWN),
        result=(submission.cekura_result_id, played.run.cekura_result_id),
        called=(session.cekura_run_id is not None, cell.done),
    )
    yield from end_wrongs(cell, session, reached=cell.daily)
    if cell.done:
        witness = "a tester being in its room" if cell.daily else "no Daily key"
        yield from missing(submission.note, "answer was lost", f"result {submission.cekura_result_id}", witness)
    else:
        at = submission.sent_at.isoformat(timespec="seconds")
        words = ("lost", at, "scenarios 101", "may have been placed and charged", "not sent again")
        yield from missing(played.run.reason, *words)
        yield from missing(submission.note, *words)


def common_wrongs(cell, played):
    """What holds for every cell: closed, no second call, none cut short, no token left, all that lives is named."""
    world, sessions = played.world, played.sessions
    yield from differing(
        closed=(played.view.batch.status, BatchStatus.CLOSED),
        submitted_twice=(world["submitted_twice"], []),
        cut_short=(world["cut_short"], []),
        torn_down=(all(session.torn_down for session in sessions), True),
        tokens=([session.meeting_token for session in sessions if session.meeting_token], []),
    )
    bounded = [session for session in sessions if session.session_end.state is Teardown.BOUNDED]
    ids = {one["id"] for one in world["sessions"]["alive"]}
    if len(ids) > len(bounded) or ids & {one.session_id for one in sessions if one not in bounded}:
        yield f"sessions {ids} are alive, and not all of them bounded"
    open_rooms = [session for session in sessions if session.room_end.state is Teardown.BOUNDED]
    urls = {one["url"] for one in world["rooms"]["alive"]}
    if len(urls) > len(open_rooms) or urls & {one.room_url for one in sessions if one not in open_rooms}:
        yield f"rooms {urls} are alive, and not all of them bounded"


def end_wrongs(cell, session, *, reached):
    """How a known session and its room (`reached`: by a Daily key) must stand in the end."""
    confirmed = not cell.runner and cell.private
    yield from differing(
        session_end=(session.session_end.state, Teardown.CONFIRMED if confirmed else Teardown.BOUNDED),
        room_end=(session.room_end.state, Teardown.CONFIRMED if reached else Teardown.BOUNDED),
        timed=(session.session_end.at is not None and session.room_end.at is not None, True),
    )
    if cell.runner:
        yield from missing(session.session_end.how, "idle timeout")
    elif not confirmed:
        yield from missing(session.session_end.how, "Pipecat Cloud's session limit")
    if not reached:
        yield from missing(session.room_end.how, "expires")


def vars_of(cell):
    return (cell.mark, cell.exclusive, cell.daily, cell.private)


def differing(**pairs):
    return (f"{name} is {found!r}, not {wanted!r}" for name, (found, wanted) in pairs.items() if found != wanted)


def missing(text, *words):
    return (f"{word!r} is not in {text!r}" for word in words if word not in text)
