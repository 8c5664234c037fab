"""The shape of one entry of a plan's `notifications`; what depends on more than one key is in `notifications`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from orchestrator.plans.section import Section, without_repeats

VARIABLE_LIMIT: Final = 200  # characters of a template that names one variable

OccasionName = Literal["failure", "recovery", "change", "always"]
InclusionName = Literal["reasons", "links"]


class NotificationEntry(Section):
    """Somebody who is told when a batch of the plan has closed."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"kind": {"const": "webhook"}}},
            "then": {"required": ["secret"]},
            "else": {"not": {"required": ["secret"]}},
        }
    )

    kind: Literal["slack", "webhook"] = Field(
        description="What is posted: a message as Slack's incoming webhooks take it, or a signed JSON document.",
        examples=["slack"],
    )
    url: str = Field(
        max_length=VARIABLE_LIMIT,
        description="Where to, as exactly one template of a variable: whoever knows such an address may post there.",
        examples=["{{ env.SLACK_WEBHOOK_URL }}"],
    )
    secret: str | None = Field(
        default=None,
        max_length=VARIABLE_LIMIT,
        description="What documents are signed with, as exactly one template of a variable; for kind webhook only.",
        examples=["{{ env.HOOK_SECRET }}"],
    )
    on: Annotated[list[OccasionName], Field(min_length=1), AfterValidator(without_repeats)] = Field(
        default=["failure", "recovery"],
        description="When: any end but passed, the first pass after that, an end unlike the one before, or always.",
        examples=[["failure", "recovery"]],
    )
    include: Annotated[list[InclusionName], AfterValidator(without_repeats)] = Field(
        default_factory=list,
        description="What is told beside numbers: why runs did not pass, and where Cekura shows the results.",
        examples=[["reasons"]],
    )
