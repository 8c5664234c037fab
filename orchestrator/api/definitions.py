"""How a schedule or a pool is sent: its name in the path, the rest as one JSON document, read by `plans`.

What is wrong with it is told all at once, as it is of a plan; the published shape is that of the service file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

from fastapi import Body, Header, Path
from pydantic import BaseModel

from orchestrator.api.problems import EXISTS, INVALID_DEFINITION, Refusal
from orchestrator.domain.errors import Conflict, InvalidPlan, Problem
from orchestrator.plans.service_model import NAME_LIMIT, PoolSection, ScheduleSection

# As plans have it, and something beside dots: `..` in a path is another path.
DEFINED_NAME: Final = r"^[a-z0-9._-]*[a-z0-9_-][a-z0-9._-]*$"
MEND: Final = "Mend what `problems` names, and send it again; nothing was changed."

DefinedName = Annotated[
    str, Path(pattern=DEFINED_NAME, max_length=NAME_LIMIT, description="What it is called.", examples=["nightly"])
]
OnlyNew = Annotated[
    Literal["*"] | None,
    Header(alias="If-None-Match", description="`*`: only make it; what is there already is not replaced."),
]


class ScheduleDefinition(ScheduleSection):
    """A schedule, as in a service file, but for its plan, which is inline; its name is that of the path."""


class PoolDefinition(PoolSection):
    """A pool, as in a service file; its name is that of the path."""


# What is sent is read by `plans`, which names every problem with a remedy; the models are its published shape.
Definition = Annotated[dict[str, Any], Body()]
INLINE: Final = {
    "type": "object",
    "description": "The plan that each fire executes; `orchestrator plan --schema` prints its schema.",
}
REFERENCE: Final = "#/components/schemas/{model}"


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """What a route adds to its published operation, so that its body is shown as the model's."""
    schema = {"$ref": REFERENCE.format(model=model.__name__)}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def definition_schemas() -> dict[str, Any]:
    """The published schemas of both, and of their parts."""
    schemas: dict[str, Any] = {}
    for model in (ScheduleDefinition, PoolDefinition):
        whole = model.model_json_schema(ref_template=REFERENCE)
        schemas |= whole.pop("$defs", {})
        whole["required"].remove("name")
        schemas[model.__name__] = whole
    schemas[ScheduleDefinition.__name__]["properties"]["plan"] = INLINE
    return schemas


@contextmanager
def told_of(what: str, *, name: str) -> Iterator[None]:
    """Everything wrong with a definition as one problem; with one of a name that may only be new, that it is not."""
    try:
        yield
    except InvalidPlan as error:
        count = len(error.problems)
        detail = f"The {what} {name} has {count} problem{'s' if count != 1 else ''}."
        raise Refusal(INVALID_DEFINITION, detail, next_step=MEND, problems=error.problems) from None


@contextmanager
def only_where_new() -> Iterator[None]:
    """Say of a conflict that the name is taken."""
    try:
        yield
    except Conflict as error:
        raise Refusal(EXISTS, f"{error}.", next_step=error.next_step) from None


def named(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The definition with its name; InvalidPlan where it says another than the path."""
    if data.get("name", name) != name:
        message = "is another name than that in the path"
        raise InvalidPlan((Problem(path="name", message=message, remedy="leave it out"),))
    return {**data, "name": name}
