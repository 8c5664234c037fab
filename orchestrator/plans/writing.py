"""A plan's data as YAML that people like to read and that is read back as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

WIDTH: Final = 110
SCENARIOS: Final = "scenarios"


def plan_text(data: Mapping[str, Any], *, head: Sequence[str] = (), remarks: Mapping[int, str] | None = None) -> str:
    """The plan's file: `head` as comments above it, a remark on a scenario's id beside it. No data is left out."""
    lines = [f"# {plain_line(line)}" for line in head]
    for key, value in data.items():
        if key == SCENARIOS:
            lines += [f"{SCENARIOS}:", *_scenario_lines(value, remarks or {})]
        else:
            lines.append(_dumped({key: value}))
    return "\n".join(lines) + "\n"


def plain_line(text: str) -> str:
    """Text of anybody's as part of one line: whatever would end it, or hide, becomes a blank."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _scenario_lines(entries: Sequence[Mapping[str, Any]], remarks: Mapping[int, str]) -> Iterator[str]:
    for entry in entries:
        _, first, *others = _dumped({SCENARIOS: [dict(entry)]}).split("\n")
        remark = remarks.get(entry.get("scenario", 0))
        yield first + (f"  # {plain_line(remark)}" if remark else "")
        yield from others


class _Dumper(yaml.SafeDumper):
    """Writes what is met twice twice: an anchor spares nobody anything in a plan."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  PyYAML's own signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, False)


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Text with signs that nobody sees is written with escapes: plain, YAML would fold some of them into blanks."""
    unseen = not text.replace("\n", "").isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if unseen else None)


_Dumper.add_representer(str, _text_node)


def _dumped(data: Any) -> str:
    text = yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=WIDTH, default_flow_style=False)
    return str(text).rstrip("\n")
