"""The shape of a plan's `cekura`: what Cekura is asked to do, on every channel. Which takes which: `channels`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from orchestrator.plans.section import (
    AGENT_NAME,
    LARGEST_ID,
    MAX_RUNS,
    MAX_SESSIONS,
    PHONE_NUMBER,
    Ids,
    Length,
    Section,
    without_repeats,
)

RESULT_NAME_LIMIT: Final = 200  # characters; Cekura takes 255, and the batch's id comes after it


class PipecatDataSection(Section):
    """Replaces what Cekura has saved for the Pipecat agent; nothing is merged."""

    pipecat_agent_name: str | None = Field(
        default=None,
        pattern=AGENT_NAME,
        max_length=128,
        description="The agent's name on Pipecat Cloud.",
        examples=["support-bot-pr-7"],
    )
    config: Any = Field(default=None, description="Handed to the bot of every run.", examples=[{"locale": "en"}])
    room_properties: Any = Field(
        default=None, description="Daily room properties for every room.", examples=[{"max_participants": 4}]
    )


class LivekitDataSection(Section):
    """Replaces what Cekura has saved for the LiveKit agent; nothing is merged."""

    config: Any = Field(default=None, description="Handed to the agent's job.", examples=[{"locale": "en"}])
    agent_name: str | None = Field(
        default=None, max_length=255, description="The name its worker registered.", examples=["support"]
    )
    url: str | None = Field(
        default=None, max_length=2048, description="The LiveKit server.", examples=["wss://acme.livekit.cloud"]
    )


class CekuraSection(Section):
    """What Cekura is asked to do. Which channel takes which key: `plans/channels`."""

    agent: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_ID,
        description="Cekura's numeric agent id; absent: Cekura takes the agent of a submission's first scenario.",
        examples=[5],
    )
    mock_tool_names: Annotated[list[str], AfterValidator(without_repeats)] | None = Field(
        default=None,
        description="Which of the agent's tools Cekura mocks; absent: every configured one; []: none.",
        examples=[["lookup_order"]],
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=RESULT_NAME_LIMIT,
        description="What Cekura's results are called, the batch's id after it; absent: the plan's name. On pipecat_v1 "
        "they get a name only if one is written here.",
        examples=["nightly support"],
    )
    share_links: Length | None = Field(
        default=None,
        ge=3600,
        le=366 * 86_400,
        description="Make a link to each result when the batch is over, good for so long: seconds, or text such as 7d. "
        "Whoever knows one reads transcripts and hears recordings.",
        examples=["7d"],
    )
    frequency: int | None = Field(
        default=None,
        ge=1,
        le=MAX_RUNS,
        description="How often each scenario is run for each personality and test profile: to 100, on voice to 10000.",
        examples=[3],
    )
    personality_ids: Ids | None = Field(
        default=None,
        description="Run every scenario once more for each of these personalities; absent: the scenario's own.",
        examples=[[7, 9]],
    )
    test_profile_ids: Ids | None = Field(
        default=None,
        description="Run every scenario once more for each of these test profiles; absent: the scenario's own.",
        examples=[[31]],
    )
    concurrency_limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SESSIONS,
        description="Calls of one request at once; absent: limits.calls.",
        examples=[5],
    )
    pipecat_data: PipecatDataSection | None = Field(
        default=None,
        description="Replaces what Cekura has saved for the Pipecat agent.",
        examples=[{"pipecat_agent_name": "support-bot-pr-7"}],
    )
    livekit_data: LivekitDataSection | None = Field(
        default=None,
        description="Replaces what Cekura has saved for the LiveKit agent.",
        examples=[{"agent_name": "support"}],
    )
    assistant_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="The agent by its provider's id, instead of cekura.agent.",
        examples=["asst_7f3a"],
    )
    outbound_phone_number: str | None = Field(
        default=None,
        pattern=PHONE_NUMBER,
        description="The number that Cekura's tester calls from, or is called at.",
        examples=["+15550100001"],
    )
    agent_number: str | None = Field(
        default=None, pattern=PHONE_NUMBER, description="The agent's number.", examples=["+15550100002"]
    )
    test_profile_variables: bool = Field(
        default=False,
        description="Merge what each scenario's test profile holds for the bot over the body of its runs.",
        examples=[True],
    )
    mode: Literal["same_number", "different_numbers"] | None = Field(
        default=None,
        description="Whether all runs share a number; absent: same_number.",
        examples=["same_number"],
    )
