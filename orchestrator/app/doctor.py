"""Examines keys and remotes without starting anything: what is there, what is accepted, and what is lost without it.

Every question only reads. That a public key starts sessions is the one thing that only a paid start can prove.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from orchestrator.app.preflight import PUBLIC_PREFIX
from orchestrator.clients.cekura import CekuraClient
from orchestrator.clients.daily import DailyClient, DailyDomains
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clients.pipecat_runner import PipecatRunnerClient
from orchestrator.clock import SystemClock
from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidSettings, OrchestratorError, RemoteError, RemoteNotFound
from orchestrator.domain.observation import Billing
from orchestrator.domain.plan import AgentKind, Plan
from orchestrator.plans import estimate
from orchestrator.settings import Settings

NO_AGENT: Final = "orchestrator-doctor"  # asked for where no plan names one: a 404 shows that the key was accepted
LIST_SECONDS: Final = 5.0  # a domain may hold many rooms; its first page is enough


class State(StrEnum):
    """How one finding stands."""

    OK = "ok"
    NOTE = "note"  # works, with something a person should know
    TROUBLE = "trouble"  # a run could not work


PROVIDERS: Final = {Channel.PIPECAT_V2: "pipecat", Channel.LIVEKIT_V2: "livekit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing examined; `remedy` says what to do where something is to be done."""

    name: str
    state: State
    detail: str
    remedy: str = ""


async def examine(settings: Settings, plan: Plan | None) -> list[Finding]:
    """Every finding, keys before remotes; a plan narrows what is needed to what it needs."""
    cloud = plan is None or plan.agent.kind is AgentKind.PIPECAT_CLOUD
    remotes = [_cekura(settings, plan), _daily(settings, plan)]
    if cloud:
        remotes.insert(1, _pipecat_cloud(settings, plan))
    if plan is not None and plan.agent.kind is AgentKind.PIPECAT_RUNNER:
        remotes.insert(1, _runner(settings, plan))
    answers = await asyncio.gather(*remotes)
    return [*_keys(settings, plan), *(finding for answer in answers for finding in answer)]


def could_work(findings: Sequence[Finding]) -> bool:
    """True when nothing stands in the way of a run."""
    return all(finding.state is not State.TROUBLE for finding in findings)


# --- keys ----------------------------------------------------------------------------------------------------------


def _keys(settings: Settings, plan: Plan | None) -> Iterator[Finding]:
    if settings.cekura_api_key is None:
        yield Finding(
            name="CEKURA_API_KEY",
            state=State.TROUBLE,
            detail="missing: it places the calls and reads their verdicts",
            remedy="create an API key in Cekura's dashboard (as an admin) and export it",
        )
    else:
        yield Finding(name="CEKURA_API_KEY", state=State.OK, detail="present: places calls, reads verdicts")
    if plan is None or plan.agent.kind is AgentKind.PIPECAT_CLOUD:
        yield _public_key(settings, needed=plan is not None)
        yield _private_key(settings, plan)
    yield from _daily_keys(settings)


def _public_key(settings: Settings, *, needed: bool) -> Finding:
    name, key = "PIPECAT_CLOUD_API_KEY", settings.pipecat_public_key
    if key is None:
        return Finding(
            name=name,
            state=State.TROUBLE if needed else State.NOTE,
            detail="missing: the public key starts sessions; without it only agents on a runner of yours can be tested",
            remedy="export the organisation's public key (pk_...)",
        )
    if not key.reveal().startswith(PUBLIC_PREFIX):
        return Finding(
            name=name,
            state=State.TROUBLE,
            detail="not a public key: those begin with pk_, and only they start sessions",
            remedy="put the public key here, and the private one in PIPECAT_CLOUD_PRIVATE_KEY",
        )
    return Finding(
        name=name, state=State.OK, detail="public (pk_): starts sessions; only the first start proves that it may"
    )


def _private_key(settings: Settings, plan: Plan | None) -> Finding:
    name, key = "PIPECAT_CLOUD_PRIVATE_KEY", settings.pipecat_private_key
    if key is None:
        crowded = plan is not None and plan.run_count > plan.limits.concurrency
        return Finding(
            name=name,
            state=State.TROUBLE if crowded else State.NOTE,
            detail="missing: sessions can be neither stopped nor seen to end; each bills until its bot leaves or its"
            " limit (2 h by default), and lost start answers cannot be looked up",
            remedy="create a private key in Pipecat Cloud's dashboard and export it",
        )
    if key.reveal().startswith(PUBLIC_PREFIX):
        return Finding(
            name=name,
            state=State.TROUBLE,
            detail="a public key (pk_): the private one lists and stops sessions",
            remedy="put a private key here",
        )
    return Finding(name=name, state=State.OK, detail="private: lists and stops sessions")


def _daily_keys(settings: Settings) -> Iterator[Finding]:
    if settings.daily_api_key is None and not settings.daily_keys:
        yield Finding(
            name="DAILY_API_KEY",
            state=State.NOTE,
            detail="missing: rooms end at their expiry only, bots are not seen in their rooms, and Cekura gets the"
            " session's own token instead of one minted for it",
            remedy="export a key of the Daily domain that the agent's rooms live on",
        )
    if settings.daily_api_key is not None:
        yield Finding(name="DAILY_API_KEY", state=State.OK, detail="present: sees, empties and deletes its rooms")
    for domain in settings.daily_keys:
        yield Finding(
            name=f"ORCHESTRATOR_DAILY_KEYS[{domain}]", state=State.OK, detail=f"present: the same for domain {domain}"
        )


# --- remotes -------------------------------------------------------------------------------------------------------


def _refused(name: str, error: OrchestratorError, *, state: State = State.TROUBLE) -> Finding:
    return Finding(name=name, state=state, detail=str(error), remedy=error.next_step)


async def _cekura(settings: Settings, plan: Plan | None) -> list[Finding]:
    name = f"Cekura ({settings.cekura_api_url})"
    if settings.cekura_api_key is None:
        return []
    try:
        cekura = CekuraClient.open(settings, clock=SystemClock())
    except InvalidSettings as error:
        return [_refused(name, error)]
    try:
        agent_id = plan.cekura_agent_id if plan is not None else None
        await cekura.list_results(cekura_agent_id=agent_id, since=datetime.now(UTC))
        accepted = Finding(name=name, state=State.OK, detail="answers; the key is accepted")
        return [accepted, *await _limits(cekura, plan), *await _cekura_agent(cekura, plan)]
    except RemoteError as error:
        return [_refused(name, error)]
    finally:
        await cekura.aclose()


async def _limits(cekura: CekuraClient, plan: Plan | None) -> list[Finding]:
    name = "Cekura's limits"
    try:
        billing = await cekura.billing()
    except RemoteError as error:
        return [_refused(name, error, state=State.NOTE)]
    said = f"{_figure(billing.calls_limit)} calls at once, {_figure(billing.credits_remaining)} credits left"
    too_many = _too_much(billing, plan)
    if too_many:
        return [Finding(name=name, state=State.NOTE, detail=f"{said}; {too_many}", remedy="lower limits.calls or wait")]
    return [Finding(name=name, state=State.OK, detail=said)]


async def _cekura_agent(cekura: CekuraClient, plan: Plan | None) -> list[Finding]:
    """What Cekura's own record says of an agent whose sessions Cekura is to start."""
    if plan is None or plan.automated is None or plan.cekura_agent_id is None:
        return []
    name = f"Cekura's agent {plan.cekura_agent_id}"
    try:
        agent = await cekura.get_cekura_agent(plan.cekura_agent_id)
    except RemoteError as error:
        return [_refused(name, error)]
    wanted = PROVIDERS.get(plan.channel)
    if wanted is not None and agent.provider != wanted:
        detail = f"its provider is {agent.provider or 'not set up'}, and channel {plan.channel.value} wants {wanted}"
        return [
            Finding(name=name, state=State.TROUBLE, detail=detail, remedy="connect it at Cekura, or change channel")
        ]
    missing = [one for one in plan.automated.personality_ids if one not in agent.enabled_personalities]
    if missing:
        detail = f"personalities {', '.join(map(str, missing))} are not among those enabled for it"
        return [Finding(name=name, state=State.TROUBLE, detail=detail, remedy="enable them in its project at Cekura")]
    return [Finding(name=name, state=State.OK, detail=f"{agent.name}, provider {agent.provider or 'none'}")]


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _too_much(billing: Billing, plan: Plan | None) -> str:
    if plan is None:
        return ""
    parts = []
    if billing.calls_limit is not None and plan.limits.calls > billing.calls_limit:
        parts.append(
            f"the plan's limits.calls is {plan.limits.calls}: what comes on top is queued while its bots bill, waiting"
        )
    wanted = estimate(plan).credits_low
    if billing.credits_remaining is not None and wanted > billing.credits_remaining:
        parts.append(f"the plan needs about {wanted:.0f} credits")
    return "; ".join(parts)


async def _pipecat_cloud(settings: Settings, plan: Plan | None) -> list[Finding]:
    name = f"Pipecat Cloud ({settings.pipecat_api_host})"
    if settings.pipecat_private_key is None or settings.pipecat_private_key.reveal().startswith(PUBLIC_PREFIX):
        return []
    try:
        client = PipecatCloudClient.open(
            settings, agent_name=(plan.agent.name if plan else None) or NO_AGENT, clock=SystemClock()
        )
    except InvalidSettings as error:
        return [_refused(name, error)]
    try:
        agent = await _agent(client, plan)
        accepted = Finding(name=name, state=State.OK, detail="answers; the key is accepted")
        return [accepted, agent] if plan is not None else [accepted]
    except RemoteNotFound as error:
        if plan is None:
            return [
                Finding(name=name, state=State.OK, detail="answers; the key is not refused (no plan names an agent)")
            ]
        return [_refused(name, error)]
    except RemoteError as error:
        return [_refused(name, error)]
    finally:
        await client.aclose()


async def _agent(client: PipecatCloudClient, plan: Plan | None) -> Finding:
    record = await client.get_agent()
    name = f"agent {record.name}"
    size = f"{_figure(record.active_sessions)} of {_figure(record.max_sessions)} sessions in use"
    if record.ready is False:
        return Finding(
            name=name,
            state=State.TROUBLE,
            detail=f"not ready; {size}",
            remedy="look at its deployment in Pipecat Cloud",
        )
    if plan is not None and record.max_sessions is not None and plan.limits.concurrency > record.max_sessions:
        return Finding(
            name=name,
            state=State.NOTE,
            detail=f"ready; {size}, but limits.concurrency is {plan.limits.concurrency}: starts on top are refused and"
            " wait for their turn",
            remedy="lower limits.concurrency, or raise the deployment's instances",
        )
    limit = f"; its sessions end after {record.max_session_seconds:g} s" if record.max_session_seconds else ""
    return Finding(name=name, state=State.OK, detail=f"ready; {size}{limit}")


async def _runner(settings: Settings, plan: Plan) -> list[Finding]:
    name = f"runner {plan.agent.url}"
    try:
        client = PipecatRunnerClient.open(settings, url=plan.agent.url or "", clock=SystemClock())
    except InvalidSettings as error:
        return [_refused(name, error)]
    try:
        transports = await client.get_status()
    except RemoteError as error:
        return [_refused(name, error)]
    finally:
        await client.aclose()
    if "daily" not in transports:
        offered = ", ".join(transports) or "nothing"
        return [
            Finding(
                name=name, state=State.TROUBLE, detail=f"serves {offered}, not daily", remedy="start it with -t daily"
            )
        ]
    return [
        Finding(name=name, state=State.OK, detail=f"answers; serves {', '.join(transports)}"),
        Finding(
            name="the runner's sessions",
            state=State.NOTE,
            detail="they cannot be asked for or stopped; its tokens are an owner's and end after 2 h. With the Daily"
            " key of its domain, Cekura gets a non-owner's token instead, and the room is deleted",
        ),
    ]


async def _daily(settings: Settings, plan: Plan | None) -> list[Finding]:
    try:
        daily = DailyDomains.open(settings, clock=SystemClock())
    except InvalidSettings as error:
        return [_refused(f"Daily ({settings.daily_api_url})", error)]
    try:
        findings = [await _reach(client) for client in daily.clients]
    finally:
        await daily.aclose()
    if plan is not None and plan.agent.kind is AgentKind.PIPECAT_CLOUD and findings:
        findings.append(
            Finding(
                name="rooms of Pipecat Cloud",
                state=State.NOTE,
                detail="they usually live on a domain of its own, not on yours; without that domain's key they end at"
                " their expiry, which is named. The first start shows the domain",
            )
        )
    return findings


async def _reach(client: DailyClient) -> Finding:
    """Which domain a key speaks for shows in its rooms' addresses; a key that is refused loses comfort, not the run."""
    name = f"Daily by {client.label}"
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LIST_SECONDS):
                await client.list_rooms()
    except RemoteError as error:
        detail = f"{error}. Until that is mended it is as if this key were missing"
        return Finding(name=name, state=State.NOTE, detail=detail, remedy=error.next_step)
    where = f"rooms of domain {client.domain}" if client.domain else "a domain that has no rooms now"
    return Finding(name=name, state=State.OK, detail=f"accepted; reaches {where}: only those can be confirmed as gone")
