"""Cekura's wire shapes of what stands in the catalogue: scenarios, folders and agents.

Types follow `ScenarioList` and `AIAgentV2` of its OpenAPI file; what the file types beyond use is left out.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.sandbox.catalogue import PERSONALITIES, PROFILES, Agent, Scenario, agent_name, project_of
from orchestrator.sandbox.clock import iso

OUTCOME: Final = "The agent resolves the request."
LONGEST_CALL: Final = 600


def scenario_document(scenario: Scenario, made_at: float) -> dict[str, Any]:
    """One item of the scenario list."""
    profile = PROFILES[scenario.profile] if scenario.profile is not None else None
    moment = iso(made_at)
    document: dict[str, Any] = {
        "id": scenario.id,
        "name": scenario.name,
        "personality": scenario.personality,
        "personality_name": PERSONALITIES[scenario.personality],
        "agent": scenario.agent,
        "agent_name": agent_name(scenario.agent),
        "project": project_of(scenario.agent),
        "phone_number": "",
        "expected_outcome_prompt": OUTCOME,
        "instructions": f"Act out: {scenario.name}.",
        "scenario_language": "en",
        "scenario_type": "instruction",
        "tags": list(scenario.tags),
        "first_message": "Hello",
        "tool_ids": ["TOOL_END_CALL"],
        "max_duration": LONGEST_CALL,
        "test_profile": scenario.profile,
        "folder_path": scenario.folder or None,
        "created_at": moment,
        "updated_at": moment,
    }
    if profile is not None:
        document["test_profile_data"] = {**profile.shown(), "project": project_of(scenario.agent), "agent": None}
    return document


def folder_document(path: str) -> dict[str, Any]:
    """One folder of a project."""
    return {"name": path.rsplit(".", 1)[-1], "path": path}


def agent_document(agent: Agent, made_at: float) -> dict[str, Any]:
    """An agent without its secrets; its `credentials` are null where no key is stored."""
    moment = iso(made_at)
    return {
        "id": agent.id,
        "name": agent.name,
        "description": f"{agent.name}: an agent of the sandbox.",
        "project": agent.project,
        "language": "en",
        "telephony": {
            "phone_number": agent.phone_number,
            "inbound": bool(agent.phone_number),
            "sip_uri": None,
            "websocket_url": None,
            "outbound_numbers": [],
        },
        "provider": {
            "type": agent.provider,
            "agent_id": agent.assistant_id or None,
            "credentials": {"config": _config(agent)} if agent.keyed else None,
            "chat_agent_details": None,
            "chat_provider": "",
        },
        "enabled_personalities": list(agent.personalities),
        "mock_tools": [],
        "mock_tools_enabled": False,
        "created_at": moment,
        "updated_at": moment,
    }


def _config(agent: Agent) -> dict[str, Any] | None:
    if agent.provider == "pipecat":
        return {"pipecat_agent_name": agent.provider_name, "config": {}, "room_properties": {}}
    if agent.provider == "livekit":
        return {"url": "wss://sandbox.livekit.invalid", "api_secret": "", "agent_name": agent.provider_name}
    return None
