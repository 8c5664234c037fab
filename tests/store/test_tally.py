"""One look over all rows counts what still matters, by the domain's own rules, and reads no history for it."""

from collections import Counter
from datetime import timedelta
from functools import partial
from itertools import product

from sqlalchemy import event

from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import End, SessionStatus, Teardown
from orchestrator.domain.tally import PoolTally, SessionTally
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches, sessions
from orchestrator.store.tables import sessions as table
from orchestrator.store.tally import take_tally
from tests.store.rows import NOW, a_batch, a_session


async def record(store, session, *, session_end=None, room_end=None, status=None):
    await store.write(partial(sessions.record_intent, session=session, most=999))
    if status is not None:
        await store.write(partial(sessions.record_status, nonce=session.nonce, status=status, note=""))
    if session_end or room_end:
        ends = {"session_end": session_end or End(), "room_end": room_end or End()}
        await store.write(partial(sessions.record_ends, nonce=session.nonce, again_at=NOW, **ends))


def expected(rows, now):
    found = {}
    for one in rows:
        known = found.setdefault((one.agent_kind, one.agent_address), Counter())
        to_come = one.ends_at > now
        bounded = one.torn_down and one.session_end.state is Teardown.BOUNDED and to_come and one.exists
        known["alive"] += one.holds_budget(now)
        known["unsettled"] += not one.torn_down
        known["bounded"] += bounded
        known["left"] += not one.torn_down and not to_come
    return {
        SessionTally(agent_kind=kind, agent_address=address, **known)
        for (kind, address), known in found.items()
        if any(known.values())
    }


async def test_every_session_counts_as_the_domain_says(store):
    kinds, states = list(AgentKind), list(Teardown)
    statuses = [None, SessionStatus.ALIVE, SessionStatus.LOST, SessionStatus.UNFOUND, SessionStatus.REFUSED]
    for number, (kind, status, ends, room) in enumerate(product(kinds, statuses, states, states)):
        row = a_session(f"n{number}", agent_kind=kind, ends_at=NOW + timedelta(hours=1 + number % 2))
        end, room_end = End(state=ends), End(state=room)
        await record(store, row, session_end=end, room_end=room_end, status=status)
    rows = await store.read(sessions.list_sessions)

    for hours in (0, 1.5, 3):
        now = NOW + timedelta(hours=hours)
        tally = await store.read(partial(take_tally, now=now))
        told = {one for one in tally.sessions if any((one.alive, one.unsettled, one.bounded, one.left))}
        assert told == expected(rows, now)
        assert tally.at == now


async def test_open_batches_wait_for_a_worker_or_have_one(store):
    await store.write(
        partial(batches.record_batch, batch=a_batch(batch_id="b2", owner="w1", created_at=NOW), planned=[])
    )
    older = NOW - timedelta(minutes=5)
    await store.write(partial(batches.record_batch, batch=a_batch(batch_id="b3", created_at=older), planned=[]))
    long_ago = a_batch(batch_id="b0", created_at=NOW - timedelta(days=9))
    await store.write(partial(batches.record_batch, batch=long_ago, planned=[]))
    await store.write(partial(batches.record_closed, batch_id="b0", at=NOW, outcome=Outcome.PASSED))

    tally = await store.read(partial(take_tally, now=NOW))

    assert (tally.waiting, tally.driven, tally.oldest_waiting) == (2, 1, older)


async def test_a_state_without_open_batches_has_none_waiting(store):
    await store.write(partial(batches.record_closed, batch_id="b1", at=NOW, outcome=Outcome.PASSED))

    tally = await store.read(partial(take_tally, now=NOW))

    assert (tally.waiting, tally.driven, tally.oldest_waiting, tally.sessions) == (0, 0, None, ())


async def test_a_pool_counts_what_waits_in_it(store):
    rows = [
        {"nonce": "n1", "pool": "warm", "run_id": None, "batch_id": None, "ready_at": NOW},
        {"nonce": "n2", "pool": "warm", "run_id": None, "batch_id": None, "ready_at": None},
        {"nonce": "n3", "pool": "warm", "run_id": "b1-1", "batch_id": "b1", "ready_at": NOW},
        {"nonce": "n4", "pool": "warm", "run_id": None, "batch_id": None, "ready_at": NOW, "condemned_at": NOW},
    ]
    for row in rows:
        await record(store, a_session(row["nonce"]))
        change = table.update().where(table.c.nonce == row["nonce"]).values(**row)
        await store.write(lambda connection, change=change: connection.execute(change))

    tally = await store.read(partial(take_tally, now=NOW))

    assert tally.pools == (PoolTally(pool="warm", ready=1, warm=2),)


async def test_it_reads_by_index_only(sqlite_store):
    """A plan that scans a table would grow with history, every ten seconds, in every worker."""
    plans = []

    def explained(connection):
        @event.listens_for(connection, "before_cursor_execute")
        def explain(_, cursor, statement, parameters, *__):
            steps = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(str(step[3]) for step in steps)

        return take_tally(connection, now=NOW)

    await sqlite_store.read(explained)

    looks = [step for step in plans if step.startswith(("SCAN", "SEARCH"))]
    for index in ("sessions_to_tear_down", "sessions_by_bound", "batches_by_status"):
        assert any(index in step for step in looks), index
    assert [step for step in looks if "INDEX" not in step and "SCAN matters" not in step] == []
