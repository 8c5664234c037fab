"""What a scope includes, and when a token opens something."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.access import AccessToken, Caller, Scope, Standing, actor_of, permits
from orchestrator.domain.errors import NotPermitted

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TOKEN = AccessToken(token_id="1a2b", name="ci", scopes=frozenset({Scope.RUN}), created_at=NOW)


@pytest.mark.parametrize(
    ("has", "may"),
    [
        (Scope.READ, {Scope.READ}),
        (Scope.RUN, {Scope.READ, Scope.RUN}),
        (Scope.ADMIN, {Scope.READ, Scope.RUN, Scope.ADMIN}),
    ],
)
def test_each_scope_includes_those_before_it(has, may):
    token = replace(TOKEN, scopes=frozenset({has}))

    assert {scope for scope in Scope if permits(token, scope, NOW)} == may


def test_of_several_scopes_the_widest_counts():
    assert replace(TOKEN, scopes=frozenset({Scope.ADMIN, Scope.READ})).scope is Scope.ADMIN


def test_a_token_is_good_until_its_end_and_not_at_it():
    token = replace(TOKEN, expires_at=NOW)

    assert permits(token, Scope.RUN, NOW - SECOND)
    assert token.standing(NOW) is Standing.EXPIRED
    assert not permits(token, Scope.READ, NOW)


def test_a_revoked_token_opens_nothing_and_stays_revoked_when_it_would_have_expired():
    token = replace(TOKEN, revoked_at=NOW, expires_at=NOW + SECOND)

    assert not permits(token, Scope.READ, NOW)
    assert token.standing(NOW + 2 * SECOND) is Standing.REVOKED


def test_a_caller_is_told_which_scope_is_missing_and_how_to_get_it():
    caller = Caller(actor=actor_of(TOKEN), scope=TOKEN.scope)

    caller.check(Scope.READ)
    with pytest.raises(NotPermitted, match="asks for scope admin; token:ci:1a2b has run") as refused:
        caller.check(Scope.ADMIN)
    assert "--scope admin" in refused.value.next_step
