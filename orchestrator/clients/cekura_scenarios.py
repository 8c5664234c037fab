"""Cekura's scenario and agent objects as values, and the query that selects scenarios.

Source: Cekura's OpenAPI (`ScenarioList`, `AIAgentTestProfile`, `AIAgentV2`). A test profile's `information` is any JSON
there; the guide of the automated Pipecat flow describes the sections, of which `main_agent_variables` is the bot's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from orchestrator.clients.refusal import plain
from orchestrator.clients.wire import flag, id_of, list_of, object_of, record_of, text_of, whole_number
from orchestrator.domain.observation import CekuraAgent, Json, ScenarioRecord

TagFilter = Literal["and", "or", "not"]
SCENARIO_PAGE: Final = 100
MOST_SCENARIO_PAGES: Final = 50


def selection(
    *,
    cekura_agent_id: int | None,
    project_id: int | None,
    tags: Sequence[str],
    tag_filter: TagFilter,
    folder_path: str | None,
) -> dict[str, str | int]:
    """The query that selects scenarios; ValueError for a tag with a comma, which would be asked for as two."""
    divided = [tag for tag in tags if "," in tag]
    if divided:
        raise ValueError(f"Cekura takes tags as one list with commas: none may hold one itself, as {divided[0]!r} does")
    asked = {
        "agent_id": cekura_agent_id,
        "project_id": project_id,
        "tags": ",".join(tags) or None,
        "tag_filter_type": tag_filter if tags else None,
        "folder_path": folder_path,  # the empty path is a folder too: what lies in none
    }
    return {key: value for key, value in asked.items() if value is not None}


def scenario_record(body: Mapping[str, Any]) -> ScenarioRecord | None:
    """One scenario; None where it has no id."""
    scenario_id = whole_number(body.get("id"))
    if scenario_id is None:
        return None
    profile = object_of(body.get("test_profile_data"))
    folder = body.get("folder_path")
    return ScenarioRecord(
        scenario_id=scenario_id,
        name=plain(text_of(body.get("name"))),
        tags=tuple(tag for tag in map(text_of, list_of(body.get("tags"))) if tag),
        folder_path=text_of(folder) if isinstance(folder, str) else None,
        cekura_agent_id=id_of(body.get("agent")),
        test_profile_id=id_of(body.get("test_profile")) or id_of(profile),
        main_agent_variables=_main_agent_variables(profile),
    )


def cekura_agent(body: Mapping[str, Any]) -> CekuraAgent | None:
    """One agent; None where it has no id."""
    agent_id = whole_number(body.get("id"))
    if agent_id is None:
        return None
    personalities = map(id_of, list_of(body.get("enabled_personalities")))
    return CekuraAgent(
        cekura_agent_id=agent_id,
        name=plain(text_of(body.get("name"))),
        provider=text_of(record_of(body.get("provider")).get("type")),
        inbound=flag(record_of(body.get("telephony")).get("inbound")),
        enabled_personalities=tuple(found for found in personalities if found is not None),
        project_id=id_of(body.get("project")),
    )


def _main_agent_variables(profile: Mapping[str, Any]) -> Json:
    """The bot's section of a profile; a profile of the old flat shape has none."""
    return record_of(object_of(profile.get("information")).get("main_agent_variables"))
