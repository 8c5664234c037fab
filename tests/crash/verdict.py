"""What must hold after a crash, whatever came before it. The world and the rows are the judges."""

import json
from dataclasses import dataclass

# A resumed batch may come out passed, failed or inconclusive; it is never bad input, nor does it leave anything behind.
RESUMED = {0, 1, 3}
COLLECTED = {0}
NO_BATCH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """What lives at the end: `left` is a leak, `bounded` is named in the rows with what ends it and when."""

    left: tuple[str, ...]
    bounded: tuple[str, ...]


def alive_of(world, rows):
    """Tell the leaks from what the final statement names as bounded."""
    left, bounded = [], []
    for what, key, living in (
        ("session", "session_id", [one["id"] for one in world["sessions"]["alive"]]),
        ("room", "room_url", [one["url"] for one in world["rooms"]["alive"]]),
    ):
        state = f"{what}_end"
        named = {row[key] for row in rows.sessions if row[state] == "bounded" and row[key]}
        # A start whose answer was lost has no id to be named by: its row stands for one of each.
        nameless = sum(row[state] == "bounded" and not row[key] for row in rows.sessions)
        for one in living:
            if one in named:
                bounded.append(f"{what} {one}")
            elif nameless:
                nameless -= 1
                bounded.append(f"{what} {one} (its start's answer was lost)")
            else:
                left.append(f"{what} {one}")
    return Alive(left=tuple(left), bounded=tuple(bounded))


def broken_promises(*, world, rows, alive, ended, restart, judged_passed, asked=None):
    """Each promise that does not hold, as a sentence; nothing when all do.

    `restart` is None for an undisturbed run; `asked` are the requests by operation at the first death.
    """
    yield from _of_world(world, alive)
    yield from _of_rows(rows, world, judged_passed)
    yield from _of_command(ended, restart, found_batch=bool(rows.batches))
    if restart == "gc" and asked is not None:
        yield from _of_collection(world, asked)


def _of_world(world, alive):
    if alive.left:
        yield f"left alive: {', '.join(alive.left)}"
    if world["submitted_twice"]:
        yield f"submitted twice: {', '.join(world['submitted_twice'])}"
    if world["cut_short"]:
        yield f"calls cut short: {', '.join(map(str, world['cut_short']))}"
    if world["calls"]["active"]:
        yield f"calls still on: {world['calls']['active']}"


def _of_rows(rows, world, judged_passed):
    for batch in rows.batches:
        if batch["status"] != "closed":
            yield f"batch {batch['batch_id']} is {batch['status']}"
    for run in rows.runs:
        if run["outcome"] is None:
            yield f"run {run['index']} has no outcome ({run['status']})"
        if run["outcome"] == "passed" and run["cekura_run_id"] not in judged_passed:
            yield f"run {run['index']} passed, but Cekura judged no such run a success"
        if run["outcome"] == "inconclusive" and not run["reason"]:
            yield f"run {run['index']} is inconclusive without a reason"
    possible = sum(row["status"] != "refused" for row in rows.sessions)
    if world["sessions"]["started"] > possible:
        yield f"{world['sessions']['started']} sessions were started, {possible} rows know of one"
    if any(row["meeting_token"] for row in rows.sessions):
        yield "a meeting token is still in the state"


def _of_command(ended, restart, *, found_batch):
    if ended.hung:
        yield f"still running after {ended.seconds:.0f} s"
        return
    expected = {NO_BATCH} if restart == "resume" and not found_batch else COLLECTED if restart == "gc" else RESUMED
    if ended.code not in expected:
        yield f"exit code {ended.code}"
    if "defect" in ended.stderr or "Traceback" in ended.stderr:
        yield f"a defect: {ended.stderr.strip().splitlines()[-1]}"
    if found_batch and restart != "gc" and not _statement_is_complete(ended.stdout):
        yield "the report is not one JSON document with nothing left"


def _of_collection(world, asked):
    """Who cleans up buys nothing."""
    for operation in ("start", "submit"):
        more = world["requests"].get(operation, 0) - asked.get(operation, 0)
        if more:
            yield f"gc asked for {more} more: {operation}"


def _statement_is_complete(text):
    try:
        return json.loads(text)["teardown"]["left"] == []
    except (ValueError, KeyError, TypeError):
        return False
