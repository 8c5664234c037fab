"""A flame graph as a plain SVG: who held the interpreter, and who had called him.

Each bar is a function, as wide as its share of the samples, on top of its caller; a pointer held over it shows its
name and share. What is imported before the batch begins is left out. Drawn from sampled stacks, one a line with its
number of samples at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final
from zlib import crc32

WIDTH: Final = 1200.0
ROW: Final = 15.0
LETTER: Final = 6.4  # width of one, as drawn
LEAST: Final = 0.001  # of all samples: what is narrower is not drawn
IMPORTS: Final = "importlib"
OURS: Final = ("orchestrator/", "benchmarks/")


@dataclass(slots=True)
class Bar:
    """A function under one caller: its samples, and whom it called."""

    samples: int = 0
    called: dict[str, Bar] = field(default_factory=dict)


def draw(title: str, stacks: Iterable[str]) -> str:
    """The SVG of collapsed stacks."""
    root = Bar()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        if count.strip().isdigit() and IMPORTS not in frames:
            _add(root, frames.split(";"), int(count))
    found = list(_bars(root, name="all", left=0.0, depth=0, total=max(1, root.samples)))
    height = ROW * (2 + max(depth for *_, depth in found))
    drawn = "\n".join(_drawn(name, share, left, height - ROW * (depth + 1)) for name, share, left, depth in found)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" font-family="monospace"'
    words = f'<text x="4" y="11" font-size="11">{escape(title)}; {root.samples} samples</text>'
    return f'{head} font-size="10">\n<rect width="100%" height="100%" fill="#fff"/>\n{words}\n{drawn}\n</svg>\n'


def _add(bar: Bar, frames: list[str], count: int) -> None:
    bar.samples += count
    for frame in frames:
        bar = bar.called.setdefault(frame, Bar())
        bar.samples += count


def _bars(bar: Bar, *, name: str, left: float, depth: int, total: int) -> Iterator[tuple[str, float, float, int]]:
    """Name, share, left edge and depth of every bar that is wide enough to be seen."""
    yield name, bar.samples / total, left, depth
    for called, below in sorted(bar.called.items()):
        if below.samples >= LEAST * total:
            yield from _bars(below, name=called, left=left, depth=depth + 1, total=total)
        left += below.samples / total


def _drawn(name: str, share: float, left: float, top: float) -> str:
    x, width = left * WIDTH, share * WIDTH
    letters = int(width / LETTER) - 1
    label = name if len(name) <= letters else name[:letters]
    words = f'<text x="{x + 2:.1f}" y="{top + 11:.1f}">{escape(label)}</text>' if letters >= len("ab.") else ""
    box = f'<rect x="{x:.1f}" y="{top:.1f}" width="{max(width - 0.3, 0.2):.1f}" height="{ROW - 1:.0f}"'
    return f'<g><title>{escape(name)} ({100 * share:.1f} %)</title>{box} fill="{_colour(name)}"/>{words}</g>'


def _colour(name: str) -> str:
    """Ours warm, the libraries' cool, the same function always alike."""
    shade = crc32(name.encode()) % 50
    return f"#{255 - shade:02x}{150 + shade:02x}60" if any(one in name for one in OURS) else f"#a0{180 + shade:02x}d8"


def main() -> None:
    """`python -m benchmarks.flame STACKS SVG TITLE`."""
    stacks, svg, title = sys.argv[1:]
    Path(svg).write_text(draw(title, Path(stacks).read_text(encoding="utf-8").splitlines()), encoding="utf-8")


if __name__ == "__main__":
    main()
