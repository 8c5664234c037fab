"""Builds what a driving command needs, opens it in order and closes it in reverse."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from loguru import logger

from orchestrator.app.observers import open_observer
from orchestrator.clients.cekura import CekuraClient
from orchestrator.clients.daily import DailyDomains
from orchestrator.clients.observer import RequestObserver
from orchestrator.clients.pace import Share, alone
from orchestrator.clients.pipecat_cloud import KeyPaces, PipecatCloudClient
from orchestrator.clients.pipecat_runner import PipecatRunnerClient
from orchestrator.clock import Clock, SystemClock
from orchestrator.domain.budget import SharedLimits
from orchestrator.domain.plan import AgentKind
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.driver import Driver
from orchestrator.engine.garbage import calm_collector
from orchestrator.engine.membership import Membership
from orchestrator.engine.observer import Observer
from orchestrator.engine.presence import Presence
from orchestrator.engine.reaper import Reaper
from orchestrator.engine.remotes import AgentClient, Remotes
from orchestrator.engine.roster import Listener
from orchestrator.settings import Settings
from orchestrator.store.database import Store, is_shared, open_store
from orchestrator.store.database import place_of as place_of_state

if TYPE_CHECKING:
    from orchestrator.telemetry.metrics import Metrics

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One driving process: the store it holds, the engine that drives, the reaper that tears down."""

    store: Store
    remotes: Remotes
    driver: Driver
    dispatcher: Dispatcher
    membership: Membership
    observer: Observer
    clock: Clock
    place: str
    speed: float


def open_remotes(
    settings: Settings,
    *,
    clock: Clock,
    speed: float = 1.0,
    share: Share = alone,
    observer: RequestObserver | None = None,
) -> Remotes:
    """One client for each remote; `speed` multiplies the request rates that a faster-than-life sandbox allows.

    `share` says how many workers ask under the same keys. `observer` hears of every request.
    """
    paces = KeyPaces.at(speed, share=share)

    def open_agent(kind: AgentKind, address: str) -> AgentClient:
        if kind is AgentKind.PIPECAT_CLOUD:
            return PipecatCloudClient.open(settings, agent_name=address, clock=clock, paces=paces, observer=observer)
        return PipecatRunnerClient.open(settings, url=address, clock=clock, observer=observer)

    return Remotes(
        cekura=CekuraClient.open(settings, clock=clock, pace_scale=speed, share=share, observer=observer),
        daily=DailyDomains.open(settings, clock=clock, pace_scale=speed, share=share, observer=observer),
        daily_api_url=settings.daily_api_url,
        open_agent=open_agent,
        presence=Presence(share=share),
    )


def place_of(settings: Settings) -> str:
    """Who makes our marks: ORCHESTRATOR_OWNER, else the shared state, else this machine since its boot, and its file.

    Hosts made from one image share their name, and often the path: without the boot, one would end another's sessions.
    """
    state = place_of_state(settings.database_url)
    if settings.owner or is_shared(settings.database_url):
        return settings.owner or state
    boot = BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.exists() else ""
    return f"{socket.gethostname()}:{boot}:{state}"


@asynccontextmanager
async def open_worker(
    settings: Settings,
    *,
    command: str,
    environ: Mapping[str, str],
    listener: Listener,
    speed: float = 1.0,
    metrics: Metrics | None = None,
) -> AsyncIterator[Worker]:
    """Hold the driving lock and run the reaper until the block ends; Conflict when another process drives.

    Each closing is tried whatever another one raised, and the lock is given back last.
    """
    clock = SystemClock()
    async with AsyncExitStack() as closings:
        store = open_store(settings.database_url, driving=command)
        closings.callback(store.close)
        membership = Membership(store=store, clock=clock, lease=settings.lease_seconds)
        remotes = open_remotes(settings, clock=clock, speed=speed, share=lambda: membership.workers, observer=metrics)
        closings.push_async_callback(remotes.aclose)
        hearing = open_observer(settings, clock=clock, metrics=metrics, store=store, remotes=remotes)
        observer = await closings.enter_async_context(hearing)
        await membership.join()
        closings.push_async_callback(membership.leave)
        closings.push_async_callback(_end, asyncio.create_task(membership.run(), name="lease"))
        condemned = asyncio.Event()
        driver = Driver(
            store=store,
            remotes=remotes,
            clock=clock,
            environ=environ,
            random=Random(),  # noqa: S311  it spreads polls over time
            place=place_of(settings),
            listener=listener,
            condemned=condemned,
            membership=membership,
            shared=SharedLimits(sessions=settings.sessions_limit, calls=settings.calls_limit),
            observer=observer,
        )
        closings.push_async_callback(driver.aclose)
        reaper = _reaper_beside(driver, store, remotes, membership, clock=clock, speed=speed, hurry=condemned)
        closings.push_async_callback(_end, asyncio.create_task(reaper.run(), name="reaper"))
        dispatcher = Dispatcher(
            store=store, clock=clock, membership=membership, drive=driver.drive, most=settings.batches_at_once
        )
        membership.on_fenced = dispatcher.let_go
        closings.push_async_callback(dispatcher.close)
        closings.enter_context(calm_collector())
        yield Worker(
            store=store,
            remotes=remotes,
            driver=driver,
            dispatcher=dispatcher,
            membership=membership,
            observer=observer,
            clock=clock,
            place=place_of(settings),
            speed=speed,
        )


def _reaper_beside(
    driver: Driver,
    store: Store,
    remotes: Remotes,
    membership: Membership,
    *,
    clock: Clock,
    speed: float,
    hurry: asyncio.Event,
) -> Reaper:
    return Reaper(
        store=store,
        remotes=remotes,
        clock=clock,
        speed=speed,
        exclusive=driver.exclusive,
        changed=driver.note,
        unrecorded=driver.note_unrecorded,
        doomed=driver.doomed,
        hurry=hurry,
        hurried=driver.hurried,
        worker_id=lambda: membership.worker_id,
    )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    error = None if task.cancelled() else task.exception()
    if error is not None:
        text = "a part of the worker ended early; `orchestrator gc` tears down what it left"
        logger.error(text, part=task.get_name(), error=repr(error))
