"""`orchestrator sandbox`: the remote APIs on one port, until Ctrl-C."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.cli.console import stderr_console, stdout_console
from orchestrator.cli.tables import new_table
from orchestrator.domain.errors import InvalidSettings
from orchestrator.sandbox import Sandbox, SandboxSettings, UnknownFault, list_faults
from orchestrator.sandbox.settings import WEBHOOK_SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOrder:
    """What was typed after `sandbox`."""

    port: int
    speed: float
    faults: Sequence[str]
    seed: int
    calls_limit: int
    max_sessions: int
    webhook_url: str | None
    webhook_secret: str | None = field(repr=False)


def print_faults() -> None:
    """Every fault's name and meaning."""
    table = new_table("fault", "what it does")
    table.columns[0].no_wrap = True
    for name, meaning in list_faults().items():
        table.add_row(name, meaning)
    stdout_console().print(table)


async def serve(order: SandboxOrder) -> int:
    """Serve until a signal comes; then say in one line how the world was left."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with _sandbox(order) as sandbox:
            sys.stdout.write("".join(f"{line}\n" for line in export_lines(_shown(sandbox, order))))
            sys.stdout.flush()
            _say(sandbox, order)
            await stopped.wait()
            stderr_console().print(world_line(sandbox.world()), soft_wrap=True)
    except OSError as error:
        raise InvalidSettings(
            f"--port {order.port}: {error.strerror}", next_step="Choose another port; 0 takes any that is free."
        ) from error
    return 0


def _sandbox(order: SandboxOrder) -> Sandbox:
    if order.webhook_url is not None and not order.webhook_url.startswith(("http://", "https://")):
        raise InvalidSettings(
            "--webhook-url: not an address of http or https",
            next_step="The worker takes webhooks at /webhooks/cekura, below the address it listens on.",
        )
    settings = SandboxSettings(
        speed=order.speed,
        seed=order.seed,
        faults=tuple(order.faults),
        calls_limit=order.calls_limit,
        max_sessions=order.max_sessions,
        webhook_url=order.webhook_url,
        webhook_secret=order.webhook_secret or WEBHOOK_SECRET,
    )
    try:
        return Sandbox(settings, port=order.port)
    except UnknownFault as error:
        raise InvalidSettings(
            f"--fault: {error}", next_step="`orchestrator sandbox --list-faults` prints them all."
        ) from error


def _shown(sandbox: Sandbox, order: SandboxOrder) -> Mapping[str, str]:
    """What a client needs; a secret that was brought along is known there, and is none of the sandbox's own."""
    environment = sandbox.environment()
    if order.webhook_secret:
        environment.pop("CEKURA_WEBHOOK_SECRET", None)
    return environment


def _say(sandbox: Sandbox, order: SandboxOrder) -> None:
    console = stderr_console()
    console.print(f"The sandbox is at {sandbox.url}; what lives in it: {sandbox.url}/world", soft_wrap=True)
    hurried = f" with --time-scale {order.speed:g}" if order.speed != 1 else ""
    console.print(f"Paste the lines above into another terminal, then `orchestrator run PLAN`{hurried}. Ctrl-C ends.")


def export_lines(environment: Mapping[str, str]) -> list[str]:
    """The environment as a shell takes it."""
    return [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]


def world_line(world: Mapping[str, Any]) -> str:
    """How the world was left: what lives, who was called twice, what was cut short."""
    return (
        f"{len(world['sessions']['alive'])} sessions and {len(world['rooms']['alive'])} rooms left of "
        f"{world['sessions']['started']} and {world['rooms']['created']}; {world['calls']['total']} calls, "
        f"{len(world['submitted_twice'])} rooms submitted twice, {len(world['cut_short'])} calls cut short"
    )
