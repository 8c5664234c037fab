"""The example bot's own parts; that it serves real sessions is shown in tests/acceptance."""

import importlib.util
from pathlib import Path

import pytest

# pipecat-ai imports audioop, which Python 3.13 drops (it then brings its own).
pytestmark = pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")
BOT = Path(__file__).parents[2] / "examples" / "bot.py"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("example_bot", BOT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_pipeline_plays_back_what_it_hears(example):
    from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame, TextFrame
    from pipecat.tests.utils import run_test

    heard = InputAudioRawFrame(audio=b"\x01\x02" * 160, sample_rate=16000, num_channels=1)
    down, _ = await run_test(
        example.Echo(),
        frames_to_send=[heard, TextFrame(text="passes")],
        expected_down_frames=[OutputAudioRawFrame, TextFrame],
    )
    assert (down[0].audio, down[0].sample_rate) == (heard.audio, 16000)


async def test_a_session_without_a_daily_room_ends_at_once(example):
    from pipecat.runner.types import RunnerArguments

    await example.bot(RunnerArguments())
