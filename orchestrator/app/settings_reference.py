"""Writes what a person reads about the settings from the settings themselves, so that the two cannot drift apart.

`python -m orchestrator.app.settings_reference` writes them into a checkout: docs/settings.md, and the example that is
copied and filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Final

from orchestrator.settings import Variable, variables

REFERENCE: Final = Path("docs/settings.md")
EXAMPLE: Final = Path("config/settings.env.example")
WIDTH: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Variables that are read together; `filled_in`: the example leaves a place for each."""

    title: str
    text: str
    names: tuple[str, ...]
    filled_in: bool = False


GROUPS: Final = (
    Group(
        title="Keys",
        text="What the remotes know us by. `orchestrator doctor` says which work, and how far they reach.",
        names=("CEKURA_API_KEY", "PIPECAT_CLOUD_API_KEY", "PIPECAT_CLOUD_PRIVATE_KEY", "DAILY_API_KEY"),
        filled_in=True,
    ),
    Group(
        title="More than one key or project",
        text="For rooms on several Daily domains, and for links to results.",
        names=("ORCHESTRATOR_DAILY_KEYS", "CEKURA_PROJECT_ID"),
    ),
    Group(
        title="Addresses",
        text="Where the remotes answer. `orchestrator sandbox` prints those that lead to it.",
        names=("CEKURA_API_URL", "CEKURA_DASHBOARD_URL", "PIPECAT_API_HOST", "DAILY_API_URL"),
    ),
    Group(
        title="State",
        text="What is remembered, and how it is known for ours.",
        names=("ORCHESTRATOR_DATABASE_URL", "ORCHESTRATOR_OWNER"),
    ),
    Group(
        title="Limits",
        text="Over everything that shares a state. Plans and pools have limits of their own, which hold as well.",
        names=(
            "ORCHESTRATOR_SESSIONS_LIMIT",
            "ORCHESTRATOR_CALLS_LIMIT",
            "ORCHESTRATOR_CONFIRM_ABOVE",
            "ORCHESTRATOR_DATA_MESSAGE_LIMIT",
        ),
    ),
    Group(
        title="Service",
        text="What `orchestrator serve` does beside its options.",
        names=(
            "CEKURA_WEBHOOK_SECRET",
            "ORCHESTRATOR_PLAN_VARIABLES",
            "ORCHESTRATOR_BATCHES_AT_ONCE",
            "ORCHESTRATOR_LEASE_SECONDS",
        ),
    ),
    Group(
        title="Logs and traces",
        text="What is told while it works; no line and no span holds a key or a token.",
        names=("ORCHESTRATOR_LOG_LEVEL", "ORCHESTRATOR_LOG_FORMAT", "ORCHESTRATOR_TRACES"),
    ),
)
MARKDOWN_HEAD: Final = """\
# Settings

What the environment can say. Every `NAME` can be given as `NAME_FILE` instead: the path of a file that holds the value,
such as a mounted secret; where both are set, the file counts. An empty value is as good as none. A value that cannot be
is refused by its variable's name before anything starts.

`make settings` writes this page, and [config/settings.env.example](../config/settings.env.example), from
`orchestrator/settings.py`.
"""
EXAMPLE_HEAD: Final = """\
# What the environment can say. Copy it, keep what you need, and load it your own way (`set -a; . ./settings.env`).
# Every NAME can be given as NAME_FILE instead: the path of a file that holds the value, such as a mounted secret.
# `orchestrator doctor` says which keys work, how far they reach, and what is lost without each.
"""


def reference() -> str:
    """The page: one table for each group."""
    known = _by_name()
    parts = [MARKDOWN_HEAD]
    for group in GROUPS:
        rows = [_row(known[name]) for name in group.names]
        head = f"## {group.title}\n\n{group.text}\n\n| variable | values | default | meaning |\n|---|---|---|---|"
        parts.append("\n".join([head, *rows]) + "\n")
    return "\n".join(parts)


def example() -> str:
    """The file to copy: every variable with its meaning, in comments but for the keys that most need."""
    known = _by_name()
    parts = [EXAMPLE_HEAD]
    for group in GROUPS:
        lines = [f"# --- {group.title}", *(line for name in group.names for line in _lines(known[name], group))]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def write(root: Path) -> None:
    """Write both below `root`, the top of a checkout."""
    (root / REFERENCE).write_text(reference(), encoding="utf-8")
    (root / EXAMPLE).write_text(example(), encoding="utf-8")


def _by_name() -> Mapping[str, Variable]:
    return {variable.name: variable for variable in variables()}


def _row(variable: Variable) -> str:
    default = f"`{variable.default}`" if variable.default else ""
    return f"| `{variable.name}` | {variable.values} | {default} | {variable.description} |"


def _lines(variable: Variable, group: Group) -> Iterator[str]:
    yield from (f"# {line}" for line in wrap(variable.description, WIDTH - 2, break_on_hyphens=False))
    value = variable.default or variable.example
    yield f"{variable.name}=" if group.filled_in else f"#{variable.name}={value}"


if __name__ == "__main__":
    write(Path.cwd())
