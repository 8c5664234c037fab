"""Batches begun at somebody's word: once for each key, with who wanted it, on either database."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count

import pytest

from orchestrator.app.intake import Intake, PlanText, variables_for_plans
from orchestrator.app.pages import audit_page, batch_page
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import Origin
from orchestrator.domain.errors import Conflict, InvalidPlan
from orchestrator.domain.run import RunStatus
from orchestrator.plans import new_batch, plan_from_data
from orchestrator.settings import load_settings, variable_names
from orchestrator.store import intake as units
from orchestrator.store import runs as run_rows
from orchestrator.store.database import open_store

PLAN = {
    "version": 1,
    "agent": {"kind": "pipecat_runner", "url": "http://localhost:7860"},
    "scenarios": [{"scenario": 101, "repeat": 3}],
}
KEYS = {"CEKURA_API_KEY": "cekura"}


def an_intake(store, **options):
    values = {"settings": load_settings(KEYS), "variables": {}, **options}
    return Intake(store=store, clock=SystemClock(), **values)


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request, tmp_path):
    """Two workers' stores where the database may be shared, else one twice."""
    shared = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if shared else f"sqlite:///{tmp_path}/state.db"
    opened = [open_store(url, driving="test") for _ in range(2 if shared else 1)]
    yield opened * (1 if shared else 2)
    for store in opened:
        store.close()


async def test_two_workers_that_are_asked_at_once_with_one_key_begin_one_batch(stores):
    woken = []
    intakes = [an_intake(store, wake=lambda: woken.append(True)) for store in stores]
    asked = [intake.begin(PlanText(data=PLAN), actor="ci", key="one") for intake in intakes * 10]
    taken = await asyncio.gather(*asked)
    assert len({one.batch.batch_id for one in taken}) == 1
    assert [one.created for one in taken].count(True) == 1
    assert woken == [True]
    page = await batch_page(stores[0], limit=10)
    assert [totals.runs for _, totals in page.items] == [3]
    lines = (await audit_page(stores[0], limit=10)).items
    assert [(line.action, line.actor, line.target) for line in lines] == [
        ("batch.create", "ci", taken[0].batch.batch_id)
    ]


async def test_two_plans_with_one_key_at_once_begin_one_batch_and_a_conflict(stores):
    plans = [PlanText(data=PLAN), PlanText(data=PLAN, name="other")]
    asked = [an_intake(store).begin(plan, actor="ci", key="one") for store, plan in zip(stores, plans, strict=True)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one).__name__ for one in ended) == ["Conflict", "TakenIn"]
    assert len((await batch_page(stores[0], limit=10)).items) == 1


async def test_an_id_that_is_taken_is_not_the_callers_trouble(stores, monkeypatch):
    """Ids hold a second and two random bytes: of a few hundred begun in one second two may be the same."""
    named = iter(["same", "same", "other"])
    monkeypatch.setattr("orchestrator.plans.creation.secrets.token_hex", lambda _: next(named))
    clock, moments = SystemClock(), count()
    second = clock.now().replace(microsecond=0)
    monkeypatch.setattr(clock, "now", lambda: second + timedelta(microseconds=next(moments)))
    intake = Intake(store=stores[0], clock=clock, settings=load_settings(KEYS), variables={})
    ids = [(await intake.begin(PlanText(data=PLAN), actor="ci")).batch.batch_id for _ in range(2)]
    assert [name.rpartition("-")[2] for name in ids] == ["same", "other"]
    assert len((await batch_page(stores[0], limit=10)).items) == 2


async def test_a_unit_that_is_run_again_after_its_answer_was_lost_changes_nothing_more(stores):
    """What the store does where an answer to COMMIT was lost: it runs the whole unit again."""
    loaded = plan_from_data(PLAN)
    batch, planned = new_batch(loaded, now=SystemClock().now(), origin=Origin.API, client_key="api:one")
    begin = partial(units.take_in_batch, batch=batch, planned=planned, actor="ci")
    first, again = await stores[0].write(begin), await stores[0].write(begin)
    assert (first[1], again[1], again[0].batch_id) == (True, True, batch.batch_id)
    cancel = partial(
        units.take_in_cancel, batch_id=batch.batch_id, at=batch.created_at, reason="x", drains=False, actor="ci"
    )
    assert await stores[0].write(cancel) == await stores[0].write(cancel)
    assert [line.action for line in (await audit_page(stores[0], limit=10)).items] == ["batch.cancel", "batch.create"]


async def test_a_wish_to_cancel_and_who_had_it_are_one_unit(stores):
    intake = an_intake(stores[0])
    batch = (await intake.begin(PlanText(data=PLAN), actor="ci")).batch
    cancelled = await intake.cancel(batch.batch_id, actor="ada", reason="enough", drains=True)
    assert (cancelled.cancel_reason, cancelled.cancel_drains) == ("enough", True)
    line = (await audit_page(stores[0], limit=1)).items[0]
    assert (line.action, line.actor, line.detail) == ("batch.cancel", "ada", {"reason": "enough", "drains": True})


async def test_what_changed_after_a_revision_is_told_once_as_it_is_now(stores):
    store = stores[0]
    batch_id = (await an_intake(store).begin(PlanText(data=PLAN), actor="ci")).batch.batch_id

    async def changed(after):
        found = await store.read(partial(run_rows.changed_runs, batch_id=batch_id, after=after))
        return [(revision, run.index, run.status.value) for revision, run in found]

    async def move(index, status):
        believed = (await store.read(partial(run_rows.list_runs, batch_id=batch_id)))[index - 1]
        change = partial(run_rows.record_run, run=replace(believed, status=status), believed=believed)
        assert await store.write(change)

    assert await changed(-1) == [(0, 1, "planned"), (0, 2, "planned"), (0, 3, "planned")]
    assert await changed(0) == []
    await move(2, RunStatus.STARTING)
    await move(1, RunStatus.STARTING)
    await move(2, RunStatus.STARTED)
    assert await changed(-1) == [(0, 3, "planned"), (2, 1, "starting"), (3, 2, "started")]
    assert await changed(2) == [(3, 2, "started")]
    assert await changed(3) == []


def test_plans_see_what_they_may_and_nothing_of_the_service():
    own = {one: "x" for name in variable_names() for one in (name, f"{name}_FILE")}
    assert variables_for_plans({**own, "TENANT": "acme"}) == {"TENANT": "acme"}


async def test_a_plan_that_names_a_key_of_the_service_is_refused(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/state.db", driving="test")
    try:
        intake = an_intake(store, variables={"CEKURA_API_KEY": "cekura"})
        with pytest.raises(InvalidPlan, match="CEKURA_API_KEY is not set"):
            await intake.begin(PlanText(data={**PLAN, "env": ["CEKURA_API_KEY"]}), actor="ci")
    finally:
        store.close()


async def test_a_key_is_no_key_of_a_fire(stores):
    """A schedule names its batches by keys, too: no caller can take one away."""
    taken = await an_intake(stores[0]).begin(PlanText(data=PLAN), actor="ci", key="nightly")
    assert taken.batch.client_key == "api:nightly"


async def test_conflicts_that_do_not_end_are_told(stores, monkeypatch):
    async def excluded(_):
        raise Conflict("the state holds a row that excludes this one")

    monkeypatch.setattr(stores[0], "write", excluded)
    with pytest.raises(Conflict):
        await an_intake(stores[0]).begin(PlanText(data=PLAN), actor="ci")
