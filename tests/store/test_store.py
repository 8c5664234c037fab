"""The promises the store keeps: committed means on disk, one writer, one driver, nothing overwritten."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.domain.errors import Conflict, InvalidSettings, NotFound, StateUnusable
from orchestrator.domain.plan import AgentKind, Evidence
from orchestrator.domain.run import RunStatus
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import End, Teardown
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.store import batches, budget, claims, runs, sessions, submissions
from orchestrator.store.database import open_store
from orchestrator.store.migration import known_revisions
from tests.store.rows import NOW, a_batch, a_run, a_session, a_submission


async def test_what_was_written_is_read_back_the_same(store):
    assert await store.read(partial(batches.get_batch, batch_id="b1")) == a_batch()
    assert await store.read(partial(runs.list_runs, batch_id="b1")) == [a_run(1), a_run(2)]


async def test_a_session_intent_and_its_budget_are_one_unit(store):
    taken = await asyncio.gather(
        *(store.write(partial(sessions.record_intent, session=a_session(f"n{i}"), most=3)) for i in range(8))
    )
    assert sum(taken) == 3
    assert len(await store.read(sessions.list_sessions)) == 3


async def test_a_session_holds_its_budget_until_confirmed_or_past_its_bound(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    held = partial(budget.count_held, batch_id="b1")
    assert await store.read(partial(held, now=NOW)) == 1
    assert await store.read(partial(held, now=NOW + timedelta(hours=3))) == 0
    gone = End(state=Teardown.CONFIRMED, how="record", at=NOW)
    await store.write(partial(sessions.record_ends, nonce="n1", session_end=gone, room_end=End(), again_at=NOW))
    assert await store.read(partial(held, now=NOW)) == 0


async def test_the_budget_rule_in_sql_is_the_domain_rule(store):
    kinds, states = list(AgentKind), list(Teardown)
    for number, (kind, state) in enumerate((kind, state) for kind in kinds for state in states):
        row = a_session(f"n{number}", agent_kind=kind)
        await store.write(partial(sessions.record_intent, session=row, most=99))
        end = End(state=state, how="", at=None)
        await store.write(partial(sessions.record_ends, nonce=row.nonce, session_end=end, room_end=End(), again_at=NOW))
    rows = await store.read(sessions.list_sessions)
    for now in (NOW, NOW + timedelta(hours=3)):
        counted = await store.read(partial(budget.count_held, batch_id="b1", now=now))
        assert counted == sum(row.holds_budget(now) for row in rows)


async def test_a_run_changed_by_somebody_else_is_not_overwritten(store):
    started = replace(a_run(1), status=RunStatus.STARTING, attempt=1)
    assert await store.write(partial(runs.record_run, run=started, believed=a_run(1)))
    other = replace(started, timeline={"starting": NOW})
    assert not await store.write(partial(runs.record_run, run=other, believed=a_run(1)))
    assert (await store.read(partial(runs.get_run, run_id="b1-1"))).timeline == {}


async def test_a_room_is_given_to_one_submission_only(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    token = MeetingToken("secret")
    await store.write(
        partial(sessions.record_answer, nonce="n1", at=NOW, session_id="s", room_url="u", meeting_token=token)
    )
    taken = [
        await store.write(partial(submissions.record_intent, submission=a_submission(i), nonces=["n1"])) for i in "ab"
    ]
    assert taken == [True, False]


async def test_a_refused_submission_gives_its_rooms_back_and_a_rejected_one_does_not(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    await store.write(
        partial(sessions.record_answer, nonce="n1", at=NOW, session_id="s", room_url="u", meeting_token=None)
    )
    for name, status in (("a", SubmissionStatus.REFUSED), ("b", SubmissionStatus.REJECTED)):
        assert await store.write(partial(submissions.record_intent, submission=a_submission(name), nonces=["n1"]))
        await store.write(partial(submissions.record_settled, submission_id=name, status=status))
    assert not await store.write(partial(submissions.record_intent, submission=a_submission("c"), nonces=["n1"]))


async def test_permission_to_post_is_given_once(store):
    await store.write(partial(submissions.record_intent, submission=a_submission("a"), nonces=[]))
    moments = [NOW, NOW + timedelta(seconds=1)]
    sent = [await store.write(partial(submissions.record_sent, submission_id="a", at=at)) for at in moments]
    assert sent == [True, False]


async def test_a_condemned_intent_can_never_be_sent(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    await store.write(partial(sessions.record_condemned, nonce="n1", at=NOW, reason="cancelled", teardown_from=NOW))
    assert not await store.write(partial(sessions.record_sent, nonce="n1", at=NOW))


async def test_a_late_answer_finds_its_row_condemned_and_leaves_its_id_but_no_token(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    await store.write(partial(sessions.record_condemned, nonce="n1", at=NOW, reason="cancelled", teardown_from=NOW))
    late = await store.write(
        partial(
            sessions.record_answer,
            nonce="n1",
            at=NOW,
            session_id="s",
            room_url="u",
            meeting_token=MeetingToken("secret"),
        )
    )
    assert (late.session_id, late.condemned_for, late.meeting_token) == ("s", "cancelled", None)


async def test_the_token_leaves_the_row_once_submitted(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    token = MeetingToken("tell-nobody")
    row = await store.write(
        partial(sessions.record_answer, nonce="n1", at=NOW, session_id="s", room_url="u", meeting_token=token)
    )
    assert (row.meeting_token, row.answered_at) == (token, NOW)
    row = await store.write(partial(sessions.record_called, nonce="n1", cekura_run_id=7))
    assert row.meeting_token is None


async def test_the_reaper_claims_each_due_session_once_until_its_claim_ends(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    await store.write(partial(sessions.record_condemned, nonce="n1", at=NOW, reason="done", teardown_from=NOW))
    lease = NOW + timedelta(seconds=30)

    async def claim(now):
        return len(await store.write(partial(claims.claim_due, now=now, until=lease, most=10)))

    assert [await claim(NOW - timedelta(seconds=1)), await claim(NOW), await claim(NOW), await claim(lease)] == [
        0,
        1,
        0,
        1,
    ]


async def test_a_confirmed_end_is_never_taken_back(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    gone = End(state=Teardown.CONFIRMED, how="record", at=NOW)
    doubt = End(state=Teardown.BOUNDED, how="expiry", at=NOW)
    await store.write(partial(sessions.record_ends, nonce="n1", session_end=gone, room_end=doubt, again_at=NOW))
    row = await store.write(partial(sessions.record_ends, nonce="n1", session_end=doubt, room_end=gone, again_at=NOW))
    assert (row.session_end, row.room_end, row.torn_down) == (gone, gone, True)


async def test_a_failing_unit_leaves_nothing_and_the_others_of_its_commit_stand(store):
    def fails(connection):
        runs.record_run(connection, replace(a_run(1), status=RunStatus.STARTING), believed=a_run(1))
        raise KeyError("mine")

    moved = replace(a_run(2), status=RunStatus.STARTING, attempt=1)
    answers = await asyncio.gather(
        store.write(fails), store.write(partial(runs.record_run, run=moved, believed=a_run(2))), return_exceptions=True
    )
    assert isinstance(answers[0], KeyError)
    assert answers[1] is True
    assert [run.status for run in await store.read(partial(runs.list_runs, batch_id="b1"))] == ["planned", "starting"]


async def test_the_first_wish_to_cancel_stays(store):
    asked = partial(batches.record_cancel, batch_id="b1")
    assert await store.write(partial(asked, at=NOW, reason="first"))
    assert await store.write(partial(asked, at=NOW + timedelta(hours=1), reason="second"))
    batch = await store.read(partial(batches.get_batch, batch_id="b1"))
    assert (batch.cancel_asked_at, batch.cancel_reason) == (NOW, "first")


async def test_a_second_driver_is_refused_with_who_holds_it_while_reading_goes_on(sqlite_store, sqlite_url):
    with pytest.raises(Conflict, match=r"driven by process \d+ .*`test`"):
        open_store(sqlite_url, driving="run")
    beside = open_store(sqlite_url, driving=None)
    assert await beside.read(partial(batches.get_batch, batch_id="b1"))
    assert await beside.write(partial(batches.record_cancel, batch_id="b1", at=NOW, reason="asked"))
    beside.close()


async def test_readers_cannot_write(store):
    with pytest.raises(StateUnusable, match=r"read-?only"):
        await store.read(partial(batches.record_cancel, batch_id="b1", at=NOW, reason="asked"))


async def test_a_state_that_cannot_be_read_says_so_in_our_words(sqlite_store, tmp_path):
    with sqlite3.connect(tmp_path / "state" / "state.db") as connection:
        connection.execute("DROP TABLE sessions")
    connection.close()
    with pytest.raises(StateUnusable, match="could not be read: no such table: sessions") as unusable:
        await sqlite_store.read(partial(sessions.find_session, name="secret-name"))
    assert unusable.value.next_step
    cause = str(unusable.value.__cause__)
    assert "SELECT" in cause
    assert "secret-name" not in cause


async def test_a_closed_store_says_that_it_is_closed(url):
    store = open_store(url, driving="test")
    store.close()
    for ask in (store.read, store.write):
        with pytest.raises(StateUnusable, match="the store is closed"):
            await ask(batches.newest_batch_id)


async def test_the_lock_is_free_again_after_closing(sqlite_url):
    open_store(sqlite_url, driving="one").close()
    open_store(sqlite_url, driving="two").close()


async def test_the_lock_is_given_back_even_where_closing_fails(sqlite_url, monkeypatch):
    store = open_store(sqlite_url, driving="one")
    with monkeypatch.context() as patched:
        patched.setattr("sqlalchemy.Engine.dispose", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.close()
    open_store(sqlite_url, driving="two").close()


def test_a_damaged_state_is_refused_and_left_as_it_was(sqlite_url, tmp_path):
    path = tmp_path / "state" / "state.db"
    path.parent.mkdir()
    path.write_bytes(b"this was a database once " * 200)
    before = path.read_bytes()
    with pytest.raises(StateUnusable) as refused:
        open_store(sqlite_url, driving="run")
    assert "restore a backup" in refused.value.next_step
    assert path.read_bytes() == before


async def test_a_state_from_a_newer_version_is_refused(url_to_spoil):
    store = open_store(url_to_spoil, driving="run")
    later = "UPDATE orchestrator_version SET version_num = '9999_later'"
    await store.write(lambda connection: connection.exec_driver_sql(later).rowcount)
    store.close()
    with pytest.raises(StateUnusable, match="newer version") as refused:
        open_store(url_to_spoil, driving="run")
    assert "Install that version" in refused.value.next_step


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "no url"])
def test_another_database_kind_is_refused_by_name(url):
    with pytest.raises(InvalidSettings, match="ORCHESTRATOR_DATABASE_URL"):
        open_store(url, driving="run")


def test_a_server_that_is_not_there_is_named_without_its_password():
    with pytest.raises(StateUnusable, match=r"postgresql://127.0.0.1:1/x") as refused:
        open_store("postgresql://me:hush@127.0.0.1:1/x", driving="run")
    assert "hush" not in str(refused.value) + refused.value.next_step
    assert "PostgreSQL runs" in refused.value.next_step


async def test_what_is_unknown_is_named(store):
    with pytest.raises(NotFound, match="no batch b2"):
        await store.read(partial(batches.get_batch, batch_id="b2"))


def test_a_migrated_schema_equals_the_tables(url_to_spoil):
    url = url_to_spoil
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    from orchestrator.store.tables import metadata

    open_store(url, driving="run").close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": "orchestrator_version", "compare_type": False},
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    assert known_revisions()[0] == "0001_first_tables"


async def test_readiness_is_recorded_with_its_evidence(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    row = await store.write(partial(sessions.record_ready, nonce="n1", at=NOW, evidence=Evidence.PRESENCE))
    assert (row.ready_at, row.evidence, row.seen_in_room_at) == (NOW, Evidence.PRESENCE, NOW)


async def test_whoever_drives_takes_over_the_claims_of_a_dead_reaper(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    await store.write(partial(sessions.record_condemned, nonce="n1", at=NOW, reason="done", teardown_from=NOW))
    claim = partial(claims.claim_due, now=NOW, until=NOW + timedelta(hours=1), most=10)
    assert len(await store.write(claim)) == 1
    assert len(await store.write(claim)) == 0
    await store.write(claims.release_claims)
    assert len(await store.write(claim)) == 1
