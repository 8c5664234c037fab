"""The shape of a plan: its keys, their types and their ranges. One place for the checks and for the JSON Schema.

Each field has a sentence (what it means, in which unit) and an example; both reach the published schema, and the
example is what an error message tells a person to write. What depends on more than one key is in `rules`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.plans.cekura_model import CekuraSection, LivekitDataSection, PipecatDataSection
from orchestrator.plans.notification_model import NotificationEntry
from orchestrator.plans.ramp_model import RampSection, StopSection
from orchestrator.plans.section import (
    AGENT_NAME,
    LARGEST_ID,
    MAX_RUNS,
    MAX_SESSIONS,
    PLAN_NAME,
    POOL_NAME,
    Section,
    VariableName,
    without_repeats,
)

MOST_NOTIFICATIONS: Final = 20
MOST_TAGS: Final = 50
MOST_RULES: Final = 200  # of a matrix, of either kind
PROBE_SHORTHAND: Final = "probe"
SELECTION_KEYS: Final = ("tags", "folder_path", "tag_filter", "project_id")
TAG: Final = r"^[^,]*[^,\s][^,]*$"  # Cekura takes tags as one text with commas
EvidenceName = Literal["presence", "record", "probe", "settle"]
Tags = Annotated[
    list[Annotated[str, Field(pattern=TAG, max_length=255)]],
    Field(min_length=1, max_length=MOST_TAGS),
    AfterValidator(without_repeats),
]


class AgentSection(Section):
    """The Pipecat deployment under test, and what each of its sessions is started with."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": "pipecat_cloud"}}},
                    "then": {"required": ["name"], "not": {"required": ["url"]}},
                    "else": {"required": ["url"]},
                }
            ]
        }
    )

    kind: Literal["pipecat_cloud", "pipecat_runner"] = Field(
        description="Who starts sessions: Pipecat Cloud, or a Pipecat runner you host (`python bot.py -t daily`).",
        examples=["pipecat_cloud"],
    )
    name: str | None = Field(
        default=None,
        pattern=AGENT_NAME,
        max_length=128,
        description="The agent's name on Pipecat Cloud; for a runner, only what reports call it.",
        examples=["support-bot"],
    )
    url: str | None = Field(
        default=None,
        max_length=2048,
        description="The runner's address without /start; for kind pipecat_runner only.",
        examples=["http://localhost:7860"],
    )
    body: dict[str, Any] = Field(
        default_factory=dict,
        description="Handed to the bot of every run; a scenario's own body is merged over it. Templates are rendered.",
        examples=[{"locale": "en"}],
    )
    room_properties: dict[str, Any] = Field(
        default_factory=dict,
        description="Daily room properties for every room. The expiry and ejection are the orchestrator's to set.",
        examples=[{"max_participants": 4}],
    )
    token_properties: dict[str, Any] = Field(
        default_factory=dict,
        description="Daily meeting token properties. Room, expiry and user_id are the orchestrator's to set.",
        examples=[{"user_name": "Support bot"}],
    )
    exclusive: bool = Field(
        default=False,
        description="True when nobody else starts this agent: then a session without our mark is still known as ours.",
        examples=[False],
    )
    pool: str | None = Field(
        default=None,
        pattern=POOL_NAME,
        max_length=80,
        description="The pool of a worker whose warm sessions the runs take; where it has none, a run starts its own.",
        examples=["support"],
    )


class ScenarioEntry(Section):
    """A Cekura scenario or a selection of them, how often to run each, and what its bot and room are given."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["scenario"], "not": {"anyOf": [{"required": [key]} for key in SELECTION_KEYS]}},
                {"anyOf": [{"required": ["tags"]}, {"required": ["folder_path"]}], "not": {"required": ["scenario"]}},
            ],
            "dependentRequired": {"folder_path": ["project_id"], "tag_filter": ["tags"]},
        }
    )

    scenario: int | None = Field(
        default=None, ge=1, le=LARGEST_ID, description="Cekura's scenario (evaluator) id.", examples=[101]
    )
    tags: Tags | None = Field(
        default=None,
        description="Instead of scenario: every scenario with one of these tags, as Cekura has them at the beginning.",
        examples=[["smoke", "en"]],
    )
    tag_filter: Literal["or", "and", "not"] | None = Field(
        default=None,
        description="Whether a scenario needs one of the tags (or, the default), all of them, or none of them.",
        examples=["and"],
    )
    folder_path: str | None = Field(
        default=None,
        max_length=1024,
        description="Instead of scenario, or beside tags: every scenario in this folder; empty: those in no folder.",
        examples=["support.billing"],
    )
    project_id: int | None = Field(
        default=None, ge=1, le=LARGEST_ID, description="Cekura's project, which folder_path needs.", examples=[12]
    )
    repeat: int = Field(default=1, ge=1, le=1000, description="How many runs of it.", examples=[3])
    body: dict[str, Any] = Field(
        default_factory=dict,
        description="Merged over agent.body for these runs. Templates are rendered.",
        examples=[{"customer": "U-{{ run.index }}"}],
    )
    publish_data_message: Any = Field(
        default=None,
        description="Any JSON; Cekura's caller publishes it in the room. Templates are rendered.",
        examples=[{"run": "{{ run.id }}"}],
    )


class MatrixSection(Section):
    """Every scenario is run once for each cell: every combination of the axes, less exclude, and include."""

    axes: dict[str, Any] = Field(  # `matrix` says of each axis what is wrong with it
        description="Values by axis; a cell's are merged over the body, and are {{ matrix.AXIS }} in templates.",
        examples=[{"locale": ["en", "de"]}],
        json_schema_extra={"minProperties": 1, "additionalProperties": {"type": "array", "minItems": 1}},
    )
    include: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=MOST_RULES,
        description="Cells beyond the combinations; each gives every axis.",
        examples=[[{"locale": "fr", "tier": "gold"}]],
    )
    exclude: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=MOST_RULES,
        description="Combinations that are left out: those that are equal in all the keys of an entry.",
        examples=[[{"locale": "de", "tier": "free"}]],
    )


class LimitsSection(Section):
    """How much may happen at once."""

    concurrency: int = Field(default=10, ge=1, le=MAX_SESSIONS, description="Sessions alive at once.", examples=[10])
    calls: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SESSIONS,
        description="Calls at once; absent: the same as concurrency.",
        examples=[10],
    )
    starts_per_second: float = Field(default=5.0, gt=0, le=50, description="Session starts per second.", examples=[5])
    call_slot_until: Literal["call_ended", "judged", "auto"] = Field(
        default="auto",
        description="When Cekura is taken to free the slot of a run; auto learns it from what it sees.",
        examples=["auto"],
    )


class TimeoutsSection(Section):
    """How long each part of a run may take, in seconds."""

    ready: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        description="Seconds from the start answer to the bot in its room.",
        examples=[120],
    )
    run: float = Field(
        default=900.0, gt=0, le=14400, description="Seconds from submission to the end of the call.", examples=[900]
    )
    judge: float = Field(
        default=600.0,
        gt=0,
        le=86400,
        description="Seconds from the end of the call to Cekura's verdict.",
        examples=[600],
    )
    capacity: float = Field(
        default=300.0, gt=0, le=86400, description="Seconds a start may be refused for capacity.", examples=[300]
    )


class TimingSection(Section):
    """Intervals and graces, in seconds."""

    poll_interval: float = Field(
        default=5.0,
        ge=0.5,
        le=300,
        description="Shortest seconds between polls of Cekura; a webhook from it cuts them short.",
        examples=[5],
    )
    teardown_grace: float = Field(
        default=2.0, ge=0, le=600, description="Seconds from call end to teardown.", examples=[2]
    )
    gather: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="Seconds that ready sessions may idle, all together, to share a submission.",
        examples=[1],
    )
    presence_interval: float = Field(
        default=15.0,
        ge=1,
        le=300,
        description="Shortest seconds between requests for the whole domain's presence; Daily asks for 15.",
        examples=[15],
    )
    lookup: float = Field(
        default=180.0, ge=1, le=3600, description="Seconds a lost answer is looked for.", examples=[180]
    )


class ReadinessSection(Section):
    """What counts as proof that the bot is in its room."""

    evidence: Annotated[list[EvidenceName], Field(min_length=1), AfterValidator(without_repeats)] = Field(
        default=["presence", "record", "settle"],
        description="Kinds of evidence that count, best first.",
        examples=[["presence", "record", "settle"]],
    )
    settle: float = Field(
        default=5.0, ge=0, le=600, description="Seconds to wait where only settling is possible.", examples=[5]
    )


class RetriesSection(Section):
    """What is tried again."""

    infrastructure: int = Field(
        default=1, ge=0, le=10, description="New sessions for a run whose infrastructure failed.", examples=[1]
    )


class GateSection(Section):
    """When the batch passes."""

    min_pass_rate: float = Field(
        default=1.0, ge=0, le=1, description="Passed runs divided by conclusive runs, at least.", examples=[1.0]
    )
    max_inconclusive: int = Field(
        default=0, ge=0, le=MAX_RUNS, description="Runs that may stay inconclusive.", examples=[0]
    )


def _spelled_out(value: Any) -> Any:
    return {"evidence": [PROBE_SHORTHAND]} if value == PROBE_SHORTHAND else value


class _OrProbe:
    """Lets the published schema say what `_spelled_out` accepts."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"const": PROBE_SHORTHAND}]}


ReadinessOrProbe = Annotated[ReadinessSection, BeforeValidator(_spelled_out), _OrProbe()]


class PlanFile(Section):
    """A batch of Cekura runs against one agent, on whichever channel reaches it."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"channel": {"const": "pipecat_v1"}}},
            "then": {"required": ["agent"]},
            "else": {"not": {"required": ["agent"]}},
        }
    )

    version: Literal[1] = Field(description="The version of this format.", examples=[1])
    channel: Literal["pipecat_v1", "pipecat_v2", "livekit_v2", "voice"] = Field(
        default="pipecat_v1",
        description="How runs reach the agent: pipecat_v1, sessions that are ours to start; the others, Cekura's own.",
        examples=["pipecat_v2"],
    )
    name: str | None = Field(
        default=None,
        pattern=PLAN_NAME,
        max_length=80,
        description="What reports call the batch; absent: the file's name.",
        examples=["nightly-support"],
    )
    env: Annotated[list[VariableName], AfterValidator(without_repeats)] = Field(
        default_factory=list,
        description="Environment variables that templates may read, as {{ env.NAME }}.",
        examples=[["CUSTOMER_ID"]],
    )
    agent: AgentSection | None = Field(
        default=None,
        description="The Pipecat deployment whose sessions we start: on channel pipecat_v1 only, and there required.",
        examples=[{"kind": "pipecat_cloud", "name": "support-bot"}],
    )
    cekura: CekuraSection = Field(default_factory=CekuraSection, examples=[{"agent": 5}])
    scenarios: list[ScenarioEntry] = Field(min_length=1, description="What to run.", examples=[[{"scenario": 101}]])
    matrix: MatrixSection | None = Field(
        default=None,
        description="Runs every scenario in every cell; absent: once.",
        examples=[{"axes": {"locale": ["en", "de"]}}],
    )
    limits: LimitsSection = Field(default_factory=LimitsSection, examples=[{"concurrency": 10}])
    timeouts: TimeoutsSection = Field(default_factory=TimeoutsSection, examples=[{"run": 900}])
    timing: TimingSection = Field(default_factory=TimingSection, examples=[{"poll_interval": 5}])
    readiness: ReadinessOrProbe = Field(default_factory=ReadinessSection, examples=[{"settle": 5}])
    prefer: Literal["cost", "balanced", "time"] = Field(
        default="balanced",
        description="Where the two conflict: cost lets call slots wait for bots, time lets bots wait for call slots.",
        examples=["balanced"],
    )
    retries: RetriesSection = Field(default_factory=RetriesSection, examples=[{"infrastructure": 1}])
    gate: GateSection = Field(default_factory=GateSection, examples=[{"min_pass_rate": 1.0}])
    ramp: RampSection | None = Field(
        default=None,
        description="How many calls may be placed at once as the batch goes on; absent: limits.calls all along.",
        examples=[{"profile": "steps", "from": 2, "to": 10, "step": 2, "every": "60s"}],
    )
    notifications: list[NotificationEntry] = Field(
        default_factory=list,
        max_length=MOST_NOTIFICATIONS,
        description="Who is told when a batch has closed.",
        examples=[[{"kind": "slack", "url": "{{ env.SLACK_WEBHOOK_URL }}"}]],
    )


SECTIONS: Final[dict[str, type[Section]]] = {
    "agent": AgentSection,
    "cekura": CekuraSection,
    "cekura.pipecat_data": PipecatDataSection,
    "cekura.livekit_data": LivekitDataSection,
    "scenarios": ScenarioEntry,
    "matrix": MatrixSection,
    "limits": LimitsSection,
    "timeouts": TimeoutsSection,
    "timing": TimingSection,
    "readiness": ReadinessSection,
    "retries": RetriesSection,
    "gate": GateSection,
    "ramp": RampSection,
    "ramp.stop": StopSection,
    "notifications": NotificationEntry,
}
