"""The sandbox itself: one web server on one port that plays every remote, and what a client needs to reach it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from orchestrator.sandbox.settings import (
    CEKURA_KEY,
    CLOUD_DAILY_KEY,
    CLOUD_DOMAIN,
    DAILY_KEY,
    PRIVATE_KEY,
    PUBLIC_KEY,
    SandboxSettings,
)

if TYPE_CHECKING:
    from aiohttp import web

    from orchestrator.sandbox.attend import AttendRoute
    from orchestrator.sandbox.clock import SandboxClock
    from orchestrator.sandbox.daily import Daily
    from orchestrator.sandbox.faults import Faults
    from orchestrator.sandbox.kills import Kills
    from orchestrator.sandbox.webhooks import Webhooks
    from orchestrator.sandbox.world import World


class Sandbox:
    """`async with Sandbox(settings) as sandbox:` serves until the block ends; port 0 takes a free one."""

    def __init__(self, settings: SandboxSettings | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        from orchestrator.sandbox.faults import Faults
        from orchestrator.sandbox.kills import Kills

        self.settings = settings or SandboxSettings()
        self.host = host
        self.port = port
        # A misspelt fault is refused before anything is served.
        self.faults: Faults = Faults(self.settings.faults)
        self.kills: Kills = Kills()
        self._runner: web.AppRunner | None = None
        self._clock: SandboxClock | None = None
        self._attend: AttendRoute | None = None
        self._webhooks: Webhooks | None = None
        self._world: World | None = None
        self._daily: Daily | None = None

    @property
    def url(self) -> str:
        """The base of every remote's paths."""
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        from aiohttp import web

        self._runner = web.AppRunner(self._build(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        if self._daily is not None:
            self._daily.bind(self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._clock is not None:
            self._clock.close()
        if self._attend is not None:
            await self._attend.close()
        if self._webhooks is not None:
            await self._webhooks.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def serve_forever(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    def world(self) -> dict[str, Any]:
        """What lives, what leaked, what it cost; the same as /world.json."""
        if self._world is None:
            raise RuntimeError("the sandbox has not been started")
        return self._world.document()

    def environment(self) -> dict[str, str]:
        """The variables that point a client at this sandbox."""
        heard = {"CEKURA_WEBHOOK_SECRET": self.settings.webhook_secret} if self.settings.webhook_url else {}
        return {
            "CEKURA_API_KEY": CEKURA_KEY,
            "CEKURA_API_URL": self.url,
            **heard,
            "PIPECAT_CLOUD_API_KEY": PUBLIC_KEY,
            "PIPECAT_CLOUD_PRIVATE_KEY": PRIVATE_KEY,
            "PIPECAT_API_HOST": self.url,
            "DAILY_API_KEY": DAILY_KEY,
            "DAILY_API_URL": f"{self.url}/v1",
            "ORCHESTRATOR_DAILY_KEYS": f"{CLOUD_DOMAIN}={CLOUD_DAILY_KEY}",
        }

    def _build(self) -> web.Application:
        from aiohttp import web

        from orchestrator.sandbox.attend import AttendRoute
        from orchestrator.sandbox.cekura import Cekura
        from orchestrator.sandbox.clock import SandboxClock
        from orchestrator.sandbox.daily import Daily
        from orchestrator.sandbox.edge import Edge
        from orchestrator.sandbox.routes_cekura import CekuraRoutes
        from orchestrator.sandbox.routes_daily import DailyRoutes
        from orchestrator.sandbox.routes_pipecat import PipecatCloudRoutes, RunnerRoutes
        from orchestrator.sandbox.routes_sandbox import add_sandbox_routes
        from orchestrator.sandbox.sessions import Sessions
        from orchestrator.sandbox.webhooks import Webhooks
        from orchestrator.sandbox.world import World

        settings, faults = self.settings, self.faults
        clock = SandboxClock(speed=settings.speed)
        daily = Daily(settings=settings, clock=clock)
        sessions = Sessions(settings=settings, clock=clock, faults=faults)
        webhooks = Webhooks(settings=settings, clock=clock, faults=faults)
        cekura = Cekura(
            settings=settings, clock=clock, faults=faults, daily=daily, sessions=sessions, listener=webhooks
        )
        edge = Edge(clock=clock, faults=faults, kills=self.kills)
        submissions = CekuraRoutes(cekura=cekura, clock=clock, settings=settings)
        app = web.Application(client_max_size=8_000_000)
        submissions.add_to(app, edge)
        DailyRoutes(daily=daily, clock=clock, settings=settings).add_to(app, edge)
        PipecatCloudRoutes(daily=daily, sessions=sessions, settings=settings).add_to(app, edge)
        RunnerRoutes(daily=daily, sessions=sessions, clock=clock).add_to(app, edge)
        self._attend = AttendRoute(daily=daily, sessions=sessions, settings=settings)
        self._attend.add_to(app)
        self._clock, self._daily, self._webhooks = clock, daily, webhooks
        self._world = World(
            clock=clock,
            faults=faults,
            daily=daily,
            sessions=sessions,
            cekura=cekura,
            submissions=submissions,
            webhooks=webhooks,
            edge=edge,
        )
        add_sandbox_routes(app, world=self._world, faults=faults, kills=self.kills)
        return app
