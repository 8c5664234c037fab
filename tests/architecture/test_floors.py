"""Who may import whom: the floors, the doors to foreign libraries, and which of those may be imported early."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

# Each library is imported by the files named for it, and by nobody else.
DOORS = {
    "httpx": ("clients/http.py", "clients/transport.py", "clients/body.py"),
    "daily": ("clients/probe_child.py",),
    "sqlalchemy": ("store/",),
    "alembic": ("store/",),
    "sqlite3": ("store/",),
    "pipecat": ("plans/rooms.py",),
    "yaml": ("plans/source.py", "plans/writing.py"),
    "cronsim": ("plans/calendar.py",),
    "pydantic": ("plans/", "settings.py", "api/"),
    "pydantic_core": ("plans/",),
    "pydantic_settings": ("settings.py",),
    "aiohttp": ("clients/transport.py", "sandbox/"),
    "yarl": ("clients/transport.py",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "fastapi": ("api/",),
    "starlette": ("api/",),
    "uvicorn": ("api/server.py",),
    "loguru": (
        "api/",
        "app/access.py",
        "app/following.py",
        "app/graph.py",
        "app/webhook.py",
        "engine/",
        "telemetry/",
        "plans/rooms.py",
        "store/remnants.py",
    ),
    "prometheus_client": ("telemetry/instruments.py", "telemetry/metrics.py"),
    "opentelemetry": ("telemetry/traces.py",),
    # The vendors' own clients repeat paid calls or hide refused connections: they are witnesses in tests only.
    "cekura": (),
    "pipecatcloud": (),
}
# Slow to import: only inside the function that needs them, so that `--help` answers at once.
LATE = {"pipecat", "alembic", "opentelemetry"}


def test_the_contracts_between_floors_hold(root):
    lint = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=root, capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr


@pytest.mark.parametrize("library", DOORS)
def test_a_library_is_imported_by_the_files_named_for_it_alone(modules, library):
    importers = {
        module.name
        for module in modules
        if any(library in module.imported(node) for node in module.nodes(ast.Import, ast.ImportFrom))
    }
    strangers = {name for name in importers if not name.startswith(DOORS[library] or ("nobody",))}
    assert not strangers
    assert bool(importers) == bool(DOORS[library]), "a door that nobody uses: take it out of the list"


def test_every_foreign_library_has_a_door(modules):
    """A new dependency gets an owner here, and a line in docs/decisions."""
    imported = {
        library
        for module in modules
        for node in module.nodes(ast.Import, ast.ImportFrom)
        for library in module.imported(node)
    }
    assert imported - set(sys.stdlib_module_names) - {"orchestrator"} <= set(DOORS)


def test_what_is_slow_to_import_is_imported_where_it_is_needed(modules):
    early = {
        (module.name, library)
        for module in modules
        if not module.is_migration
        for node in module.tree.body
        for library in module.imported(node) & LATE
    }
    assert not early


def test_help_imports_nothing_heavy():
    heavy = sorted(LATE | {"httpx", "sqlalchemy", "aiohttp", "pydantic", "prometheus_client"})
    check = (
        f"import sys, orchestrator.cli.main; print(*[name for name in {heavy} if name in sys.modules], sep=',', end='')"
    )
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout == ""
