"""Which cases there are: every operation at every edge, early, in the middle and late; a few for CI; random ones."""

from dataclasses import dataclass
from itertools import count, product
from random import Random

from orchestrator.sandbox.kills import EDGES
from tests.crash.case import KINDS, RESTARTS, Case, Point, read_case
from tests.crash.scene import scene_for

# Milliseconds after the answer's last byte: the client's own reading, deciding and committing lies in them.
DELAYS = (0, 2, 5, 10, 20, 50)
STUBBORN = "bot.stays_after_stop=99"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """An undisturbed batch, to count how often each operation occurs in it."""

    kind: str
    scene: str
    faults: tuple[str, ...] = ()

    def case(self):
        """The case without a death."""
        return Case(points=(), kind=self.kind, restart=RESTARTS[0], scene=self.scene, faults=self.faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation of the matrix; `first` occurrences lie before the batch exists and are left out."""

    operation: str
    kind: str = "cloud"
    faults: tuple[str, ...] = ()
    first: int = 0
    scene: str | None = None

    @property
    def course(self):
        return Course(kind=self.kind, scene=self.scene or scene_for(self.operation), faults=self.faults)


ROWS = (
    Row(operation="start"),
    Row(operation="presence"),
    Row(operation="presence_all"),
    Row(operation="session_list"),
    Row(operation="token_create"),
    Row(operation="submit"),
    Row(operation="submit", scene="alike"),
    Row(operation="submit", scene="brief"),
    Row(operation="poll"),
    Row(operation="poll", scene="queued"),
    Row(operation="session_stop"),
    Row(operation="session_get"),
    Row(operation="eject", faults=(STUBBORN,)),
    Row(operation="room_delete"),
    Row(operation="rooms_delete"),
    Row(operation="result_list", faults=("submit.lost_answer=2",), first=1),
    Row(operation="start", kind="runner"),
    Row(operation="presence", kind="runner"),
    Row(operation="submit", kind="runner"),
    Row(operation="poll", kind="runner"),
    Row(operation="eject", kind="runner"),
    Row(operation="room_delete", kind="runner"),
    Row(operation="rooms_delete", kind="runner"),
)

# States that only some misfortune or a second death brings about.
TROUBLED = (
    "presence_all.received@0:cloud:resume:few:start.lost_answer=1@1",
    "presence_all.answered@1:cloud:gc:few:start.lost_answer=2@1",
    "session_get.done@0:cloud:resume:few:start.lost_answer=1",
    "presence_all.done@1:runner:resume:few:start.lost_answer=1@1",
    "presence_all.done@0:cloud:resume:unmarked:start.lost_answer=1",
    "presence_all.done@1:cloud:gc:unmarked:start.lost_answer=1",
    "start.done@1:cloud:resume:unmarked",
    "start.done@3:cloud:gc:unmarked",
    "submit.received@0:cloud:resume:few:start.busy=2@1",
    "poll.done@0:cloud:gc:few:start.capacity=2@1",
    "poll.received@0:cloud:resume:few:submit.busy=1",
    "poll.received@1:cloud:gc:few:submit.busy=2",
    "poll.done@2:cloud:resume:few:submit.detail=1",
    "room_delete.received@1:cloud:resume:few:submit.field_errors=2",
    "session_stop.received@2:cloud:resume:frail:submit.lost_request=1",
    "room_delete.done@3:cloud:gc:frail:submit.lost_request=1",
    "session_stop.done@0:cloud:resume:frail:bot.never_joins=1",
    "session_stop.received@0:cloud:resume:frail:call.never_connects=1",
    "room_delete.answered@2+10ms:cloud:gc:frail:call.tester_crashes=2",
    "start.received@4:cloud:resume:few:bot.never_joins=1",
    "start.done@6:cloud:resume:few:call.never_connects=2",
    # A second death while the first is being cleaned up.
    "poll.done@3>end_call.received@0:cloud:gc",
    "poll.done@3>end_call.done@0:cloud:gc",
    "poll.done@3>end_call.answered@1:cloud:gc",
    "poll.done@3>end_calls.received@0:cloud:gc",
    "poll.done@3>end_calls.done@0:cloud:gc",
    "poll.done@3>end_calls.answered@1:cloud:gc",
    "poll.done@3>session_stop.received@0:cloud:gc",
    "poll.done@3>session_stop.done@1:cloud:gc",
    "poll.done@4>room_delete.received@0:cloud:gc",
    "poll.done@4>room_delete.done@1:cloud:gc",
    "poll.done@4>session_get.answered@2:cloud:gc",
    "poll.received@2>rooms_delete.done@0:cloud:gc:crowd",
    "poll.received@2>end_call.done@5:cloud:gc:crowd",
    "submit.done@0>result_list.done@1:cloud:gc",
    "submit.done@0>result_list.done@1:cloud:resume",
    "submit.done@0>end_call.done@0:cloud:gc",
    "submit.done@0>submit.done@0:cloud:resume:alike",
    "submit.answered@1>poll.done@0:cloud:resume:alike",
    "start.done@1>presence_all.received@0:cloud:resume",
    "start.done@1>start.done@1:cloud:resume",
    "start.done@1>presence_all.done@0:cloud:gc",
    "start.received@2>start.received@0:cloud:resume",
    "session_stop.done@1>session_stop.done@0:cloud:resume",
    "poll.done@1>poll.done@1>poll.done@1:cloud:resume",
    "submit.done@1>end_call.done@0:runner:gc",
    "start.done@1>presence_all.done@0:runner:resume",
    "poll.done@3>room_delete.done@0:runner:gc",
)

SMALL = (
    "start.done@0:cloud:resume",
    "submit.done@0:cloud:gc",
    "submit.answered@1+2ms:cloud:resume:alike",
    "poll.done@3>session_stop.done@0:cloud:gc",
    "rooms_delete.done@0:cloud:resume",
    "submit.done@1:runner:resume",
)


def courses():
    """Every undisturbed batch that the matrix needs counted."""
    return tuple(dict.fromkeys(row.course for row in ROWS))


def matrix(occurrences):
    """The full matrix; `occurrences` maps each course to its Counter of requests."""
    delays = count()
    for row, edge in product(ROWS, EDGES):
        for skip, restart in product(skips(row, occurrences[row.course]), RESTARTS):
            delay = DELAYS[next(delays) % len(DELAYS)] if edge == "answered" else 0
            point = Point(operation=row.operation, edge=edge, skip=skip, delay_ms=delay)
            course = row.course
            yield Case(points=(point,), kind=row.kind, restart=restart, scene=course.scene, faults=row.faults)
    yield from map(read_case, TROUBLED)


def skips(row, requests):
    """An early, a middle and a late occurrence; fewer where an operation is rare. The last may not come again."""
    occurred = requests.get(row.operation, 0) - row.first
    return sorted({row.first + int(max(0, occurred - 1) * share) for share in (0.0, 0.5, 0.85)})


# What may go wrong beside a death. Left out is what takes a call's end out of our hands (a refused end_call).
WEATHER = tuple(
    f"{operation}.{fault}"
    for operation, faults in {
        "start": ("lost_answer", "lost_request", "late", "busy", "error", "html", "truncated", "not_json", "capacity"),
        "submit": ("lost_answer", "lost_request", "busy", "html", "truncated", "detail", "fewer_runs", "shuffled"),
        "poll": ("error", "html", "busy", "truncated", "wrong_type", "lost_answer", "unknown_status", "missing_run"),
        "presence": ("error", "busy", "not_json", "lost_request"),
        "presence_all": ("error", "lost_answer"),
        "session_list": ("error", "truncated"),
        "session_get": ("error", "html", "lost_answer", "slow"),
        "session_stop": ("error", "lost_answer", "lost_request", "busy", "late"),
        "room_delete": ("error", "lost_answer", "busy"),
        "rooms_delete": ("error", "lost_answer", "all_or_nothing"),
        "token_create": ("error", "lost_answer"),
        "result_list": ("error", "not_json"),
        "eject": ("error", "ignored"),
        "bot": ("never_joins", "slow_join", "leaves_early", "stays_after_stop"),
        "call": ("fails_evaluation", "never_connects", "tester_crashes", "queued_long"),
    }.items()
    for fault in faults
)
_MOST_SKIPPED = {"presence": 20, "poll": 10, "presence_all": 2, "rooms_delete": 1, "result_list": 1, "eject": 3}
_RANDOM_OPERATIONS = {
    "cloud": ("start", "presence", "token_create", "submit", "poll", "session_stop", "session_get", "room_delete"),
    "runner": ("start", "presence", "token_create", "submit", "poll", "eject", "room_delete"),
}


def random_case(seed):
    """The case of one seed: one to three deaths in any scene, in any weather."""
    dice = Random(f"crash:{seed}")
    kind = dice.choices(KINDS, weights=(3, 1))[0]
    scene = dice.choice(("few", "few", "brief", "alike", "crowd", "frail", "unmarked", "queued"))
    points = tuple(_random_point(dice, kind, scene) for _ in range(dice.choices((1, 2, 3), weights=(6, 3, 1))[0]))
    chosen = dice.sample(WEATHER, dice.randint(0, 4))
    faults = tuple(f"{name}={dice.randint(1, 3)}@{dice.randint(0, 4)}" for name in chosen)
    return Case(points=points, kind=kind, restart=dice.choice(RESTARTS), scene=scene, faults=faults)


def _random_point(dice, kind, scene):
    crowded = ("presence_all", "rooms_delete") if scene == "crowd" else ()
    operation = dice.choice(_RANDOM_OPERATIONS[kind] + crowded)
    edge = dice.choice(EDGES)
    skip = dice.randint(0, _MOST_SKIPPED.get(operation, 4))
    return Point(operation=operation, edge=edge, skip=skip, delay_ms=dice.randint(0, 50) if edge == "answered" else 0)
