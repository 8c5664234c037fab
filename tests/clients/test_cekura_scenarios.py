"""Selecting scenarios over all pages, reading agents, and share links, against handlers that play Cekura's pages."""

import json
import logging
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.cekura import DIALECT, CekuraClient
from orchestrator.clients.cekura_scenarios import cekura_agent, scenario_record
from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import RemoteAuthFailed, RemoteNotFound, RemoteProtocolError, RemoteUnavailable
from orchestrator.domain.observation import AutomatedScenario, AutomatedSubmission, CekuraAgent, ScenarioRecord

LINK = "https://dashboard.cekura.ai/shared/4f1c-very-secret"


def cekura(door, handler):
    return CekuraClient(door(handler, dialect=DIALECT))


def scenarios_on(pages, *, asked=None):
    """A server with these ids on each page; past the last it answers 404 as its framework does."""

    def handler(request):
        if asked is not None:
            asked.append(dict(request.url.params))
        number = int(request.url.params["page"])
        if number > len(pages):
            return httpx.Response(404, json={"detail": "Invalid page."})
        results = [{"id": one, "name": f"scenario {one}"} for one in pages[number - 1]]
        return httpx.Response(200, json={"count": 9, "next": "more", "previous": None, "results": results})

    return handler


async def test_every_page_is_read_and_each_scenario_is_taken_once_in_order(door):
    client = cekura(door, scenarios_on([[3, 1], [1, 2], [9, 3]]))
    found = await client.list_scenarios(cekura_agent_id=5, project_id=None)
    assert [record.scenario_id for record in found] == [3, 1, 2, 9]


async def test_a_list_ends_where_there_is_no_next_page(door):
    asked = []

    def handler(request):
        asked.append(request)
        return httpx.Response(200, json={"count": 1, "next": None, "results": [{"id": 1, "name": "a"}]})

    assert len(await cekura(door, handler).list_scenarios(cekura_agent_id=5, project_id=None)) == 1
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("selection", "query"),
    [
        ({}, {}),
        ({"cekura_agent_id": 5, "project_id": 6}, {"agent_id": "5", "project_id": "6"}),
        ({"tags": ("a", "b c")}, {"tags": "a,b c", "tag_filter_type": "or"}),
        ({"tags": ("a",), "tag_filter": "not"}, {"tags": "a", "tag_filter_type": "not"}),
        ({"tag_filter": "and", "folder_path": "x.y"}, {"folder_path": "x.y"}),
        ({"folder_path": ""}, {"folder_path": ""}),
    ],
)
async def test_a_selection_is_asked_for_as_it_was_made(door, selection, query):
    asked = []
    client = cekura(door, scenarios_on([[1]], asked=asked))
    await client.list_scenarios(**({"cekura_agent_id": None, "project_id": None} | selection))
    assert asked[0] == query | {"page": "1", "page_size": "100"}


async def test_a_tag_with_a_comma_is_never_asked_for_as_two(door):
    asked = []
    client = cekura(door, scenarios_on([[1]], asked=asked))
    with pytest.raises(ValueError, match="'a,b'"):
        await client.list_scenarios(cekura_agent_id=None, project_id=None, tags=("a,b",))
    assert asked == []


async def test_a_selection_without_end_is_refused_and_never_cut(door):
    asked = []
    client = cekura(door, scenarios_on([[page] for page in range(200)], asked=asked))
    with pytest.raises(RemoteProtocolError, match="more than 50 pages") as endless:
        await client.list_scenarios(cekura_agent_id=None, project_id=None)
    assert "Narrow the selection" in endless.value.next_step
    assert len(asked) == 50


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, json={"results": [{"name": "no id"}]}), RemoteProtocolError),
        (httpx.Response(200, json={"count": 0}), RemoteProtocolError),
        (httpx.Response(200, json=[]), RemoteProtocolError),
        (httpx.Response(404, json={"detail": "Not found."}), RemoteNotFound),
        (httpx.Response(502, text="<html>"), RemoteUnavailable),
    ],
    ids=["no id", "no list", "bare list", "not found", "bad gateway"],
)
async def test_an_unreadable_page_is_never_an_empty_selection(door, answer, kind):
    with pytest.raises(kind):
        await cekura(door, lambda _: answer).list_scenarios(cekura_agent_id=None, project_id=None)


def test_a_scenario_is_read_with_the_variables_of_its_profile():
    variables = {"customer": {"name": "Ada"}, "vip": True}
    profile = {"id": 12, "name": "Ada", "information": {"main_agent_variables": variables, "testing_agent": {"x": 1}}}
    body = {
        "id": 7,
        "name": "Reschedule",
        "tags": ["smoke", "nightly"],
        "folder_path": "booking.changes",
        "agent": 5,
        "test_profile": 12,
        "test_profile_data": profile,
    }
    assert scenario_record(body) == ScenarioRecord(
        scenario_id=7,
        name="Reschedule",
        tags=("smoke", "nightly"),
        folder_path="booking.changes",
        cekura_agent_id=5,
        test_profile_id=12,
        main_agent_variables=variables,
    )


@pytest.mark.parametrize(
    "information",
    [None, {"name": "Ada"}, {"main_agent_variables": ["name"]}, {"main_agent_variables": None}, ["x"], "flat words", 3],
)
def test_a_profile_without_a_section_for_the_bot_gives_it_nothing(information):
    record = scenario_record({"id": 7, "test_profile_data": {"id": 12, "information": information}})
    assert record.main_agent_variables == {}
    assert record.test_profile_id == 12


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SCENARIO_FIELDS = ("name", "tags", "folder_path", "agent", "test_profile", "test_profile_data")
AGENT_FIELDS = ("name", "provider", "telephony", "enabled_personalities", "project")


@given(st.fixed_dictionaries({"id": st.just(7)}, optional=dict.fromkeys(SCENARIO_FIELDS, json_values)))
def test_any_scenario_is_read_without_a_mishap(body):
    assert scenario_record(body).scenario_id == 7


@given(st.fixed_dictionaries({"id": st.just(7)}, optional=dict.fromkeys(AGENT_FIELDS, json_values)))
def test_any_agent_is_read_without_a_mishap(body):
    assert cekura_agent(body).cekura_agent_id == 7


async def test_an_agent_tells_its_provider_direction_and_personalities(door):
    body = {
        "id": 5,
        "name": "Support",
        "project": 6,
        "provider": {"type": "pipecat"},
        "telephony": {"inbound": False, "phone_number": "+15550100"},
        "enabled_personalities": [1, "2"],
    }
    asked = []

    def handler(request):
        asked.append(request.url.path)
        return httpx.Response(200, json=body)

    assert await cekura(door, handler).get_cekura_agent(5) == CekuraAgent(
        cekura_agent_id=5,
        name="Support",
        provider="pipecat",
        inbound=False,
        enabled_personalities=(1, 2),
        project_id=6,
    )
    assert asked == ["/test_framework/v2/aiagents/5/"]
    bare = await cekura(door, lambda _: httpx.Response(200, json={"id": 5, "provider": None})).get_cekura_agent(5)
    assert (bare.provider, bare.inbound, bare.enabled_personalities, bare.project_id) == ("", None, (), None)


async def test_an_agent_that_is_not_there_or_is_none_is_an_error(door):
    with pytest.raises(RemoteNotFound):
        await cekura(door, lambda _: httpx.Response(404, json={"detail": "Not found."})).get_cekura_agent(5)
    with pytest.raises(RemoteProtocolError, match="without an id"):
        await cekura(door, lambda _: httpx.Response(200, json={})).get_cekura_agent(5)


@pytest.mark.parametrize(
    ("expires_at", "sent"),
    [
        (None, None),
        (datetime(2026, 12, 1, 10, tzinfo=timezone(timedelta(hours=2))), "2026-12-01T08:00:00+00:00"),
    ],
)
async def test_a_share_link_is_handed_back_and_written_nowhere(door, caplog, expires_at, sent):
    asked = []

    def handler(request):
        asked.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={"token": "4f1c-very-secret", "shareable_link": LINK})

    with caplog.at_level(logging.DEBUG):
        assert await cekura(door, handler).share_result(7, expires_at=expires_at) == LINK
    path = "/test_framework/v1/results/7/create_shareable_link_token/"
    assert asked == [("POST", path, {"expire_at": sent})]
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize("link", [None, "", "4f1c-very-secret", f"{LINK}\n", {"url": LINK}])
async def test_a_share_link_that_is_no_address_is_refused_without_repeating_it(door, link):
    client = cekura(door, lambda _: httpx.Response(200, json={"token": "t", "shareable_link": link}))
    with pytest.raises(RemoteProtocolError, match="no address") as refused:
        await client.share_result(7, expires_at=datetime(2026, 12, 1, tzinfo=UTC))
    assert "very-secret" not in str(refused.value)


async def test_a_subscription_without_share_links_is_told_apart_from_a_bad_key(door):
    client = cekura(door, lambda _: httpx.Response(403, json={"detail": "Upgrade your plan."}))
    with pytest.raises(RemoteAuthFailed, match="Upgrade your plan") as refused:
        await client.share_result(7, expires_at=None)
    assert "white-label" in refused.value.next_step


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        ({"tags": ("smoke", "billing")}, [101, 102, 106, 107, 108, 111]),
        ({"tags": ("smoke", "billing"), "tag_filter": "and"}, [102]),
        ({"tags": ("smoke", "billing", "orders"), "tag_filter": "not"}, [104, 109, 112]),
        ({"tags": ("hard",), "folder_path": "support"}, [104, 111]),
        ({"folder_path": ""}, [108, 109]),
        ({"tags": ("nobody-has-it",)}, []),
        ({"project_id": 2}, []),
    ],
)
async def test_the_sandbox_selects_by_tags_and_folder(world, selection, ids):
    place = await world()
    found = await place.cekura.list_scenarios(**({"cekura_agent_id": 5, "project_id": 1} | selection))
    assert [record.scenario_id for record in found] == ids


async def test_the_sandboxs_scenarios_hold_what_their_profiles_tell_the_bot(world):
    place = await world()
    found = await place.cekura.list_scenarios(cekura_agent_id=None, project_id=None)
    by_id = {record.scenario_id: record for record in found}
    assert by_id[101] == ScenarioRecord(
        scenario_id=101,
        name="Order status",
        tags=("smoke", "orders"),
        folder_path="support.orders",
        cekura_agent_id=5,
        test_profile_id=31,
        main_agent_variables={"customer": "U-31", "tier": "gold", "locale": "en"},
    )
    plain = by_id[108]
    assert (plain.folder_path, plain.test_profile_id, plain.main_agent_variables) == (None, None, {})


async def test_the_sandboxs_agents_are_read(world):
    place = await world()
    agent = await place.cekura.get_cekura_agent(7)
    assert (agent.name, agent.provider, agent.inbound) == ("Hotline", "vapi", True)
    assert (agent.enabled_personalities, agent.project_id) == ((1, 2, 3), 1)
    with pytest.raises(RemoteNotFound):
        await place.cekura.get_cekura_agent(999)


async def test_a_result_at_the_sandbox_is_shared_unless_its_subscription_has_no_links(world):
    place = await world(faults=("share_link.not_in_plan=1", "share_link.lost_answer=1@1"))
    accepted = await place.cekura.submit_automated(
        AutomatedSubmission(
            channel=Channel.PIPECAT_V2,
            name="shared",
            cekura_agent_id=5,
            scenarios=(AutomatedScenario(scenario_id=101),),
            frequency=1,
            personality_id=None,
            test_profile_id=None,
            calls=None,
            mock_tool_names=None,
        )
    )
    result_id = accepted.cekura_result_id
    for kind in (RemoteAuthFailed, RemoteUnavailable):
        with pytest.raises(kind):
            await place.cekura.share_result(result_id, expires_at=None)
    first = await place.cekura.share_result(result_id, expires_at=datetime(2026, 12, 1, tzinfo=UTC))
    assert first.startswith(f"{place.sandbox.url}/shared/")
    assert await place.cekura.share_result(result_id, expires_at=None) != first
    with pytest.raises(RemoteNotFound):
        await place.cekura.share_result(999_999, expires_at=None)
