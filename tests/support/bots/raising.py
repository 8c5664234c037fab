"""A bot that fails before it joins: the runner answers its start with 200 all the same."""


async def bot(runner_args):
    raise RuntimeError("this bot never joins")


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
