"""One case of the matrix, and the key that names it on the command line.

POINT[>POINT]:KIND:RESTART[:SCENE][:FAULT...]        submit.done@0>end_call.done@1:cloud:gc:few:start.busy=1
POINT = OPERATION.EDGE@SKIP[+DELAYms]                poll.answered@3+25ms
"""

import re
from dataclasses import dataclass

from orchestrator.sandbox.faults import OPERATIONS, UnknownFault, parse_fault
from orchestrator.sandbox.kills import EDGES, Kill
from tests.crash.scene import SCENES, scene_for

KINDS = ("cloud", "runner")
RESTARTS = ("resume", "gc")
_POINT = re.compile(r"(?P<operation>[a-z_]+)\.(?P<edge>[a-z]+)@(?P<skip>\d+)(\+(?P<delay>\d+)ms)?")


class UnknownCase(ValueError):
    """The text names no case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One request, and the edge of it where the process dies."""

    operation: str
    edge: str
    skip: int
    delay_ms: int = 0

    def __str__(self):
        delay = f"+{self.delay_ms}ms" if self.delay_ms else ""
        return f"{self.operation}.{self.edge}@{self.skip}{delay}"

    def of(self, pid):
        """The kill as the sandbox takes it."""
        return Kill(operation=self.operation, edge=self.edge, skip=self.skip, delay_ms=self.delay_ms, pid=pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A batch in a scene, killed at each point in turn; each time `restart` follows."""

    points: tuple[Point, ...]
    kind: str
    restart: str
    scene: str
    faults: tuple[str, ...] = ()

    def __str__(self):
        points = ">".join(map(str, self.points))
        return ":".join((points, self.kind, self.restart, self.scene, *self.faults))


def read_case(text):
    """The case that a key names; UnknownCase says what is wrong."""
    points, *rest = text.split(":")
    if len(rest) < 2 or rest[0] not in KINDS or rest[1] not in RESTARTS:
        raise UnknownCase(f"{text!r} is not written POINT[>POINT]:KIND:RESTART[:SCENE][:FAULT...]")
    read = tuple(map(read_point, points.split(">")))
    scene = rest[2] if len(rest) > 2 and rest[2] in SCENES else scene_for(read[0].operation)
    faults = tuple(part for part in rest[2:] if part not in SCENES)
    try:
        for fault in faults:
            parse_fault(fault)
    except UnknownFault as error:
        raise UnknownCase(str(error)) from error
    return Case(points=read, kind=rest[0], restart=rest[1], scene=scene, faults=faults)


def read_point(text):
    """The point that is written so."""
    match = _POINT.fullmatch(text)
    if match is None or match["operation"] not in OPERATIONS or match["edge"] not in EDGES:
        raise UnknownCase(f"{text!r} is not written OPERATION.EDGE@SKIP[+DELAYms]")
    return Point(
        operation=match["operation"], edge=match["edge"], skip=int(match["skip"]), delay_ms=int(match["delay"] or 0)
    )
