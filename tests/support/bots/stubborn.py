"""A bot that does not take a hint: ejected, it comes back; left alone, it stays. Only the end of its room ends it."""

import os

from loguru import logger

from orchestrator.sandbox.attendance import AttendanceRefused, attendance, sandbox_address


async def bot(runner_args):
    address = sandbox_address(os.environ["DAILY_API_URL"])
    try:
        while True:
            await stay(address, runner_args)
    except AttendanceRefused as refused:
        logger.info(f"Stubborn bot gave up: {refused}")


async def stay(address, runner_args):
    room = attendance(address, room_url=runner_args.room_url, meeting_token=runner_args.token, user_name="Stubborn bot")
    async with room as events:
        async for event in events:
            if event["event"] == "ejected":
                return


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
