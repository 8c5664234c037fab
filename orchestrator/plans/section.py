"""What every part of a plan or service file is made of: the strict base, names, ids and their patterns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.plans.timetable import seconds_of

T = TypeVar("T", int, str)
LARGEST_ID: Final = 2**63 - 1
MOST_IDS: Final = 100
MAX_RUNS: Final = 10_000
MAX_SESSIONS: Final = MAX_RUNS

PLAN_NAME: Final = r"^[a-z0-9._-]+$"
POOL_NAME: Final = PLAN_NAME
AGENT_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # it becomes part of a URL
VARIABLE_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
PHONE_NUMBER: Final = r"^\+?[0-9][0-9 ()-]{3,30}$"

VariableName = Annotated[str, Field(pattern=VARIABLE_NAME)]


def without_repeats(values: Sequence[T]) -> Sequence[T]:
    """The values as they are; ValueError names those given twice."""
    repeated = sorted(str(value) for value, count in Counter(values).items() if count > 1)
    if repeated:
        message = f"must not repeat {', '.join(repeated)}"
        raise ValueError(message)
    return values


Ids = Annotated[
    list[Annotated[int, Field(ge=1, le=LARGEST_ID)]],
    Field(min_length=1, max_length=MOST_IDS),
    AfterValidator(without_repeats),
]


class Section(BaseModel):
    """What every part of a plan shares: no unknown keys, no silent conversions, finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _OrText:
    """Lets the published schema say that a length of time may be text."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string"}]}


Length = Annotated[float, BeforeValidator(seconds_of), _OrText()]
