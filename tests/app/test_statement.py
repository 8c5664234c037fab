"""The teardown statement names every session and room we caused, and what became of each or ends it when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.app.markdown import report_markdown
from orchestrator.app.statement import ROOM_EXPIRY, teardown_statement
from orchestrator.cli.tables import teardown_lines
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.domain.submission import Submission, SubmissionStatus

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMIT, EXPIRY = BEGAN + timedelta(hours=2), BEGAN + timedelta(hours=1)
GONE = End(state=Teardown.CONFIRMED, how="its record shows its end", at=BEGAN + timedelta(minutes=3))
DELETED = End(state=Teardown.CONFIRMED, how="deleted at Daily", at=BEGAN + timedelta(minutes=4))
EXPIRES = End(state=Teardown.BOUNDED, how="no Daily key of ours reaches it; it expires", at=EXPIRY)
TROUBLE = End(state=Teardown.OPEN, how="Pipecat Cloud stop_session (HTTP 500)")


def a_session(number=1, **values):
    given = {
        "nonce": f"mark-{number}",
        "batch_id": "b",
        "run_id": f"b-{number:03d}",
        "attempt": 1,
        "agent_kind": AgentKind.PIPECAT_CLOUD,
        "agent_address": "support-bot",
        "status": SessionStatus.ALIVE,
        "intended_at": BEGAN,
        "sent_at": BEGAN + timedelta(seconds=1),
        "ends_by": "Pipecat Cloud's session limit",
        "ends_at": LIMIT,
        "room_expires_at": EXPIRY,
        "session_id": f"s{number}",
        "room_url": f"https://acme.daily.co/r{number}",
        "session_end": GONE,
        "room_end": DELETED,
    }
    return Session(**given | values)


def test_every_session_and_room_has_an_entry_with_when_it_began_and_how_it_was_confirmed_gone():
    statement = teardown_statement([a_session(2), a_session(1)])

    assert (statement["sessions"], statement["rooms"], statement["confirmed"]) == (2, 2, 4)
    assert [(item["what"], item["id"]) for item in statement["items"]] == [
        ("session", "s1"),
        ("room", "https://acme.daily.co/r1"),
        ("session", "s2"),
        ("room", "https://acme.daily.co/r2"),
    ]
    assert statement["items"][0] == {
        "what": "session",
        "id": "s1",
        "state": "confirmed",
        "how": "its record shows its end",
        "at": "2026-01-02T03:07:05+00:00",
        "by": None,
        "until": None,
        "run": "b-001",
        "attempt": 1,
        "mark": "mark-1",
        "started_at": "2026-01-02T03:04:06+00:00",
    }


@pytest.mark.parametrize(
    ("ends", "place", "by", "until", "how"),
    [
        ((GONE, EXPIRES), "bounded", EXPIRES.how, EXPIRY, EXPIRES.how),
        ((TROUBLE, DELETED), "left", "Pipecat Cloud's session limit", LIMIT, TROUBLE.how),
        ((End(), DELETED), "left", "Pipecat Cloud's session limit", LIMIT, None),
        ((GONE, TROUBLE), "left", ROOM_EXPIRY, EXPIRY, TROUBLE.how),
        ((GONE, End(state=Teardown.UNKNOWN)), "left", ROOM_EXPIRY, EXPIRY, None),
    ],
)
def test_what_is_not_confirmed_says_what_ends_it_and_when(ends, place, by, until, how):
    statement = teardown_statement([a_session(session_end=ends[0], room_end=ends[1])])

    (item,) = statement[place]
    assert (item["by"], item["until"], item["how"], item["at"]) == (by, until.isoformat(), how, None)
    assert statement["confirmed"] == 1
    assert item in statement["items"]


def test_a_start_that_certainly_did_nothing_caused_nothing():
    refused = a_session(status=SessionStatus.REFUSED, session_id=None, room_url=None)

    statement = teardown_statement([refused])

    assert (statement["sessions"], statement["items"], statement["uncertain"]) == (0, [], [])
    assert teardown_lines(statement) == ["Teardown: no session was started, nothing to tear down."]


@pytest.mark.parametrize(
    ("status", "condemned_at", "uncertain"),
    [
        (SessionStatus.LOST, None, True),
        (SessionStatus.SENT, BEGAN, True),
        (SessionStatus.SENT, None, False),  # under way
        (SessionStatus.ALIVE, BEGAN, False),
    ],
)
def test_a_start_of_which_nobody_knows_says_what_to_look_for(status, condemned_at, uncertain):
    bound = End(state=Teardown.BOUNDED, how="its answer was lost; if it exists, its limit ends it", at=LIMIT)
    session = a_session(
        status=status, condemned_at=condemned_at, session_id=None, room_url=None, session_end=bound, room_end=EXPIRES
    )

    statement = teardown_statement([session])

    told = [(one["what"], one["run"], one["until"]) for one in statement["uncertain"]]
    assert told == ([("start", "b-001", LIMIT.isoformat())] if uncertain else [])
    if uncertain:
        assert (
            "support-bot may have begun a session at 2026-01-02T03:04:06+00:00" in statement["uncertain"][0]["reason"]
        )
        assert any("UNCERTAIN: run b-001: the answer to its start was lost" in one for one in teardown_lines(statement))


def test_a_submission_of_which_nobody_knows_is_said_for_each_of_its_runs():
    sessions = [replace(a_session(number), submission_id=f"sub-{min(number, 2)}") for number in (1, 2, 3)]
    values = {"batch_id": "b", "intended_at": BEGAN, "cekura_agent_id": 5, "scenario_ids": (101, 102)}
    accepted = Submission(submission_id="sub-1", status=SubmissionStatus.ACCEPTED, **values)
    lost = Submission(
        submission_id="sub-2", status=SubmissionStatus.UNKNOWN, sent_at=BEGAN, note="look for a result", **values
    )

    statement = teardown_statement(sessions, [accepted, lost])

    assert [(one["what"], one["run"], one["reason"]) for one in statement["uncertain"]] == [
        ("submission", "b-002", "look for a result"),
        ("submission", "b-003", "look for a result"),
    ]


def test_the_terminal_counts_what_is_confirmed_and_names_what_is_not():
    sessions = [a_session(number) for number in range(1, 9)]
    sessions.append(a_session(9, room_end=EXPIRES))

    lines = teardown_lines(teardown_statement(sessions))

    local = EXPIRY.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert lines == [
        "Teardown: 9 sessions and 9 rooms; 17 of 18 ends confirmed, 1 bounded, 0 left.",
        "  9 sessions, each: its record shows its end",
        "  8 rooms, each: deleted at Daily",
        f"  bounded: room https://acme.daily.co/r9 (run b-009): {EXPIRES.how}, by {local}",
        f"What is bounded above ends by itself by {local}; nothing else is left.",
    ]


def test_the_terminal_stays_short_however_much_is_not_confirmed():
    lines = teardown_lines(teardown_statement([a_session(number, room_end=EXPIRES) for number in range(1, 101)]))

    assert len(lines) < 60
    assert "  ... and 50 more: `batches show --json` names all" in lines


def test_when_everything_is_confirmed_gone_the_last_line_says_so():
    lines = teardown_lines(teardown_statement([a_session()]))

    assert lines[-1] == "Nothing is left: every session and room is confirmed gone."


def test_the_report_lists_every_end():
    statement = teardown_statement([a_session(1, session_end=TROUBLE), a_session(2)])
    batch = {"id": "b", "name": "n", "outcome": "passed", "status": "closed", "cancelled": False}
    document = {
        "batch": {**batch, "exit_code": 5, "exit_meaning": "something is left"},
        "totals": {"runs": 2, "passed": 2, "failed": 0, "inconclusive": 0},
        "runs": [],
        "phases": {},
        "teardown": statement,
    }

    text = report_markdown(document)

    assert (
        "| b-001 | 1 | session | s1 | 2026-01-02 03:04:06 | open | Pipecat Cloud's session limit; Pipecat Cloud"
        " stop_session (HTTP 500) | until 2026-01-02 05:04:05 |" in text
    )
    assert (
        "| b-002 | 1 | room | https://acme.daily.co/r2 | 2026-01-02 03:04:06 | confirmed | deleted at Daily |"
        " 2026-01-02 03:08:05 |" in text
    )
