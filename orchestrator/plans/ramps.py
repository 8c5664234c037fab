"""A plan's ramp: which profile takes which keys, what must hold between them, and what it comes to as a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.domain.plan import Plan
from orchestrator.domain.ramp import Profile, Ramp, StopRule
from orchestrator.plans.finding import Finding
from orchestrator.plans.model import LimitsSection
from orchestrator.plans.ramp_model import RampSection, StopSection

KEYS: Final[Mapping[Profile, Mapping[str, str]]] = {
    Profile.STEPS: {"from": "from: 2", "to": "to: 20", "step": "step: 3", "every": "every: 60s"},
    Profile.LINEAR: {"from": "from: 1", "to": "to: 20", "over": "over: 10m"},
    Profile.SPIKE: {"base": "base: 2", "peak": "peak: 20", "after": "after: 2m", "lasting": "lasting: 30s"},
    Profile.SOAK: {"calls": "calls: 10"},
}
"""The keys of each profile, all of them required, each with an example."""
OF_ALL: Final = frozenset({"profile", "stop"})
LOWEST: Final = {Profile.STEPS: "from", Profile.LINEAR: "from", Profile.SPIKE: "base"}
HIGHEST: Final = {Profile.STEPS: "to", Profile.LINEAR: "to", Profile.SPIKE: "peak", Profile.SOAK: "calls"}
CAUSES: Final = ("join_p95", "min_pass_rate", "capacity")


def ramp_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Keys of another profile, keys that are missing, levels that do not rise or that the limits do not allow."""
    ramp = data.get("ramp")
    named = ramp.get("profile") if isinstance(ramp, Mapping) else None
    if not isinstance(ramp, Mapping) or not isinstance(named, str) or named not in set(Profile):
        return
    profile = Profile(named)
    yield from _key_findings(ramp, profile)
    yield from _level_findings(data, ramp, profile)
    yield from _stop_findings(ramp.get("stop"))


def _key_findings(ramp: Mapping[str, Any], profile: Profile) -> Iterator[Finding]:
    known = {key for keys in KEYS.values() for key in keys}
    for key in ramp:
        if key in known and key not in KEYS[profile]:
            takers = " and ".join(other.value for other in Profile if key in KEYS[other])
            message = f"is a key of profile {takers}, not of {profile.value}"
            remedy = f"leave it out; {profile.value} takes {', '.join(KEYS[profile])}"
            yield Finding(place=("ramp", key), message=message, remedy=remedy)
    for key, example in KEYS[profile].items():
        if key not in ramp:
            message = f"is missing: profile {profile.value} asks for it"
            yield Finding(place=("ramp", key), message=message, remedy=f"add {example}")


def _level_findings(data: Mapping[str, Any], ramp: Mapping[str, Any], profile: Profile) -> Iterator[Finding]:
    key = HIGHEST[profile]
    highest, lowest = _whole(ramp.get(key)), _whole(ramp.get(LOWEST.get(profile, "")))
    if highest is None:
        return
    if lowest is not None and lowest >= highest:
        message = f"must be more than {LOWEST[profile]}, which is {lowest}, not {highest}"
        remedy = f"raise it, or hold one level: profile: soak, calls: {lowest}"
        yield Finding(place=("ramp", key), message=message, remedy=remedy)
    for name, limit in _limits(data):
        if max(highest, lowest or 0) > limit:
            message = f"reaches {max(highest, lowest or 0)} calls at once, more than {name} ({limit})"
            yield Finding(place=("ramp", key), message=message, remedy=f"lower it to {limit}, or raise {name}")


def _limits(data: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The limits of the plan by name, where their section can be read."""
    try:
        limits = LimitsSection.model_validate(data.get("limits", {}))
    except ValidationError:
        return
    yield "limits.concurrency", limits.concurrency
    if limits.calls is not None:
        yield "limits.calls", limits.calls


def _stop_findings(stop: Any) -> Iterator[Finding]:
    if (
        isinstance(stop, Mapping)
        and set(stop) <= {*CAUSES, "after"}
        and all(stop.get(cause) is None for cause in CAUSES)
    ):
        message = f"names no cause: {', '.join(CAUSES)}"
        yield Finding(place=("ramp", "stop"), message=message, remedy="add join_p95: 20, or leave stop out")


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def ramp_of(section: RampSection) -> Ramp:
    """A checked section as a value."""
    profile = Profile(section.profile)
    highest = section.highest or section.peak or section.calls or 1
    return Ramp(
        profile=profile,
        lowest=section.lowest or section.base or highest,
        highest=highest,
        step=section.step or 1,
        seconds=section.every or section.over or section.after or 0.0,
        lasting=section.lasting or 0.0,
        stop=None if section.stop is None else _stop_of(section.stop),
    )


def _stop_of(section: StopSection) -> StopRule:
    return StopRule(
        join_p95=section.join_p95,
        min_pass_rate=section.min_pass_rate,
        capacity=section.capacity,
        after=section.after,
    )


def ramp_warnings(plan: Plan) -> Iterator[str]:
    """What a ramp cannot do with these runs."""
    if plan.ramp is not None and plan.run_count < plan.ramp.highest:
        yield (
            f"the ramp reaches {plan.ramp.highest} calls at once, and the plan has only {plan.run_count} runs: raise"
            " repeat, so that there are enough for every level."
        )
