"""Cekura's API: run endpoints of every channel, polls, ending calls, billing; results and the catalogue beside it.

Each resource has three families of paths (v1, v1 with `-external`, v2). Every path ends in a slash; without it a GET is
redirected with 301 as Django does. A POST is redirected with 308, which keeps its body: the official SDK leaves the
slash out and is known to work, so the real server cannot turn its POSTs into GETs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from aiohttp import web

from orchestrator.sandbox.calls import Run
from orchestrator.sandbox.catalogue import Channel
from orchestrator.sandbox.cekura import Cekura, Result, Submission
from orchestrator.sandbox.clock import SandboxClock, iso
from orchestrator.sandbox.documents import run_json, submission
from orchestrator.sandbox.edge import Edge
from orchestrator.sandbox.exchange import Answer, Asked, html
from orchestrator.sandbox.fields import FieldErrors
from orchestrator.sandbox.routes_cekura_results import NOTHING, ResultRoutes
from orchestrator.sandbox.routes_cekura_scenarios import CatalogueRoutes
from orchestrator.sandbox.settings import CEKURA_KEY, SandboxSettings
from orchestrator.sandbox.submission import read_submission
from orchestrator.sandbox.submission_automated import foreign_to, read_automated

API: Final = "/test_framework"
ENDPOINTS: Final[Mapping[str, Channel]] = {
    "run_scenarios_pipecat": "pipecat_v1",
    "run_scenarios_pipecat_v2": "pipecat_v2",
    "run_scenarios_livekit_v2": "livekit_v2",
    "run_scenarios": "voice",
}
STRUCK: Final[dict[str, Callable[[], Answer]]] = {
    "field_errors": lambda: Answer(status=400, body={"scenarios": ["A scenario is not enabled for this agent."]}),
    "bare_list": lambda: Answer(status=400, body=["No runs could be created."]),
    "detail": lambda: Answer(status=400, body={"detail": "Pipecat is not configured on the project."}),
    "html_error": lambda: html(400, "Bad Request"),
}


@dataclass(slots=True, kw_only=True)
class Submitted:
    """What was accepted: how many requests of each channel, and how often each room and each result's name came."""

    by_channel: Counter[str] = field(default_factory=Counter)
    rooms: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)

    def note(self, submission: Submission) -> None:
        """Count one more."""
        self.by_channel[submission.channel] += 1
        self.rooms.update(run.room_url for run in submission.runs if run.room_url is not None)
        self.names.update([submission.name] if submission.name else [])


class CekuraRoutes:
    """Cekura's manners and handlers."""

    flavour = "cekura"

    def __init__(self, *, cekura: Cekura, clock: SandboxClock, settings: SandboxSettings) -> None:
        self._cekura = cekura
        self._clock = clock
        self._settings = settings
        self._started_at = clock.now()
        self._results = ResultRoutes(cekura=cekura, clock=clock)
        self._catalogue = CatalogueRoutes(clock=clock, settings=settings)
        self.submitted = Submitted()
        self.polled_ids = 0

    def add_to(self, app: web.Application, edge: Edge) -> None:
        """Register every path, and the redirects of those without their slash."""
        add = edge.routes_of(self, app)
        for version, suffix in (("v1", ""), ("v1", "-external"), ("v2", "")):
            scenarios, runs, results = (f"{API}/{version}/{name}{suffix}" for name in ("scenarios", "runs", "results"))
            for name, channel in ENDPOINTS.items():
                add("submit", "POST", f"{scenarios}/{name}/", partial(self.submit, channel))
            self._catalogue.add_to(add, scenarios)
            self._results.add_to(add, results)
            add("poll", "GET", f"{runs}/bulk/", self.poll)
            add("run_get", "GET", rf"{runs}/{{id:\d+}}/", self.get_run)
            add("end_call", "POST", rf"{runs}/{{id:\d+}}/end_call/", self.end_call)
        add("aiagent_get", "GET", rf"{API}/v2/aiagents/{{id:\d+}}/", self._catalogue.get_agent)
        add("billing", "GET", f"{API}/billing/info/", self.billing)
        app.router.add_route("*", f"{API}/{{rest:.*[^/]}}", _add_slash)

    def refusal(self, asked: Asked, operation: str) -> Answer | None:
        """401 without or with a wrong key; 403 where a project's key asks for the organisation's billing."""
        key = asked.headers.get("X-CEKURA-API-KEY") or asked.bearer()
        if key is None:
            return self.error(401, "Authentication credentials were not provided.")
        if key != CEKURA_KEY:
            return self.error(401, "Invalid API key.")
        if operation == "billing" and not self._settings.key_has_billing:
            return self.error(403, "You do not have permission to perform this action.")
        return None

    def error(self, status: int, message: str) -> Answer:
        """Cekura's detail object."""
        return Answer(status=status, body={"detail": message})

    def submit(self, channel: Channel, asked: Asked) -> Answer:
        """POST of a channel's run endpoint; as documented, voice alone answers 201."""
        if asked.fault in STRUCK:
            return STRUCK[asked.fault]()
        try:
            submitted = self._read(channel, asked.json())
        except FieldErrors as error:
            return Answer(status=400, body=error.errors)
        except ValueError:
            return self.error(400, "JSON parse error")
        if asked.fault == "no_runs":
            submitted = replace(submitted, runs=[])
        elif asked.fault == "fewer_runs":
            submitted = replace(submitted, runs=submitted.runs[:-1])
        self.submitted.note(submitted)
        result = self._cekura.submit(submitted)
        body = _twisted(submission(result), result, asked.fault)
        return Answer(status=201 if channel == "voice" else 200, body=body)

    def _read(self, channel: Channel, body: Any) -> Submission:
        unknown = self._settings.unknown_scenarios
        if channel == "pipecat_v1":
            return read_submission(body, unknown=unknown, foreign=foreign_to(channel))
        return read_automated(channel, body, unknown=unknown, multiplies=self._settings.lists_multiply)

    def poll(self, asked: Asked) -> Answer:
        """GET runs/bulk: a bare array; ids that do not exist are left out."""
        try:
            ids = [int(text) for text in asked.query.get("run_ids", "").split(",")]
        except ValueError:
            return Answer(status=400, body={"run_ids": ["run_ids must be comma-separated integers"]})
        self.polled_ids += len(ids)
        if asked.fault == "server_error":
            return html(502, "Bad Gateway")
        runs = [run for id_ in ids if (run := self._cekura.runs.get(id_)) is not None]
        if asked.fault == "missing_run":
            runs = runs[1:]
        documents = [self._run_json(run) for run in runs]
        if asked.fault == "unknown_status" and runs:
            documents[0] = documents[0].replace(f'"status": "{runs[0].status}"'.encode(), b'"status": "warming_up"')
        return Answer(body=b"[" + b",".join(documents) + b"]")

    def get_run(self, asked: Asked) -> Answer:
        """GET runs/{id}."""
        run = self._cekura.runs.get(int(asked.parts["id"]))
        return Answer(body=self._run_json(run)) if run else self.error(404, "Not found.")

    def end_call(self, asked: Asked) -> Answer:
        """POST runs/{id}/end_call: 200 without a body."""
        run = self._cekura.runs.get(int(asked.parts["id"]))
        if run is None:
            return self.error(404, "Not found.")
        self._cekura.end_call(run)
        return NOTHING

    def billing(self, asked: Asked) -> Answer:  # noqa: ARG002  every handler has one signature
        """GET billing/info; the pack's limit is the organisation's ceiling of calls at once."""
        return Answer(body=_billing(self._settings, self._started_at))

    def _run_json(self, run: Run) -> bytes:
        return run_json(run, self._cekura.results[run.result_id])


async def _add_slash(request: web.Request) -> web.StreamResponse:
    location = f"{request.path}/" + (f"?{request.query_string}" if request.query_string else "")
    status = 301 if request.method in {"GET", "HEAD"} else 308
    return web.Response(status=status, headers={"Location": location})


def _twisted(document: dict[str, Any], result: Result, fault: str | None) -> dict[str, Any]:
    if fault == "shuffled":
        result.runs.sort(key=lambda run: -run.ordinal)
        return submission(result)
    if fault == "unnested":
        return {**document, "runs": {str(run["id"]): run for run in document["runs"]}}
    return document


def _billing(settings: SandboxSettings, moment: float) -> dict[str, Any]:
    return {
        "organization": 1,
        "credits_remaining": "1000.00",
        "credits_used": "0.00",
        "initial_balance": "1000.00",
        "balance_expiry": iso(moment + 30 * 86_400),
        "subscription_status": {
            "status": "active",
            "is_active": True,
            "is_trial": False,
            "pack_name": "Developer",
            "expire_at": None,
            "last_payment_at": None,
            "days_until_expiry": None,
            "created_at": iso(moment),
            "pack": {
                "name": "Developer",
                "max_concurrent_runs_limit": settings.calls_limit,
                "max_concurrent_chat_runs_limit": settings.calls_limit,
                "max_agents_limit": 10,
                "max_members_limit": 10,
                "max_projects_limit": 10,
                "billing_type": "prepaid",
                "subscription_overage": "0.00",
            },
        },
        "created_at": iso(moment),
        "updated_at": iso(moment),
    }
