"""The sandbox's own paths: the world to look at, and the faults to change while it runs."""

from __future__ import annotations

from aiohttp import web

from orchestrator.sandbox.faults import Faults, UnknownFault
from orchestrator.sandbox.world import World


def add_sandbox_routes(app: web.Application, *, world: World, faults: Faults) -> None:
    """Register /world, /world.json and /sandbox/faults (POST `{"set": [...]}` arms, DELETE disarms all)."""

    async def show(_: web.Request) -> web.Response:
        return web.json_response(world.document())

    async def show_page(_: web.Request) -> web.Response:
        return web.Response(text=world.page(), content_type="text/html")

    async def show_faults(_: web.Request) -> web.Response:
        return web.json_response({"armed": faults.armed()})

    async def arm(request: web.Request) -> web.Response:
        try:
            texts = (await request.json())["set"]
            faults.arm([str(text) for text in texts])
        except UnknownFault as error:
            return web.json_response({"error": str(error)}, status=400)
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": 'expected {"set": ["OPERATION.FAULT=COUNT", ...]}'}, status=400)
        return web.json_response({"armed": faults.armed()})

    async def disarm(_: web.Request) -> web.Response:
        faults.clear()
        return web.json_response({"armed": []})

    app.router.add_get("/world.json", show)
    app.router.add_get("/world", show_page)
    app.router.add_get("/sandbox/faults", show_faults)
    app.router.add_post("/sandbox/faults", arm)
    app.router.add_delete("/sandbox/faults", disarm)
