"""What the sandbox's organisation has at Cekura: agents, scenarios, personalities and test profiles.

Any positive integer is a scenario, as ever; those in the catalogue besides have a name, tags, a folder and a profile,
and are what lists, tags and folders find. They are the same in every sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Channel = Literal["pipecat_v1", "pipecat_v2", "livekit_v2", "voice"]
TagFilter = Literal["and", "or", "not"]

FIRST_AGENT: Final = 5
PROJECT: Final = 1
STAGING: Final = 2
PROJECTS: Final = (PROJECT, STAGING)
PERSONALITIES: Final = {1: "Normal", 2: "Direct Communicator", 3: "Interrupter", 9: "Whisperer"}
PROVIDER_OF: Final[Mapping[str, str]] = {"pipecat_v2": "pipecat", "livekit_v2": "livekit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent; `provider_name` is its name at Pipecat Cloud or LiveKit, `keyed` whether a key is stored."""

    id: int
    name: str
    provider: str
    project: int = PROJECT
    keyed: bool = False
    provider_name: str = ""
    phone_number: str = ""
    assistant_id: str = ""
    personalities: tuple[int, ...] = (1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A test profile: what the agent is told, and what the tester knows."""

    id: int
    name: str
    agent_variables: Mapping[str, Any]
    tester_variables: Mapping[str, Any]

    def shown(self) -> dict[str, Any]:
        """As runs and scenarios show it."""
        information = {
            "main_agent_variables": dict(self.agent_variables),
            "testing_agent_variables": dict(self.tester_variables),
        }
        return {"id": self.id, "name": self.name, "information": information}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario; `folder` is a dotted path, empty where it is unfiled."""

    id: int
    name: str
    agent: int
    tags: tuple[str, ...] = ()
    folder: str = ""
    profile: int | None = None
    personality: int = 1


def _by_id(things: Iterable[Any]) -> dict[int, Any]:
    return {thing.id: thing for thing in things}


AGENTS: Final[Mapping[int, Agent]] = _by_id(
    [
        Agent(id=FIRST_AGENT, name="Support", provider="pipecat", keyed=True, provider_name="support-bot"),
        Agent(id=6, name="Booking", provider="livekit", keyed=True, provider_name="booking-worker"),
        Agent(id=7, name="Hotline", provider="vapi", keyed=True, phone_number="+15550100", assistant_id="asst-hotline"),
        Agent(id=8, name="Support, unconfigured", provider="pipecat", project=STAGING, personalities=(1,)),
        Agent(id=9, name="Support, unnamed", provider="pipecat", project=STAGING, keyed=True, personalities=(1,)),
    ]
)

PROFILES: Final[Mapping[int, Profile]] = _by_id(
    [
        Profile(
            id=31,
            name="Regular customer",
            agent_variables={"customer": "U-31", "tier": "gold", "locale": "en"},
            tester_variables={"name": "Ada Green", "order": "A-1001"},
        ),
        Profile(
            id=32,
            name="New customer",
            agent_variables={"customer": "U-32", "tier": "none"},
            tester_variables={"name": "Ben Brown"},
        ),
        Profile(id=33, name="Anonymous", agent_variables={}, tester_variables={"name": "nobody"}),
    ]
)


def _filed(first: int, agent: int, rows: Iterable[tuple[str, str, str, int | None]]) -> list[Scenario]:
    return [
        Scenario(id=first + n, name=name, agent=agent, tags=tuple(tags.split()), folder=folder, profile=profile)
        for n, (name, tags, folder, profile) in enumerate(rows)
    ]


SCENARIOS: Final[Mapping[int, Scenario]] = _by_id(
    [
        *_filed(
            101,
            5,
            [
                ("Order status", "smoke orders", "support.orders", 31),
                ("Refund", "smoke billing", "support.billing", 31),
                ("Change of address", "orders", "support.orders", None),
                ("An angry caller", "hard", "support", None),
                ("Order that never came", "orders hard", "support.orders", 31),
                ("Double charge", "billing hard", "support.billing", 32),
                ("Invoice copy", "billing", "support.billing", 31),
                ("Opening hours", "smoke", "", None),
                ("Wrong number", "", "", 33),
                ("Cancel an order", "orders", "support.orders", 32),
                ("Speak to a human", "smoke hard", "support", None),
                ("Password reset", "accounts", "support.accounts", 31),
            ],
        ),
        *_filed(
            201,
            6,
            [
                ("Book a table", "smoke booking", "booking", 32),
                ("Move a booking", "booking", "booking", None),
                ("Cancel a booking", "booking", "booking", 31),
                ("Book for forty", "booking hard", "booking", None),
            ],
        ),
        *_filed(
            301,
            7,
            [
                ("Call about a bill", "smoke billing", "hotline", 31),
                ("Call from a noisy street", "hard", "hotline.noise", None),
                ("Call and say nothing", "hard", "hotline.noise", 33),
                ("Ask to be called back", "smoke", "", None),
            ],
        ),
        *_filed(401, 8, [("Staging order status", "smoke orders", "support.orders", None)]),
    ]
)


def scenario_of(scenario: int) -> Scenario:
    """The scenario with this id; one beyond the catalogue is plain, and the first agent's."""
    return SCENARIOS.get(scenario) or Scenario(id=scenario, name=f"Scenario {scenario}", agent=FIRST_AGENT)


def agent_name(agent: int) -> str:
    """Every agent has a name, those beyond the catalogue too."""
    known = AGENTS.get(agent)
    return known.name if known else f"Agent {agent}"


def project_of(agent: int) -> int:
    """An agent's project; agents beyond the catalogue are in the first one."""
    known = AGENTS.get(agent)
    return known.project if known else PROJECT


def agent_of_assistant(assistant: str) -> Agent | None:
    """The agent that a provider knows under this id."""
    return next((agent for agent in AGENTS.values() if assistant and agent.assistant_id == assistant), None)


def select(
    *,
    agent: int | None = None,
    project: int | None = None,
    tags: tuple[str, ...] = (),
    tag_filter: TagFilter = "or",
    folder: str | None = None,
) -> list[Scenario]:
    """The scenarios that fit all of it, by id. A folder is itself only, not what is below it (not documented)."""
    return [
        one
        for one in SCENARIOS.values()
        if agent in {None, one.agent}
        and project in {None, project_of(one.agent)}
        and folder in {None, one.folder}
        and _tagged(one, tags, tag_filter)
    ]


def _tagged(scenario: Scenario, tags: tuple[str, ...], tag_filter: TagFilter) -> bool:
    if not tags:
        return True
    met = [tag in scenario.tags for tag in tags]
    if tag_filter == "and":
        return all(met)
    return any(met) if tag_filter == "or" else not any(met)


def all_tags() -> list[str]:
    """Every tag in use, in alphabetical order."""
    return sorted({tag for scenario in SCENARIOS.values() for tag in scenario.tags})


def all_folders(project: int) -> list[str]:
    """The paths of a project's folders, those between included."""
    paths = {one.folder for one in select(project=project) if one.folder}
    above = {".".join(path.split(".")[:depth]) for path in paths for depth in range(1, path.count(".") + 2)}
    return sorted(above)
