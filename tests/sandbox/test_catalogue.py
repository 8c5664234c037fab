"""Cekura's catalogue: scenarios page by page, their tags and folders, agents; and the links that share a result."""

import json
from pathlib import Path

import pytest

from orchestrator.sandbox.catalogue import AGENTS, select

DOCUMENT = Path(__file__).parents[2] / "docs" / "sandbox.md"


async def ids(caller, **params):
    """The ids on all pages of a selection, following the links."""
    answer = await caller.get("v1/scenarios/", **params)
    found, pages = [], 0
    while True:
        assert answer.status_code == 200
        page = answer.json()
        found += [one["id"] for one in page["results"]]
        pages += 1
        if page["next"] is None:
            assert page["count"] == len(found)
            return found, pages
        answer = await caller.http.get(page["next"], headers=caller.cekura)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"agent_id": 6}, [201, 202, 203, 204]),
        ({"assistant_id": "asst-hotline"}, [301, 302, 303, 304]),
        ({"assistant_id": "nobody"}, []),
        ({"assistant_id": "asst-hotline", "agent_id": 5}, []),
        ({"project_id": 2}, [401]),
        ({"project_id": 3}, []),
        ({"agent_id": 5, "tags": "smoke"}, [101, 102, 108, 111]),
        ({"agent_id": 5, "tags": "smoke,hard", "tag_filter_type": "and"}, [111]),
        ({"agent_id": 6, "tags": "smoke,hard", "tag_filter_type": "or"}, [201, 204]),
        ({"agent_id": 6, "tags": "smoke, hard", "tag_filter_type": "not"}, [202, 203]),
        ({"agent_id": 6, "tag_filter_type": "not"}, [201, 202, 203, 204]),
        ({"agent_id": 5, "folder_path": "support.accounts"}, [112]),
        ({"agent_id": 5, "folder_path": "support"}, [104, 111]),
        ({"agent_id": 5, "folder_path": ""}, [108, 109]),
        ({"agent_id": 5, "folder_path": "no.such"}, []),
    ],
)
async def test_scenarios_are_selected(play, params, expected):
    assert (await ids(await play(), **params))[0] == expected


async def test_every_page_of_a_selection_is_reached_by_its_links(play):
    caller = await play()
    all_of_them, one_page = await ids(caller, page_size=100)

    for family_size in (1, 4, 7):
        found, pages = await ids(caller, page_size=family_size)
        assert (found, pages) == (all_of_them, -(-len(all_of_them) // family_size))
    assert (one_page, len(set(all_of_them))) == (1, len(all_of_them))
    filtered, pages = await ids(caller, agent_id=5, tags="smoke,orders", page_size=2)
    assert (len(filtered), pages) == (7, 4)


@pytest.mark.parametrize("page", ["99", "0", "-1", "two"])
async def test_a_page_that_is_none_is_missed(play, page):
    answer = await (await play()).get("v1/scenarios/", page=page)

    assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid page."})


@pytest.mark.parametrize(
    ("field", "value"),
    [("tag_filter_type", "xor"), ("agent_id", "five"), ("project_id", "one"), ("tags", ""), ("assistant_id", "")],
)
async def test_a_wrong_selection_is_refused(play, field, value):
    answer = await (await play()).get("v2/scenarios/", **{field: value})

    assert (answer.status_code, list(answer.json())) == (400, [field])


async def test_a_scenario_is_shown_with_its_profile(play):
    scenario = (await (await play()).get("v1/scenarios/101/")).json()

    assert (scenario["name"], scenario["tags"], scenario["folder_path"]) == (
        "Order status",
        ["smoke", "orders"],
        "support.orders",
    )
    assert scenario["test_profile"] == scenario["test_profile_data"]["id"] == 31
    assert set(scenario["test_profile_data"]["information"]) == {"main_agent_variables", "testing_agent_variables"}


async def test_a_scenario_beyond_the_catalogue_is_plain_and_an_unknown_one_is_missed(play):
    caller = await play(unknown_scenarios=(101, 777))

    assert (await caller.get("v1/scenarios/12345/")).json()["name"] == "Scenario 12345"
    assert (await caller.get("v1/scenarios/777/")).status_code == 404
    assert 101 not in (await ids(caller))[0]


@pytest.mark.parametrize("family", ["v1/scenarios", "v1/scenarios-external", "v2/scenarios"])
async def test_tags_and_folders_are_listed(play, family):
    caller = await play()

    tags = (await caller.get(f"{family}/tags/")).json()
    folders = (await caller.get(f"{family}/folders/", project_id=1)).json()

    assert tags == sorted(tags)
    assert {"smoke", "orders", "booking"} <= set(tags)
    assert {"name": "orders", "path": "support.orders"} in folders
    assert {"name": "support", "path": "support"} in folders


@pytest.mark.parametrize("params", [{}, {"project_id": "one"}])
async def test_folders_are_a_projects(play, params):
    answer = await (await play()).get("v1/scenarios/folders/", **params)

    assert (answer.status_code, list(answer.json())) == (400, ["project_id"])


@pytest.mark.parametrize(
    ("agent", "kind", "keyed", "inbound"),
    [(5, "pipecat", True, False), (6, "livekit", True, False), (7, "vapi", True, True), (8, "pipecat", False, False)],
)
async def test_an_agent_says_what_it_is_connected_to(play, agent, kind, keyed, inbound):
    shown = (await (await play()).get(f"v2/aiagents/{agent}/")).json()

    assert shown["provider"]["type"] == kind
    assert (shown["project"], shown["enabled_personalities"]) == ((2, [1]) if agent == 8 else (1, [1, 2, 3]))
    assert (shown["provider"]["credentials"] is not None, shown["telephony"]["inbound"]) == (keyed, inbound)


async def test_an_agent_that_is_none_is_missed(play):
    answer = await (await play()).get("v2/aiagents/404/")

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


async def test_a_result_is_shared_and_its_token_is_shown_nowhere_else(play):
    caller = await play()
    submission = await caller.run_automated("voice")
    path = f"{caller.api}/v1/results/{submission['id']}/create_shareable_link_token/"

    answers = [await caller.http.post(path, json=body, headers=caller.cekura) for body in ({"expire_at": None}, {})]

    tokens = {answer.json()["token"] for answer in answers}
    assert len(tokens) == 2
    assert all(answer.json()["token"] in answer.json()["shareable_link"] for answer in answers)
    assert not [token for token in tokens if token in json.dumps(await caller.world())]


@pytest.mark.parametrize(
    ("fault", "result", "body", "status"),
    [
        ((), 1, {}, 404),
        ((), None, {"expire_at": "tomorrow"}, 400),
        ((), None, {"expire_at": 5}, 400),
        ((), None, [], 400),
        (("share_link.not_in_plan=1",), None, {}, 403),
    ],
)
async def test_a_result_that_cannot_be_shared_says_why(play, fault, result, body, status):
    caller = await play(faults=fault)
    known = (await caller.run_automated("voice"))["id"]
    path = f"{caller.api}/v1/results/{result or known}/create_shareable_link_token/"

    assert (await caller.http.post(path, json=body, headers=caller.cekura)).status_code == status


@pytest.mark.parametrize("agent", AGENTS.values(), ids=lambda agent: agent.name)
def test_the_document_has_every_agent_with_its_project_and_scenarios(agent):
    rows = [[cell.strip() for cell in line.split("|")] for line in DOCUMENT.read_text(encoding="utf-8").splitlines()]
    (row,) = [row for row in rows if row[1:2] == [str(agent.id)]]
    numbers = [one.id for one in select(agent=agent.id)]

    assert (row[2], row[4]) == (agent.name, str(agent.project))
    assert row[5] == (f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else "".join(map(str, numbers)))
