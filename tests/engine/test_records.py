"""Records of stopped sessions: whoever asks is answered, however many ask for the same one."""

import asyncio
from datetime import UTC, datetime

import pytest

from orchestrator.app.graph import open_remotes
from orchestrator.clock import SystemClock
from orchestrator.domain.observation import StartRequest
from orchestrator.domain.plan import AgentKind
from orchestrator.engine.records import FEW, Records
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings

SPEED = 50.0


@pytest.fixture
async def agent():
    async with Sandbox(SandboxSettings(speed=SPEED, start_seconds=0.0)) as box:
        remotes = open_remotes(load_settings(box.environment()), clock=SystemClock(), speed=SPEED)
        yield remotes.agent(AgentKind.PIPECAT_CLOUD, "support-bot")
        await remotes.aclose()


async def stopped(agent):
    started = await agent.start_session(StartRequest(body={}, room_properties={}, token_properties={}))
    await agent.stop_session(started.session_id)
    return started.session_id


@pytest.mark.parametrize("sessions", [1, FEW + 1])
async def test_two_who_ask_for_one_record_both_get_it(agent, sessions):
    records, begun_at = Records(agent, speed=SPEED), datetime.now(UTC)
    ids = [await stopped(agent) for _ in range(sessions)]
    async with asyncio.timeout(20):
        found = await asyncio.gather(*(records.get(one, begun_at=begun_at) for one in (*ids, *ids)))
    assert [one.session_id for one in found] == [*ids, *ids]
    assert all(one.ended_at is not None for one in found)


async def test_one_who_goes_takes_nobodys_answer_along(agent):
    records, begun_at = Records(agent, speed=SPEED), datetime.now(UTC)
    session_id = await stopped(agent)
    gone, waiting = (asyncio.create_task(records.get(session_id, begun_at=begun_at)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    async with asyncio.timeout(20):
        assert (await waiting).session_id == session_id
