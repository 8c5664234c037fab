"""`orchestrator serve`: the long-running worker, until a signal drains it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from orchestrator import __version__
from orchestrator.api.context import ApiContext
from orchestrator.api.server import ApiServer
from orchestrator.app.access import Gatekeeper, has_live_token
from orchestrator.app.graph import Worker, open_worker
from orchestrator.app.preflight import check_time_scale
from orchestrator.app.readiness import ask_parts
from orchestrator.app.selection import resolve
from orchestrator.app.service import Left, Service, build_service
from orchestrator.cli.console import stderr_console
from orchestrator.cli.interruption import Interruption
from orchestrator.cli.progress import PlainLines
from orchestrator.cli.tables import counted
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import ExitCode
from orchestrator.domain.run import Run
from orchestrator.plans import load_service
from orchestrator.settings import Settings, load_settings
from orchestrator.telemetry.metrics import Metrics

DRAINING: Final = "stopping: nothing new is begun (once more leaves at once)"
LEAVING: Final = "left at once; the worker that starts next goes on"
OPEN: Final = "no access tokens: whoever is on this machine may do everything (`orchestrator tokens create NAME`)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOrder:
    """What was typed after `serve`. `drain`: seconds that calls under way may take when it stops alone."""

    config: Path | None
    host: str
    port: int
    drain: float
    time_scale: float


async def serve(order: ServeOrder) -> int:
    """Serve until a signal; returns 0 when nothing was left, 5 when a session of ours may be alive."""
    settings = load_settings()
    if order.time_scale != 1:
        check_time_scale(settings)
    file = load_service(order.config, environ=os.environ) if order.config is not None else None
    metrics = Metrics(version=__version__)
    notes = PlainLines(stderr_console(), SystemClock())
    with Interruption(leaving=lambda: notes.note(LEAVING)) as interruption:
        async with open_worker(
            settings,
            command="orchestrator serve",
            environ=os.environ,
            listener=_unheard,
            speed=order.time_scale,
            metrics=metrics,
        ) as worker:
            interruption.hold()
            for warning in file.warnings if file is not None else ():
                notes.note(f"warning: {warning}")
            service = await build_service(worker, settings=settings, file=file, environ=os.environ, metrics=metrics)
            context = await _api_context(worker, settings, metrics, notes)
            async with ApiServer(context, host=order.host, port=order.port) as server:
                notes.note(f"worker {worker.membership.worker_id} serves {worker.store.place} at {server.url}")
                left = await _serve_until_asked(service, order, interruption, notes)
            notes.note(left_text(left))
    return int(ExitCode.LEFT_BEHIND if left.sessions and not left.handed_over else ExitCode.PASSED)


async def _serve_until_asked(
    service: Service, order: ServeOrder, interruption: Interruption, notes: PlainLines
) -> Left:
    stop = asyncio.Event()

    async def asked_to_stop() -> None:
        notes.note(DRAINING)
        stop.set()

    async with interruption.answering(asked_to_stop):
        serving = asyncio.create_task(service.serve(), name="serve")
        stopping = asyncio.create_task(stop.wait(), name="wait for a signal")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        left = await service.drain(seconds=order.drain)
        serving.cancel()
        await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()
    return left


async def _api_context(worker: Worker, settings: Settings, metrics: Metrics, notes: PlainLines) -> ApiContext:
    store, clock = worker.store, worker.clock
    closed = await has_live_token(store, clock)
    if not closed:
        notes.note(OPEN)
    return ApiContext(
        store=store,
        clock=clock,
        settings=settings,
        variables={name: os.environ[name] for name in settings.plan_variables if name in os.environ},
        gatekeeper=Gatekeeper(store=store, clock=clock),
        open_until_token=not closed,
        ready=partial(ask_parts, worker),
        metrics=metrics.render,
        webhook_counted=lambda receipt: metrics.delivered(receipt.verdict.value),
        answered=metrics.api_request,
        wake=worker.dispatcher.wake,
        speed=worker.speed,
        result_url=worker.remotes.cekura.result_url,
        resolve=partial(resolve, cekura=worker.remotes.cekura),
    )


def _unheard(_before: Run, _after: Run) -> None:
    """Who serves thousands of runs prints no line for each."""


def left_text(left: Left) -> str:
    """What a worker that stopped says of what it left."""
    if not left.batches and (left.handed_over or not left.sessions):
        return "stopped; nothing is left"
    what = f"{counted(left.batches, 'batch')} open, {counted(left.sessions, 'session')} that may be alive"
    if left.handed_over:
        return f"stopped; another worker goes on with {what}"
    return f"stopped with {what}: `orchestrator serve` goes on with them, `orchestrator gc` tears them down"
