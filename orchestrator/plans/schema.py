"""The JSON Schemas of plans and service files, for editors and other tools; the files here are copies kept equal by a
test.

They say what a file may look like; rules between keys, templates and Daily's property names are `load_plan`'s and
`load_service`'s alone. `python -m orchestrator.plans.schema` prints the plan's, with `service` the service file's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from orchestrator.plans.model import PlanFile
from orchestrator.plans.service_model import ServiceSection

SCHEMA_PATH: Final = Path(__file__).with_name("plan.schema.json")
SERVICE_SCHEMA_PATH: Final = Path(__file__).with_name("service.schema.json")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema (2020-12) of everything a plan file may hold."""
    schema = PlanFile.model_json_schema()
    return {"$schema": DIALECT, **schema, "title": "Orchestrator plan"}


def service_json_schema() -> dict[str, Any]:
    """The schema (2020-12) of everything a service file may hold."""
    schema = ServiceSection.model_json_schema()
    return {"$schema": DIALECT, **schema, "title": "Orchestrator service file"}


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it is published."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text(service_json_schema() if sys.argv[1:] == ["service"] else json_schema()))
