"""A validated plan as a JSON document, so that a batch can be resumed without the file it came from.

Templates are kept unrendered: what a variable held never reaches the document. Values are not range-checked again on
the way back, for a plan made faster for a sandbox leaves the ranges that hold for people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.plan import Plan

FORMAT: Final = 1

_PLANS: Final = TypeAdapter(Plan)


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON: mappings, lists, text, numbers, true, false and null only."""
    return {"format": FORMAT, "plan": _PLANS.dump_python(plan, mode="json")}


def plan_from_document(document: Mapping[str, Any]) -> Plan:
    """The plan that `plan_document` wrote; StateUnusable for anything else."""
    if document.get("format") != FORMAT:
        message = f"the stored plan has format {document.get('format')!r}, and this version reads {FORMAT}"
        raise StateUnusable(message)
    try:
        return _PLANS.validate_python(document["plan"])
    except (KeyError, ValidationError) as error:
        message = "the stored plan is damaged or incomplete"
        raise StateUnusable(message) from error


def digest_of(values: Mapping[str, Any]) -> str:
    """A hex SHA-256 of the values as canonical JSON: the same content, however it was laid out, has the same digest."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
