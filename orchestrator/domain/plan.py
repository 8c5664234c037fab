"""A plan after validation: what a user asked for, as values. `plans/` builds these from YAML; nothing else does.

Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import product
from typing import Any, Literal

from orchestrator.domain.channel import Channel
from orchestrator.domain.forecast import Preference
from orchestrator.domain.notice import NotificationSpec
from orchestrator.domain.ramp import Ramp

Json = Mapping[str, Any]
TagFilter = Literal["or", "and", "not"]  # scenarios with any of the tags, with all of them, with none of them


class AgentKind(StrEnum):
    """How sessions of the agent are started; `cekura`: by Cekura itself, as on every automated channel."""

    PIPECAT_CLOUD = "pipecat_cloud"
    PIPECAT_RUNNER = "pipecat_runner"
    CEKURA = "cekura"


class Evidence(StrEnum):
    """How we came to believe that the bot is in its room, best first."""

    PRESENCE = "presence"
    RECORD = "record"
    PROBE = "probe"
    SETTLE = "settle"


class SlotRule(StrEnum):
    """When Cekura frees the call slot of a run."""

    CALL_ENDED = "call_ended"
    JUDGED = "judged"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """The Pipecat deployment under test; `name` for Pipecat Cloud, `url` for a runner.

    `pool` names the pool whose warm sessions its runs take, where it has one ready.
    """

    kind: AgentKind
    name: str | None
    url: str | None
    body: Json
    room_properties: Json
    token_properties: Json
    exclusive: bool
    pool: str | None = None

    @property
    def address(self) -> str:
        """What its client needs to reach it: the name at Pipecat Cloud, the URL of a runner."""
        return (self.name if self.kind is AgentKind.PIPECAT_CLOUD else self.url) or ""

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.name or self.url or self.kind.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSpec:
    """One scenario to run: templates are still unrendered (they may name secrets from the environment).

    `cell` is the cell of the matrix it runs in, `profile` what its test profile holds for the bot; both plain data.
    """

    scenario_id: int
    repeat: int
    body: Json
    publish_data_message: Any
    has_data_message: bool
    cell: Json = field(default_factory=dict)
    profile: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSelection:
    """Scenarios that Cekura is asked for before a batch begins; each is run with the values beside them.

    `entry` is its place in the file's list, `position` how many of the plan's scenarios stand before it. An empty
    `folder_path` selects what lies in no folder, None does not ask for a folder.
    """

    entry: int
    position: int
    tags: tuple[str, ...]
    tag_filter: TagFilter
    folder_path: str | None
    project_id: int | None
    repeat: int
    body: Json
    publish_data_message: Any
    has_data_message: bool

    @property
    def label(self) -> str:
        """What it selects, in words."""
        joined = (" and " if self.tag_filter == "and" else " or ").join(self.tags)
        tags = f"none of tags {joined}" if self.tag_filter == "not" else f"tags {joined}"
        folder = f"folder {self.folder_path}" if self.folder_path else "no folder"
        project = "" if self.project_id is None else f"project {self.project_id}"
        asked = [(self.tags, tags), (self.folder_path is not None, folder), (project, project)]
        return ", ".join(text for said, text in asked if said)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomatedSpec:
    """What an automated channel's endpoint is given beside the scenarios.

    Each scenario is run `frequency` times for every personality and every test profile listed (none listed: as the
    scenario has it). `calls` bounds the calls of one request at once; None: the plan's own limit. `agent_data` replaces
    what Cekura has saved for the agent. The last four are of phone calls only.
    """

    frequency: int = 1
    personality_ids: tuple[int, ...] = ()
    test_profile_ids: tuple[int, ...] = ()
    calls: int | None = None
    agent_data: Json | None = None
    assistant_id: str | None = None
    outbound_phone_number: str | None = None
    agent_number: str | None = None
    number_mode: str | None = None

    @property
    def combinations(self) -> tuple[tuple[int | None, int | None], ...]:
        """Every personality with every test profile; None stands for what the scenario itself has."""
        return tuple(product(self.personality_ids or (None,), self.test_profile_ids or (None,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sessions alive at once, calls at once, starts per second, and when a call slot frees."""

    concurrency: int
    calls: int
    starts_per_second: float
    call_slot_until: SlotRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """`ready`: start answer to bot in the room. `run`: submission to call end. `judge`: call end to verdict.

    `capacity`: how long a start may be refused for capacity before its run is inconclusive.
    """

    ready: float
    run: float
    judge: float
    capacity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """`poll_interval`: shortest time between polls. `teardown_grace`: call end to teardown. `gather`: how many
    seconds ready sessions may idle, all together, to share a submission. `presence_interval`: shortest time between
    domain-wide presence requests (Daily asks for 15 s). `lookup`: how long a lost answer is looked for.
    """

    poll_interval: float
    teardown_grace: float
    gather: float
    presence_interval: float
    lookup: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Which evidence counts, best first; `settle`: the fixed wait used where only settling is possible."""

    evidence: tuple[Evidence, ...]
    settle: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When the batch passes: pass rate over conclusive runs, and how many runs may be inconclusive."""

    min_pass_rate: float
    max_inconclusive: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One validated plan. `digest` identifies its content; `env_names` are the variables its templates may read.

    `automated` is there on automated channels. `result_name`: what Cekura's results are called; None: as the plan.
    `cells` are those of its matrix, none where it has none: each entry of the file is a scenario for every cell.
    `selections` are still to be looked up at Cekura, and so are test profiles where `profiles_due`.
    `share_seconds`: how long a link to each of them is good for; None: none is made.
    `ramp` bounds the calls at once as the batch goes on; None: its limits alone do.
    `notifications`: who is told of a batch's end.
    """

    name: str
    agent: AgentSpec
    cekura_agent_id: int | None
    mock_tool_names: tuple[str, ...] | None
    scenarios: tuple[ScenarioSpec, ...]
    env_names: tuple[str, ...]
    limits: Limits
    timeouts: Timeouts
    timing: Timing
    readiness: Readiness
    prefer: Preference
    infrastructure_retries: int
    gate: Gate
    digest: str
    channel: Channel = Channel.PIPECAT_V1
    automated: AutomatedSpec | None = None
    result_name: str | None = None
    notifications: tuple[NotificationSpec, ...] = ()
    share_seconds: float | None = None
    ramp: Ramp | None = None
    cells: tuple[Json, ...] = ()
    selections: tuple[ScenarioSelection, ...] = ()
    profiles_due: bool = False

    @property
    def resolved(self) -> bool:
        """True when every scenario is known: only then may it become a batch."""
        return not (self.selections or self.profiles_due)

    @property
    def run_count(self) -> int:
        """How many runs one batch of this plan has; what is still to be selected is not among them."""
        if self.automated is not None:
            return len(self.scenarios) * self.automated.frequency * len(self.automated.combinations)
        return sum(scenario.repeat for scenario in self.scenarios)

    def faster(self, speed: float) -> Plan:
        """The same plan with every duration divided by `speed`, for a sandbox that runs faster than life.

        A ramp keeps its seconds, which stop rules speak of: whoever follows it multiplies what has passed instead.
        """
        return replace(
            self,
            limits=replace(self.limits, starts_per_second=self.limits.starts_per_second * speed),
            timeouts=Timeouts(
                ready=self.timeouts.ready / speed,
                run=self.timeouts.run / speed,
                judge=self.timeouts.judge / speed,
                capacity=self.timeouts.capacity / speed,
            ),
            timing=Timing(
                poll_interval=self.timing.poll_interval / speed,
                teardown_grace=self.timing.teardown_grace / speed,
                gather=self.timing.gather / speed,
                presence_interval=self.timing.presence_interval / speed,
                lookup=self.timing.lookup / speed,
            ),
            readiness=replace(self.readiness, settle=self.readiness.settle / speed),
        )
