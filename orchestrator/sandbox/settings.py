"""What a sandbox is told before it starts: how fast, how large, how the remotes behave where nobody documents it.

All durations are seconds as the remotes would take them; the sandbox divides them by `speed`. Moments that a client
names itself (a room's `exp`) are real Unix times and are never scaled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

CEKURA_KEY: Final = "ck_sandbox"
PUBLIC_KEY: Final = "pk_sandbox"
PRIVATE_KEY: Final = "sk_sandbox"
DAILY_KEY: Final = "daily_sandbox"
CLOUD_DAILY_KEY: Final = "daily_cloud_sandbox"
WEBHOOK_SECRET: Final = "whsec_sandbox"  # noqa: S105  the sandbox's own
USER_DOMAIN: Final = "sandbox"
CLOUD_DOMAIN: Final = "cloud-sandbox"

SlotRule = Literal["judged", "call_ended"]
Bots = Literal["simulated", "attending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """One sandbox's behaviour. The defaults are slow and honest; `speed` makes them quick."""

    speed: float = 1.0
    """Divides every duration below."""
    seed: int = 0
    """Decides delays, call lengths and the order of runs; ids and names are fresh in each sandbox."""
    faults: tuple[str, ...] = ()
    """`OPERATION.FAULT=COUNT[@SKIP]`, see `list_faults`."""

    calls_limit: int = 10
    """Calls Cekura runs at once; what comes on top waits `in_queue`."""
    dispatch_per_second: float = 5.0
    """Calls Cekura begins per second."""
    slot_rule: SlotRule = "judged"
    """When a call's slot is free again; nobody documents which."""
    dispatch_seconds: float = 1.0
    """From the dispatch of a run to its tester at the room's door."""
    connect_timeout: float = 30.0
    """How long a tester waits in the room for an agent; no number is published."""
    call_seconds: tuple[float, float] = (20.0, 120.0)
    """Shortest and longest call."""
    evaluate_seconds: float = 10.0
    """From the end of a call to its verdict."""
    shuffle_runs: bool = True
    """Whether a submission's runs come back in another order than its scenarios."""
    unknown_scenarios: tuple[int, ...] = ()
    """Scenario ids that Cekura does not know; every other positive integer is one."""
    lists_multiply: bool = True
    """Whether personalities and profiles multiply the runs of `pipecat_v2` and `livekit_v2`, as they do those of voice;
    nobody documents it. Where not, a scenario's repeats take them in turn."""
    key_has_billing: bool = True
    """False plays a project-scoped key, which billing/info refuses."""
    webhook_url: str | None = None
    """Where the project's webhooks go; None sends none."""
    webhook_secret: str = field(default=WEBHOOK_SECRET, repr=False)
    """What they carry as X-CEKURA-SECRET."""

    max_sessions: int = 50
    """Sessions of one Pipecat Cloud agent alive at once; a start on top is refused, not queued."""
    unknown_agents: tuple[str, ...] = ("unknown-agent",)
    """Agent names that Pipecat Cloud does not know."""
    start_seconds: float = 1.5
    """From a start's effect to its answer."""
    join_seconds: tuple[float, float] = (2.0, 10.0)
    """From a start to its bot in the room: most joins are near the lower end, few near the upper."""
    idle_timeout: float = 300.0
    """A bot that is alone this long ends its session."""
    max_session_seconds: float = 7200.0
    """Pipecat Cloud's own limit on a session."""
    bots: Bots = "simulated"
    """`attending` starts no bots: real processes come through the attend endpoint."""
    bot_ends_with_call: bool = False
    """Whether a bot leaves, and so ends its session, once the tester left."""
    carries_mark: bool = True
    """Whether a presence entry carries the `user_id` of its token's properties, the tester's as well as the bot's."""

    presence_lag: float = 15.0
    """Staleness of the domain-wide presence."""
    room_presence_lag: float = 2.0
    """Staleness of one room's presence."""
    daily_requests: tuple[int, float] = (100, 5.0)
    """Daily's general limit: requests per window of seconds."""
    daily_deletes: tuple[int, float] = (50, 30.0)
    """Daily's limit on deleting rooms one by one."""
