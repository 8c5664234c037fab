"""One line of the audit: who did what to what, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

Detail = Mapping[str, str | int | float | bool | None]
BY_FILE: Final = "the service file"  # the actor, where it says so


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Never changed. `actor` is `token:NAME:ID`, `command:USER` or what else acted; `action` such as `batch.cancel`."""

    entry_id: int
    at: datetime
    actor: str
    action: str
    target: str
    detail: Detail
