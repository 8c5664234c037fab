"""What only one row may hold: the store refuses it to another, whoever asks."""

import sqlite3
from dataclasses import replace
from functools import partial

import pytest

from orchestrator.domain.errors import Conflict
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import SessionStatus
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.store import runs, sessions, submissions
from tests.store.rows import NOW, a_run, a_session, a_submission


def intend(session):
    return partial(sessions.record_intent, session=session, most=9)


def answer(nonce, session_id, room_url="https://cloud.daily.co/a"):
    return partial(
        sessions.record_answer, nonce=nonce, at=NOW, session_id=session_id, room_url=room_url, meeting_token=None
    )


def accept(submission_id, result):
    return partial(
        submissions.record_settled,
        submission_id=submission_id,
        status=SubmissionStatus.ACCEPTED,
        cekura_result_id=result,
    )


async def test_a_remote_session_is_held_by_one_row(store):
    for nonce in ("n1", "n2"):
        await store.write(intend(a_session(nonce)))
    await store.write(answer("n1", "s-1"))
    with pytest.raises(Conflict, match=r"session s-1 .* another row"):
        await store.write(answer("n2", "s-1"))
    refused = await store.read(partial(sessions.get_session, nonce="n2"))
    assert (refused.status, refused.session_id, refused.room_url) == (SessionStatus.INTENT, None, None)


async def test_a_row_may_be_told_of_its_session_again(store):
    await store.write(intend(a_session("n1")))
    await store.write(answer("n1", "s-1", room_url=None))
    assert (await store.write(answer("n1", "s-1"))).room_url == "https://cloud.daily.co/a"


async def test_an_answer_that_knows_less_takes_nothing_away(store):
    await store.write(intend(a_session("n1")))
    await store.write(answer("n1", "s-1"))
    kept = await store.write(answer("n1", None, room_url=None))
    assert (kept.session_id, kept.room_url) == ("s-1", "https://cloud.daily.co/a")


async def test_two_agents_may_give_the_same_name_to_their_sessions_and_two_rows_may_know_none(store):
    for nonce, address in (("n1", "one"), ("n2", "two"), ("n3", "one"), ("n4", "one")):
        await store.write(intend(a_session(nonce, agent_address=address)))
    assert (await store.write(answer("n1", "s-1"))).session_id == "s-1"
    assert (await store.write(answer("n2", "s-1"))).session_id == "s-1"
    assert (await store.write(answer("n3", None))).session_id is None
    assert (await store.write(answer("n4", None))).session_id is None


async def test_a_cekura_result_is_held_by_one_row(store):
    for name in ("a", "b"):
        await store.write(partial(submissions.record_intent, submission=a_submission(name), nonces=[]))
    await store.write(accept("a", 7))
    await store.write(accept("a", 7))
    with pytest.raises(Conflict, match=r"result 7 .* another row"):
        await store.write(accept("b", 7))
    rows = await store.read(partial(submissions.list_submissions, batch_id="b1"))
    assert [(row.status, row.cekura_result_id) for row in rows] == [
        (SubmissionStatus.ACCEPTED, 7),
        (SubmissionStatus.INTENT, None),
    ]


async def test_nothing_of_the_unit_stays_that_met_a_conflict(store):
    for nonce in ("n1", "n2"):
        await store.write(intend(a_session(nonce)))
    await store.write(answer("n1", "s-1"))

    def unit(connection):
        runs.record_run(connection, replace(a_run(2), status=RunStatus.STARTING), believed=a_run(2))
        return answer("n2", "s-1")(connection)

    with pytest.raises(Conflict):
        await store.write(unit)
    assert (await store.read(partial(runs.get_run, run_id="b1-2"))).status is RunStatus.PLANNED


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sessions SET session_id = 's-1'",
        "UPDATE submissions SET cekura_result_id = 7",
    ],
)
async def test_the_file_itself_refuses_a_second_holder(sqlite_store, tmp_path, statement):
    for nonce in ("n1", "n2"):
        await sqlite_store.write(intend(a_session(nonce)))
        await sqlite_store.write(partial(submissions.record_intent, submission=a_submission(nonce), nonces=[]))
    with sqlite3.connect(tmp_path / "state" / "state.db") as beside, pytest.raises(sqlite3.IntegrityError):
        beside.execute(statement)
    beside.close()
