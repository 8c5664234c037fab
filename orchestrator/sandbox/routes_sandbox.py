"""The sandbox's own paths: the world to look at and its history, the faults to change meanwhile, the kill to arm."""

from __future__ import annotations

from aiohttp import web

from orchestrator.sandbox.faults import Faults, UnknownFault
from orchestrator.sandbox.kills import Kills, UnknownKill, read_kill
from orchestrator.sandbox.world import World


def add_sandbox_routes(app: web.Application, *, world: World, faults: Faults, kills: Kills) -> None:
    """Register the paths.

    GET /world, /world.json, /sandbox/history.json; /sandbox/faults (POST `{"set": [...]}` arms, DELETE disarms all);
    /sandbox/kill.
    """

    async def show(_: web.Request) -> web.Response:
        return web.json_response(world.document())

    async def show_page(_: web.Request) -> web.Response:
        return web.Response(text=world.page(), content_type="text/html")

    async def show_history(_: web.Request) -> web.Response:
        return web.json_response(world.history())

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
    app.router.add_get("/sandbox/history.json", show_history)
    app.router.add_get("/sandbox/faults", show_faults)
    app.router.add_post("/sandbox/faults", arm)
    app.router.add_delete("/sandbox/faults", disarm)
    _add_kill_routes(app, kills)


def _add_kill_routes(app: web.Application, kills: Kills) -> None:
    """/sandbox/kill: POST arms one (see `Kill`), GET shows whether it struck, DELETE disarms."""

    async def show(_: web.Request) -> web.Response:
        return web.json_response(kills.document())

    async def arm(request: web.Request) -> web.Response:
        # A page in a browser may post plain text anywhere, but JSON only where it was invited.
        if request.content_type != "application/json":
            return web.json_response({"error": "the content type must be application/json"}, status=415)
        try:
            kills.arm(read_kill(await request.json()))
        except UnknownKill as error:
            return web.json_response({"error": str(error)}, status=400)
        except ValueError:
            return web.json_response({"error": "expected JSON"}, status=400)
        return web.json_response(kills.document())

    async def disarm(_: web.Request) -> web.Response:
        kills.disarm()
        return web.json_response(kills.document())

    app.router.add_get("/sandbox/kill", show)
    app.router.add_post("/sandbox/kill", arm)
    app.router.add_delete("/sandbox/kill", disarm)
