"""The shape of a plan: its keys, their types and their ranges. One place for the checks and for the JSON Schema.

Each field has a sentence (what it means, in which unit) and an example; both reach the published schema, and the
example is what an error message tells a person to write. What depends on more than one key is in `rules`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.plans.notification_model import NotificationEntry
from orchestrator.plans.section import Section, without_repeats

LARGEST_ID: Final = 2**63 - 1
MOST_IDS: Final = 100
RESULT_NAME_LIMIT: Final = 200  # characters; Cekura takes 255, and the batch's id comes after it
MAX_RUNS: Final = 10_000
MAX_SESSIONS: Final = MAX_RUNS
MOST_NOTIFICATIONS: Final = 20
PROBE_SHORTHAND: Final = "probe"

PLAN_NAME: Final = r"^[a-z0-9._-]+$"
POOL_NAME: Final = PLAN_NAME
AGENT_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # it becomes part of a URL
VARIABLE_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
PHONE_NUMBER: Final = r"^\+?[0-9][0-9 ()-]{3,30}$"

VariableName = Annotated[str, Field(pattern=VARIABLE_NAME)]
EvidenceName = Literal["presence", "record", "probe", "settle"]


Ids = Annotated[
    list[Annotated[int, Field(ge=1, le=LARGEST_ID)]],
    Field(min_length=1, max_length=MOST_IDS),
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
    mode: Literal["same_number", "different_numbers"] | None = Field(
        default=None,
        description="Whether all runs share a number; absent: same_number.",
        examples=["same_number"],
    )


class ScenarioEntry(Section):
    """A Cekura scenario, how often to run it, and what its bot and room are given."""

    scenario: int = Field(ge=1, le=LARGEST_ID, description="Cekura's scenario (evaluator) id.", examples=[101])
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
    "limits": LimitsSection,
    "timeouts": TimeoutsSection,
    "timing": TimingSection,
    "readiness": ReadinessSection,
    "retries": RetriesSection,
    "gate": GateSection,
    "notifications": NotificationEntry,
}
