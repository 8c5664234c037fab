"""Who is let in, for what, and how often."""

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.api import openapi_document
from orchestrator.api.guard import OPEN_PATHS
from orchestrator.app.access import revoke_token
from orchestrator.domain.access import Scope
from orchestrator.domain.secret import ApiKey
from tests.support.hand_clock import HandClock

NEEDS = {
    ("GET", "/v1/batches"): Scope.READ,
    ("GET", "/v1/batches/latest/events"): Scope.READ,
    ("GET", "/v1/sessions"): Scope.READ,
    ("GET", "/v1/workers"): Scope.READ,
    ("GET", "/metrics"): Scope.READ,
    ("POST", "/v1/plans/validate"): Scope.READ,
    ("POST", "/v1/batches"): Scope.RUN,
    ("GET", "/v1/schedules"): Scope.READ,
    ("GET", "/v1/schedules/nightly"): Scope.READ,
    ("GET", "/v1/schedules/nightly/fires"): Scope.READ,
    ("GET", "/v1/pools"): Scope.READ,
    ("GET", "/v1/pools/support"): Scope.READ,
    ("POST", "/v1/batches/latest/cancel"): Scope.RUN,
    ("POST", "/v1/schedules/nightly/fire"): Scope.RUN,
    ("PUT", "/v1/schedules/nightly"): Scope.ADMIN,
    ("DELETE", "/v1/schedules/nightly"): Scope.ADMIN,
    ("POST", "/v1/schedules/nightly/pause"): Scope.ADMIN,
    ("POST", "/v1/schedules/nightly/resume"): Scope.ADMIN,
    ("PUT", "/v1/pools/support"): Scope.ADMIN,
    ("DELETE", "/v1/pools/support"): Scope.ADMIN,
    ("POST", "/v1/pools/support/pause"): Scope.ADMIN,
    ("POST", "/v1/pools/support/resume"): Scope.ADMIN,
    ("GET", "/v1/audit"): Scope.ADMIN,
}


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer nonsense", "Bearer orc_" + "x" * 43]
)
@pytest.mark.parametrize("path", ["/v1/batches", "/v1/nothing", "/metrics"])
async def test_without_a_token_nothing_is_told_not_even_which_paths_there_are(service, problem_in, path, header):
    client = await service.client(None)
    answer = await client.get(path, headers={} if header is None else {"Authorization": header})
    problem_in(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
async def test_what_a_load_balancer_asks_needs_no_token(service, path):
    client = await service.client(None)
    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("scope", Scope)
async def test_a_token_is_good_for_its_scope_and_those_below(service, problem_in, scope):
    client = await service.client(scope)
    for (method, path), needed in NEEDS.items():
        answer = await client.request(method, path)
        if scope.includes(needed):
            assert answer.status_code != 403, path
        else:
            assert str(needed) in problem_in(answer, 403, "forbidden")["detail"]
            assert f'scope="{needed}"' in answer.headers["www-authenticate"]


def test_every_path_that_asks_for_more_than_to_look_is_tried():
    asked = {
        (method.upper(), operation["x-scope"])
        for methods in openapi_document()["paths"].values()
        for method, operation in methods.items()
        if operation["security"] and operation["x-scope"] != Scope.READ
    }
    assert asked == {(method, needed) for (method, _), needed in NEEDS.items() if needed is not Scope.READ}


async def test_a_wrong_scope_begins_nothing(service, plan, problem_in):
    reader = await service.client(Scope.READ)
    problem_in(await reader.post("/v1/batches", json={"plan": plan}), 403, "forbidden")
    assert (await reader.get("/v1/batches")).json()["batches"] == []


async def test_an_expired_token_opens_nothing(service, problem_in):
    clock = HandClock()
    service.clock = clock
    secret = await service.token(Scope.ADMIN, name="short", lifetime=timedelta(hours=1))
    keeper = type(service.context.gatekeeper)(store=service.store, clock=clock)
    client = await service.client(secret=secret, gatekeeper=keeper)
    assert (await client.get("/v1/whoami")).status_code == 200
    clock.at += 3601
    problem_in(await client.get("/v1/whoami"), 401, "unauthenticated")


async def test_a_revoked_token_opens_nothing(service, problem_in):
    secret = await service.token(Scope.ADMIN, name="gone")
    await revoke_token(service.store, service.clock, name="gone", actor="test")
    client = await service.client(secret=secret)
    problem_in(await client.get("/v1/whoami"), 401, "unauthenticated")


async def test_the_caller_is_named_as_in_the_audit(service):
    client = await service.client(Scope.READ)
    document = (await client.get("/v1/whoami")).json()
    assert document["actor"].startswith("token:read:")
    assert document["scope"] == "read"


async def test_a_token_that_asks_too_often_is_told_how_long_to_wait_and_others_are_not(service, problem_in):
    limits = replace(service.context.limits, requests_per_second=0.5, burst=3)
    client = await service.client(Scope.READ, limits=limits)
    for _ in range(3):
        assert (await client.get("/v1/whoami")).status_code == 200
    answer = await client.get("/v1/whoami")
    problem_in(answer, 429, "too-many-requests")
    assert int(answer.headers["retry-after"]) in {1, 2}
    other = await service.token(Scope.READ, name="other")
    assert (await client.get("/v1/whoami", headers={"Authorization": f"Bearer {other}"})).status_code == 200


async def test_after_the_wait_a_token_may_ask_again(service, problem_in):
    clock = HandClock()
    limits = replace(service.context.limits, requests_per_second=0.5, burst=1)
    client = await service.client(Scope.READ, limits=limits, clock=clock)
    assert (await client.get("/v1/whoami")).status_code == 200
    problem_in(await client.get("/v1/whoami"), 429, "too-many-requests")
    clock.at += 2
    assert (await client.get("/v1/whoami")).status_code == 200


async def test_a_flood_of_strangers_is_held_back_and_shuts_nobody_out_who_was_let_in(service, problem_in):
    limits = replace(service.context.limits, strangers_per_second=0.1, strangers_burst=2)
    client = await service.client(Scope.READ, limits=limits)
    assert (await client.get("/v1/whoami")).status_code == 200
    wrong = {"Authorization": "Bearer nonsense"}
    for _ in range(2):
        problem_in(await client.get("/v1/whoami", headers=wrong), 401, "unauthenticated")
    assert "retry-after" in (await client.get("/v1/whoami", headers=wrong)).headers
    assert (await client.get("/v1/whoami")).status_code == 200


class TestOpenService:
    """Without tokens, on loopback."""

    @pytest.fixture
    async def local(self, service):
        return await service.client(None, gatekeeper=None)

    async def test_whoever_is_on_this_machine_may_do_everything(self, local, plan):
        assert (await local.get("/v1/whoami")).json() == {"actor": "local", "scope": "admin"}
        assert (await local.post("/v1/batches", json={"plan": plan})).status_code == 201
        assert (await local.get("/v1/audit")).json()["entries"][0]["actor"] == "local"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:3000"},
            {"Host": "evil.example"},
            {"Host": "evil.example", "Origin": "http://evil.example"},
            {"Host": ""},
        ],
    )
    async def test_a_page_in_a_browser_is_no_program_of_this_machine(self, local, plan, problem_in, headers):
        await local.post("/v1/batches", json={"plan": plan})
        problem_in(await local.post("/v1/batches/latest/cancel", headers=headers), 403, "foreign-origin")
        assert not (await local.get("/v1/batches/latest")).json()["cancelled"]

    @pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
    async def test_its_own_names_are_fine(self, local, host):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert (await local.get("/v1/whoami", headers=headers)).status_code == 200


async def test_pages_of_other_origins_are_answered_only_where_that_is_set(service):
    asking = {"Origin": "https://dash.example", "Access-Control-Request-Method": "POST"}
    closed = await service.client(None)
    answer = await closed.options("/v1/batches", headers=asking)
    assert "access-control-allow-origin" not in answer.headers
    limits = replace(service.context.limits, origins=("https://dash.example",))
    opened = await service.client(None, limits=limits)
    answer = await opened.options("/v1/batches", headers=asking)
    assert answer.headers["access-control-allow-origin"] == "https://dash.example"
    other = await opened.options("/v1/batches", headers={**asking, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


class TestWebhooks:
    """Cekura has no token of ours: it shows a secret of its own."""

    PATH = "/webhooks/cekura"

    @pytest.fixture
    async def taking(self, service):
        settings = service.context.settings.model_copy(update={"cekura_webhook_secret": ApiKey("whsec")})
        return await service.client(None, settings=settings)

    async def test_its_secret_is_enough(self, taking):
        answer = await taking.post(self.PATH, content=b"{}", headers={"X-CEKURA-SECRET": "whsec"})
        assert answer.status_code == 202

    async def test_without_it_nothing_is_read(self, taking, problem_in):
        read = []

        async def body():
            read.append(True)
            yield b"{}"

        answer = await taking.post(self.PATH, content=body(), headers={"X-CEKURA-SECRET": "guessed"})
        problem_in(answer, 401, "unauthenticated")
        assert read == []

    async def test_they_are_off_unless_a_secret_is_set(self, service, problem_in):
        client = await service.client(None)
        problem_in(await client.post(self.PATH, content=b"{}"), 404, "not-found")

    async def test_only_a_post_is_one(self, taking, problem_in):
        answer = await taking.get(self.PATH)
        problem_in(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "POST"
