"""Plots as SVG, without a library: axes, points and stacked bars, legible on light and on dark ground."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10
from typing import Final

COLOURS: Final = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#6e7781", "#9a6700")
DARK: Final = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#ff7b72", "#9ea7b3", "#d29922")
LINE_HEIGHT: Final = 14.0
LETTER: Final = 5.6  # width of a small one, on average
TOP: Final = 30.0
LEFT: Final = 56.0
GAP: Final = 26.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One mark; `colour` is an index, `hollow` sets what is not ours apart."""

    x: float
    y: float
    label: str
    colour: int = 0
    hollow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes; `across` are vertical guide lines at these x, each with its word."""

    title: str
    points: Sequence[Point]
    across: Mapping[float, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A scale: `low` and `high` at its ends, what it measures, and whether its steps are factors."""

    low: float
    high: float
    name: str
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        if self.logarithmic:
            return (log10(max(value, self.low)) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values along it: 1, 2, 5 by ten on a scale of factors, else five to ten equal steps."""
        if self.logarithmic:
            found = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
            return [value for value in found if self.low <= value <= self.high]
        rough = (self.high - self.low) / 5
        power = 10.0 ** floor(log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first = int(self.low / step + 0.999999)
        return [round(step * number, 6) for number in range(first, int(self.high / step + 1e-9) + 1)]


class Drawing:
    """The elements of one picture."""

    def __init__(self, width: float, height: float) -> None:
        self._size = (width, height)
        self._elements: list[str] = []

    def add(self, element: str) -> None:
        """One more element of SVG."""
        self._elements.append(element)

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", kind: str = "text", turn: float = 0
    ) -> None:
        """Words at a point; `kind` is their style."""
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        self.add(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{escape(words)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> None:
        """A straight line."""
        self.add(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def box(self, x: float, y: float, width: float, height: float, colour: int) -> None:
        """A filled rectangle."""
        self.add(f'<rect class="f{colour}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>')

    def document(self, title: str) -> str:
        """The whole file."""
        width, height = self._size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">'
        )
        body = "\n".join(self._elements)
        return f"{head}\n<title>{escape(title)}</title>\n<style>{_style()}</style>\n{body}\n</svg>\n"


def _style() -> str:
    def rules(ink: str, faint: str, colours: Iterable[str]) -> str:
        each = "".join(
            f".f{n}{{fill:{colour}}}.s{n}{{stroke:{colour};fill:none;stroke-width:2}}"
            for n, colour in enumerate(colours)
        )
        return f"text{{fill:{ink}}}.axis{{stroke:{ink}}}.grid,.guide{{stroke:{faint}}}{each}"

    shape = (
        "text{font:11px system-ui,sans-serif}.title{font-size:13px;font-weight:600}.small{font-size:10px}"
        ".guide{stroke-dasharray:4 3}"
    )
    dark = rules("#e6edf3", "#3d444d", DARK)
    return f"{shape}{rules('#1f2328', '#d1d9e0', COLOURS)}@media(prefers-color-scheme:dark){{{dark}}}"


def scatter(title: str, panels: Sequence[Panel], *, x: Axis, y: Axis, width: float = 270.0) -> str:
    """Panels side by side on the same scales; every point bears its label."""
    height = 270.0
    drawing = Drawing(LEFT + len(panels) * (width + GAP), TOP + height + 44)
    for number, panel in enumerate(panels):
        left = LEFT + number * (width + GAP)

        def place(point: Point, left: float = left) -> tuple[float, float]:
            return left + width * x.share(point.x), TOP + height * (1 - y.share(point.y))

        _axes(drawing, panel, left, (width, height), (x, y), names=number == 0)
        _draw_points(drawing, panel, place, left + 2 * width / 3)
    return drawing.document(title)


def _axes(
    drawing: Drawing, panel: Panel, left: float, size: tuple[float, float], axes: tuple[Axis, Axis], *, names: bool
) -> None:
    (width, height), (x, y) = size, axes
    bottom = TOP + height
    for tick in y.ticks():
        at = bottom - height * y.share(tick)
        drawing.line(left, at, left + width, at, "grid")
        if names:
            drawing.text(left - 5, at + 4, f"{tick:g}", anchor="end", kind="small")
    for tick in x.ticks():
        at = left + width * x.share(tick)
        drawing.line(at, bottom, at, bottom + 4)
        drawing.text(at, bottom + 16, f"{tick:g}", anchor="middle", kind="small")
    for value, word in panel.across.items():
        at = left + width * x.share(value)
        drawing.line(at, TOP, at, bottom, "guide")
        drawing.text(at + 3, TOP + 10, word, kind="small")
    drawing.line(left, bottom, left + width, bottom)
    drawing.line(left, TOP, left, bottom)
    drawing.text(left, TOP - 10, panel.title, kind="title")
    drawing.text(left + width / 2, bottom + 34, x.name, anchor="middle")
    if names:
        drawing.text(14, TOP + height / 2, y.name, anchor="middle", turn=-90)


def _draw_points(
    drawing: Drawing, panel: Panel, place: Callable[[Point], tuple[float, float]], far_right: float
) -> None:
    taken: list[tuple[float, float]] = []
    for point in sorted(panel.points, key=lambda one: place(one)[1]):
        across, down = place(point)
        kind = "s" if point.hollow else "f"
        drawing.add(f'<circle class="{kind}{point.colour}" cx="{across:.1f}" cy="{down:.1f}" r="4.5"/>')
        before = across > far_right  # so that no label runs out of its panel
        at = down + 4
        while any(abs(at - other) < LINE_HEIGHT - 2 and abs(across - place_x) < 90 for place_x, other in taken):  # noqa: PLR2004
            at += 2
        taken.append((across, at))
        drawing.text(across + (-8 if before else 8), at, point.label, anchor="end" if before else "start", kind="small")


def bars(title: str, rows: Sequence[tuple[str, Sequence[float]]], parts: Sequence[str], *, unit: str) -> str:
    """Horizontal bars of stacked parts, each on the same scale; what is longer than the scale is cut and says so."""
    left, width, step = 200.0, 560.0, 24.0
    totals = sorted(sum(values) for _, values in rows)
    # One enormous bar must not make all others invisible.
    longest = totals[-1] if len(totals) < 2 or totals[-1] < 4 * totals[-2] else 1.5 * totals[-2]  # noqa: PLR2004
    scale = width / (longest or 1.0)
    drawing = Drawing(left + width + 80, TOP + step * (len(rows) + 1) + 24)
    _legend(drawing, parts)
    for position, (name, values) in enumerate(rows):
        top, across = TOP + step * position, left
        drawing.text(left - 8, top + 14, name, anchor="end")
        for number, value in enumerate(values):
            length = min(value * scale, left + width - across)
            if length > 0:
                drawing.box(across, top, length, step - 7, number)
            across += max(0.0, length)
        cut = "… " if sum(values) > longest else ""
        drawing.text(across + 5, top + 13, f"{cut}{sum(values):.1f}", kind="small")
    drawing.text(left, TOP + step * len(rows) + 18, unit)
    return drawing.document(title)


def _legend(drawing: Drawing, parts: Sequence[str]) -> None:
    at = 8.0
    for number, part in enumerate(parts):
        drawing.box(at, 6.0, 10.0, 10.0, number)
        drawing.text(at + 14, 15, part, kind="small")
        at += 30 + LETTER * len(part)
