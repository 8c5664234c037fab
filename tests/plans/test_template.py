import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.errors import InvalidPlan
from orchestrator.plans import render_run
from orchestrator.plans.rendering import merged
from orchestrator.plans.template import render, template_findings

SCOPE = {"run.id": "r-1", "run.index": 7, "run.scenario": 101, "batch.id": "b-1", "env.NAME": "Ada"}
PLAIN = st.text().filter(lambda text: "{{" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
@settings(deadline=None)
def test_a_value_without_templates_is_left_as_it_is(value):
    assert render(value, SCOPE) == value


@given(st.sampled_from(sorted(SCOPE)), st.text(" \t", max_size=3))
@settings(deadline=None)
def test_a_string_that_is_one_template_keeps_the_type_of_its_value(name, space):
    assert render(f"{{{{{space}{name}{space}}}}}", SCOPE) == SCOPE[name]
    assert type(render(f"{{{{{name}}}}}", SCOPE)) is type(SCOPE[name])


@given(PLAIN.filter(lambda t: "{" not in t), st.sampled_from(sorted(SCOPE)), PLAIN.filter(lambda t: "}" not in t))
@settings(deadline=None)
def test_inside_other_text_a_value_is_written_out(before, name, after):
    text = f"{before}{{{{ {name} }}}}{after}"
    expected = f"{before}{SCOPE[name]}{after}"
    assert render(text, SCOPE) == (expected if before or after else SCOPE[name])


@given(st.text("{}'\" ab.run", max_size=30))
@settings(deadline=None)
def test_what_has_no_findings_can_be_rendered(text):
    if not list(template_findings(text, (), env_names=["NAME"])):
        render(text, SCOPE)


def test_what_a_value_holds_is_not_rendered_again():
    assert render("{{ env.NAME }}!", {"env.NAME": "{{ run.id }}"}) == "{{ run.id }}!"


def test_two_literal_braces_can_be_sent():
    assert render("Dear {{ '{{' }} customer }}", SCOPE) == "Dear {{ customer }}"
    assert render('{{ "{{" }}', SCOPE) == "{{"


def test_keys_are_left_alone_and_lists_are_reached():
    assert render({"{{x": ["{{ run.index }}", {"a": "#{{ run.index }}"}]}, SCOPE) == {"{{x": [7, {"a": "#7"}]}


def test_a_scenarios_body_is_merged_over_the_agents_key_by_key():
    base = {"a": {"x": 1, "y": {"z": 1}}, "b": [1], "c": 1}
    over = {"a": {"y": {"w": 2}}, "b": [2], "c": {"d": 1}}
    assert merged(base, over) == {"a": {"x": 1, "y": {"z": 1, "w": 2}}, "b": [2], "c": {"d": 1}}


@given(st.dictionaries(st.text(), JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4))
@settings(deadline=None)
def test_merging_changes_neither_side_and_the_upper_side_always_shows(base, over):
    before = repr((base, over))
    result = merged(base, over)
    assert repr((base, over)) == before
    assert result.keys() == base.keys() | over.keys()
    assert merged(result, over) == result


@pytest.fixture
def rendered(a_plan):
    def build(scenarios, *, agent="{kind: pipecat_cloud, name: bot, body: {locale: en}}", environ=None, more=""):
        environ = environ or {}
        plan = a_plan(more, scenarios=scenarios, agent=agent, environ=environ).plan
        return render_run(plan, scenario=plan.scenarios[0], run_id="r-1", run_index=3, batch_id="b-1", environ=environ)

    return build


def test_a_run_gets_its_own_values_in_body_and_message(rendered):
    run = rendered(
        "[{scenario: 101, body: {n: '{{ run.index }}', s: '{{ run.scenario }}', t: 'x{{ env.T }}'},"
        " publish_data_message: ['{{ run.id }}', '{{ batch.id }}']}]",
        more="env: [T]",
        environ={"T": "1", "OTHER": "2"},
    )
    assert run.body == {"locale": "en", "n": 3, "s": 101, "t": "x1"}
    assert run.publish_data_message == ["r-1", "b-1"]
    assert run.has_data_message


def test_a_null_message_is_a_message_and_an_absent_one_is_not(rendered):
    assert rendered("[{scenario: 1, publish_data_message: null}]").has_data_message
    assert not rendered("[{scenario: 1}]").has_data_message


def test_a_variable_missing_on_resume_is_named(a_plan):
    plan = a_plan("env: [GONE]", environ={"GONE": "x"}).plan
    with pytest.raises(InvalidPlan, match="GONE is not set"):
        render_run(plan, scenario=plan.scenarios[0], run_id="r", run_index=1, batch_id="b", environ={})
