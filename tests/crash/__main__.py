"""`python -m tests.crash` (`make crash`): the whole matrix, `--seeds 50` random cases, or `--only` chosen ones."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.crash.case import UnknownCase, read_case
from tests.crash.matrix import SMALL, courses, matrix, random_case
from tests.crash.table import markdown, plain, states_missing, totals
from tests.crash.trial import LIMIT, SPEED, run_trial

AT_ONCE = 3


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", nargs="+", metavar="CASE", help="these cases, as the table names them")
    chosen.add_argument("--small", action="store_true", help="ten cases, as in CI")
    chosen.add_argument(
        "--seeds", type=int, default=int(os.environ.get("SEEDS") or 0), metavar="N", help="N random cases with faults"
    )
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="only each K-th case of the matrix")
    parser.add_argument("--speed", type=float, default=SPEED, metavar="X", help="times faster than life")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="for one command")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N", help="cases side by side")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the output of broken cases there")
    chosen = parser.parse_args()
    try:
        chosen.only = tuple(map(read_case, chosen.only or ()))
    except UnknownCase as error:
        parser.error(str(error))
    return chosen


class Bout:
    """Plays cases a few at a time, says how each went, and gives the trials back in order."""

    def __init__(self, chosen):
        self._chosen = chosen
        self._free = asyncio.Semaphore(chosen.at_once)

    async def play(self, cases):
        return await asyncio.gather(*(self._one(case) for case in cases))

    async def count(self):
        """How often each operation occurs in each undisturbed batch; what is broken there needs no death."""
        trials = await self.play([course.case() for course in courses()])
        return {course: trial.world["requests"] for course, trial in zip(courses(), trials, strict=True)}

    async def _one(self, case):
        async with self._free:
            with tempfile.TemporaryDirectory(prefix="crash-") as folder:
                trial = await run_trial(case, Path(folder), speed=self._chosen.speed, limit=self._chosen.limit)
        say(plain(trial))
        if trial.broken and self._chosen.keep is not None:
            self._keep(trial)
        return trial

    def _keep(self, trial):
        self._chosen.keep.mkdir(parents=True, exist_ok=True)
        sessions = "\n".join(map(str, trial.rows.sessions))
        text = f"{plain(trial)}\n\n{trial.ended.stdout}\n{trial.ended.stderr}\n{sessions}\n"
        (self._chosen.keep / f"{str(trial.case).replace(':', '_')[:200]}.txt").write_text(text, encoding="utf-8")


async def play(chosen):
    """The trials that were asked for, and whether every state must have occurred."""
    bout = Bout(chosen)
    if chosen.only:
        return await bout.play(chosen.only), False
    if chosen.small:
        return await bout.play(map(read_case, SMALL)), False
    if chosen.seeds:
        return await bout.play(map(random_case, range(chosen.first, chosen.first + chosen.seeds))), False
    cases = list(matrix(await bout.count()))[:: chosen.every]
    return await bout.play(cases), chosen.every == 1


def command_of(chosen):
    """What plays the same cases again, anywhere: no paths, and nothing that stands by itself."""
    given = {"seeds": 0, "first": 0, "every": 1, "speed": SPEED, "limit": LIMIT, "at_once": AT_ONCE}
    options = [
        f"--{name.replace('_', '-')} {value:g}"
        for name, default in given.items()
        if (value := getattr(chosen, name)) != default
    ]
    small = ["--small"] if chosen.small else []
    only = [f"--only {' '.join(map(str, chosen.only))}"] if chosen.only else []
    return " ".join(("python -m tests.crash", *small, *options, *only))


def main():
    chosen = arguments()
    trials, whole = asyncio.run(play(chosen))
    say("")
    for line in totals(trials):
        say(line)
    for trial in trials:
        for one in trial.alive.bounded:
            say(f"bounded: {one} in {trial.case}")
        if trial.broken:
            say(f"BROKEN: {trial.case}: {'; '.join(trial.broken)}")
    if chosen.markdown is not None:
        page = markdown(trials, command=command_of(chosen), speed=chosen.speed)
        chosen.markdown.write_text(page, encoding="utf-8")
    missed = whole and bool(states_missing(trials)["runs"])
    return 1 if missed or any(trial.broken for trial in trials) else 0


if __name__ == "__main__":
    sys.exit(main())
