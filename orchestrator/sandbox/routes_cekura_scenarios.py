"""Cekura's catalogue over its API: scenarios, tags, folders, agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from orchestrator.sandbox.catalogue import (
    AGENTS,
    Scenario,
    TagFilter,
    agent_of_assistant,
    all_folders,
    all_tags,
    scenario_of,
    select,
)
from orchestrator.sandbox.catalogue_documents import agent_document, folder_document, scenario_document
from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.edge import Adder
from orchestrator.sandbox.exchange import Answer, Asked
from orchestrator.sandbox.fields import BLANK, REQUIRED, FieldErrors, choice
from orchestrator.sandbox.pages import integer_of, paged
from orchestrator.sandbox.settings import SandboxSettings

NOT_FOUND: Final = Answer(status=404, body={"detail": "Not found."})


class CatalogueRoutes:
    """Handlers that only look at the catalogue."""

    def __init__(self, *, clock: SandboxClock, settings: SandboxSettings) -> None:
        self._made_at = clock.now()
        self._unknown = settings.unknown_scenarios

    def add_to(self, add: Adder, scenarios: str) -> None:
        """Register the paths of one family, below its path of scenarios."""
        add("scenario_list", "GET", f"{scenarios}/", self.list_scenarios)
        add("tag_list", "GET", f"{scenarios}/tags/", self.list_tags)
        add("folder_list", "GET", f"{scenarios}/folders/", self.list_folders)
        add("scenario_get", "GET", f"{scenarios}/{{id:\\d+}}/", self.get_scenario)

    def list_scenarios(self, asked: Asked) -> Answer:
        """GET scenarios: by id, one page."""
        try:
            found = _found(asked.query)
        except FieldErrors as error:
            return Answer(status=400, body=error.errors)
        found = [one for one in found if one.id not in self._unknown]
        return paged(asked, found, lambda one: scenario_document(one, self._made_at))

    def get_scenario(self, asked: Asked) -> Answer:
        """GET scenarios/{id}."""
        id_ = int(asked.parts["id"])
        if not id_ or id_ in self._unknown:
            return NOT_FOUND
        return Answer(body=scenario_document(scenario_of(id_), self._made_at))

    def list_tags(self, asked: Asked) -> Answer:  # noqa: ARG002  every handler has one signature
        """GET scenarios/tags: a list of texts (its shape is not documented)."""
        return Answer(body=all_tags())

    def list_folders(self, asked: Asked) -> Answer:
        """GET scenarios/folders: name and path of each folder of a project."""
        try:
            project = integer_of(asked.query, "project_id")
        except FieldErrors as error:
            return Answer(status=400, body=error.errors)
        if project is None:
            return Answer(status=400, body={"project_id": [REQUIRED]})
        return Answer(body=[folder_document(path) for path in all_folders(project)])

    def get_agent(self, asked: Asked) -> Answer:
        """GET aiagents/{id}."""
        agent = AGENTS.get(int(asked.parts["id"]))
        return Answer(body=agent_document(agent, self._made_at)) if agent else NOT_FOUND


def _found(query: Mapping[str, str]) -> list[Scenario]:
    errors: dict[str, Any] = {}
    for name in ("agent_id", "project_id"):
        try:
            integer_of(query, name)
        except FieldErrors as error:
            errors |= error.errors if isinstance(error.errors, dict) else {}
    errors |= {name: [BLANK] for name in ("tags", "assistant_id") if query.get(name) == ""}
    if said := choice(*get_args(TagFilter))(query.get("tag_filter_type", "or")):
        errors["tag_filter_type"] = said
    if errors:
        raise FieldErrors(errors)
    return _selected(query)


def _selected(query: Mapping[str, str]) -> list[Scenario]:
    agent = integer_of(query, "agent_id")
    if "assistant_id" in query:
        assistant = agent_of_assistant(query["assistant_id"])
        if assistant is None or agent not in {None, assistant.id}:
            return []
        agent = assistant.id
    word = query.get("tag_filter_type", "or")
    return select(
        agent=agent,
        project=integer_of(query, "project_id"),
        tags=tuple(tag.strip() for tag in query.get("tags", "").split(",") if tag.strip()),
        tag_filter=next(known for known in get_args(TagFilter) if known == word),
        folder=query.get("folder_path"),
    )
