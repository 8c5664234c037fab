"""What the engine promises of itself, whatever its library does."""

import asyncio

from dbos import DBOS

from orchestrator.engine.durable import Durable


async def test_a_handle_that_cannot_be_read_does_not_drive_a_batch_twice_at_once(tmp_path, monkeypatch):
    """The workflow still drives it: a second driver beside it would start and submit what the first one does."""
    driving, most, begun, go_on = 0, 0, asyncio.Event(), asyncio.Event()

    async def drive(_batch_id):
        nonlocal driving, most
        driving += 1
        most = max(most, driving)
        begun.set()
        await go_on.wait()
        driving -= 1

    async def unreadable(*_):
        raise RuntimeError("the state could not be read")

    durable = Durable(state=tmp_path / "state.db", drive=drive)
    await durable.launch()
    try:
        first = asyncio.create_task(durable.run("one"))
        async with asyncio.timeout(10):
            await begun.wait()
        monkeypatch.setattr(DBOS, "start_workflow_async", unreadable)
        second = asyncio.create_task(durable.run("one"))
        done, _ = await asyncio.wait({second}, timeout=0.3)
        assert not done
        go_on.set()
        await asyncio.gather(first, second)
    finally:
        await durable.close()
    assert most == 1


async def test_a_workflow_that_ended_in_an_error_is_driven_on(tmp_path):
    calls = []

    async def drive(batch_id):
        calls.append(batch_id)
        if len(calls) == 1:
            raise ExceptionGroup("", [RuntimeError("once")])

    durable = Durable(state=tmp_path / "state.db", drive=drive)
    await durable.launch()
    try:
        await durable.run("one")
    finally:
        await durable.close()
    assert calls == ["one", "one"]
