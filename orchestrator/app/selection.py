"""Looks up what a plan selects, before anything is paid for: which scenarios, and what their test profiles hold.

Everything asked here only reads, may be repeated, and leaves nothing behind if we die meanwhile. What comes of it is a
plan that names every scenario: that is what `plan` shows, what is committed, and what a resumed batch goes on with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from orchestrator.clients.cekura import CekuraClient
from orchestrator.clock import Clock
from orchestrator.domain.errors import InvalidSettings, RemoteError
from orchestrator.domain.observation import ScenarioRecord
from orchestrator.domain.plan import Plan, ScenarioSelection, TagFilter
from orchestrator.plans import LoadedPlan, plan_document
from orchestrator.plans.selections import Found, resolved_plan
from orchestrator.settings import Settings

NOTHING_STARTED: Final = "Nothing was started."


class Catalogue(Protocol):
    """Who knows the scenarios there are: Cekura's client."""

    async def list_scenarios(
        self,
        *,
        cekura_agent_id: int | None,
        project_id: int | None,
        tags: Sequence[str] = (),
        tag_filter: TagFilter = "or",
        folder_path: str | None = None,
    ) -> list[ScenarioRecord]:
        """Every scenario of the selection once."""
        ...


async def resolve(loaded: LoadedPlan, cekura: Catalogue) -> LoadedPlan:
    """The plan with every scenario named, and the document to keep of that; as it is where it names them already.

    InvalidPlan names each entry that selects nothing; RemoteError where Cekura could not be asked. Nothing was started
    in either case.
    """
    plan = loaded.plan
    if plan.resolved:
        return loaded
    try:
        selected = [await _selected(plan, selection, cekura) for selection in plan.selections]
        of_agent = await _of_agent(plan, cekura)
    except RemoteError as error:
        error.next_step = f"{NOTHING_STARTED} {error.next_step}".rstrip()
        raise
    # Thousands of scenarios with their bodies are sized and written out: not while batches are being driven.
    return await asyncio.to_thread(_resolved, loaded, Found(selected=selected, of_agent=of_agent))


def _resolved(loaded: LoadedPlan, found: Found) -> LoadedPlan:
    plan = resolved_plan(loaded.plan, found)
    return LoadedPlan(plan=plan, document=plan_document(plan), warnings=loaded.warnings)


async def _selected(plan: Plan, selection: ScenarioSelection, cekura: Catalogue) -> list[ScenarioRecord]:
    return await cekura.list_scenarios(
        cekura_agent_id=plan.cekura_agent_id,
        project_id=selection.project_id,
        tags=selection.tags,
        tag_filter=selection.tag_filter,
        folder_path=selection.folder_path,
    )


async def _of_agent(plan: Plan, cekura: Catalogue) -> Mapping[int, ScenarioRecord]:
    """The agent's scenarios, for the profiles of those that the file names itself."""
    if not (plan.profiles_due and plan.scenarios):
        return {}
    records = await cekura.list_scenarios(cekura_agent_id=plan.cekura_agent_id, project_id=None)
    return {record.scenario_id: record for record in records}


async def resolve_alone(loaded: LoadedPlan, settings: Settings, *, clock: Clock, speed: float = 1.0) -> LoadedPlan:
    """The same for a command that has no client open; InvalidSettings without CEKURA_API_KEY."""
    if loaded.plan.resolved:
        return loaded
    cekura = CekuraClient.open(settings, clock=clock, pace_scale=speed)
    try:
        return await resolve(loaded, cekura)
    finally:
        await cekura.aclose()


async def unable(loaded: LoadedPlan) -> LoadedPlan:
    """For who has no way to Cekura: a plan that names every scenario as it is, InvalidSettings for any other."""
    if loaded.plan.resolved:
        return loaded
    raise InvalidSettings(
        "Cekura is asked which scenarios the plan selects, and here is no way to it",
        next_step="Set CEKURA_API_KEY, or name the scenarios by id.",
    )
