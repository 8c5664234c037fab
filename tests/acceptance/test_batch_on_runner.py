"""Whole batches on Pipecat's own runner, a real process: real `/start`, real attendance, rooms deleted by us."""

from pathlib import Path

import pytest

from orchestrator.domain.batch import ExitCode
from orchestrator.domain.plan import Evidence
from orchestrator.domain.session import Teardown
from tests.support.bench import Bench

pytestmark = pytest.mark.slow

EXAMPLE_BOT = "examples/bot.py"
BOTS = Path("tests/support/bots")


@pytest.fixture
def bench(tmp_path):
    return Bench(folder=tmp_path)


@pytest.fixture
def running(pipecat_runner):
    """A function that starts a runner with this bot against whatever sandbox it is given."""

    def of(bot, **more):
        async def start(sandbox):
            return (await pipecat_runner(bot, {**sandbox.environment(), **more})).url

        return start

    return of


async def test_a_batch_runs_against_the_example_bot_and_its_rooms_are_deleted_by_us(bench, running):
    ended = await bench.run(
        "call.fails_evaluation=1",
        runner=running(EXAMPLE_BOT),
        scenarios="[{scenario: 101, repeat: 3}, {scenario: 102}]",
    )
    assert sorted(ended.outcomes) == ["failed", "passed", "passed", "passed"]
    assert {session.evidence for session in ended.view.sessions} == {Evidence.PRESENCE}
    assert ended.world["rooms"]["alive"] == []
    assert ended.world["rooms"]["deleted"] == 4
    assert ended.world["submitted_twice"] == ended.world["cut_short"] == []
    for session in ended.view.sessions:
        assert session.room_end.state is Teardown.CONFIRMED
        assert session.session_end.state is Teardown.BOUNDED
        assert "cannot be observed" in session.session_end.how


async def test_a_bot_that_ignores_ejection_loses_its_room(bench, running):
    ended = await bench.run(runner=running(BOTS / "stubborn.py"), scenarios="[{scenario: 101}]")
    assert ended.outcomes == ["passed"]
    assert ended.world["rooms"]["alive"] == []


async def test_a_bot_that_raises_is_never_ready_and_its_rooms_are_deleted_all_the_same(bench, running):
    ended = await bench.run(
        runner=running(BOTS / "raising.py"), scenarios="[{scenario: 101}]", more="timeouts: {ready: 40}"
    )
    assert ended.outcomes == ["inconclusive"]
    assert "did not join its room" in ended.reasons[0]
    assert ended.world["submits"] == 0
    assert ended.world["rooms"]["created"] == 2
    assert ended.world["rooms"]["alive"] == []


async def test_a_shared_room_is_refused_by_the_variables_name_and_never_deleted(bench, pipecat_runner):
    rooms = []

    async def with_shared_room(sandbox):
        from orchestrator.clients.daily import DailyDomains
        from orchestrator.clock import SystemClock
        from orchestrator.settings import load_settings

        daily = DailyDomains.open(load_settings(sandbox.environment()), clock=SystemClock())
        room = await daily.clients[0].create_room(name="shared")
        await daily.aclose()
        rooms.append(room.url)
        environment = {**sandbox.environment(), "DAILY_ROOM_URL": room.url}
        return (await pipecat_runner(EXAMPLE_BOT, environment)).url

    ended = await bench.run(runner=with_shared_room, scenarios="[{scenario: 101, repeat: 4}]")
    assert ended.view.exit_code is ExitCode.BAD_INPUT
    assert "DAILY_ROOM_URL" in ended.view.batch.refusal
    assert [room["url"] for room in ended.world["rooms"]["alive"]] == rooms
    assert ended.world["rooms"]["deleted"] == ended.world["submits"] == 0
    assert len([session for session in ended.view.sessions if session.exists]) == 1
    assert ended.world["requests"].get("eject", 0) == 0


async def test_a_failed_start_that_left_a_room_behind_is_named_and_not_repeated(bench, running):
    ended = await bench.run(
        "token_create.error=1",
        runner=running(EXAMPLE_BOT),
        scenarios="[{scenario: 101}]",
        more="timing: {lookup: 40}",
    )
    assert ended.outcomes == ["inconclusive"]
    assert "not started again" in ended.reasons[0]
    assert ended.world["rooms"]["created"] == 1
