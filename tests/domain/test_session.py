"""What a session holds and when it is over: the rule that the session budget and every promise of teardown rest on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import End, Session, SessionStatus, Teardown

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOUND = NOW + timedelta(hours=2)
STATES = list(Teardown)


def a_session(**changes):
    values = {
        "nonce": "n1",
        "batch_id": "b1",
        "run_id": "b1-001",
        "attempt": 1,
        "agent_kind": AgentKind.PIPECAT_CLOUD,
        "agent_address": "support-bot",
        "status": SessionStatus.ALIVE,
        "intended_at": NOW,
        "ends_by": "Pipecat Cloud's session limit",
        "ends_at": BOUND,
        "room_expires_at": NOW + timedelta(hours=1),
    }
    return Session(**{**values, **changes})


def ended(state):
    return End(state=state, how="in words", at=NOW)


@pytest.mark.parametrize("status", SessionStatus)
def test_a_session_counts_from_its_intent_unless_its_start_was_refused(status):
    session = a_session(status=status)
    assert session.exists == (status is not SessionStatus.REFUSED)
    assert session.holds_budget(NOW) == (status not in {SessionStatus.REFUSED, SessionStatus.UNFOUND})


@pytest.mark.parametrize(
    ("kind", "letting_go"),
    [
        (AgentKind.PIPECAT_CLOUD, {Teardown.CONFIRMED}),
        # A runner can be neither asked nor told to stop: there the bound is all that can be had.
        (AgentKind.PIPECAT_RUNNER, {Teardown.CONFIRMED, Teardown.BOUNDED}),
    ],
)
@pytest.mark.parametrize("state", STATES)
def test_a_session_counts_until_its_end_is_confirmed(kind, letting_go, state):
    session = a_session(agent_kind=kind, session_end=ended(state))
    assert session.holds_budget(NOW) == (state not in letting_go)


@pytest.mark.parametrize("state", STATES)
def test_a_session_past_its_bound_counts_no_more(state):
    session = a_session(session_end=ended(state))
    assert session.holds_budget(BOUND - timedelta(seconds=1)) == (state is not Teardown.CONFIRMED)
    assert not session.holds_budget(BOUND)


@pytest.mark.parametrize("state", STATES)
def test_the_deletion_of_its_room_does_not_free_a_sessions_place(state):
    assert a_session(room_end=ended(state)).holds_budget(NOW)


@pytest.mark.parametrize("session_end", STATES)
@pytest.mark.parametrize("room_end", STATES)
def test_torn_down_means_session_and_room_are_each_confirmed_or_bounded(session_end, room_end):
    settled = {Teardown.CONFIRMED, Teardown.BOUNDED}
    session = a_session(session_end=ended(session_end), room_end=ended(room_end))
    assert session.torn_down == ({session_end, room_end} <= settled)


def test_a_start_that_was_refused_left_nothing_to_tear_down():
    refused = a_session(status=SessionStatus.REFUSED)
    assert refused.torn_down
    assert not replace(refused, status=SessionStatus.LOST).torn_down
