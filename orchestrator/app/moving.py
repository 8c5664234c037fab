"""Moving between Cekura's flows: what the automated one would be asked to do what a plan does, and back.

A plan for sessions of ours says more than a request to Cekura can: what each run is given of its own, and agents that
Pipecat Cloud does not host. What is not carried is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.app.preview import SHOWN_VALUE
from orchestrator.clients.cekura import V1, CekuraClient
from orchestrator.clients.cekura_automated import automated_body, automated_endpoint
from orchestrator.clock import Clock
from orchestrator.domain.channel import Channel
from orchestrator.domain.observation import AutomatedScenario, AutomatedSubmission
from orchestrator.domain.plan import AgentKind, Plan
from orchestrator.domain.run import Run
from orchestrator.domain.submission import plan_portions
from orchestrator.engine.automated_request import automated_request, most_frequent, submission_name
from orchestrator.plans import expand, render_run
from orchestrator.plans.channels import OF_ONE_RUN
from orchestrator.plans.estimation import calls_at_once
from orchestrator.plans.finding import dotted
from orchestrator.plans.importing import BATCH_ID, NAME_PLACEHOLDERS
from orchestrator.plans.rendering import merged
from orchestrator.plans.template import ENV_PREFIX, names_in
from orchestrator.settings import Settings

BATCH_TEMPLATE: Final = "batch.id"


async def scenarios_of_agent(settings: Settings, cekura_agent_id: int, *, clock: Clock) -> list[tuple[int, str]]:
    """Id and name of every scenario of an agent. Only reads: may be repeated, a lost answer means nothing."""
    client = CekuraClient.open(settings, clock=clock)
    try:
        found = await client.list_scenarios(cekura_agent_id=cekura_agent_id, project_id=None)
    finally:
        await client.aclose()
    return [(one.scenario_id, one.name) for one in found]


def as_automated(plan: Plan) -> dict[str, Any]:
    """The requests that the automated flow needs, as JSON: `requests` (method, path, body) and `notes`.

    A plan of an automated channel shows what is posted for it, with placeholders for ids; any other what Pipecat v2
    would be asked. What a template takes from the environment is not shown: it may be a secret.
    """
    notes = [*_of_placeholders(plan), *_of_what_cekura_has(plan)]
    asked = _posted(plan, notes) if plan.channel.automated else _translated(plan, notes)
    requests = [_document(submission) for submission in asked]
    if len(requests) > 1:
        notes.append(
            f"these are {len(requests)} requests: each has one agent's data and one frequency for all of its scenarios;"
            " concurrency_limit bounds each by itself, so wait for one to end before the next"
        )
    return {"requests": requests, "notes": notes}


def _document(submission: AutomatedSubmission) -> dict[str, Any]:
    path = f"{V1}/scenarios/{automated_endpoint(submission.channel)}/"
    return {"method": "POST", "path": path, "body": automated_body(submission)}


def _masked(plan: Plan) -> Mapping[str, str]:
    return dict.fromkeys(plan.env_names, SHOWN_VALUE)


def _of_placeholders(plan: Plan) -> Iterator[str]:
    entries = [part for one in plan.scenarios for part in (one.body, one.publish_data_message)]
    read = {name for text in (plan.agent.body, *entries) for _, name in names_in(text, ())}
    variables = sorted(name.removeprefix(ENV_PREFIX) for name in read if name.startswith(ENV_PREFIX))
    if variables:
        yield f"{SHOWN_VALUE} stands for the value of {', '.join(variables)}: it may be a secret; put it in by hand"
    if BATCH_TEMPLATE in read:
        yield f"{BATCH_ID} stands for the id of a batch, which no request by itself has"


def _of_what_cekura_has(plan: Plan) -> Iterator[str]:
    for one in plan.selections:
        yield f"scenarios.{one.entry} is left out: what it selects ({one.label}) is not known without CEKURA_API_KEY"
    if plan.profiles_due or any(one.profile for one in plan.scenarios):
        yield "what test profiles hold is left out: the automated flow merges it into what the bot gets by itself"


# --- a plan of an automated channel -----------------------------------------------------------------------------------


def _posted(plan: Plan, notes: list[str]) -> Iterator[AutomatedSubmission]:
    """What the engine posts, were every call of the plan's free."""
    notes.append(f"{NAME_PLACEHOLDERS.strip()} stands for the ids that each submission's name ends with")
    name = submission_name(plan, batch_id="", submission_id="").strip() + NAME_PLACEHOLDERS
    runs = {run.run_id: run for run in _runs(plan)}
    for portion in plan_portions(runs.values(), most_frequent=most_frequent(plan.channel)):
        carried = [runs[run_id] for run_id in portion.run_ids]
        calls = min(calls_at_once(plan), len(carried))
        yield automated_request(plan, portion, carried, name=name, calls=calls, environ=_masked(plan))


def _runs(plan: Plan) -> Iterator[Run]:
    for planned in expand(plan):
        yield Run(
            run_id=f"{BATCH_ID}-{planned.index:03d}",
            batch_id=BATCH_ID,
            index=planned.index,
            scenario_id=planned.scenario.scenario_id,
            scenario_position=planned.scenario_position,
            personality_id=planned.personality_id,
            test_profile_id=planned.test_profile_id,
        )


# --- a plan for sessions of ours --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sheet:
    """What requests can carry together: one body for the bot, each scenario with one message."""

    body: dict[str, Any]
    messages: dict[int, AutomatedScenario] = field(default_factory=dict)
    positions: set[int] = field(default_factory=set)

    def takes(self, body: Mapping[str, Any], scenario: AutomatedScenario) -> bool:
        known = self.messages.get(scenario.scenario_id, scenario)
        return _same(self.body, body) and _same(_message(known), _message(scenario))

    def add(self, position: int, scenario: AutomatedScenario) -> None:
        self.messages[scenario.scenario_id] = scenario
        self.positions.add(position)


def _translated(plan: Plan, notes: list[str]) -> list[AutomatedSubmission]:
    sheets: list[_Sheet] = []
    for position in range(len(plan.scenarios)):
        body, scenario = _rendered(plan, position, notes)
        sheet = next((one for one in sheets if one.takes(body, scenario)), None)
        if sheet is None:
            sheet = _Sheet(body=body)
            sheets.append(sheet)
        sheet.add(position, scenario)
    notes += _of_agent(plan)
    return [submission for sheet in sheets for submission in _submissions(plan, sheet)]


def _submissions(plan: Plan, sheet: _Sheet) -> Iterator[AutomatedSubmission]:
    carried = (run for run in _runs(plan) if run.scenario_position in sheet.positions)
    for portion in plan_portions(carried, most_frequent=most_frequent(Channel.PIPECAT_V2)):
        yield AutomatedSubmission(
            channel=Channel.PIPECAT_V2,
            name=plan.result_name or plan.name,
            cekura_agent_id=plan.cekura_agent_id,
            scenarios=tuple(sheet.messages[scenario_id] for scenario_id in portion.scenario_ids),
            frequency=portion.frequency,
            personality_id=None,
            test_profile_id=None,
            calls=calls_at_once(plan),
            mock_tool_names=plan.mock_tool_names,
            agent_data=_agent_data(plan, sheet.body),
        )


def _agent_data(plan: Plan, body: dict[str, Any]) -> dict[str, Any] | None:
    hosted = plan.agent.kind is AgentKind.PIPECAT_CLOUD
    data = {
        "pipecat_agent_name": plan.agent.name if hosted else None,
        "config": body,
        "room_properties": dict(plan.agent.room_properties),
    }
    return {key: value for key, value in data.items() if value} or None


def _rendered(plan: Plan, position: int, notes: list[str]) -> tuple[dict[str, Any], AutomatedScenario]:
    """What the runs of one entry have in common; a note for each part that is of one run."""
    entry = plan.scenarios[position]
    body = merged(plan.agent.body, entry.body)
    kept = {key: value for key, value in body.items() if not _of_one_run(value, ("body", key), position, notes)}
    own_message = _of_one_run(entry.publish_data_message, ("publish_data_message",), position, notes)
    said = entry.has_data_message and not own_message
    common = replace(
        entry,
        body=kept,
        profile={},  # Cekura's to merge
        publish_data_message=entry.publish_data_message if said else None,
        has_data_message=said,
    )
    rendered = render_run(
        replace(plan, agent=replace(plan.agent, body={})),
        scenario=common,
        run_id=BATCH_ID,
        run_index=0,
        batch_id=BATCH_ID,
        environ=_masked(plan),
    )
    return rendered.body, AutomatedScenario(
        scenario_id=entry.scenario_id, publish_data_message=rendered.publish_data_message, has_data_message=said
    )


def _of_one_run(value: Any, key: tuple[str, ...], position: int, notes: list[str]) -> bool:
    names = sorted({name for _, name in names_in(value, ()) if name in OF_ONE_RUN})
    if names:
        what = f"scenarios.{position}: {dotted(key)}"
        read = " and ".join(f"{{{{ {name} }}}}" for name in names)
        notes.append(
            f"{what} is left out: it reads {read}, and the automated flow gives all runs of a request the same"
        )
    return bool(names)


def _of_agent(plan: Plan) -> Iterator[str]:
    agent = plan.agent
    if agent.kind is AgentKind.PIPECAT_RUNNER:
        yield (
            "the automated flow reaches agents on Pipecat Cloud only, and this plan's is on a runner: deploy it there,"
            " and add its name as pipecat_data.pipecat_agent_name, or save it with the agent at Cekura"
        )
    else:
        yield "Cekura starts the sessions: it needs the agent's Pipecat Cloud key, saved with its agent or project"
    if agent.token_properties:
        yield "agent.token_properties are left out: the automated flow takes none"
    if agent.pool:
        yield "agent.pool is left out: warm sessions of a pool are ours"


def _message(scenario: AutomatedScenario) -> Any:
    return [scenario.has_data_message, scenario.publish_data_message]


def _same(one: Any, other: Any) -> bool:
    """As JSON: 1 and true are not the same there."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
