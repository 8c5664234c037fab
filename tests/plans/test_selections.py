"""Entries that select scenarios: what they may say, and the plan that comes of what Cekura answers."""

import pytest

from orchestrator.clock import SystemClock
from orchestrator.domain.errors import InvalidPlan
from orchestrator.domain.observation import ScenarioRecord
from orchestrator.plans import expand, new_batch, plan_document, plan_from_document, plan_from_text, render_run
from orchestrator.plans.selections import Found, resolved_plan

AGENT = "{kind: pipecat_cloud, name: bot, body: {locale: en, account: {plan: pro}}}"
HEAD = f"version: 1\nagent: {AGENT}\ncekura: {{agent: 5}}\n"


def plan_of(scenarios, more=""):
    return plan_from_text(f"{HEAD}scenarios: {scenarios}\n{more}").plan


def record(scenario_id, *, agent=5, variables=None):
    return ScenarioRecord(
        scenario_id=scenario_id,
        name=f"Scenario {scenario_id}",
        tags=(),
        folder_path=None,
        cekura_agent_id=agent,
        test_profile_id=None if variables is None else 31,
        main_agent_variables=variables or {},
    )


def found(*selected, of_agent=()):
    records = [[one if isinstance(one, ScenarioRecord) else record(one) for one in ids] for ids in selected]
    return Found(selected=records, of_agent={one.scenario_id: one for one in of_agent})


def ids(plan):
    return [scenario.scenario_id for scenario in plan.scenarios]


def refused(plan, answer):
    with pytest.raises(InvalidPlan) as caught:
        resolved_plan(plan, answer)
    return [(problem.path, problem.message, problem.remedy) for problem in caught.value.problems]


CASES = [
    ("{}", "scenario", "is missing: an entry names one", "tags: [smoke]"),
    ("{project_id: 12}", "scenario", "is missing", "folder_path"),
    ("{scenario: 1, tags: [a]}", "tags", "does not go with scenario", "two entries"),
    ("{scenario: 1, folder_path: a, project_id: 1}", "folder_path", "does not go with scenario", "two entries"),
    ("{scenario: 1, project_id: 1}", "project_id", "does not go with scenario", "two entries"),
    ("{tags: []}", "tags", "must not be empty", "write tags: [smoke, en]"),
    ("{tags: smoke}", "tags", "must be a list", "write tags"),
    ("{tags: [a, a]}", "tags", "must not repeat a", "write tags"),
    ("{tags: ['a,b']}", "tags.0", "must be a tag without commas", "smoke"),
    ("{tags: [' ']}", "tags.0", "must be a tag without commas", "smoke"),
    ("{tags: [1]}", "tags.0", "must be text", 'quote it: "1"'),
    ("{tags: [a], tag_filter: nor}", "tag_filter", "must be or, and or not, not 'nor'", "did you mean"),
    ("{tags: [a], tag_filter: xyz}", "tag_filter", "must be or, and or not", "tag_filter: and"),
    ("{folder_path: a, project_id: 1, tag_filter: or}", "tag_filter", "says nothing without tags", "add tags"),
    ("{folder_path: support}", "project_id", "is missing: Cekura knows folders by their project", "project_id: 12"),
    ("{folder_path: '', project_id: 0}", "project_id", "not 0", "project_id: 12"),
    ("{tag: [a]}", "tag", "unknown key tag", "did you mean tags?"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}: {case[2]}")
def test_what_is_wrong_with_an_entry_is_said_at_its_place(problems_of, case):
    entry, key, message, remedy = case
    problems = problems_of(f"{HEAD}scenarios:\n- {{scenario: 9}}\n- {entry}\n")
    path = f"scenarios.1.{key}"
    assert [one for one in problems if one[:2] == (path, 6) and message in one[2] and remedy in one[3]], problems


@pytest.mark.parametrize("channel", ["pipecat_v1", "pipecat_v2", "livekit_v2", "voice"])
def test_tags_and_a_folder_go_together_except_where_the_endpoint_keeps_them_apart(channel):
    agent = "agent: {kind: pipecat_cloud, name: bot}\n" if channel == "pipecat_v1" else ""
    text = f"version: 1\nchannel: {channel}\n{agent}cekura: {{agent: 5}}\n"
    entry = "scenarios: [{tags: [a], folder_path: support, project_id: 12}]\n"
    if channel != "voice":
        [selection] = plan_from_text(text + entry).plan.selections
        assert (selection.tags, selection.tag_filter, selection.folder_path) == (("a",), "or", "support")
        return
    with pytest.raises(InvalidPlan, match="folder_path: does not go with tags on channel voice"):
        plan_from_text(text + entry)


@pytest.mark.parametrize("key", ["repeat: 2", "body: {a: 1}"])
def test_a_selection_takes_what_its_channel_takes(problems_of, key):
    text = f"version: 1\nchannel: pipecat_v2\nscenarios: [{{tags: [a], {key}}}]\n"
    [(path, _, message, _)] = problems_of(text)
    assert path == f"scenarios.0.{key.split(':')[0]}"
    assert "pipecat_v1 does" in message


def test_scenarios_stand_in_the_order_of_the_file_with_the_values_of_their_entry():
    plan = plan_of(
        "[{scenario: 1}, {tags: [a], repeat: 2, body: {x: 1}, publish_data_message: null}, {scenario: 2},"
        " {tags: [b]}, {folder_path: '', project_id: 3}]"
    )
    assert (plan.run_count, plan.resolved) == (2, False)
    assert [one.label for one in plan.selections] == ["tags a", "tags b", "no folder, project 3"]

    plan = resolved_plan(plan, found([11, 12], [13], [14]))

    assert ids(plan) == [1, 11, 12, 2, 13, 14]
    assert [(one.repeat, one.body, one.has_data_message) for one in plan.scenarios[1:4]] == [
        (2, {"x": 1}, True),
        (2, {"x": 1}, True),
        (1, {}, False),
    ]
    assert (plan.run_count, plan.resolved, plan.selections) == (8, True, ())


def test_a_scenario_runs_once_and_for_the_entry_that_names_it():
    plan = plan_of("[{tags: [a], body: {x: 1}}, {tags: [b], body: {x: 2}}, {scenario: 12, body: {x: 3}}]")
    plan = resolved_plan(plan, found([11, 12], [11, 12, 13]))
    assert [(one.scenario_id, one.body["x"]) for one in plan.scenarios] == [(11, 1), (13, 2), (12, 3)]


def test_a_selection_that_others_have_taken_whole_is_no_error():
    assert ids(resolved_plan(plan_of("[{scenario: 11}, {tags: [a]}]"), found([11]))) == [11]


def test_a_selection_that_finds_nothing_is_an_error_that_names_it():
    plan = plan_of("[{scenario: 1}, {tags: [smok, en], tag_filter: and}, {tags: [x, y], tag_filter: not}]")
    [(first, message, remedy), (second, other, _)] = refused(plan, found([], []))
    assert (first, second) == ("scenarios.1", "scenarios.2")
    assert message == "selects nothing: Cekura knows no scenario of agent 5 with tags smok and en"
    assert "cekura.agent" in remedy
    assert other.endswith("with none of tags x or y")


def test_more_runs_than_a_batch_holds_are_refused_when_they_are_known():
    plan = plan_of("[{tags: [a], repeat: 1000}]")
    assert resolved_plan(plan, found(range(1, 11))).run_count == 10_000
    [(path, message, _)] = refused(plan, found(range(1, 12)))
    assert path == "scenarios"
    assert "make 11000 runs" in message


def test_bodies_that_every_scenario_would_repeat_are_bounded_together():
    plan = plan_of(f"[{{tags: [a], body: {{a: {'x' * 500_000}}}}}]")
    [(path, message, _)] = refused(plan, found(range(1, 100)))
    assert (path, "more than 32000000" in message) == ("scenarios", True)


def test_without_an_agent_what_is_selected_must_belong_to_one():
    text = "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{tags: [a]}]\n"
    plan = plan_from_text(text).plan
    assert ids(resolved_plan(plan, found([record(1, agent=6), record(2, agent=6)]))) == [1, 2]
    [(path, message, remedy)] = refused(plan, found([record(1, agent=6), record(2, agent=7)]))
    assert path == "cekura.agent"
    assert "several agents (6, 7)" in message
    assert remedy == "add cekura: {agent: 6}"


def test_selected_scenarios_run_in_every_cell():
    plan = plan_of("[{scenario: 1}, {tags: [a]}]", "matrix: {axes: {locale: [en, de]}}\n")
    assert plan.run_count == 2
    plan = resolved_plan(plan, found([11]))
    assert [(one.scenario_id, one.cell["locale"]) for one in plan.scenarios] == [
        (1, "en"),
        (1, "de"),
        (11, "en"),
        (11, "de"),
    ]


def test_an_automated_channel_runs_each_selected_scenario_for_every_combination():
    text = "version: 1\nchannel: pipecat_v2\ncekura: {agent: 5, frequency: 3, personality_ids: [1, 2]}\n"
    plan = resolved_plan(plan_from_text(f"{text}scenarios: [{{tags: [a]}}, {{scenario: 1}}]\n").plan, found([1, 2]))
    assert ids(plan) == [2, 1]
    assert len(expand(plan)) == plan.run_count == 2 * 3 * 2


def test_a_plan_keeps_the_digest_of_its_file_and_comes_back_from_its_document():
    plan = plan_of("[{tags: [a]}]", "matrix: {axes: {n: [1, 2]}}\n")
    assert plan_from_document(plan_document(plan)) == plan
    resolved = resolved_plan(plan, found([11, 12]))
    assert resolved.digest == plan.digest != plan_of("[{tags: [b]}]", "matrix: {axes: {n: [1, 2]}}\n").digest
    assert plan_from_document(plan_document(resolved)) == resolved


def test_a_document_of_an_earlier_version_is_read_as_a_plan_that_selects_nothing():
    plan = plan_of("[{scenario: 1}]")
    document = plan_document(plan)
    inner = {
        key: value for key, value in document["plan"].items() if key not in {"cells", "selections", "profiles_due"}
    }
    inner["scenarios"] = [
        {key: value for key, value in one.items() if key not in {"cell", "profile"}} for one in inner["scenarios"]
    ]
    assert plan_from_document({**document, "plan": inner}) == plan


def test_a_batch_is_not_made_of_a_plan_whose_scenarios_nobody_looked_up():
    loaded = plan_from_text(f"{HEAD}scenarios: [{{tags: [a]}}, {{scenario: 1}}]\n")
    with pytest.raises(InvalidPlan, match="scenarios: are not all known"):
        new_batch(loaded, now=SystemClock().now())


# --- what test profiles hold -----------------------------------------------------------------------------------------

PROFILES = HEAD.replace("{agent: 5}", "{agent: 5, test_profile_variables: true}")


def with_profiles(scenarios, answer, more=""):
    return resolved_plan(plan_from_text(f"{PROFILES}scenarios: {scenarios}\n{more}").plan, answer)


def body_of(plan, position=0):
    scenario = plan.scenarios[position]
    return render_run(plan, scenario=scenario, run_id="r", run_index=1, batch_id="b", environ={}).body


def test_the_profile_is_laid_flat_over_body_and_cell_and_is_not_rendered():
    variables = {"locale": "fr", "account": {"tier": 1}, "note": "{{ run.id }}"}
    plan = with_profiles(
        "[{scenario: 1, body: {locale: it, own: '{{ run.id }}'}}]",
        found(of_agent=[record(1, variables=variables)]),
        "matrix: {axes: {locale: [de], tier: [gold]}}\n",
    )
    assert plan.resolved
    assert body_of(plan) == {"locale": "fr", "account": {"tier": 1}, "note": "{{ run.id }}", "own": "r", "tier": "gold"}


def test_each_scenario_gets_its_own_profile_and_one_without_gets_nothing():
    answer = found([record(2, variables={"who": "two"}), record(3)], of_agent=[record(1, variables={"who": "one"})])
    plan = with_profiles("[{scenario: 1}, {tags: [a]}]", answer)
    assert [dict(one.profile) for one in plan.scenarios] == [{"who": "one"}, {"who": "two"}, {}]


def test_a_scenario_that_is_not_the_agents_is_named():
    with pytest.raises(InvalidPlan, match="scenario 7 is not in Cekura's list") as caught:
        with_profiles("[{scenario: 7}]", found(of_agent=[record(1)]))
    assert caught.value.problems[0].path == "cekura.test_profile_variables"


def test_a_profile_may_not_take_the_place_of_the_mark():
    with pytest.raises(InvalidPlan, match="scenario 1 has a variable _orchestrator"):
        with_profiles("[{scenario: 1}]", found(of_agent=[record(1, variables={"_orchestrator": 1})]))


def test_a_profile_that_makes_the_body_too_large_is_refused_before_it_is_sent():
    with pytest.raises(InvalidPlan, match="with its test profile, and Pipecat Cloud takes 1000000"):
        with_profiles("[{scenario: 1}]", found(of_agent=[record(1, variables={"a": "x" * 1_000_000})]))


def test_profiles_that_nobody_looked_up_make_no_batch():
    loaded = plan_from_text(f"{PROFILES}scenarios: [{{scenario: 1}}]\n")
    assert (loaded.plan.resolved, loaded.plan.run_count) == (False, 1)
    with pytest.raises(InvalidPlan, match="what test profiles hold"):
        new_batch(loaded, now=SystemClock().now())


def test_profiles_do_not_go_with_a_pool_or_a_channel_that_merges_them_itself(problems_of):
    pool = PROFILES.replace("name: bot", "name: bot, pool: p") + "scenarios: [{scenario: 1}]\n"
    assert ("cekura.test_profile_variables", True) in [(one[0], "agent.pool" in one[2]) for one in problems_of(pool)]
    text = "version: 1\nchannel: pipecat_v2\ncekura: {test_profile_variables: true}\nscenarios: [{scenario: 1}]\n"
    [(path, _, message, remedy)] = problems_of(text)
    assert (path, message.endswith("; pipecat_v1 does")) == ("cekura.test_profile_variables", True)
    assert "Cekura gives the agent its test profile itself" in remedy


def test_saying_no_to_profiles_is_saying_nothing():
    no = plan_from_text(
        f"{HEAD.replace('{agent: 5}', '{agent: 5, test_profile_variables: false}')}scenarios: [{{scenario: 1}}]\n"
    )
    assert no.plan == plan_of("[{scenario: 1}]")
