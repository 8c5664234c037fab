"""Every error is a problem with what to do next, and a defect says no more than that it is one."""

import inspect

import pytest
from loguru import logger

from orchestrator.api.problems import KINDS, answer_to, refusal_of
from orchestrator.api.routes_service import READY_SECONDS
from orchestrator.domain import errors
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import (
    BudgetExhausted,
    Conflict,
    InvalidCursor,
    InvalidPlan,
    InvalidSettings,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Problem,
    RemoteBusy,
    StateUnusable,
)

FAMILY = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.OrchestratorError)]
STATUS = {
    InvalidPlan: 422,
    InvalidSettings: 422,
    InvalidCursor: 422,
    NotAuthenticated: 401,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    BudgetExhausted: 409,
    StateUnusable: 503,
    RemoteBusy: 502,
}


def made(kind):
    if kind is InvalidPlan:
        return kind((Problem(path="agent", message="is missing"),))
    return kind(remote="Cekura", operation="list") if issubclass(kind, errors.RemoteError) else kind("words")


@pytest.mark.parametrize("kind", [one for one in FAMILY if one is not errors.OrchestratorError])
def test_every_error_of_the_family_is_a_problem_of_its_own_and_no_defect(kind):
    assert refusal_of(made(kind)).kind.status != 500


@pytest.mark.parametrize(("kind", "status"), STATUS.items())
def test_an_error_has_its_status(kind, status):
    assert answer_to(made(kind), path="/x").status_code == status


def test_names_of_problems_are_their_own():
    assert len({kind.name for kind in KINDS}) == len(KINDS)


async def broken(_):
    raise StateUnusable("/" + "srv/state.db: disk I/O error")


async def test_a_state_that_cannot_be_used_is_told_without_its_place(service, client, problem_in, monkeypatch):
    assert (await client.get("/v1/whoami")).status_code == 200  # the token is known for a moment
    monkeypatch.setattr(service.store, "read", broken)
    answer = await client.get("/v1/batches")
    problem = problem_in(answer, 503, "state-unusable")
    assert "state.db" not in answer.text
    assert int(answer.headers["retry-after"]) == 5
    assert "log" in problem["next_step"]


async def test_a_defect_is_answered_and_logged_without_its_words(service, client, problem_in, monkeypatch):
    async def defective(_):
        raise RuntimeError("orc_secret")

    assert (await client.get("/v1/whoami")).status_code == 200
    monkeypatch.setattr(service.store, "read", defective)
    said = []
    sink = logger.add(said.append, level="INFO")
    try:
        answer = await client.get("/v1/batches")
    finally:
        logger.remove(sink)
    problem_in(answer, 500, "defect")
    assert "orc_secret" not in answer.text + "".join(said)
    (record,) = [one.record["extra"] for one in said if one.record["level"].name == "ERROR"]
    assert (record["kind"], record["path"]) == ("RuntimeError", "/v1/batches")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/batches", "GET, POST"),
        ("PUT", "/v1/batches/latest", "GET"),
        ("GET", "/v1/batches/latest/cancel", "POST"),
        ("PATCH", "/v1/audit", "GET"),
        ("POST", "/v1/schedules/nightly", "DELETE, GET, PUT"),
        ("GET", "/v1/pools/support/pause", "POST"),
    ],
)
async def test_a_wrong_method_is_told_which_are_right(client, problem_in, method, path, allowed):
    answer = await client.request(method, path)
    problem_in(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/batches/", "/v2/batches", "/docs", "/v1/batches/a/b/c"])
async def test_a_path_that_is_none_is_not_found(client, problem_in, path):
    problem_in(await client.get(path), 404, "not-found")


@pytest.mark.parametrize("name", ["a b", "%00", "é", "x" * 65, "-x", "a%0Ab"])
async def test_a_name_that_can_be_none_is_refused(client, problem_in, name):
    problem_in(await client.get(f"/v1/batches/{name}"), 422, "invalid-request")


async def test_every_answer_carries_its_headers(client):
    for path in ("/livez", "/v1/batches", "/nothing"):
        headers = (await client.get(path)).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


class TestReadiness:
    async def test_ready_is_what_every_part_says(self, service):
        async def ready():
            return {"store": "ok", "dispatcher": "ok"}

        client = await service.client(None, ready=ready)
        assert (await client.get("/readyz")).json() == {"status": "ready", "checks": await ready()}

    async def test_one_part_that_is_not_makes_the_service_unready(self, service, problem_in):
        async def ready():
            return {"store": "ok", "dispatcher": "stopped"}

        client = await service.client(None, ready=ready)
        answer = await client.get("/readyz")
        problem = problem_in(answer, 503, "not-ready")
        assert problem["detail"] == "Not ready: dispatcher."
        assert problem["checks"] == await ready()
        assert "retry-after" in answer.headers

    async def test_an_error_is_told_by_its_kind_alone(self, service, problem_in):
        async def ready():
            return await broken(None)

        client = await service.client(None, ready=ready)
        answer = await client.get("/readyz")
        problem = problem_in(answer, 503, "not-ready")
        assert problem["checks"] == {"service": "StateUnusable"}
        assert "state.db" not in answer.text

    async def test_what_does_not_answer_is_not_ready(self, service, problem_in, monkeypatch):
        async def ready():
            await service.clock.sleep(READY_SECONDS)

        monkeypatch.setattr("orchestrator.api.routes_service.READY_SECONDS", 0.01)
        client = await service.client(None, ready=ready)
        assert "did not answer" in problem_in(await client.get("/readyz"), 503, "not-ready")["checks"]["service"]

    async def test_alive_asks_nobody(self, service):
        client = await service.client(None, ready=broken)
        assert (await client.get("/livez")).json()["status"] == "alive"


async def test_metrics_are_what_the_service_keeps(service):
    client = await service.client(Scope.READ, metrics=lambda: (b"up 1\n", "text/plain; version=0.0.4"))
    answer = await client.get("/metrics")
    assert (answer.content, answer.headers["content-type"]) == (b"up 1\n", "text/plain; version=0.0.4")


async def test_without_metrics_there_is_nothing_to_scrape(client, problem_in):
    problem_in(await client.get("/metrics"), 404, "not-found")
