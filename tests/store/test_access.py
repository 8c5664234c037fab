"""Tokens and the audit as rows: only a digest is kept, what is taken back stays so, and no line is ever changed."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from orchestrator.domain.access import AccessToken, Scope
from orchestrator.domain.errors import Conflict, NotFound, StateUnusable
from orchestrator.domain.secret import ApiKey
from orchestrator.store import access, audit
from tests.store.rows import NOW

SECOND = timedelta(seconds=1)


def a_token(token_id="t1", name="ci", **changes):
    values = {"scopes": frozenset({Scope.RUN}), "created_at": NOW}
    return AccessToken(token_id=token_id, name=name, **{**values, **changes})


def recorded(token, digest=None):
    return partial(access.record_token, token=token, digest=digest or token.token_id * 32, by="command:ann")


def revoked(name, at=NOW):
    return partial(access.record_revoked, name=name, at=at, by="command:bob")


async def test_a_token_is_found_by_the_digest_of_its_secret_and_by_nothing_else(store):
    token = a_token(expires_at=NOW + SECOND, scopes=frozenset({Scope.RUN, Scope.READ}))
    await store.write(recorded(token, "d" * 64))

    assert await store.read(partial(access.find_by_digest, digest="d" * 64)) == token
    for other in ("D" * 64, "d" * 63, "", "t1", "ci"):
        assert await store.read(partial(access.find_by_digest, digest=other)) is None


async def test_two_valid_tokens_never_have_one_name_but_a_revoked_one_gives_its_name_free(store):
    await store.write(recorded(a_token()))
    with pytest.raises(Conflict, match="a token named ci already") as refused:
        await store.write(recorded(a_token("t2")))
    await store.write(revoked("ci"))
    await store.write(recorded(a_token("t2", created_at=NOW + SECOND)))

    assert "tokens revoke ci" in refused.value.next_step
    assert [one.token_id for one in await store.read(access.list_tokens)] == ["t2", "t1"]


async def test_revoking_takes_the_valid_one_of_a_name_or_the_one_of_an_id_and_only_once(store):
    await store.write(recorded(a_token("t1")))
    first = await store.write(revoked("ci"))
    await store.write(recorded(a_token("t2")))
    with pytest.raises(Conflict, match="t1 was revoked already"):
        await store.write(revoked("t1", at=NOW + SECOND))
    second = await store.write(revoked("ci"))
    with pytest.raises(Conflict, match="ci was revoked already"):
        await store.write(revoked("ci", at=NOW + SECOND))
    with pytest.raises(NotFound, match="no token nobody"):
        await store.write(revoked("nobody"))

    assert (first.token_id, second.token_id) == ("t1", "t2")
    assert {one.revoked_at for one in await store.read(access.list_tokens)} == {NOW}


async def test_the_last_use_is_written_once_a_minute(store):
    await store.write(recorded(a_token()))
    seconds = (0, 1, 59, 60, 61, 120)
    noted = [await store.write(partial(access.record_used, token_id="t1", at=NOW + one * SECOND)) for one in seconds]

    assert noted == [True, False, False, True, False, True]
    (token,) = await store.read(access.list_tokens)
    assert token.last_used_at == NOW + 120 * SECOND
    assert [access.use_is_due(token, NOW + one * SECOND) for one in (121, 179, 180)] == [False, False, True]


async def test_making_and_revoking_a_token_are_in_the_audit_in_the_same_unit(store):
    await store.write(recorded(a_token(expires_at=NOW)))
    with pytest.raises(Conflict):
        await store.write(recorded(a_token("t2")))
    await store.write(revoked("ci"))

    lines = await store.read(partial(audit.page_entries, limit=9))
    assert [(one.actor, one.action, one.target) for one in lines] == [
        ("command:bob", "token.revoke", "ci"),
        ("command:ann", "token.create", "ci"),
    ]
    assert lines[1].detail == {"token_id": "t1", "scope": "run", "expires_at": NOW.isoformat()}


async def test_a_unit_that_is_run_again_after_its_commit_finds_what_it_did(store):
    """Where the answer to a commit was lost, the writer runs the unit once more; SQLite loses none."""
    if not store.shared:
        pytest.skip("one process, one writer: its commits are answered")
    token = a_token()
    await store.write(recorded(token))
    await store.write(recorded(token))
    first = await store.write(revoked("t1"))
    again = await store.write(revoked("t1"))

    assert (first.revoked_at, again.revoked_at) == (NOW, NOW)
    lines = await store.read(partial(audit.page_entries, limit=9))
    assert [one.action for one in lines] == ["token.revoke", "token.create"]


def line(number, **changes):
    values = {"at": NOW + number * SECOND, "actor": "token:ci:t1", "action": "batch.cancel", "target": f"b{number % 2}"}
    return partial(audit.append, **{**values, "detail": {"reason": f"n{number}"}, **changes})


async def test_the_audit_is_read_newest_first_page_by_page_and_by_target_or_actor(store):
    for number in range(5):
        await store.write(line(number, actor="schedule:nightly" if number == 3 else "token:ci:t1"))

    async def read(**asked):
        found = await store.read(partial(audit.page_entries, **asked))
        return [one.detail["reason"] for one in found], found[-1].entry_id if found else None

    first, last = await read(limit=2)
    second, last = await read(limit=2, after=last)
    third, last = await read(limit=2, after=last)
    assert [first, second, third] == [["n4", "n3"], ["n2", "n1"], ["n0"]]
    assert (await read(limit=9, target="b1"))[0] == ["n3", "n1"]
    assert (await read(limit=9, actor="schedule:nightly"))[0] == ["n3"]
    assert (await read(limit=9, target="b0", actor="schedule:nightly"))[0] == []


REPLACING = "INSERT INTO audit VALUES ({kept}, '2026-01-01', 'nobody', '', '', '{{}}')"
CHANGES = (
    "UPDATE audit SET actor = 'nobody'",
    "UPDATE audit SET entry_id = 7 WHERE entry_id = {kept}",
    "DELETE FROM audit",
    "DELETE FROM audit WHERE entry_id = {kept}",
    f"{REPLACING} ON CONFLICT (entry_id) DO UPDATE SET actor = 'nobody'",
)
OWN_CHANGES = {
    "sqlite": (REPLACING.replace("INSERT", "INSERT OR REPLACE"),),
    "postgresql": ("TRUNCATE audit",),
}


async def test_no_line_of_the_audit_can_be_changed_or_removed(store):
    await store.write(line(1))
    before = await store.read(partial(audit.page_entries, limit=9))
    engine = create_engine(store._writing.url)  # the store's own may be in use

    for statement in CHANGES + OWN_CHANGES[engine.dialect.name]:
        with pytest.raises(DBAPIError, match="the audit is append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement.format(kept=before[0].entry_id))
    engine.dispose()

    assert await store.read(partial(audit.page_entries, limit=9)) == before


async def test_the_audit_takes_no_secret_and_the_units_beside_it_go_on(store):
    with pytest.raises(TypeError, match="plain values; key is a ApiKey") as refused:
        await store.write(line(1, detail={"key": ApiKey("orc_tell-nobody")}))
    await store.write(line(2))

    assert "tell-nobody" not in str(refused.value)
    assert len(await store.read(partial(audit.page_entries, limit=9))) == 1


async def test_a_line_that_is_too_wide_is_cut_rather_than_lost(store):
    await store.write(line(1, actor="a" * 500, target="t" * 500))

    (kept,) = await store.read(partial(audit.page_entries, limit=9))
    assert (kept.actor, kept.target) == ("a" * 128, "t" * 128)


async def test_reading_cannot_write_a_line(store):
    with pytest.raises(StateUnusable):
        await store.read(line(1))
