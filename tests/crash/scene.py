"""Scenes: a plan and a sandbox, small enough to be over in seconds, that bring one kind of request about."""

from dataclasses import dataclass, field
from typing import Any

from orchestrator.sandbox import SandboxSettings

PLAN = """
version: 1
name: {name}
agent: {agent}
cekura: {{agent: 5, mock_tool_names: []}}
scenarios: [{scenarios}]
limits: {{concurrency: {alive}, calls: {alive}, starts_per_second: 20}}
timing: {{lookup: {lookup}}}
readiness: {{evidence: [{evidence}]}}
retries: {{infrastructure: {retries}}}
"""


# Longer than a process takes to come back, so that a restart finds calls that it could still cut short.
CALL_SECONDS = (60.0, 90.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`repeats`: how often each scenario is run; `alive`: sessions and calls at once. Durations are life's seconds."""

    repeats: tuple[int, ...] = (3, 2, 1)
    alive: int = 4
    evidence: str = "presence, record, settle"
    retries: int = 1
    lookup: int = 180
    sandbox: dict[str, Any] = field(default_factory=dict)

    def plan(self, *, kind, url):
        """The plan's text for an agent of this kind at `url`."""
        agent = "kind: pipecat_cloud, name: support-bot" if kind == "cloud" else f"kind: pipecat_runner, url: '{url}'"
        scenarios = (f"{{scenario: {100 + number}, repeat: {count}}}" for number, count in enumerate(self.repeats, 1))
        return PLAN.format(
            name="crash",
            agent=f"{{{agent}}}",
            scenarios=", ".join(scenarios),
            alive=self.alive,
            lookup=self.lookup,
            evidence=self.evidence,
            retries=self.retries,
        )

    def settings(self, *, speed, faults=(), seed=0):
        """The sandbox's settings."""
        values = {"call_seconds": CALL_SECONDS, "calls_limit": self.alive, **self.sandbox}
        return SandboxSettings(speed=speed, faults=faults, seed=seed, **values)


SCENES = {
    # More runs than sessions at once: there is always something planned, something called, something torn down.
    "few": Scene(),
    # Enough rooms at once for the requests that take many: the domain's presence, the bulk delete.
    "crowd": Scene(repeats=(1,) * 14, alive=14, sandbox={"call_seconds": (60.0, 60.0)}),
    # One scenario many times: each room needs a submission of its own, so several are under way together.
    "alike": Scene(repeats=(8,), alive=8),
    # Session records instead of presence.
    "record": Scene(evidence="record"),
    # No second attempts, and short patience: runs are abandoned.
    "frail": Scene(retries=0, lookup=40),
    # A provider that does not carry the mark: what a lost start made cannot be proven ours.
    "unmarked": Scene(lookup=40, sandbox={"carries_mark": False}),
    # Calls that are over before a process is back: nobody sees their tester any more.
    "brief": Scene(sandbox={"call_seconds": (8.0, 16.0)}),
    # Cekura queues what comes on top of two calls.
    "queued": Scene(sandbox={"calls_limit": 2}),
}
_OF_OPERATION = {"presence_all": "crowd", "rooms_delete": "crowd", "session_list": "record"}


def scene_for(operation):
    """The scene that brings an operation about."""
    return _OF_OPERATION.get(operation, "few")
