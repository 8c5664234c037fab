"""A pool's definition as a JSON document, as the state keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.pool import PoolSpec

FORMAT: Final = 1

_POOLS: Final = TypeAdapter(PoolSpec)


def pool_document(pool: PoolSpec) -> dict[str, Any]:
    """The pool as JSON, to keep."""
    return {"format": FORMAT, "pool": _POOLS.dump_python(pool, mode="json")}


def pool_from_document(document: Mapping[str, Any]) -> PoolSpec:
    """The pool that `pool_document` wrote; StateUnusable for anything else."""
    if document.get("format") != FORMAT:
        raise StateUnusable(f"the stored pool has format {document.get('format')!r}, and this version reads {FORMAT}")
    try:
        return _POOLS.validate_python(document["pool"])
    except (KeyError, ValidationError) as error:
        raise StateUnusable("the stored pool is damaged or incomplete") from error
