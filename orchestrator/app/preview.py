"""What a plan would do, as one document: runs in order, what each bot is given, rules in words, time and money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from orchestrator.domain.plan import Plan, ScenarioSelection
from orchestrator.domain.ramp import Ramp, levels, ramp_text, stop_text
from orchestrator.plans import LoadedPlan, PlannedRun, estimate, expand, render_run, room_seconds
from orchestrator.plans.estimation import arithmetic, calls_at_once
from orchestrator.plans.importing import BATCH_ID
from orchestrator.plans.rendering import json_size

MOST_LEVELS: Final = 20
SHOWN_VALUE: Final = "(from the environment)"


def plan_preview(loaded: LoadedPlan, *, most_bytes: int | None = None) -> dict[str, Any]:
    """The plan as JSON: `plan`, `runs` with what each bot and room would be given, `rules`, `ramp` (null without
    one), `estimate`, `warnings`.

    Ids are placeholders, and what a template takes from the environment is not shown: it may be a secret. With
    `most_bytes`, runs that no longer fit are left out, and `runs_left_out` counts them. `selected_at_run` names the
    entries of which nobody knows yet what they select: then there are more runs than are shown, and no estimate.
    """
    planned = expand(loaded.plan)
    shown = list(_runs_within(loaded.plan, planned, most_bytes))
    left_out = {} if most_bytes is None else {"runs_left_out": len(planned) - len(shown)}
    return {
        "plan": loaded.document,
        "digest": loaded.plan.digest,
        "runs": shown,
        **left_out,
        **({"selected_at_run": list(map(_selection, loaded.plan.selections))} if loaded.plan.selections else {}),
        "rules": rules(loaded.plan),
        "arithmetic": arithmetic(loaded.plan),
        "ramp": None if loaded.plan.ramp is None else _ramp(loaded.plan.ramp),
        "estimate": _estimate(loaded.plan),
        "warnings": [*loaded.warnings, *_unknown(loaded.plan)],
    }


def _selection(one: ScenarioSelection) -> dict[str, Any]:
    return {
        "entry": one.entry,
        "tags": list(one.tags),
        "tag_filter": one.tag_filter,
        "folder_path": one.folder_path,
        "project_id": one.project_id,
    }


def _estimate(plan: Plan) -> dict[str, Any] | None:
    """Time and money; None while nobody knows how many runs there will be."""
    return None if plan.selections else {**asdict(estimate(plan)), **_rooms(plan)}


def _unknown(plan: Plan) -> Iterator[str]:
    """What only Cekura could say, and was not asked."""
    for one in plan.selections:
        yield (
            f"scenarios.{one.entry} is selected when the batch begins ({one.label}): how many scenarios that is, and"
            " so what the batch takes, is not known without CEKURA_API_KEY."
        )
    if plan.profiles_due:
        yield "what test profiles hold is merged into the bodies when the batch begins; it is not shown here."


def _rooms(plan: Plan) -> dict[str, float]:
    """How long our rooms live; an automated channel has none of ours."""
    return {} if plan.channel.automated else {"room_seconds": room_seconds(plan)}


def _runs_within(plan: Plan, planned: Sequence[PlannedRun], most_bytes: int | None) -> Iterator[dict[str, Any]]:
    masked = dict.fromkeys(plan.env_names, SHOWN_VALUE)
    room = most_bytes
    for one in planned:
        run = _run(plan, one, masked)
        if room is not None:
            room -= json_size(run)
            if room < 0:
                return
        yield run


def _run(plan: Plan, planned: PlannedRun, environ: Mapping[str, str]) -> dict[str, Any]:
    rendered = render_run(
        plan,
        scenario=planned.scenario,
        run_id=f"{BATCH_ID}-{planned.index:03d}",
        run_index=planned.index,
        batch_id=BATCH_ID,
        environ=environ,
    )
    message = {"publish_data_message": rendered.publish_data_message} if rendered.has_data_message else {}
    run = {"index": planned.index, "scenario": planned.scenario.scenario_id, **message}
    if plan.channel.automated:
        return {**run, "personality_id": planned.personality_id, "test_profile_id": planned.test_profile_id}
    return {**run, "matrix": planned.scenario.cell, "body": rendered.body}


def rules(plan: Plan) -> list[str]:
    """What a person may want to know of how the batch will be driven, one sentence each."""
    gate = plan.gate
    mocked = plan.mock_tool_names
    tools = "every configured tool" if mocked is None else (", ".join(mocked) or "no tool")
    return [
        *(_of_automated(plan) if plan.channel.automated else _of_sessions(plan)),
        f"Cekura mocks {tools}",
        f"the gate asks for {gate.min_pass_rate:.1%} of conclusive runs; {gate.max_inconclusive} may be inconclusive",
    ]


def _of_automated(plan: Plan) -> list[str]:
    timeouts, at_once = plan.timeouts, calls_at_once(plan)
    return [
        f"Cekura starts and ends the sessions (channel {plan.channel.value}), at most {at_once} calls at once",
        f"a call has {timeouts.run:g} s from its beginning; its verdict {timeouts.judge:g} s from the call's end",
        f"where infrastructure fails a run, it is submitted anew; so many times: {plan.infrastructure_retries}",
    ]


def _of_sessions(plan: Plan) -> list[str]:
    limits, timeouts = plan.limits, plan.timeouts
    return [
        (
            f"at most {limits.concurrency} sessions and {limits.calls} calls at once, {limits.starts_per_second:g}"
            f" starts a second; a call slot frees: {limits.call_slot_until.value}"
        ),
        *_ahead(plan),
        *_ramped(plan),
        f"a bot counts as ready by {', '.join(plan.readiness.evidence)}, within {timeouts.ready:g} s of its start",
        f"a call has {timeouts.run:g} s from its submission; its verdict {timeouts.judge:g} s from the call's end",
        f"where infrastructure fails a run, it gets a new session; so many times: {plan.infrastructure_retries}",
    ]


def _ahead(plan: Plan) -> list[str]:
    """Whether bots will be ready when call slots free; nothing where every run has a slot, or a ramp bounds both."""
    if plan.run_count <= plan.limits.calls or plan.ramp is not None:
        return []
    if plan.limits.concurrency <= plan.limits.calls:
        spare = "a limits.concurrency a third above limits.calls lets bots be ready as slots free"
        return [f"no session is to spare beyond the calls, so each call slot waits for its next bot; {spare}"]
    return [f"sessions are started ahead of the call slots that are about to free; prefer: {plan.prefer.value}"]


def _ramped(plan: Plan) -> list[str]:
    """The ramp in words, and when it is stopped."""
    ramp = plan.ramp
    if ramp is None:
        return []
    bound = f"a ramp bounds the calls, bots on their way to one included: {ramp_text(ramp)}"
    return [bound, *([f"the ramp is {stop_text(ramp.stop)}"] if ramp.stop is not None else [])]


def _ramp(ramp: Ramp) -> dict[str, Any]:
    """The ramp as a table: from which second on how many calls at once; of many levels, some, the last among them."""
    known = levels(ramp)
    apart = -(-len(known) // MOST_LEVELS)
    shown = [*known[:-1:apart], known[-1]]
    return {
        "profile": ramp.profile.value,
        "levels": [{"from_second": round(at, 1), "calls": calls} for at, calls in shown],
        "levels_left_out": len(known) - len(shown),
    }
