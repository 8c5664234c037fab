"""Requests of every kind, good and bad, made out of the published document: each answer is as published."""

from contextlib import asynccontextmanager
from functools import partial

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from orchestrator.api import openapi_document
from orchestrator.api.context import ApiContext
from orchestrator.api.server import ApiServer
from orchestrator.app.access import Gatekeeper, create_token
from orchestrator.app.pools import create_pool
from orchestrator.app.schedules import create_schedule
from orchestrator.clock import SystemClock
from orchestrator.domain.access import Scope
from orchestrator.settings import load_settings
from orchestrator.store.database import open_store
from tests.api.conftest import GENEROUS, KEYS
from tests.api.served import Served
from tests.support.pools import a_pool
from tests.support.timetable import a_schedule

SCHEMA = schemathesis.openapi.from_dict(openapi_document())


def bad_bodies_are_refused(context, response, case):
    """A parameter of the wrong type may be the same text on the wire as a good one; in JSON it never is."""
    return negative_data_rejection(context, response, case) if case.method in {"POST", "PUT"} else None


CHECKS = [
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
    content_type_conformance,
    bad_bodies_are_refused,
]
EXAMPLES = 5  # beside those that try the bounds of each parameter and key


@asynccontextmanager
async def serving(folder):
    """The API on a port of its own, and the secret of an administrator."""
    settings = load_settings({**KEYS, "ORCHESTRATOR_DATABASE_URL": f"sqlite:///{folder}/state.db"})
    store, clock = open_store(settings.database_url, driving="test"), SystemClock()
    try:
        _, secret = await create_token(store, clock, name="fuzz", scopes=[Scope.ADMIN], lifetime=None, actor="test")
        await create_schedule(store, a_schedule("nightly"), clock=clock, actor="test")
        await create_pool(store, a_pool(name="nightly"), clock=clock, actor="test")
        context = ApiContext(
            store=store,
            clock=clock,
            settings=settings,
            variables={},
            gatekeeper=Gatekeeper(store=store, clock=clock),
            metrics=lambda: (b"up 1\n", "text/plain"),
            limits=GENEROUS,
        )
        async with ApiServer(context, port=0) as server:
            yield server.url, secret.reveal()
    finally:
        store.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(partial(serving, tmp_path_factory.mktemp("served")))
    yield served.value
    served.close()


# A stream of an open batch does not end by itself; test_events.py has it.
@SCHEMA.exclude(operation_id="follow_batch").parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
def test_whatever_is_sent_the_answer_is_as_published(case, served):
    url, secret = served
    case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {secret}"}, checks=CHECKS, timeout=20)
