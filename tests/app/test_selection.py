"""What a plan selects is looked up at Cekura before anything begins, wherever a plan becomes a batch."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.app import schedules as cases
from orchestrator.app.batches import create_batch, run_batch, view_batch
from orchestrator.app.intake import Intake, PlanText
from orchestrator.app.markdown import report_markdown
from orchestrator.app.preview import plan_preview
from orchestrator.app.report import report_document
from orchestrator.app.schedule_documents import schedule_answer
from orchestrator.app.selection import resolve, unable
from orchestrator.clients.cekura import CekuraClient
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import Conflict, InvalidPlan, InvalidSettings, RemoteError
from orchestrator.domain.schedule import FireDecision, Overlap
from orchestrator.domain.verdict import Outcome
from orchestrator.engine import firing
from orchestrator.engine.scheduler import Scheduler
from orchestrator.plans import plan_from_document, plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from orchestrator.store.database import open_store
from tests.support.bench import SPEED, Bench
from tests.support.timetable import NOON, SetClock, a_schedule, batches_in, fires_in

MINUTE = timedelta(minutes=1)
SMOKE = [101, 102, 108, 111]  # of the sandbox's agent 5
REFUSED = "scenario_list.refused=1000"


def plan_text(scenarios, *, cekura="agent: 5, mock_tool_names: []", more=""):
    return (
        "version: 1\nname: small\nagent: {kind: pipecat_cloud, name: support-bot}\n"
        f"cekura: {{{cekura}}}\nscenarios: {scenarios}\n{more}"
    )


@asynccontextmanager
async def catalogue(*faults):
    """Cekura's client, before a sandbox."""
    async with Sandbox(SandboxSettings(speed=SPEED, faults=faults)) as box:
        client = CekuraClient.open(load_settings(box.environment()), clock=SystemClock(), pace_scale=SPEED)
        try:
            yield box, client
        finally:
            await client.aclose()


async def resolved(text, client):
    return (await resolve(plan_from_text(text), client)).plan


def ids(plan):
    return [scenario.scenario_id for scenario in plan.scenarios]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{tags: [smoke]}", SMOKE),
        ("{tags: [smoke, billing]}", [101, 102, 106, 107, 108, 111]),
        ("{tags: [smoke, billing], tag_filter: and}", [102]),
        ("{tags: [smoke, billing, orders, hard], tag_filter: not}", [109, 112]),
        ("{folder_path: support.billing, project_id: 1}", [102, 106, 107]),
        ("{folder_path: '', project_id: 1}", [108, 109]),
        ("{tags: [hard], folder_path: support.billing, project_id: 1}", [106]),
    ],
)
async def test_tags_and_folders_select_what_cekura_has(entry, expected):
    async with catalogue() as (_box, client):
        assert ids(await resolved(plan_text(f"[{entry}]"), client)) == expected


@pytest.mark.parametrize("entry", ["{tags: [smok]}", "{folder_path: suport, project_id: 1}", "{tags: [booking]}"])
async def test_a_selection_that_matches_nothing_is_an_error_that_names_its_entry(entry):
    async with catalogue() as (box, client):
        with pytest.raises(InvalidPlan, match=r"scenarios\.1: selects nothing") as caught:
            await resolved(plan_text(f"[{{scenario: 101}}, {entry}]"), client)
        assert caught.value.problems[0].remedy
        assert box.world()["starts"] == 0


async def test_every_page_of_a_selection_is_read(monkeypatch):
    monkeypatch.setattr("orchestrator.clients.cekura.SCENARIO_PAGE", 3)
    async with catalogue() as (box, client):
        assert ids(await resolved(plan_text("[{tags: [nothing-has-this], tag_filter: not}]"), client)) == list(
            range(101, 113)
        )
        assert box.world()["requests"]["scenario_list"] >= 4


async def test_a_phone_call_selects_by_the_same_look():
    text = "version: 1\nchannel: voice\ncekura: {agent: 7, frequency: 2}\nscenarios: [{tags: [hard]}]\n"
    async with catalogue() as (_box, client):
        plan = await resolved(text, client)
    assert (ids(plan), plan.run_count) == ([302, 303], 4)


async def test_a_plan_that_names_its_scenarios_asks_nobody():
    loaded = plan_from_text(plan_text("[{scenario: 101}]"))
    async with catalogue() as (box, client):
        assert await resolve(loaded, client) is loaded
        assert box.world()["requests"].get("scenario_list", 0) == 0
    assert await unable(loaded) is loaded


async def test_who_has_no_way_to_cekura_says_so():
    with pytest.raises(InvalidSettings, match="here is no way to it") as caught:
        await unable(plan_from_text(plan_text("[{tags: [smoke]}]")))
    assert "CEKURA_API_KEY" in caught.value.next_step


async def test_a_key_that_is_refused_begins_nothing_and_says_so():
    async with catalogue(REFUSED) as (_box, client):
        with pytest.raises(RemoteError) as caught:
            await resolved(plan_text("[{tags: [smoke]}]"), client)
        assert caught.value.next_step.startswith("Nothing was started. ")


async def test_profiles_of_named_and_selected_scenarios_are_fetched():
    text = plan_text(
        "[{scenario: 103}, {scenario: 106}, {tags: [smoke]}]", cekura="agent: 5, test_profile_variables: true"
    )
    async with catalogue() as (_box, client):
        plan = await resolved(text, client)
    found = {one.scenario_id: one.profile.get("customer") for one in plan.scenarios}
    assert found == {103: None, 106: "U-32", 101: "U-31", 102: "U-31", 108: None, 111: None}


async def test_a_scenario_of_another_agent_has_no_profile_to_give():
    text = plan_text("[{scenario: 201}]", cekura="agent: 5, test_profile_variables: true")
    async with catalogue() as (_box, client):
        with pytest.raises(InvalidPlan, match="scenario 201 is not in Cekura's list"):
            await resolved(text, client)


# --- a batch ---------------------------------------------------------------------------------------------------------


async def test_selected_scenarios_run_in_every_cell_and_the_report_says_in_which(tmp_path):
    bench = Bench(folder=tmp_path)
    text = bench.plan(
        scenarios="[{folder_path: support.billing, project_id: 1}]", more="matrix: {axes: {locale: [en, de]}}"
    )
    async with Sandbox(SandboxSettings(speed=SPEED, call_seconds=(4.0, 8.0))) as box, bench.worker(box) as worker:
        loaded = await resolve(plan_from_text(text, name="test"), worker.remotes.cekura)
        batch = await create_batch(worker, loaded, speed=SPEED)
        await run_batch(worker, batch.batch_id)
        view = await view_batch(worker.store, batch.batch_id)
        world = box.world()
    document = report_document(view, result_url=lambda _: None)
    assert sorted((run["scenario"], run["matrix"]["locale"], run["outcome"]) for run in document["runs"]) == [
        (scenario, locale, "passed") for scenario in (102, 106, 107) for locale in ("de", "en")
    ]
    assert "| 102 (locale de) |" in report_markdown(document)
    assert view.plan.resolved
    assert (world["sessions"]["alive"], world["submitted_twice"]) == ([], [])


# --- by HTTP ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def intake(folder, *faults):
    async with catalogue(*faults) as (box, client):
        store = open_store(f"sqlite:///{folder}/state.db", driving="test")
        try:
            yield (
                Intake(
                    store=store,
                    clock=SystemClock(),
                    settings=load_settings(box.environment()),
                    variables={},
                    resolve=partial(resolve, cekura=client),
                ),
                store,
                box,
            )
        finally:
            store.close()


async def test_a_batch_that_is_begun_keeps_the_scenarios_it_was_begun_with(tmp_path):
    async with intake(tmp_path) as (service, store, _):
        taken = await service.begin(PlanText(text=plan_text("[{tags: [smoke]}]")), actor="ci")
        runs = await store.read(partial(run_rows.list_runs, batch_id=taken.batch.batch_id))
    assert [run.scenario_id for run in runs] == SMOKE
    assert ids(plan_from_document(taken.batch.document)) == SMOKE


async def test_a_selection_that_matches_nothing_begins_nothing(tmp_path):
    async with intake(tmp_path) as (service, store, _):
        with pytest.raises(InvalidPlan, match="selects nothing"):
            await service.begin(PlanText(text=plan_text("[{tags: [smok]}]")), actor="ci")
        assert await batches_in(store) == []


async def test_the_same_key_answers_with_its_batch_though_cekura_cannot_be_asked_any_more(tmp_path):
    plan = PlanText(text=plan_text("[{tags: [smoke]}]"))
    async with intake(tmp_path) as (service, _store, box):
        first = await service.begin(plan, actor="ci", key="one")
        box.faults.arm([REFUSED])
        again = await service.begin(plan, actor="ci", key="one")
        assert (again.batch.batch_id, first.created, again.created) == (first.batch.batch_id, True, False)
        with pytest.raises(Conflict, match="with another plan"):
            await service.begin(PlanText(text=plan_text("[{tags: [hard]}]")), actor="ci", key="one")
        with pytest.raises(RemoteError):
            await service.begin(plan, actor="ci", key="two")


async def test_a_preview_shows_what_would_run_now(tmp_path):
    async with intake(tmp_path) as (service, _, _):
        text = plan_text("[{tags: [smoke]}]", more="matrix: {axes: {n: [1, 2]}}\n")
        preview = await service.preview(PlanText(text=text))
    assert [(run["scenario"], run["matrix"]["n"]) for run in preview["runs"]] == [
        (one, n) for n in (1, 2) for one in SMOKE
    ]
    assert (preview["estimate"]["runs"], "selected_at_run" in preview) == (8, False)


async def test_what_nobody_could_look_up_is_said_in_the_preview():
    preview = plan_preview(plan_from_text(plan_text("[{scenario: 1}, {tags: [smoke]}]")))
    assert [run["scenario"] for run in preview["runs"]] == [1]
    assert preview["estimate"] is None
    [selected] = preview["selected_at_run"]
    assert (selected["entry"], selected["tags"]) == (1, ["smoke"])
    assert any("scenarios.1 is selected when the batch begins (tags smoke)" in text for text in preview["warnings"])
    json.dumps(preview)


# --- by schedule -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def scheduling(folder, *faults, resolving=None, **schedule):
    """A schedule whose plan selects, and a scheduler that looks when it is told to."""
    async with catalogue(*faults) as (box, client):
        store, clock = open_store(f"sqlite:///{folder}/state.db", driving="test"), SetClock()
        ask = resolving or partial(resolve, cekura=client)
        scheduler = Scheduler(store=store, clock=clock, environ={}, resolve=ask)
        try:
            held = a_schedule(plan=plan_text("[{tags: [smoke]}]"), **schedule)
            await cases.sync_schedules(store, [held], clock=clock)
            yield box, store, clock, scheduler
        finally:
            store.close()


async def look(scheduler, store, clock, minutes, *, fires):
    """Look so long after noon, until so many fires are decided."""
    clock.at = NOON + minutes * MINUTE
    async with asyncio.timeout(10):
        while len(await fires_in(store)) < fires:
            await scheduler.look()


async def test_each_fire_selects_anew(tmp_path):
    async with scheduling(tmp_path, overlap=Overlap.ALLOW) as (box, store, clock, scheduler):
        await look(scheduler, store, clock, 10, fires=1)
        await look(scheduler, store, clock, 20, fires=2)
        batches = await batches_in(store)
        assert [ids(plan_from_document(one.document)) for one in batches] == [SMOKE, SMOKE]
        assert box.world()["requests"]["scenario_list"] == 2
        view = await cases.show_schedule(store, "nightly", clock=clock)
        assert schedule_answer(view)["plan"]["runs"] is None


async def test_a_fire_whose_selection_fails_is_refused_with_the_reason_and_the_next_one_is_tried(tmp_path):
    async with scheduling(tmp_path, "scenario_list.refused=1") as (_box, store, clock, scheduler):
        await look(scheduler, store, clock, 10, fires=1)
        [fire] = await fires_in(store)
        assert (fire.decision, fire.batch_id) == (FireDecision.REFUSED, None)
        assert "Cekura list_scenarios" in fire.reason
        await look(scheduler, store, clock, 20, fires=2)
        assert [one.decision for one in await fires_in(store)] == [FireDecision.REFUSED, FireDecision.FIRED]


async def test_a_fire_that_waited_selects_when_it_begins(tmp_path):
    async with scheduling(tmp_path, overlap=Overlap.QUEUE) as (_, store, clock, scheduler):
        await look(scheduler, store, clock, 10, fires=1)
        await look(scheduler, store, clock, 20, fires=2)
        [first] = await batches_in(store)
        closed = partial(batch_rows.record_closed, batch_id=first.batch_id, at=clock.at, outcome=Outcome.PASSED)
        await store.write(closed)
        async with asyncio.timeout(10):
            while len(await batches_in(store)) < 2:
                await scheduler.look()
        assert ids(plan_from_document((await batches_in(store))[1].document)) == SMOKE


async def test_no_other_schedule_waits_for_a_selection_and_no_row_is_held_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.engine.scheduler.ASKED_WITHIN", 0.01)
    answer = asyncio.Event()

    async def slow(loaded):
        await answer.wait()
        return await unable(plan_from_text(plan_text("[{scenario: 7}]")))

    async with scheduling(tmp_path, resolving=slow) as (_, store, clock, scheduler):
        both = [a_schedule("a", plan=plan_text("[{tags: [smoke]}]")), a_schedule("b")]
        await cases.sync_schedules(store, both, clock=clock)
        clock.at = NOON + 10 * MINUTE
        await scheduler.look()
        assert [one.decision for one in await fires_in(store, "b")] == [FireDecision.FIRED]
        assert await fires_in(store, "a") == []
        answer.set()
        async with asyncio.timeout(10):
            while not await fires_in(store, "a"):
                await scheduler.look()
        assert [one.decision for one in await fires_in(store, "a")] == [FireDecision.FIRED]


async def test_a_cekura_that_says_nothing_refuses_the_fire(tmp_path, monkeypatch):
    monkeypatch.setattr(firing, "SELECTION_SECONDS", 0.05)

    async def silent(_loaded):
        await asyncio.get_running_loop().create_future()

    async with scheduling(tmp_path, resolving=silent) as (_, store, clock, scheduler):
        await look(scheduler, store, clock, 10, fires=1)
        [fire] = await fires_in(store)
    assert (fire.decision, "did not say within" in fire.reason) == (FireDecision.REFUSED, True)


async def test_a_scheduler_that_ends_leaves_no_question_open(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.engine.scheduler.ASKED_WITHIN", 0.01)
    ended = []

    async def silent(_loaded):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    async with scheduling(tmp_path, resolving=silent) as (_, _, clock, scheduler):
        clock.at = NOON + 10 * MINUTE
        await scheduler.look()
        running = asyncio.create_task(scheduler.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
    assert ended == [True]


async def test_a_fire_by_hand_selects_now_or_refuses_with_the_reason(tmp_path):
    async with catalogue() as (box, client):
        store, clock = open_store(f"sqlite:///{tmp_path}/state.db", driving="test"), SetClock()
        await cases.sync_schedules(store, [a_schedule(plan=plan_text("[{tags: [smoke]}]"))], clock=clock)
        fire = partial(
            cases.fire_now,
            store,
            "nightly",
            clock=clock,
            environ={},
            actor="ops",
            resolve=partial(resolve, cekura=client),
        )
        fired, new = await fire(client_key="one", overlap=Overlap.ALLOW)
        [batch] = await batches_in(store)
        assert (fired.batch_id, new, ids(plan_from_document(batch.document))) == (batch.batch_id, True, SMOKE)
        clock.at += MINUTE
        box.faults.arm([REFUSED])
        again, new = await fire(client_key="one", overlap=Overlap.ALLOW)
        assert (again.batch_id, new) == (batch.batch_id, False)
        with pytest.raises(Conflict, match="cannot fire: Cekura list_scenarios"):
            await fire(overlap=Overlap.ALLOW)
        store.close()
