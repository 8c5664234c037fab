"""What all parts of a plan and of a service file share: how strict they are, and how a length of time is written."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.plans.timetable import seconds_of

MAX_RUNS: Final = 10_000
MAX_SESSIONS: Final = MAX_RUNS


class Section(BaseModel):
    """What every part of a plan shares: no unknown keys, no silent conversions, finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _OrText:
    """Lets the published schema say that a length of time may be text."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string"}]}


Length = Annotated[float, BeforeValidator(seconds_of), _OrText()]
