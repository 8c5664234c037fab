# ruff: noqa: INP001  a script people copy, not a package
"""An agent to try the manual flow with. Run it the way Pipecat runs any bot:

    DAILY_API_KEY=... python bot.py -t daily

On Daily it is a Pipecat pipeline that plays back what it hears: put your own services into `converse`, nothing else
needs to change. Pointed at a sandbox (DAILY_API_URL=http://localhost:PORT/v1) no media can flow, so there it only
attends its room: it is present, told what happens, and leaves when its caller left.

The start body may hold `join_after` and `hold` (seconds): how late it comes to a sandbox's room, and how long it stays
there at most.
"""

from __future__ import annotations

import asyncio
import os

from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.types import DailyRunnerArguments, RunnerArguments
from pipecat.transports.daily.transport import DailyParams, DailyTransport
from pipecat.workers.runner import WorkerRunner

from orchestrator.sandbox.attendance import attendance, sandbox_address

NAME = "Example bot"
LAST_EVENTS = {"participant-left", "ejected", "room-deleted"}


async def bot(runner_args: RunnerArguments) -> None:
    """One session; the runner and Pipecat Cloud call this with the room they made."""
    if not isinstance(runner_args, DailyRunnerArguments):
        logger.error("This bot needs a Daily room: start it with createDailyRoom.")
        return
    address = sandbox_address(os.environ.get("DAILY_API_URL", ""))
    if address:
        await attend(address, runner_args)
    else:
        await converse(runner_args)


class Echo(FrameProcessor):
    """Plays back what it hears; your speech-to-text, language model and voice go here."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Turn what came in into what goes out; let everything else pass."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(
                audio=frame.audio, sample_rate=frame.sample_rate, num_channels=frame.num_channels
            )
        await self.push_frame(frame, direction)


async def converse(runner_args: DailyRunnerArguments) -> None:
    """The agent itself, in a room of Daily's."""
    params = DailyParams(audio_in_enabled=True, audio_out_enabled=True)
    transport = DailyTransport(runner_args.room_url, runner_args.token, NAME, params)
    # The idle timeout ends, and stops billing, a session that nobody calls.
    worker = PipelineWorker(
        Pipeline([transport.input(), Echo(), transport.output()]),
        idle_timeout_secs=runner_args.pipeline_idle_timeout_secs,
    )
    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)
    await runner.add_workers(worker)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport: DailyTransport, _participant: object) -> None:
        await runner.cancel()

    await runner.run()


async def attend(address: str, runner_args: DailyRunnerArguments) -> None:
    """The same session in a sandbox's room."""
    body = runner_args.body if isinstance(runner_args.body, dict) else {}
    await asyncio.sleep(float(body.get("join_after", 0)))
    room = attendance(address, room_url=runner_args.room_url, meeting_token=runner_args.token, user_name=NAME)
    try:
        async with asyncio.timeout(float(body.get("hold", 300))), room as events:
            async for event in events:
                logger.info(f"{event['event']} in {runner_args.room_url}")
                if event["event"] in LAST_EVENTS:
                    break
    except TimeoutError:
        logger.info(f"Nobody ended the session in {runner_args.room_url}")
    logger.info(f"Left {runner_args.room_url}")


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
