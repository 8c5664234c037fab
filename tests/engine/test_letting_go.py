"""A worker that must let go of a batch leaves word of what it was answered: the next one need not look for it."""

from functools import partial

from orchestrator.domain.errors import StateUnusable
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store import sessions as session_rows
from tests.support.bench import SPEED, until


async def test_an_answer_that_waits_for_the_state_is_left_with_it_when_the_batch_is_another_workers(
    bench, postgres_url, monkeypatch
):
    unusable, record = [True], session_rows.record_answer

    def record_answer(connection, nonce, **said):
        if unusable:
            raise StateUnusable("the database is away")
        return record(connection, nonce, **said)

    monkeypatch.setattr(session_rows, "record_answer", record_answer)
    async with (
        Sandbox(SandboxSettings(speed=SPEED)) as box,
        bench.worker(box, ORCHESTRATOR_DATABASE_URL=postgres_url) as worker,
    ):
        batch_id = await bench.start(worker, bench.plan(scenarios="[{scenario: 101}]"))
        worker.dispatcher.begin(batch_id)
        await until(lambda: worker.driver._ledger.unwritable)
        unusable.clear()
        await worker.dispatcher.let_go()
        [session] = await worker.store.read(partial(session_rows.list_sessions, batch_id=batch_id))
        if session.session_id is None:
            await worker.store.write(lambda connection: None)  # behind whatever was handed in
            [session] = await worker.store.read(partial(session_rows.list_sessions, batch_id=batch_id))
        assert session.session_id is not None
