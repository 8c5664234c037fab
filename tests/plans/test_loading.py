import json

import pytest

from orchestrator.domain.errors import InvalidPlan, StateUnusable
from orchestrator.domain.plan import AgentKind, Evidence, SlotRule
from orchestrator.plans import load_plan, plan_document, plan_from_data, plan_from_document, plan_from_text


def test_the_smallest_plan_gets_every_default(a_plan):
    plan = a_plan(name="Nightly Support").plan
    assert plan.name == "nightly-support"
    assert plan.agent.kind is AgentKind.PIPECAT_CLOUD
    assert plan.cekura_agent_id is None
    assert plan.mock_tool_names is None
    assert (plan.limits.concurrency, plan.limits.calls, plan.limits.starts_per_second) == (10, 10, 5)
    assert plan.limits.call_slot_until is SlotRule.AUTO
    assert (plan.timeouts.ready, plan.timeouts.run, plan.timeouts.judge, plan.timeouts.capacity) == (120, 900, 600, 300)
    assert (plan.timing.poll_interval, plan.timing.teardown_grace, plan.timing.gather) == (5, 2, 1)
    assert (plan.timing.presence_interval, plan.timing.lookup) == (15, 180)
    assert plan.readiness.evidence == (Evidence.PRESENCE, Evidence.RECORD, Evidence.SETTLE)
    assert plan.readiness.settle == 5
    assert plan.infrastructure_retries == 1
    assert (plan.gate.min_pass_rate, plan.gate.max_inconclusive) == (1.0, 0)
    assert plan.run_count == 1


def test_calls_follow_concurrency_unless_given(a_plan):
    assert a_plan("limits: {concurrency: 3}").plan.limits.calls == 3
    assert a_plan("limits: {concurrency: 3, calls: 2}").plan.limits.calls == 2


def test_readiness_probe_is_short_for_its_evidence(a_plan):
    assert a_plan("readiness: probe").plan.readiness.evidence == (Evidence.PROBE,)


def test_no_tools_mocked_differs_from_nothing_said(a_plan):
    assert a_plan("cekura: {mock_tool_names: []}").plan.mock_tool_names == ()


def test_a_runners_address_loses_its_trailing_slash(a_plan):
    assert (
        a_plan(agent="{kind: pipecat_runner, url: 'http://localhost:7860/'}").plan.agent.url == "http://localhost:7860"
    )


def test_anchors_and_merges_save_typing(a_plan):
    scenarios = (
        "[{scenario: 1, body: &b {a: 1, c: {x: 1}}}, {scenario: 2, body: {<<: *b, a: 2}}, {scenario: 3, body: *b}]"
    )
    first, second, third = (scenario.body for scenario in a_plan(scenarios=scenarios).plan.scenarios)
    assert first == third == {"a": 1, "c": {"x": 1}}
    assert second == {"a": 2, "c": {"x": 1}}


def test_overrides_change_one_value_each_and_later_ones_win(a_plan):
    overrides = [
        "limits.calls=4",
        "scenarios.0.repeat=2",
        "agent.body.locale=de",
        "gate.min_pass_rate=0.5",
        "limits.calls=6",
    ]
    plan = a_plan(overrides=overrides).plan
    assert plan.limits.calls == 6
    assert plan.run_count == 2
    assert plan.agent.body == {"locale": "de"}
    assert plan.gate.min_pass_rate == 0.5


def test_an_override_may_hold_an_equals_sign_and_yaml(a_plan):
    plan = a_plan(overrides=["agent.body.query=a=b", "scenarios.0.body={x: [1, 2]}"]).plan
    assert plan.agent.body == {"query": "a=b"}
    assert plan.scenarios[0].body == {"x": [1, 2]}


@pytest.mark.parametrize(
    ("override", "path", "message"),
    [
        ("limits.calls", "--set limits.calls", "must read KEY=VALUE"),
        ("=4", "--set ", "must read KEY=VALUE"),
        ("limits..calls=4", "--set limits..calls", "must read KEY=VALUE"),
        ("limits.calls=0", "--set limits.calls", "from 1 to 10000, not 0"),
        ("limits.cals=4", "--set limits.cals", "unknown key cals"),
        ("scenarios.9.repeat=2", "--set scenarios.9.repeat", "there is no 9"),
        ("version.x=2", "--set version.x", "version is a single value"),
        ("agent.body.day=2026-01-01", "--set agent.body.day", "is a date"),
        ("agent.body=[", "--set agent.body", "not YAML"),
        ("scenarios.0.body={a: '{{ no }}'}", "--set scenarios.0.body.a", "no known name"),
    ],
)
def test_a_problem_in_an_override_names_the_override_and_no_line(problems_of, override, path, message):
    text = "version: 1\nagent: {kind: pipecat_cloud, name: b}\nscenarios: [{scenario: 1}]\n"
    [(found, line, said, _)] = problems_of(text, overrides=[override])
    assert found == path
    assert line is None
    assert message in said


def test_an_override_can_mend_what_the_file_got_wrong():
    text = "version: 1\nagent: {kind: pipecat_cloud, name: b}\nscenarios: [{scenario: 1, repeat: 0}]\n"
    assert plan_from_text(text, overrides=["scenarios.0.repeat=3"]).plan.run_count == 3


def test_an_override_of_an_aliased_value_leaves_the_other_place_alone(a_plan):
    plan = a_plan(
        scenarios="[{scenario: 1, body: &b {a: 1}}, {scenario: 2, body: *b}]", overrides=["scenarios.0.body.a=2"]
    ).plan
    assert [scenario.body for scenario in plan.scenarios] == [{"a": 2}, {"a": 1}]


@pytest.mark.parametrize(
    ("more", "agent", "warning"),
    [
        ("", None, "Cekura mocks every configured tool"),
        ("readiness: probe", None, "greets the probe"),
        ("readiness: {evidence: [settle]}", None, "settle alone"),
        ("timing: {presence_interval: 5}", None, "below the 15 s"),
        ("limits: {concurrency: 2, calls: 5}", None, "limits.calls is above"),
        ("timeouts: {run: 9000}", None, "maxSessionDuration"),
        ("", "{kind: pipecat_runner, url: 'http://bots.internal:7860'}", "unencrypted"),
        ("", "{kind: pipecat_cloud, name: b, room_properties: {enforce_unique_user_ids: true}}", "throw the first out"),
    ],
)
def test_what_is_allowed_but_costly_is_said(a_plan, more, agent, warning):
    options = {"agent": agent} if agent else {}
    assert any(warning in text for text in a_plan(more, **options).warnings)


@pytest.mark.parametrize(
    "url", ["http://localhost:7860", "http://127.0.0.1:7860", "http://[::1]:1", "https://bots.example"]
)
def test_a_plan_with_nothing_to_say_about_has_no_warnings(a_plan, url):
    assert a_plan("cekura: {mock_tool_names: []}", agent=f"{{kind: pipecat_runner, url: '{url}'}}").warnings == ()


def test_the_document_is_json_and_gives_the_same_plan_back(loaded_example):
    document = json.loads(json.dumps(loaded_example.document, allow_nan=False))
    assert document == loaded_example.document == plan_document(loaded_example.plan)
    assert plan_from_document(document) == loaded_example.plan


def test_a_plan_made_faster_survives_its_document(loaded_example):
    faster = loaded_example.plan.faster(60)
    assert plan_from_document(plan_document(faster)) == faster


def test_what_a_variable_holds_reaches_neither_document_nor_plan(a_plan):
    loaded = a_plan("env: [KEY]", scenarios="[{scenario: 1, body: {k: '{{ env.KEY }}'}}]", environ={"KEY": "hunter2"})
    assert "hunter2" not in repr(loaded)


@pytest.mark.parametrize("document", [{}, {"format": 2, "plan": {}}, {"format": 1}, {"format": 1, "plan": {"name": 3}}])
def test_a_document_of_another_shape_is_refused_as_state(document):
    with pytest.raises(StateUnusable):
        plan_from_document(document)


def test_the_digest_follows_content_and_not_layout(a_plan):
    same = a_plan("# a comment\nlimits: {concurrency: 10}").plan.digest
    assert a_plan().plan.digest == same
    assert a_plan("limits: {concurrency: 9}").plan.digest != same


def test_a_file_gives_the_batch_its_name(tmp_path):
    file = tmp_path / "Smoke Test.yaml"
    file.write_text(
        "\ufeffversion: 1\nagent: {kind: pipecat_cloud, name: b}\nscenarios: [{scenario: 1}]\n", encoding="utf-8"
    )
    assert load_plan(file).plan.name == "smoke-test"


def test_a_plan_in_json_is_the_plan_in_yaml_that_says_the_same():
    data = {"version": 1, "agent": {"kind": "pipecat_cloud", "name": "bot"}, "scenarios": [{"scenario": 101}]}
    read, written = plan_from_data(data, name="x"), plan_from_text(json.dumps(data), name="x")
    assert (read.plan, read.document) == (written.plan, written.document)


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ({"agent": {"kind": "pipecat_cloud"}}, "agent.name", "is missing"),
        ({"gate": {"min_pass_rate": float("nan")}}, "gate.min_pass_rate", "not a finite number"),
        ({"gate": {"min_pass_rate": float("inf")}}, "gate.min_pass_rate", "not a finite number"),
        ({"name": "\ud800"}, "name", "half of a character"),
        ({"agent": {"\ud800": 1}}, "agent", "half of a character"),
        ({"agent": {"\ud800": {"x": "\ud800"}}}, "agent.x", "half of a character"),
    ],
)
def test_what_json_lets_pass_and_a_plan_does_not_is_refused_by_its_place_and_without_a_line(more, path, words):
    good = {"version": 1, "agent": {"kind": "pipecat_cloud", "name": "bot"}, "scenarios": [{"scenario": 101}]}
    with pytest.raises(InvalidPlan) as refused:
        plan_from_data({**good, **more})
    found = {problem.path: problem for problem in refused.value.problems}
    assert words in found[path].message
    assert found[path].line is None
    str(refused.value).encode()


def test_json_may_be_as_deep_and_as_large_as_yaml_and_no_more():
    good = {"version": 1, "agent": {"kind": "pipecat_cloud", "name": "bot"}, "scenarios": [{"scenario": 101}]}

    def nested(levels):
        return {**good, "agent": {**good["agent"], "body": json.loads('{"x": ' * levels + "1" + "}" * levels)}}

    for levels in range(50, 70):
        text = json.dumps(nested(levels))
        outcomes = [accepts(plan_from_text, text), accepts(plan_from_data, nested(levels))]
        assert outcomes[0] == outcomes[1], levels
    assert not accepts(plan_from_data, nested(900))
    assert not accepts(plan_from_data, {**good, "agent": {**good["agent"], "body": {"x": [1] * 100_001}}})


def accepts(read, plan):
    try:
        read(plan)
    except InvalidPlan:
        return False
    return True


def test_a_plan_that_names_a_pool_keeps_it_in_its_document_and_may_still_have_templated_messages(a_plan):
    loaded = a_plan(
        agent="{kind: pipecat_cloud, name: bot, pool: support}",
        scenarios="[{scenario: 101, publish_data_message: {run: '{{ run.id }}'}}]",
    )
    assert loaded.plan.agent.pool == "support"
    assert plan_from_document(loaded.document) == loaded.plan


def test_a_document_written_before_there_were_pools_is_read_as_one_without(a_plan):
    loaded = a_plan()
    agent = {name: value for name, value in loaded.document["plan"]["agent"].items() if name != "pool"}
    older = {**loaded.document, "plan": {**loaded.document["plan"], "agent": agent}}
    assert plan_from_document(older) == loaded.plan
