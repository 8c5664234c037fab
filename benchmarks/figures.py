"""Where figures are kept: a JSON file for each part beside the document, which can be written again from them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "benchmarks"
DIGITS: Final = 4


def _load() -> float:
    return round(os.getloadavg()[0], 2)


LOAD_BEFORE: Final = _load()  # when this process began


def machine() -> dict[str, Any]:
    """What the figures were taken on, how busy it was, and when."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": LOAD_BEFORE,
        "load": _load(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def load(part: str, *, folder: Path = FOLDER) -> Any | None:
    """The figures of one part; None where it was never measured."""
    path = folder / f"{part}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def save(part: str, rows: Sequence[dict[str, Any]], *, folder: Path = FOLDER) -> None:
    """Keep the rows of one part, with the machine they were measured on now."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "rows": [_rounded(row) for row in rows]}
    (folder / f"{part}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def add(part: str, row: dict[str, Any], *, key: Sequence[str], folder: Path = FOLDER) -> None:
    """Keep one more row; an earlier one that is alike in every field of `key` goes."""
    found = load(part, folder=folder) or {"rows": []}
    others = [other for other in found["rows"] if any(other.get(name) != row[name] for name in key)]
    save(part, [*others, row], folder=folder)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
