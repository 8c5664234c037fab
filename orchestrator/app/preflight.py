"""What can be known before anything is paid for: keys of the right kind that are accepted, an agent that is there.

Every check only reads. What only a paid start can prove is proven by the first start, alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clients.pipecat_runner import PipecatRunnerClient
from orchestrator.domain.address import is_loopback
from orchestrator.domain.errors import InvalidSettings, RemoteAuthFailed, RemoteNotFound, RemoteUnavailable
from orchestrator.domain.plan import AgentKind, Plan
from orchestrator.engine.remotes import Remotes
from orchestrator.settings import Settings

PUBLIC_PREFIX: Final = "pk_"


def check_keys(plan: Plan, settings: Settings) -> list[str]:
    """Refuse keys that are missing or of the wrong kind (InvalidSettings); returns what a person should know."""
    if settings.cekura_api_key is None:
        raise InvalidSettings(
            "CEKURA_API_KEY is missing: Cekura's key, which places the calls and reads their verdicts"
        )
    return check_pipecat_keys(plan, settings) if plan.agent.kind is AgentKind.PIPECAT_CLOUD else []


def check_pipecat_keys(plan: Plan, settings: Settings) -> list[str]:
    """The two kinds of Pipecat Cloud key never swap places."""
    public, private = settings.pipecat_public_key, settings.pipecat_private_key
    if public is None:
        raise InvalidSettings(
            "PIPECAT_CLOUD_API_KEY is missing: Pipecat Cloud's public key (pk_...), which starts sessions"
        )
    if not public.reveal().startswith(PUBLIC_PREFIX):
        raise InvalidSettings(
            "PIPECAT_CLOUD_API_KEY does not hold a public key: those begin with pk_, and start sessions",
            next_step="Put the public key there, and the private one in PIPECAT_CLOUD_PRIVATE_KEY.",
        )
    if private is not None and private.reveal().startswith(PUBLIC_PREFIX):
        raise InvalidSettings(
            "PIPECAT_CLOUD_PRIVATE_KEY holds a public key (pk_...): the private one lists and stops sessions",
            next_step="Create a private key in Pipecat Cloud's dashboard and put it there.",
        )
    return _without_private_key(plan) if private is None else []


def _without_private_key(plan: Plan) -> list[str]:
    if plan.run_count > plan.limits.concurrency:
        raise InvalidSettings(
            "PIPECAT_CLOUD_PRIVATE_KEY is missing: without it sessions can be neither stopped nor seen to end, so each "
            f"holds its place for its whole limit (2 h by default), and this plan's {plan.run_count} runs do not fit "
            f"into {plan.limits.concurrency} places",
            next_step="Set it, or plan no more runs than limits.concurrency.",
        )
    return [
        "PIPECAT_CLOUD_PRIVATE_KEY is missing: sessions cannot be stopped; Pipecat Cloud's session limit bounds each"
    ]


def check_time_scale(settings: Settings, *, agent_url: str | None = None, asked_by: str = "--time-scale") -> None:
    """Refuse to hurry where a remote is real: durations may be divided only if every address is on loopback.

    `asked_by` is what the caller wrote to ask for it.
    """
    addresses = {
        "CEKURA_API_URL": settings.cekura_api_url,
        "PIPECAT_API_HOST": settings.pipecat_api_host,
        "DAILY_API_URL": settings.daily_api_url,
    }
    if agent_url is not None:
        addresses["agent.url"] = agent_url
    real = [name for name, url in addresses.items() if not is_loopback(urlsplit(url).hostname or "")]
    if real:
        raise InvalidSettings(
            f"{asked_by} is for a sandbox on this machine, but {', '.join(real)} points elsewhere",
            next_step=f"Leave {asked_by} out, or paste the export lines that `orchestrator sandbox` prints.",
        )


async def check_remotes(plan: Plan, remotes: Remotes) -> None:
    """Ask each remote the cheapest question that proves its key; InvalidSettings names the one that failed."""
    try:
        await remotes.cekura.list_results(cekura_agent_id=plan.cekura_agent_id, since=datetime.now(UTC))
        if plan.channel.automated:
            await _check_cekura_agent(plan, remotes)
            return
        agent = remotes.agent(plan.agent.kind, plan.agent.address)
        if isinstance(agent, PipecatCloudClient) and agent.observable:
            await agent.get_agent()
        elif isinstance(agent, PipecatRunnerClient):
            await _check_runner(agent, plan)
    except (RemoteAuthFailed, RemoteNotFound) as error:
        raise InvalidSettings(str(error), next_step=error.next_step) from error


async def _check_cekura_agent(plan: Plan, remotes: Remotes) -> None:
    """Whether the agent is there; what its channel asks of it, Cekura checks itself at the first submission."""
    if plan.cekura_agent_id is not None:
        await remotes.cekura.get_cekura_agent(plan.cekura_agent_id)


async def _check_runner(agent: PipecatRunnerClient, plan: Plan) -> None:
    try:
        transports = await agent.get_status()
    except RemoteUnavailable as error:
        raise InvalidSettings(
            f"the runner at {plan.agent.address} does not answer ({error.detail})",
            next_step="Start it (`python bot.py -t daily`) or correct agent.url.",
        ) from error
    if "daily" not in transports:
        raise InvalidSettings(
            f"the runner at {plan.agent.address} serves {', '.join(transports) or 'nothing'}, not daily",
            next_step="Start it with `-t daily`.",
        )
