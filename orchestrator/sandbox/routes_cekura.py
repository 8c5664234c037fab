"""Cekura's API: the manual Pipecat run endpoint, polls, results, ending calls, billing.

Each resource has three families of paths (v1, v1 with `-external`, v2). Every path ends in a slash; without it a GET is
redirected with 301 as Django does. A POST is redirected with 308, which keeps its body: the official SDK leaves the
slash out and is known to work, so the real server cannot turn its POSTs into GETs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from orchestrator.sandbox.calls import Run
from orchestrator.sandbox.cekura import Cekura, Result
from orchestrator.sandbox.clock import SandboxClock, iso
from orchestrator.sandbox.documents import result_document, result_listing, run_json, submission
from orchestrator.sandbox.edge import Edge
from orchestrator.sandbox.exchange import Answer, Asked, html
from orchestrator.sandbox.settings import CEKURA_KEY, SandboxSettings
from orchestrator.sandbox.submission import FieldErrors, read_submission

API: Final = "/test_framework"
NAME_LIMIT: Final = 255
PAGE_SIZE: Final = 30
NOTHING: Final = Answer(body=None, content_type="")
STRUCK: Final[dict[str, Callable[[], Answer]]] = {
    "field_errors": lambda: Answer(status=400, body={"scenarios": ["A scenario is not enabled for this agent."]}),
    "bare_list": lambda: Answer(status=400, body=["No runs could be created."]),
    "detail": lambda: Answer(status=400, body={"detail": "Pipecat is not configured on the project."}),
    "html_error": lambda: html(400, "Bad Request"),
}


class CekuraRoutes:
    """Cekura's manners and handlers."""

    flavour = "cekura"

    def __init__(self, *, cekura: Cekura, clock: SandboxClock, settings: SandboxSettings) -> None:
        self._cekura = cekura
        self._clock = clock
        self._settings = settings
        self._started_at = clock.now()
        self.submits = 0
        self.submitted: dict[str, int] = {}
        self.polled_ids = 0

    def add_to(self, app: web.Application, edge: Edge) -> None:
        """Register every path, and the redirects of those without their slash."""
        add = edge.routes_of(self, app)
        for version, suffix in (("v1", ""), ("v1", "-external"), ("v2", "")):
            scenarios, runs, results = (f"{API}/{version}/{name}{suffix}" for name in ("scenarios", "runs", "results"))
            add("submit", "POST", f"{scenarios}/run_scenarios_pipecat/", self.submit)
            add("poll", "GET", f"{runs}/bulk/", self.poll)
            add("run_get", "GET", f"{runs}/{{id:\\d+}}/", self.get_run)
            add("end_call", "POST", f"{runs}/{{id:\\d+}}/end_call/", self.end_call)
            add("result_list", "GET", f"{results}/", self.list_results)
            add("result_get", "GET", f"{results}/{{id:\\d+}}/", self.get_result)
            add("result_rename", "PATCH", f"{results}/{{id:\\d+}}/", self.rename_result)
            add("end_calls", "POST", f"{results}/{{id:\\d+}}/end_calls/", self.end_calls)
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

    def submit(self, asked: Asked) -> Answer:
        """POST run_scenarios_pipecat: one run per element."""
        if asked.fault in STRUCK:
            return STRUCK[asked.fault]()
        try:
            agent, scenarios = read_submission(asked.json(), unknown=self._settings.unknown_scenarios)
        except FieldErrors as error:
            return Answer(status=400, body=error.errors)
        except ValueError:
            return self.error(400, "JSON parse error")
        if asked.fault == "no_runs":
            scenarios = []
        elif asked.fault == "fewer_runs":
            scenarios = scenarios[:-1]
        self.submits += 1
        for scenario in scenarios:
            self.submitted[scenario.room_url] = self.submitted.get(scenario.room_url, 0) + 1
        result = self._cekura.submit(agent=agent, scenarios=scenarios)
        return Answer(body=_twisted(submission(result), result, asked.fault))

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

    def list_results(self, asked: Asked) -> Answer:
        """GET results: newest first."""
        try:
            page, size = int(asked.query.get("page", 1)), int(asked.query.get("page_size", PAGE_SIZE))
            agent = int(asked.query["agent_id"]) if asked.query.get("agent_id") else None
            scenarios = {int(text) for text in asked.query.get("scenarios", "").split(",") if text}
        except ValueError:
            return self.error(400, "Invalid query.")
        found = [
            result
            for result in reversed(self._cekura.results.values())
            if agent in {None, result.agent} and (not scenarios or scenarios & {run.scenario for run in result.runs})
        ]
        shown = found[(page - 1) * size : page * size]
        if page > 1 and not shown:
            return self.error(404, "Invalid page.")
        where = f"{asked.headers.get('Host', '')}{asked.path}?page_size={size}&page="
        return Answer(
            body={
                "count": len(found),
                "next": f"http://{where}{page + 1}" if page * size < len(found) else None,
                "previous": f"http://{where}{page - 1}" if page > 1 else None,
                "results": [result_listing(result) for result in shown],
            }
        )

    def get_result(self, asked: Asked) -> Answer:
        """GET results/{id}."""
        result = self._result(asked)
        return Answer(body=result_document(result)) if result else self.error(404, "Not found.")

    def rename_result(self, asked: Asked) -> Answer:
        """PATCH results/{id}: only its name."""
        result = self._result(asked)
        if result is None:
            return self.error(404, "Not found.")
        try:
            name = asked.json().get("name", result.name)
        except (ValueError, AttributeError):
            return self.error(400, "JSON parse error")
        if not isinstance(name, str) or len(name) > NAME_LIMIT:
            return Answer(status=400, body={"name": [f"Ensure this field has no more than {NAME_LIMIT} characters."]})
        result.name = name
        result.updated_at = self._clock.now()
        for run in result.runs:
            run.cached = None
        return Answer(body=result_document(result))

    def end_call(self, asked: Asked) -> Answer:
        """POST runs/{id}/end_call: 200 without a body."""
        run = self._cekura.runs.get(int(asked.parts["id"]))
        if run is None:
            return self.error(404, "Not found.")
        self._cekura.end_call(run)
        return NOTHING

    def end_calls(self, asked: Asked) -> Answer:
        """POST results/{id}/end_calls: 200 without a body."""
        result = self._result(asked)
        if result is None:
            return self.error(404, "Not found.")
        for run in result.runs:
            self._cekura.end_call(run)
        return NOTHING

    def billing(self, asked: Asked) -> Answer:  # noqa: ARG002  every handler has one signature
        """GET billing/info; the pack's limit is the organisation's ceiling of calls at once."""
        return Answer(body=_billing(self._settings, self._started_at))

    def _run_json(self, run: Run) -> bytes:
        return run_json(run, self._cekura.results[run.result_id])

    def _result(self, asked: Asked) -> Result | None:
        return self._cekura.results.get(int(asked.parts["id"]))


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
