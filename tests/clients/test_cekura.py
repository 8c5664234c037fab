"""Cekura's client against the sandbox, its words, and its odd answers from handlers."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.cekura import DIALECT, CekuraClient, split_ids
from orchestrator.clients.cekura_run import accepted_submission, call_observation, call_status
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import (
    InvalidSettings,
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteNotFound,
    RemoteProtocolError,
    RemoteRejected,
    RemoteUnavailable,
)
from orchestrator.domain.observation import CallStatus, StartRequest, SubmittedRoom
from orchestrator.domain.secret import MeetingToken
from orchestrator.settings import load_settings

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ROOM = SubmittedRoom(scenario_id=101, room_url="https://a.daily.co/r", meeting_token=MeetingToken("meeting-token-1"))


def cekura(door, handler, **options):
    return CekuraClient(door(handler, dialect=DIALECT), **options)


async def rooms_of(place, count):
    started = [
        await place.cloud.start_session(StartRequest(body={}, room_properties={}, token_properties={}))
        for _ in range(count)
    ]
    return [
        SubmittedRoom(scenario_id=101 + index, room_url=session.room_url, meeting_token=session.meeting_token)
        for index, session in enumerate(started)
    ]


async def submitted(place, count=1, **options):
    given = {"cekura_agent_id": 5, "mock_tool_names": (), "rooms": await rooms_of(place, count)} | options
    return await place.cekura.submit(**given)


@pytest.fixture
def finished(until):
    async def ask(place, ids):
        return await until(lambda: place.cekura.get_runs(ids), lambda runs: all(run.status.finished for run in runs))

    return ask


async def test_a_submission_is_followed_to_its_verdict(world, finished):
    place = await world()
    accepted = await submitted(place, 2)
    assert accepted.cekura_agent_id == 5
    assert {run.scenario_id for run in accepted.runs} == {101, 102}
    ids = [run.cekura_run_id for run in accepted.runs]
    runs = await finished(place, ids)
    assert [run.cekura_run_id for run in runs] == ids
    assert {run.status for run in runs} == {CallStatus.COMPLETED}
    assert all(run.success and run.duration_seconds and run.executed_at for run in runs)
    assert {run.cekura_result_id for run in runs} == {accepted.cekura_result_id}
    await place.cekura.rename_result(accepted.cekura_result_id, "n" * 300)
    result = await place.cekura.get_result(accepted.cekura_result_id)
    assert {run.cekura_run_id for run in result.runs} == set(ids)


async def test_a_failed_evaluation_says_why(world, finished):
    place = await world(faults=("call.fails_evaluation=1",))
    accepted = await submitted(place)
    [run] = await finished(place, [accepted.runs[0].cekura_run_id])
    assert (run.status, run.success) == (CallStatus.COMPLETED, False)
    assert run.explanation


async def test_results_are_found_by_agent_and_time(world):
    place = await world()
    first, second = await submitted(place), await submitted(place)
    await submitted(place, cekura_agent_id=6)
    found = await place.cekura.list_results(cekura_agent_id=5, since=LONG_AGO)
    assert [result.cekura_result_id for result in found] == [second.cekura_result_id, first.cekura_result_id]
    assert [run.scenario_id for run in found[0].runs] == [101]
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert await place.cekura.list_results(cekura_agent_id=5, since=later) == []


async def test_calls_are_ended_one_by_one_and_together(world, finished):
    place = await world(call_seconds=(600.0, 600.0), join_seconds=(0.1, 0.2))
    accepted = await submitted(place, 2)
    ids = [run.cekura_run_id for run in accepted.runs]
    await place.cekura.end_call(ids[0])
    await place.cekura.end_calls(accepted.cekura_result_id)
    assert all(run.status.finished for run in await finished(place, ids))
    with pytest.raises(RemoteNotFound):
        await place.cekura.end_call(999_999_999)


async def test_billing_tells_the_ceiling_of_calls_unless_the_key_is_a_projects(world):
    place = await world(calls_limit=7)
    billing = await place.cekura.billing()
    assert billing.calls_limit == 7
    assert billing.credits_remaining is not None
    place = await world(key_has_billing=False)
    with pytest.raises(RemoteAuthFailed) as refused:
        await place.cekura.billing()
    assert refused.value.status == 403
    assert "limits.calls" in refused.value.next_step


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("submit.field_errors=1", RemoteRejected, "HTTP 400"),
        ("submit.bare_list=1", RemoteRejected, "HTTP 400"),
        ("submit.detail=1", RemoteRejected, "HTTP 400"),
        ("submit.html_error=1", RemoteRejected, "HTTP 400"),
        ("submit.busy=1", RemoteBusy, "HTTP 429"),
        ("submit.refused=1", RemoteAuthFailed, "HTTP 401"),
        ("submit.lost_answer=1", OutcomeUnknown, "connection broke"),
        ("submit.lost_request=1", OutcomeUnknown, "connection broke"),
        ("submit.truncated=1", OutcomeUnknown, "connection broke"),
        ("submit.not_json=1", OutcomeUnknown, "not JSON"),
        ("submit.wrong_type=1", OutcomeUnknown, "HTTP 200"),
        ("submit.oversized=1", OutcomeUnknown, "larger than"),
        ("submit.error=1", OutcomeUnknown, "HTTP 500"),
        ("submit.html=1", OutcomeUnknown, "HTTP 503"),
    ],
)
async def test_each_fault_of_a_submission_has_its_error(world, fault, kind, text):
    place = await world(faults=(fault,))
    with pytest.raises(kind, match=text) as raised:
        await submitted(place)
    assert type(raised.value) is kind
    assert raised.value.next_step
    assert "<" not in raised.value.detail


async def test_runs_missing_from_an_answer_are_simply_absent(world):
    place = await world(faults=("submit.fewer_runs=1", "poll.missing_run=1"))
    accepted = await submitted(place, 3)
    assert len(accepted.runs) == 2
    ids = [run.cekura_run_id for run in accepted.runs]
    assert len(await place.cekura.get_runs(ids)) == 1
    assert len(await place.cekura.get_runs([*ids, 999_999_999])) == 2


async def test_a_submission_answered_with_a_map_of_runs_is_read_too(world):
    place = await world(faults=("submit.unnested=1",))
    assert {run.scenario_id for run in (await submitted(place, 2)).runs} == {101, 102}


async def test_a_submission_without_runs_is_told_as_such(world):
    place = await world(faults=("submit.no_runs=1",))
    assert (await submitted(place)).runs == ()


async def test_an_unknown_status_is_kept_verbatim_and_never_finished(world):
    place = await world(faults=("poll.unknown_status=1",))
    accepted = await submitted(place)
    [run] = await place.cekura.get_runs([accepted.runs[0].cekura_run_id])
    assert run.status is CallStatus.UNRECOGNISED
    assert run.raw_status
    assert not run.status.finished


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("poll.server_error=1", RemoteUnavailable),
        ("poll.lost_answer=1", RemoteUnavailable),
        ("poll.wrong_type=1", RemoteProtocolError),
        ("result_list.wrong_type=1", RemoteProtocolError),
    ],
)
async def test_a_failed_read_changes_nothing(world, fault, kind):
    place = await world(faults=(fault,))
    accepted = await submitted(place)
    ids = [accepted.runs[0].cekura_run_id]

    def ask():
        reads = {"poll": place.cekura.get_runs, "result_list": place.cekura.list_results}
        read = reads[fault.partition(".")[0]]
        return read(ids) if fault.startswith("poll") else read(cekura_agent_id=5, since=LONG_AGO)

    with pytest.raises(kind):
        await ask()
    assert len(await ask()) == 1


async def test_too_large_a_poll_is_asked_again_in_halves(door):
    asked = []

    def handler(request):
        ids = [int(part) for part in request.url.params["run_ids"].split(",")]
        asked.append(len(ids))
        return httpx.Response(
            200, json=[{"id": run_id, "status": "pending", "transcript": "x" * 600} for run_id in ids]
        )

    client = CekuraClient(door(handler, answer_limit=2000))
    assert [run.cekura_run_id for run in await client.get_runs([4, 3, 2, 1])] == [4, 3, 2, 1]
    assert asked == [4, 2, 2]


async def test_what_is_sent_is_what_the_user_said_and_nothing_else(door):
    sent = []

    def handler(request):
        sent.append((str(request.url), json.loads(request.content)))
        return httpx.Response(201, json={"id": 1, "runs": []})

    client = cekura(door, handler)
    bare = SubmittedRoom(scenario_id=7, room_url="https://a.daily.co/r", meeting_token=None)
    said = SubmittedRoom(scenario_id=7, room_url="https://a.daily.co/r", meeting_token=None, has_data_message=True)
    await client.submit(cekura_agent_id=None, mock_tool_names=None, rooms=[bare])
    await client.submit(cekura_agent_id=5, mock_tool_names=(), rooms=[ROOM, said])
    url = "https://remote.example/test_framework/v1/scenarios/run_scenarios_pipecat/"
    element = {"scenario": 7, "pipecat_room_url": "https://a.daily.co/r"}
    first = {"scenario": 101, "pipecat_room_url": "https://a.daily.co/r", "pipecat_token": "meeting-token-1"}
    assert sent == [
        (url, {"scenarios": [element]}),
        (url, {"agent": 5, "mock_tool_names": [], "scenarios": [first, element | {"publish_data_message": None}]}),
    ]


async def test_a_token_that_cekura_echoes_is_masked(door):
    client = cekura(door, lambda request: httpx.Response(400, json=[f"bad: {request.content.decode()}"]))
    with pytest.raises(RemoteRejected) as refused:
        await client.submit(cekura_agent_id=5, mock_tool_names=None, rooms=[ROOM])
    assert "meeting-token-1" not in str(refused.value)


async def test_results_are_paged_until_they_are_older(door):
    pages = []

    def handler(request):
        page = int(request.url.params["page"])
        pages.append(page)
        if page == 4:
            return httpx.Response(404, json={"detail": "Invalid page."})
        created = f"2026-11-{21 - page}T10:00:00Z"
        results = [{"id": page * 10 + index, "created_at": created, "runs": {}} for index in (0, 1)]
        return httpx.Response(200, json={"count": 6, "next": "more", "results": [*results, results[0]]})

    client = cekura(door, handler)
    found = await client.list_results(cekura_agent_id=None, since=datetime(2026, 11, 19, tzinfo=UTC))
    assert [result.cekura_result_id for result in found] == [11, 10, 21, 20]
    assert pages == [1, 2, 3]
    assert len(await client.list_results(cekura_agent_id=None, since=LONG_AGO)) == 6


def test_a_missing_key_is_a_setting_to_mend():
    with pytest.raises(InvalidSettings, match="CEKURA_API_KEY is missing"):
        CekuraClient.open(load_settings({}), clock=SystemClock())


async def test_a_result_has_an_address_only_within_its_project(door):
    handler = httpx.MockTransport(lambda _: httpx.Response(500)).handler
    client = cekura(door, handler, dashboard_url="https://dashboard.cekura.ai/", project_id="12")
    assert client.result_url(7) == "https://dashboard.cekura.ai/12/results/7"
    assert cekura(door, handler, dashboard_url="https://dashboard.cekura.ai").result_url(7) is None


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", CallStatus.PENDING),
        ("scaling_up", CallStatus.PENDING),
        ("IN_QUEUE", CallStatus.QUEUED),
        ("running", CallStatus.IN_CALL),
        ("In_Progress", CallStatus.IN_CALL),
        ("evaluating", CallStatus.EVALUATING),
        ("completed", CallStatus.COMPLETED),
        ("failed", CallStatus.FAILED),
        ("timeout", CallStatus.TIMED_OUT),
        ("cancelled", CallStatus.CANCELLED),
        ("passed", CallStatus.UNRECOGNISED),
        (None, CallStatus.UNRECOGNISED),
        (7, CallStatus.UNRECOGNISED),
    ],
)
def test_each_word_of_cekura_has_one_status(word, status):
    assert call_status(word)[0] is status


def test_a_run_is_read_through_its_documented_slips():
    run = call_observation(
        {
            "id": "39129",
            "status": "completed",
            "success": "false",
            "scenario": {"id": 11736},
            "result_id": "17759",
            "duration": "01:22",
            "executed_at": "2026-08-20T09:00:04Z",
            "metadata": '{"ended_reason": "Main agent-ended-call"}',
            "expected_outcome": '{"score": 50, "explanation": ["It never said goodbye."]}',
            "evaluation": {
                "metrics": [
                    {"name": "greeting", "eval_type": "binary", "passed": False},
                    {"name": "tone", "type": "binary", "score": 0},
                    {"name": "pace", "type": "numeric", "score": 0},
                ]
            },
            "rubric": [{"passed": False}, {"passed": True}],
        }
    )
    assert (run.cekura_run_id, run.scenario_id, run.cekura_result_id) == (39129, 11736, 17759)
    assert (run.success, run.duration_seconds, run.ended_reason) == (False, 82.0, "Main agent-ended-call")
    assert run.executed_at == datetime(2026, 8, 20, 9, 0, 4, tzinfo=UTC)
    assert run.explanation == (
        "expected outcome 50/100: It never said goodbye.; failed metrics: greeting, tone; 1 of 2 rubric items failed"
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
RUN_FIELDS = (
    "status", "success", "scenario", "result_id", "duration", "executed_at", "metadata", "rubric",
    "expected_outcome", "evaluation", "error_message",
)  # fmt: skip
any_run = st.fixed_dictionaries(
    {"id": st.integers(0, 99)},
    optional=dict.fromkeys(RUN_FIELDS, json_values),
)


@given(any_run)
def test_any_run_is_read_without_a_mishap(body):
    run = call_observation(body)
    assert run.cekura_run_id == body["id"]
    assert len(run.explanation) <= 300


@given(json_values)
def test_any_runs_of_a_result_are_read_without_a_mishap(runs):
    assert accepted_submission({"id": 1, "runs": runs}).cekura_result_id == 1


@given(st.lists(st.integers(0, 10**20), max_size=900))
def test_ids_are_split_without_loss_within_the_url(ids):
    chunks = list(split_ids(ids))
    assert [run_id for chunk in chunks for run_id in chunk] == list(dict.fromkeys(ids))
    assert all(len(",".join(map(str, chunk))) <= 1800 and len(chunk) <= 200 for chunk in chunks)
