"""What a row holds, and which room was made for a session: the rules that keep a clean-up off what is not ours."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.app.surroundings import Held, made_for
from orchestrator.domain.observation import Room
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import End, Session, SessionStatus, Teardown

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONFIRMED, BOUNDED, OPEN = End(state=Teardown.CONFIRMED), End(state=Teardown.BOUNDED), End()
SESSION = Session(
    nonce="mark",
    batch_id="b",
    run_id="b-001",
    attempt=1,
    agent_kind=AgentKind.PIPECAT_CLOUD,
    agent_address="support-bot",
    status=SessionStatus.ALIVE,
    intended_at=NOW,
    ends_by="its limit",
    ends_at=NOW,
    room_expires_at=NOW,
    session_id="s1",
    room_url="https://acme.daily.co/r1",
)
ROOM = Room(
    room_id="1",
    name="r1",
    url="https://acme.daily.co/r1",
    privacy="public",
    expires_at=NOW + timedelta(hours=1),
    eject_at_expiry=True,
    created_at=NOW,
)


@pytest.mark.parametrize(
    ("session_end", "room_end", "mark", "session"),
    [
        (OPEN, OPEN, "held", "held"),  # still torn down
        (CONFIRMED, OPEN, "held", "held"),
        (CONFIRMED, CONFIRMED, "held", "held"),  # gone, whatever an old presence shows
        (BOUNDED, CONFIRMED, "held", "doubtful"),
        (CONFIRMED, BOUNDED, "stray", "held"),
        (BOUNDED, BOUNDED, "stray", "doubtful"),  # nobody will look again
    ],
)
def test_a_row_holds_what_it_tears_down_and_what_it_saw_end(session_end, room_end, mark, session):
    held = Held.by([replace(SESSION, session_end=session_end, room_end=room_end)])

    assert held.marks == (frozenset({"mark"}) if mark == "held" else frozenset())
    assert (held.session_ids, held.doubtful_ids) == (
        (frozenset({"s1"}), frozenset()) if session == "held" else (frozenset(), frozenset({"s1"}))
    )
    assert held.room_names == {"r1"}


def test_a_bot_of_a_start_that_was_said_to_be_refused_is_a_stray():
    refused = replace(SESSION, status=SessionStatus.REFUSED, session_id=None, room_url=None)

    assert Held.by([refused]) == Held()


@pytest.mark.parametrize(
    ("room", "after", "ours"),
    [
        (ROOM, timedelta(seconds=30), True),
        (ROOM, timedelta(minutes=14), True),
        (ROOM, timedelta(minutes=16), False),  # it was there long before: DAILY_ROOM_URL
        (ROOM, timedelta(seconds=-2), True),  # two clocks
        (ROOM, timedelta(minutes=-1), False),
        (ROOM, None, False),
        (replace(ROOM, expires_at=None), timedelta(seconds=30), False),
        (replace(ROOM, eject_at_expiry=False), timedelta(seconds=30), False),
        (replace(ROOM, created_at=None), timedelta(seconds=30), False),
    ],
)
def test_a_room_is_ours_to_delete_only_if_a_start_of_ours_made_it(room, after, ours):
    assert made_for(room, joined_at=None if after is None else NOW + after) is ours
