"""Tokens and the audit by command: the secret is shown once, and all of it works beside a worker."""

import asyncio
import re
from datetime import datetime, timedelta

import pytest

from orchestrator.app.access import Gatekeeper
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import NotAuthenticated
from orchestrator.domain.secret import ApiKey
from orchestrator.store.database import open_store

SECRET = re.compile(r"orc_[A-Za-z0-9_-]{43}")


def who_presents(shell, secret):
    """What a worker on this state makes of a secret."""

    async def ask():
        store = open_store(f"sqlite:///{shell.folder}/.orchestrator/state.db", driving=None)
        try:
            return await Gatekeeper(store=store, clock=SystemClock()).authenticate(ApiKey(secret))
        finally:
            store.close()

    return asyncio.run(ask())


def test_a_token_is_made_where_no_state_is_yet_shown_once_and_opens_until_it_is_revoked(shell):
    made = shell("tokens", "create", "ci", "--scope", "run")
    secret = made.out.removesuffix("\n")
    caller = who_presents(shell, secret)
    listed = shell.look("tokens", "list")
    revoked = shell.look("tokens", "revoke", "ci")
    with pytest.raises(NotAuthenticated):
        who_presents(shell, secret)
    again = shell.look("tokens", "revoke", "ci")

    assert (made.code, revoked.code, again.code) == (0, 0, 2)
    assert SECRET.fullmatch(secret)
    assert (caller.actor.split(":")[:2], str(caller.scope)) == (["token", "ci"], "run")
    assert "may run, until it is revoked" in made.err
    assert "revoked already" in again.err
    for one in (made.err, listed.out, listed.err, revoked.out, again.err):
        assert secret[8:20] not in one


def test_as_json_each_is_one_document(shell):
    made = shell.look("tokens", "create", "ci", "--scope", "admin", "--expires", "90d", "--json").document
    shell.look("tokens", "create", "eyes", "--scope", "read")
    revoked = shell.look("tokens", "revoke", made["token"]["id"], "--json").document
    listed = shell.look("tokens", "list", "--json").document
    lines = shell.look("audit", "list", "--json").document["entries"]
    of_ci = shell.look("audit", "list", "--target", "ci", "--limit", "1", "--json").document["entries"]
    by_nobody = shell.look("audit", "list", "--actor", "nobody", "--json").document["entries"]

    created, expires = (datetime.fromisoformat(made["token"][name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(days=90)
    assert SECRET.fullmatch(made["secret"])
    assert [(one["name"], one["scope"], one["standing"]) for one in listed["tokens"]] == [
        ("eyes", "read", "valid"),
        ("ci", "admin", "revoked"),
    ]
    assert revoked["token"]["standing"] == "revoked"
    assert [(one["action"], one["target"]) for one in lines] == [
        ("token.revoke", "ci"),
        ("token.create", "eyes"),
        ("token.create", "ci"),
    ]
    assert {one["actor"].partition(":")[0] for one in lines} == {"command"}
    assert [one["action"] for one in of_ci] == ["token.revoke"]
    assert by_nobody == []
    assert "orc_" not in str((listed, lines))


def test_the_audit_is_a_table_for_a_person(shell):
    shell.look("tokens", "create", "ci", "--scope", "read")
    listed = shell.look("audit", "list")

    assert listed.code == 0
    assert "token.create" in listed.out
    assert "scope=read" in listed.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "ci"), "--scope"),
        (("create", "ci", "--scope", "root"), "read"),
        (("create", "ci", "--scope", "run", "--expires", "0d"), "such as 90d"),
        (("create", "ci", "--scope", "run", "--expires", "-1d"), "such as 90d"),
        (("create", "ci", "--scope", "run", "--expires", "9999999d"), "such as 90d"),
        (("create", "ci", "--scope", "run", "--expires", "soon"), "such as 90d"),
        (("create", "c i", "--scope", "run"), "a token's name"),
        (("revoke", "nobody"), "there is no state"),
    ],
)
def test_what_cannot_be_is_refused_and_makes_nothing(shell, words, said):
    ended = shell.look("tokens", *words)
    listed = shell.look("tokens", "list", "--json")

    assert (ended.code, ended.out) == (2, "")
    assert said in " ".join(ended.err.split())
    assert listed.document == {"tokens": []}


def test_looking_makes_no_state(shell):
    listed = shell.look("tokens", "list", "--json")
    lines = shell.look("audit", "list", "--json")

    assert (listed.document, lines.document) == ({"tokens": []}, {"entries": []})
    assert not (shell.folder / ".orchestrator").exists()


def test_a_second_token_of_one_name_is_refused_with_what_to_do(shell):
    first = shell.look("tokens", "create", "ci", "--scope", "run")
    second = shell.look("tokens", "create", "ci", "--scope", "run", "--json")

    assert (first.code, second.code) == (0, 2)
    assert second.document["error"]["kind"] == "Conflict"
    assert "tokens revoke ci" in second.document["error"]["next_step"]
    assert "secret" not in second.document


def test_tokens_are_made_and_revoked_beside_a_driver(shell, play, steps):
    play(call_seconds=(2900.0, 2900.0))
    driver = shell.start_run()
    steps.read_until(driver, "-> in_call")

    made = shell.look("tokens", "create", "ci", "--scope", "run")
    revoked = shell.look("tokens", "revoke", "ci")
    listed = shell.look("sessions", "list", "--limit", "1", "--json")
    steps.interrupt(driver)
    ended = steps.finish(driver)

    assert (made.code, revoked.code, ended.code) == (0, 0, 130)
    assert len(listed.document["sessions"]) == 1
