"""The published document is true: it is the code's, its examples are answers, and no answer is another than it says."""

import json
from pathlib import Path

import jsonschema
import pytest

from orchestrator.api import documents, documents_service, openapi_document
from orchestrator.api.documents_report import Preview, Report, Statement
from orchestrator.api.guard import OPEN_PATHS
from orchestrator.api.openapi import document_text
from orchestrator.domain.access import Scope

DOCUMENT = openapi_document()
OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]
PROBLEM = {"$ref": "#/components/schemas/Problem"}


def test_the_published_document_equals_the_code(root):
    published = (root / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert published == document_text(), "run: python -m orchestrator.api.openapi > docs/openapi.json"


@pytest.fixture(scope="module")
def root():
    return Path(__file__).parents[2]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_operation_says_what_it_does_what_it_asks_and_how_it_refuses(method, path, operation):
    assert operation["operationId"]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    if path in OPEN_PATHS:
        assert operation["security"] == []
    else:
        assert operation["security"] == [{"token": []}]
        assert operation["x-scope"] in set(Scope)
        assert {"401", "403", "429"} <= set(operation["responses"])
    for status, response in operation["responses"].items():
        assert response["description"]
        if int(status) >= 400:
            assert response["content"] == {"application/problem+json": {"schema": PROBLEM}}
    for parameter in operation.get("parameters", ()):
        assert "null" not in json.dumps(parameter["schema"])


def test_operation_ids_are_their_own():
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)


def example_of(schema):
    """The example of a document that is named in a request or an answer."""
    return DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"][0]


@pytest.mark.parametrize(
    "name", sorted(name for name, one in DOCUMENT["components"]["schemas"].items() if "examples" in one)
)
def test_every_example_is_what_it_is_an_example_of(name):
    whole = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    example = DOCUMENT["components"]["schemas"][name]["examples"][0]
    jsonschema.Draft202012Validator(whole).validate(example)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_request_and_answer_in_json_has_an_example(method, path, operation):
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    answers = [answer for status, answer in operation["responses"].items() if int(status) < 400]
    for content in (one.get("content", {}) for one in (*bodies, *answers)):
        if "application/json" in content:
            schema = content["application/json"]["schema"]
            named = [one for one in schema.get("anyOf", [schema]) if "$ref" in one]
            assert example_of(named[0]), named


class Ground:
    """A service with something in it, asked by an administrator."""

    def __init__(self, service):
        self.service = service

    async def prepare(self, plan):
        client = await self.service.client(Scope.ADMIN)
        for _ in range(2):
            assert (await client.post("/v1/batches", json={"plan": plan})).status_code == 201
        self.batch = (await client.get("/v1/batches/latest")).json()
        schemas = DOCUMENT["components"]["schemas"]
        for path, name in (("schedules/nightly", "ScheduleDefinition"), ("pools/support", "PoolDefinition")):
            assert (await client.put(f"/v1/{path}", json=schemas[name]["examples"][0])).status_code == 201
        assert (await client.post("/v1/schedules/nightly/fire", json=schemas["FireOrder"]["examples"][0])).is_success
        return client


@pytest.fixture
async def ground(service, plan):
    ground = Ground(service)
    ground.client = await ground.prepare(plan)
    return ground


ANSWERS = {
    "/v1/batches": documents.BatchPage,
    "/v1/batches/latest": documents.BatchDocument,
    "/v1/batches/latest/runs": documents.RunPage,
    "/v1/batches/latest/report": Report,
    "/v1/batches/latest/teardown": Statement,
    "/v1/sessions": documents.SessionPage,
    "/v1/schedules": documents_service.ScheduleList,
    "/v1/schedules/nightly": documents_service.ScheduleDocument,
    "/v1/schedules/nightly/fires": documents_service.FirePage,
    "/v1/pools": documents_service.PoolList,
    "/v1/pools/support": documents_service.PoolDetail,
    "/v1/audit": documents.AuditPage,
    "/v1/workers": documents.WorkerList,
    "/livez": documents.Alive,
    "/readyz": documents.Readiness,
    "/v1/whoami": documents.Whoami,
}


async def test_an_answer_has_the_fields_that_are_published_and_no_others(ground):
    for path, model in ANSWERS.items():
        document = (await ground.client.get(path)).json()
        model.model_validate(document)
        assert set(document) == set(model.model_fields), path


async def test_what_is_listed_has_the_fields_that_are_published_and_no_others(ground):
    for kind, model in (("schedules", documents_service.ScheduleDocument), ("pools", documents_service.PoolDocument)):
        for document in (await ground.client.get(f"/v1/{kind}")).json()[kind]:
            assert set(document) == set(model.model_fields)
    (fire,) = (await ground.client.get("/v1/schedules/nightly/fires")).json()["fires"]
    assert set(fire) == set(documents_service.FireDocument.model_fields)


async def test_a_preview_has_the_fields_that_are_published(ground, plan):
    document = (await ground.client.post("/v1/plans/estimate", json={"plan": plan})).json()
    Preview.model_validate(document)
    assert set(document) == set(Preview.model_fields)
