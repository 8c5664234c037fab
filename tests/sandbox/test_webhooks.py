"""The sandbox sends webhooks as Cekura does: announced first, told once at the end, with a static secret."""

import json

import pytest
from aiohttp import web

SECRET = "whsec_sandbox"


class Ear:
    """Somebody who takes webhooks and answers each as told."""

    def __init__(self):
        self.url = ""
        self.heard = []
        self.answers = []

    async def take(self, request):
        self.heard.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 202)

    def bodies(self, event):
        return [body for body in map(read, self.heard) if body and body["event_type"] == event]


def read(one):
    try:
        return json.loads(one[1])
    except ValueError:
        return None


@pytest.fixture
async def ear():
    ear = Ear()
    app = web.Application()
    app.router.add_post("/hook", ear.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ear.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield ear
    await runner.cleanup()


@pytest.fixture
def told(play, ear):
    """A sandbox that tells the ear, and somebody who submits two rooms to it."""

    async def submitted(*faults, **settings):
        caller = await play(webhook_url=ear.url, faults=faults, **settings)
        return caller, await caller.submit(await caller.ready(), await caller.ready())

    return submitted


async def sent(caller, count):
    return await caller.eventually(lambda: sum(caller.sandbox.world()["webhooks"].values()) == count)


async def test_a_result_is_announced_and_told_once_when_all_its_runs_are_judged(told, ear):
    caller, submission = await told()
    await caller.judged(submission)
    await sent(caller, 2)
    assert caller.sandbox.world()["webhooks"] == {"202": 2}
    assert [body["event_type"] for body in map(read, ear.heard)] == ["result.pre_trigger", "result.completed"]
    assert {headers["X-CEKURA-SECRET"] for headers, _ in ear.heard} == {SECRET}
    assert ear.heard[0][0]["X-CEKURA-IDEMPOTENCY-KEY"] == f"result_pre_trigger:{submission['id']}"
    assert "X-CEKURA-IDEMPOTENCY-KEY" not in ear.heard[1][0]


async def test_its_shape_is_the_documented_one(told, ear):
    caller, submission = await told("call.fails_evaluation=1")
    await caller.judged(submission)
    await sent(caller, 2)
    (body,) = ear.bodies("result.completed")
    assert (body["data"]["id"], body["data"]["status"], body["data"]["is_cronjob"]) == (
        submission["id"],
        "completed",
        False,
    )
    runs = body["data"]["runs"]
    assert set(runs) == {str(run["id"]) for run in submission["runs"]}
    assert sorted(run["success"] for run in runs.values()) == [False, True]
    assert all(isinstance(run["scenario"], dict) and "status" not in run for run in runs.values())
    assert all("voice_recording" in run and "voice_recording_url" not in run for run in runs.values())


@pytest.mark.parametrize(("answers", "attempts"), [([], 1), ([500], 2), ([404, 503], 3), ([500, 500, 500], 3)])
async def test_an_announcement_is_repeated_twice_at_most_and_the_calls_come_all_the_same(told, ear, answers, attempts):
    ear.answers = list(answers)
    caller, submission = await told()
    runs = await caller.judged(submission)
    await sent(caller, attempts + 1)
    assert {run["status"] for run in runs} == {"completed"}
    assert len(ear.bodies("result.pre_trigger")) == attempts
    assert len({headers.get("X-CEKURA-IDEMPOTENCY-KEY") for headers, _ in ear.heard[:attempts]}) == 1


async def test_the_end_is_told_once_however_it_is_answered(told, ear):
    ear.answers = [202, 500]
    caller, submission = await told()
    await caller.judged(submission)
    await sent(caller, 2)
    assert len(ear.bodies("result.completed")) == 1


async def test_nobody_listening_holds_no_call_up(play):
    caller = await play(webhook_url="http://127.0.0.1:9/hook")
    submission = await caller.submit(await caller.ready())
    await caller.judged(submission)
    await sent(caller, 4)
    assert caller.sandbox.world()["webhooks"] == {"unanswered": 4}


async def test_nothing_is_sent_and_no_fault_used_up_without_an_address(play):
    caller = await play(faults=("webhook.lost=1",))
    await caller.judged(await caller.submit(await caller.ready()))
    assert caller.sandbox.world()["webhooks"] == {}
    assert caller.sandbox.world()["faults_fired"] == {}
    assert "CEKURA_WEBHOOK_SECRET" not in caller.sandbox.environment()


async def test_the_environment_names_the_secret_that_webhooks_carry(told):
    caller, _ = await told(webhook_secret="another")
    assert caller.sandbox.environment()["CEKURA_WEBHOOK_SECRET"] == "another"
    assert "another" not in repr(caller.sandbox.settings)


async def test_a_run_that_was_ended_counts_as_finished(told, ear):
    caller, submission = await told(call_seconds=(10_000.0, 10_000.0))
    await caller.http.post(f"{caller.api}/v1/results/{submission['id']}/end_calls/", headers=caller.cekura)
    await sent(caller, 2)
    (body,) = ear.bodies("result.completed")
    assert [run["success"] for run in body["data"]["runs"].values()] == [False, False]


@pytest.mark.parametrize(("fault", "count"), [("lost", 0), ("duplicate", 2), ("garbled", 1), ("stranger", 1)])
async def test_a_fault_strikes_the_webhook_of_one_result(told, ear, fault, count):
    caller, submission = await told(f"webhook.{fault}=1")
    await caller.judged(submission)
    second = await caller.submit(await caller.ready())
    await caller.judged(second)
    await sent(caller, 3 + count)
    of_second = [body for body in ear.bodies("result.completed") if body["data"]["id"] == second["id"]]
    of_first = [body for body in ear.bodies("result.completed") if body["data"]["id"] == submission["id"]]
    assert len(of_second) == 1
    assert len(of_first) == (2 if fault == "duplicate" else 0)
    assert [read(one) for one in ear.heard].count(None) == (fault == "garbled")


async def test_a_wrong_secret_is_another_one(told, ear):
    caller, submission = await told("webhook.wrong_secret=1")
    await caller.judged(submission)
    await sent(caller, 2)
    assert ear.heard[0][0]["X-CEKURA-SECRET"] == SECRET != ear.heard[1][0]["X-CEKURA-SECRET"]


async def test_an_early_one_comes_in_the_first_call_and_claims_success(told, ear):
    caller, submission = await told("webhook.early=1", call_seconds=(10_000.0, 10_000.0))
    await sent(caller, 2)
    assert {run["status"] for run in await caller.runs(submission)} <= {"running", "in_progress", "pending", "in_queue"}
    (body,) = ear.bodies("result.completed")
    assert all(run["success"] for run in body["data"]["runs"].values())
    await caller.http.post(f"{caller.api}/v1/results/{submission['id']}/end_calls/", headers=caller.cekura)
    await caller.judged(submission)
    assert sum(caller.sandbox.world()["webhooks"].values()) == 2


@pytest.mark.parametrize("channel", ["pipecat_v2", "livekit_v2", "voice"])
async def test_an_automated_result_is_announced_and_told_by_its_name(play, ear, channel):
    caller = await play(webhook_url=ear.url)
    submission = await caller.run_automated(channel, name="nightly", personality_id=2)

    await sent(caller, 2)

    (first,), (last,) = ear.bodies("result.pre_trigger"), ear.bodies("result.completed")
    assert (first["data"]["id"], first["data"]["name"]) == (submission["id"], "nightly")
    assert (last["data"]["id"], last["data"]["name"]) == (submission["id"], "nightly")
    (run,) = last["data"]["runs"].values()
    assert (run["success"], run["scenario"]["personality_name"]) == (True, "Direct Communicator")
