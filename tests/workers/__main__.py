"""`python -m tests.workers` (`make workers`): several workers under random blows, one trial for each seed, and a table.

Three workers on one PostgreSQL drive six batches (`trial`). Workers are killed, frozen for longer than their lease and
thawed, or told to stop, and others are started; the database is restarted. Then nothing may be alive, started or
submitted twice, and no limit may have been passed. `--throughput` plays one load with one worker and with two instead.
"""

import argparse
import asyncio
import os
import statistics
import sys

from benchmarks import workers as team
from tests.support.fleet import LEASE
from tests.workers.trial import SPEED, Trial


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main():
    parser = argparse.ArgumentParser(prog="python -m tests.workers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS") or 5), metavar="N", help="trials")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--blows", type=int, default=5, metavar="N", help="in each trial")
    parser.add_argument("--throughput", action="store_true", help="one worker beside two, with the same load")
    chosen = parser.parse_args()
    if chosen.throughput:
        await throughput()
        return 0
    say(f"leases of {LEASE:g} s; the sandbox is {SPEED:g} times faster than life; a takeover is in real seconds")
    takeovers, broken = [], 0
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        trial = Trial(seed)
        wrong = await trial.play(chosen.blows)
        takeovers += trial.takeovers
        broken += bool(wrong)
        say(f"seed {seed}: {', '.join(trial.blows)}; {trial.outcomes}; {'; '.join(wrong) or 'every promise held'}")
        for reason in trial.reasons:
            say(f"    not passed: {reason}")
    if takeovers:
        say(
            f"taken over {len(takeovers)} times: median {statistics.median(takeovers):.1f} s after the blow, "
            f"longest {max(takeovers):.1f} s"
        )
    say(f"{chosen.seeds} trials, {broken} with a broken promise")
    return int(broken > 0)


async def throughput():
    """The same load for one worker and for two, each of which drives two batches at once."""
    for line in team.lines(await team.loads(1)):
        say(line)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
