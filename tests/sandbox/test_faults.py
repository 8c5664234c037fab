"""Faults: how they are written, what each generic one does to an answer, and that each strikes as often as told."""

import time

import httpx
import pytest

from orchestrator.sandbox import Sandbox, SandboxSettings, UnknownFault, list_faults


async def create(caller):
    return await caller.http.post("/v1/rooms", json={}, headers=caller.daily)


def rooms(caller):
    return caller.sandbox.world()["rooms"]["created"]


def test_every_fault_has_a_meaning_of_one_line():
    faults = list_faults()

    assert {"submit.lost_answer", "bot.never_joins", "presence_all.slow", "call.fails_evaluation"} <= set(faults)
    assert all(meaning and "\n" not in meaning for meaning in faults.values())


@pytest.mark.parametrize(
    ("text", "meant"),
    [("submit.lost_anwser=1", "submit.lost_answer"), ("bots.never_joins", "bot.never_joins")],
)
def test_an_unknown_fault_is_refused_with_the_nearest_known(text, meant):
    with pytest.raises(UnknownFault, match=meant):
        Sandbox(SandboxSettings(faults=(text,)))


@pytest.mark.parametrize("text", ["submit.lost_answer=many", "submit.lost_answer=1@", ""])
def test_a_fault_that_is_not_written_as_one_is_refused(text):
    with pytest.raises(UnknownFault):
        Sandbox(SandboxSettings(faults=(text,)))


async def test_a_fault_lets_some_requests_pass_and_then_strikes_as_often_as_told(play):
    caller = await play(faults=("room_list.error=2@1",))

    statuses = [(await caller.http.get("/v1/rooms", headers=caller.daily)).status_code for _ in range(4)]

    assert statuses == [200, 500, 500, 200]
    assert caller.sandbox.world()["faults_fired"] == {"room_list.error": 2}


async def test_a_lost_request_has_no_effect_and_no_answer(play):
    caller = await play(faults=("room_create.lost_request=1",))

    with pytest.raises(httpx.TransportError):
        await create(caller)

    assert rooms(caller) == 0


async def test_a_lost_answer_hides_an_effect(play):
    caller = await play(faults=("room_create.lost_answer=1",))

    with pytest.raises(httpx.TransportError):
        await create(caller)

    assert rooms(caller) == 1


async def test_a_late_effect_lands_after_the_connection_was_lost(play):
    caller = await play(faults=("room_create.late=1",), speed=20.0)

    with pytest.raises(httpx.TransportError):
        await create(caller)

    assert rooms(caller) == 0
    await caller.eventually(lambda: rooms(caller) == 1)


async def test_a_slow_answer_comes_after_half_a_minute_of_the_remotes_time(play):
    caller = await play(faults=("room_create.slow=1",))

    began = time.monotonic()
    answer = await create(caller)

    assert answer.status_code == 200
    assert time.monotonic() - began >= 30 / 100


@pytest.mark.parametrize(
    ("fault", "status", "word"), [("busy", 429, "rate-limit-error"), ("refused", 401, "authentication-error")]
)
async def test_a_refusal_comes_in_the_remotes_own_shape_and_nothing_happens(play, fault, status, word):
    caller = await play(faults=(f"room_create.{fault}=1",))

    answer = await create(caller)

    assert (answer.status_code, answer.json()["error"], rooms(caller)) == (status, word, 0)
    assert answer.headers.get("retry-after") == ("1" if fault == "busy" else None)


@pytest.mark.parametrize(("fault", "status", "kind"), [("error", 500, "json"), ("html", 503, "html")])
async def test_a_server_error_is_json_or_a_page_and_nothing_happens(play, fault, status, kind):
    caller = await play(faults=(f"room_create.{fault}=1",))

    answer = await create(caller)

    assert (answer.status_code, rooms(caller)) == (status, 0)
    assert kind in answer.headers["content-type"]


async def test_a_truncated_answer_ends_before_its_length(play):
    caller = await play(faults=("room_create.truncated=1",))

    with pytest.raises(httpx.TransportError):
        await create(caller)

    assert rooms(caller) == 1


async def test_an_answer_may_be_no_json_another_shape_or_far_too_large(play):
    faults = ("room_create.not_json=1", "room_create.wrong_type=1", "room_create.oversized=1")
    caller = await play(faults=faults)

    text, shape, large = [await create(caller) for _ in faults]

    with pytest.raises(ValueError, match="Expecting value"):
        text.json()
    assert isinstance(shape.json(), list)
    assert len(large.content) > 20_000_000
    assert rooms(caller) == 3


@pytest.mark.parametrize(
    "operation", [name.removesuffix(".error") for name in list_faults() if name.endswith(".error")]
)
async def test_every_operation_can_be_struck(play, operation):
    """Each name in the catalogue belongs to a request that somebody can make."""
    caller = await play(faults=(f"{operation}.error=1",))
    path, headers = {
        "start": ("POST /v1/public/bot/start", caller.public),
        "session_get": ("GET /v1/agents/bot/sessions/x", caller.private),
        "session_list": ("GET /v1/agents/bot/sessions", caller.private),
        "session_stop": ("DELETE /v1/agents/bot/sessions/x", caller.private),
        "agent_get": ("GET /v1/agents/bot", caller.private),
        "agent_list": ("GET /v1/agents", caller.private),
        "runner_status": ("GET /status", {}),
        "room_create": ("POST /v1/rooms", caller.daily),
        "room_get": ("GET /v1/rooms/x", caller.daily),
        "room_list": ("GET /v1/rooms", caller.daily),
        "room_update": ("POST /v1/rooms/x", caller.daily),
        "room_delete": ("DELETE /v1/rooms/x", caller.daily),
        "rooms_delete": ("DELETE /v1/batch/rooms", caller.daily),
        "presence": ("GET /v1/rooms/x/presence", caller.daily),
        "presence_all": ("GET /v1/presence", caller.daily),
        "eject": ("POST /v1/rooms/x/eject", caller.daily),
        "token_create": ("POST /v1/meeting-tokens", caller.daily),
        "submit": (f"POST {caller.submit_path}", caller.cekura),
        "poll": (f"GET {caller.api}/v2/runs/bulk/", caller.cekura),
        "result_get": (f"GET {caller.api}/v2/results/1/", caller.cekura),
        "result_list": (f"GET {caller.api}/v2/results/", caller.cekura),
        "result_rename": (f"PATCH {caller.api}/v2/results/1/", caller.cekura),
        "end_call": (f"POST {caller.api}/v1/runs/1/end_call/", caller.cekura),
        "end_calls": (f"POST {caller.api}/v1/results/1/end_calls/", caller.cekura),
        "billing": (f"GET {caller.api}/billing/info/", caller.cekura),
        "scenario_list": (f"GET {caller.api}/v1/scenarios/", caller.cekura),
        "scenario_get": (f"GET {caller.api}/v1/scenarios/101/", caller.cekura),
        "tag_list": (f"GET {caller.api}/v1/scenarios/tags/", caller.cekura),
        "folder_list": (f"GET {caller.api}/v1/scenarios/folders/", caller.cekura),
        "aiagent_get": (f"GET {caller.api}/v2/aiagents/5/", caller.cekura),
        "share_link": (f"POST {caller.api}/v1/results/1/create_shareable_link_token/", caller.cekura),
    }[operation]
    method, _, url = path.partition(" ")

    answer = await caller.http.request(method, url, headers=headers)

    assert answer.status_code == 500
    assert answer.json()
    assert caller.sandbox.world()["requests"] == {operation: 1}


@pytest.mark.parametrize(
    ("fault", "look"),
    [
        ("field_errors", lambda answer: list(answer.json()) == ["scenarios"]),
        ("bare_list", lambda answer: isinstance(answer.json(), list)),
        ("detail", lambda answer: list(answer.json()) == ["detail"]),
        ("html_error", lambda answer: answer.text.startswith("<!DOCTYPE html>")),
    ],
)
async def test_a_submission_can_be_refused_in_every_shape(play, fault, look):
    caller = await play(faults=(f"submit.{fault}=1",))
    body = {"scenarios": [{"scenario": 1, "pipecat_room_url": "https://acme.daily.co/r"}]}

    answer = await caller.http.post(caller.submit_path, json=body, headers=caller.cekura)

    assert answer.status_code == 400
    assert look(answer)
    assert caller.sandbox.world()["submits"] == 0


@pytest.mark.parametrize(("fault", "scenarios"), [("no_runs", []), ("fewer_runs", [1, 2]), ("shuffled", [3, 2, 1])])
async def test_a_submission_can_come_back_with_other_runs(play, fault, scenarios):
    caller = await play(faults=(f"submit.{fault}=1",), shuffle_runs=False)
    sessions = [{"dailyRoom": f"http://sandbox.localhost/{n}", "dailyToken": None} for n in range(3)]

    submission = await caller.submit(*sessions)

    assert [run["scenario"] for run in submission["runs"]] == scenarios


async def test_a_submission_can_come_back_as_a_map(play):
    caller = await play(faults=("submit.unnested=1",))

    submission = await caller.submit({"dailyRoom": "http://sandbox.localhost/r", "dailyToken": None})

    assert [str(run["id"]) for run in submission["runs"].values()] == list(submission["runs"])


async def test_a_poll_can_miss_a_run_show_a_new_word_or_fail(play):
    caller = await play(faults=("poll.missing_run=1", "poll.unknown_status=1", "poll.server_error=1"))
    submission = await caller.submit(await caller.ready())

    missing, unknown = await caller.runs(submission), await caller.runs(submission)
    with pytest.raises(httpx.HTTPStatusError, match="502"):
        await caller.runs(submission)

    assert missing == []
    assert unknown[0]["status"] == "warming_up"
    assert (await caller.runs(submission))[0]["status"] != "warming_up"


async def test_a_full_agent_answers_in_both_shapes(play):
    caller = await play(faults=("start.capacity=1", "start.capacity_pcc=1", "start.no_public_key=1"))

    answers = [await caller.http.post("/v1/public/bot/start", json={}, headers=caller.public) for _ in range(3)]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (429, "429"),
        (429, "PCC-AGENT-AT-CAPACITY"),
        (401, "PCC-1002"),
    ]


async def test_a_fault_of_one_way_to_start_does_not_strike_the_other(play):
    caller = await play(faults=("start.null=1", "start.capacity=1"))

    refused = await caller.http.post("/v1/public/bot/start", json={}, headers=caller.public)
    nothing = await caller.http.post("/start", json={"createDailyRoom": True})

    assert refused.status_code == 429
    assert nothing.json() is None


async def test_faults_can_be_changed_while_the_sandbox_runs(play):
    caller = await play()

    async def set_faults(*texts):
        return await caller.http.post("/sandbox/faults", json={"set": texts})

    armed = await set_faults("room_list.error=5@2")
    unknown = await set_faults("room_list.eror=5")
    wrong = await caller.http.post("/sandbox/faults", json=["room_list.error"])
    shown = await caller.http.get("/sandbox/faults")
    disarmed = await caller.http.delete("/sandbox/faults")

    assert armed.json() == shown.json() == {"armed": ["room_list.error=5@2"]}
    assert (unknown.status_code, "room_list.error" in unknown.json()["error"]) == (400, True)
    assert wrong.status_code == 400
    assert disarmed.json() == {"armed": []}
    assert (await caller.http.get("/v1/rooms", headers=caller.daily)).status_code == 200
