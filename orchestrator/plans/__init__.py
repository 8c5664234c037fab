"""Plans: what a person writes, read completely and checked completely before anything is started.

    load_plan            a file, overrides and the environment -> LoadedPlan, or InvalidPlan with every problem
    plan_from_text, plan_from_data   the same from YAML text, or from data that came as JSON
    plan_document        a plan as JSON, to keep; plan_from_document reads it back on resume
    render_run           one run's start body and data message
    load_service         a service file and its plans -> ServiceFile, or InvalidPlan with every problem
    schedule_document    a schedule as JSON, to keep; schedule_from_document reads it back; schedule_from_mapping takes
                         one that came as JSON, its plan inline. The same for pools.
    next_fires           when a schedule is due (fires_between, occurrence)
    new_batch            a batch and its runs, ready to be committed
    expand, estimate     the runs in order; time and money
    room_seconds         how long each room must live
    json_schema          the published schema

Names are resolved when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orchestrator.plans.calendar import fires_between, next_fires, occurrence
    from orchestrator.plans.creation import new_batch
    from orchestrator.plans.document import plan_document, plan_from_document
    from orchestrator.plans.estimation import Estimate, PlannedRun, estimate, expand
    from orchestrator.plans.loading import LoadedPlan, load_plan, plan_from_data, plan_from_text
    from orchestrator.plans.pools import pool_document, pool_from_document, pool_from_mapping
    from orchestrator.plans.rendering import RenderedRun, check_variables, render_run
    from orchestrator.plans.rooms import room_seconds
    from orchestrator.plans.schedules import schedule_document, schedule_from_document, schedule_from_mapping
    from orchestrator.plans.schema import json_schema, service_json_schema
    from orchestrator.plans.service import ServiceFile, load_service

__all__ = [
    "Estimate",
    "LoadedPlan",
    "PlannedRun",
    "RenderedRun",
    "ServiceFile",
    "check_variables",
    "estimate",
    "expand",
    "fires_between",
    "json_schema",
    "load_plan",
    "load_service",
    "new_batch",
    "next_fires",
    "occurrence",
    "plan_document",
    "plan_from_data",
    "plan_from_document",
    "plan_from_text",
    "pool_document",
    "pool_from_document",
    "pool_from_mapping",
    "render_run",
    "room_seconds",
    "schedule_document",
    "schedule_from_document",
    "schedule_from_mapping",
    "service_json_schema",
]

_HOMES: Final = {
    "Estimate": "estimation",
    "LoadedPlan": "loading",
    "PlannedRun": "estimation",
    "RenderedRun": "rendering",
    "ServiceFile": "service",
    "check_variables": "rendering",
    "estimate": "estimation",
    "expand": "estimation",
    "fires_between": "calendar",
    "json_schema": "schema",
    "load_plan": "loading",
    "load_service": "service",
    "new_batch": "creation",
    "next_fires": "calendar",
    "occurrence": "calendar",
    "plan_document": "document",
    "plan_from_data": "loading",
    "plan_from_document": "document",
    "plan_from_text": "loading",
    "pool_document": "pools",
    "pool_from_document": "pools",
    "pool_from_mapping": "pools",
    "render_run": "rendering",
    "room_seconds": "rooms",
    "schedule_document": "schedules",
    "schedule_from_document": "schedules",
    "schedule_from_mapping": "schedules",
    "service_json_schema": "schema",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
