"""The project as a tree of text: what the tests of the house look at."""

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Module:
    """One source file; `name` is its path below `orchestrator/`."""

    path: Path

    @property
    def name(self):
        return self.path.relative_to(ROOT / "orchestrator").as_posix()

    @cached_property
    def text(self):
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self):
        return ast.parse(self.text)

    @property
    def is_migration(self):
        return self.name.startswith("store/migrations/")

    def nodes(self, *kinds):
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]

    def imported(self, node):
        """The foreign packages that one import statement names."""
        if isinstance(node, ast.Import):
            return {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            return {(node.module or "").partition(".")[0]}
        return set()


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def modules():
    return [Module(path) for path in sorted((ROOT / "orchestrator").rglob("*.py"))]
