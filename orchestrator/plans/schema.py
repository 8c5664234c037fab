"""The JSON Schema of a plan, for editors and other tools; `plan.schema.json` here is a copy kept equal by a test.

It says what a plan may look like; rules between keys, templates and Daily's property names are `load_plan`'s alone.
`python -m orchestrator.plans.schema` prints it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from orchestrator.plans.model import PlanFile

SCHEMA_PATH: Final = Path(__file__).with_name("plan.schema.json")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema (2020-12) of everything a plan file may hold."""
    schema = PlanFile.model_json_schema()
    return {"$schema": DIALECT, **schema, "title": "Orchestrator plan"}


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
