"""One trial: a sandbox, the real command, its death at each point of a case, the restart, and what came of it."""

import time
from dataclasses import dataclass

from orchestrator.sandbox import Sandbox
from tests.crash.case import Case
from tests.crash.process import Ended, Place
from tests.crash.rows import Rows, read_rows
from tests.crash.scene import SCENES
from tests.crash.verdict import Alive, alive_of, broken_promises

SPEED = 20.0
LIMIT = 90.0  # seconds for one command; an undisturbed one takes about 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What happened; `found` are the rows after each death, `drained` the seconds from the last death to the end.

    `world` is the world at the end.
    """

    case: Case
    found: tuple[Rows, ...]
    rows: Rows
    world: dict
    alive: Alive
    ended: Ended
    drained: float
    broken: tuple[str, ...]

    @property
    def kills(self):
        return len(self.found)


async def run_trial(case, folder, *, speed=SPEED, limit=LIMIT, seed=0):
    """Play one case in `folder`, which must be empty."""
    scene = SCENES[case.scene]
    async with Sandbox(scene.settings(speed=speed, faults=case.faults, seed=seed)) as sandbox:
        plan = folder / "plan.yaml"
        plan.write_text(scene.plan(kind=case.kind, url=sandbox.url), encoding="utf-8")
        place = Place(folder=folder, environment=sandbox.environment(), limit=limit)
        found, asked, ended, since = await _die(case, sandbox, place, speed)
        return _trial(case, sandbox, place, found=found, asked=asked, ended=ended, drained=time.monotonic() - since)


async def _die(case, sandbox, place, speed):
    """Run, die, restart, until no point is left or one is never reached; the last command lives to its end."""
    found, asked = [], None
    arguments = ("run", "plan.yaml", "--time-scale", f"{speed:g}", "--json")
    for point in (*case.points, None):
        since = time.monotonic()
        arming = (lambda pid: None) if point is None else lambda pid, point=point: sandbox.kills.arm(point.of(pid))
        ended = await place.command(*arguments, begun=arming)
        sandbox.kills.disarm()
        if not ended.killed:
            break
        found.append(read_rows(place.state))
        asked = asked or dict(sandbox.world()["requests"])
        arguments = ("run", "--resume", "latest", "--json") if case.restart == "resume" else ("gc",)
    return found, asked, ended, since


def _trial(case, sandbox, place, *, found, asked, ended, drained):
    world, rows = sandbox.world(), read_rows(place.state)
    alive = alive_of(world, rows)
    broken = broken_promises(
        world=world,
        rows=rows,
        alive=alive,
        ended=ended,
        restart=case.restart if found else None,
        asked=asked,
        judged_passed=judged_passed(sandbox),
    )
    return Trial(
        case=case,
        found=tuple(found),
        rows=rows,
        world=world,
        alive=alive,
        ended=ended,
        drained=drained,
        broken=tuple(broken),
    )


def judged_passed(sandbox):
    """The runs that the sandbox's Cekura completed and judged a success."""
    runs = sandbox._world.cekura.runs
    return {run_id for run_id, run in runs.items() if run.status == "completed" and run.success}
