"""What one POST of an automated channel asks for: a portion of a plan's runs, under a name that no other has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orchestrator.domain.channel import Channel
from orchestrator.domain.observation import AutomatedScenario, AutomatedSubmission
from orchestrator.domain.plan import AutomatedSpec, Plan
from orchestrator.domain.run import Run
from orchestrator.domain.submission import Portion
from orchestrator.plans import render_run
from orchestrator.plans.channels import MOST_FREQUENT
from orchestrator.plans.section import MAX_RUNS


def submission_name(plan: Plan, *, batch_id: str, submission_id: str) -> str:
    """What Cekura's result of this submission is called; a lost answer is found by it."""
    return f"{plan.result_name or plan.name} {batch_id} {submission_id}"


def most_frequent(channel: Channel) -> int:
    """How often one request may have each scenario called."""
    return MAX_RUNS if channel is Channel.VOICE else MOST_FREQUENT


def automated_request(
    plan: Plan, portion: Portion, runs: Iterable[Run], *, name: str, calls: int | None, environ: Mapping[str, str]
) -> AutomatedSubmission:
    """The request that carries `portion`, whose `runs` these are; `calls` of them at once."""
    asked = plan.automated or AutomatedSpec()
    return AutomatedSubmission(
        channel=plan.channel,
        name=name,
        cekura_agent_id=plan.cekura_agent_id,
        scenarios=tuple(_scenarios(plan, runs, environ)),
        frequency=portion.frequency,
        personality_id=portion.personality_id,
        test_profile_id=portion.test_profile_id,
        calls=calls,
        mock_tool_names=plan.mock_tool_names,
        agent_data=asked.agent_data,
        assistant_id=asked.assistant_id,
        outbound_phone_number=asked.outbound_phone_number,
        agent_number=asked.agent_number,
        number_mode=asked.number_mode,
    )


def _scenarios(plan: Plan, runs: Iterable[Run], environ: Mapping[str, str]) -> Iterator[AutomatedScenario]:
    """Each scenario once, with its message; what a template could read of one run is refused in such plans."""
    of_scenario: dict[int, Run] = {}
    for run in runs:
        of_scenario.setdefault(run.scenario_id, run)
    for scenario_id, run in of_scenario.items():
        rendered = render_run(
            plan,
            scenario=plan.scenarios[run.scenario_position],
            run_id=run.run_id,
            run_index=run.index,
            batch_id=run.batch_id,
            environ=environ,
        )
        yield AutomatedScenario(
            scenario_id=scenario_id,
            publish_data_message=rendered.publish_data_message,
            has_data_message=rendered.has_data_message,
        )
