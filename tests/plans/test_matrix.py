"""A matrix of bodies: which cells it has, what each gives a run, and what is wrong with one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plans import estimate, expand, plan_document, plan_from_document, plan_from_text, render_run
from orchestrator.plans.estimation import arithmetic

HEAD = "version: 1\nagent: {kind: pipecat_cloud, name: bot, body: {locale: none, account: {region: eu}}}\n"
ONE = "scenarios: [{scenario: 101}]\n"
GOOD = HEAD + ONE  # three lines
AXES = "axes: {locale: [en, de], tier: [gold, free]}"
VALUES = st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True)


def plan_of(matrix, scenarios="[{scenario: 101}]"):
    return plan_from_text(f"{HEAD}scenarios: {scenarios}\nmatrix: {matrix}\n").plan


def cells(matrix):
    return [dict(scenario.cell) for scenario in plan_of(matrix).scenarios]


def body_of(plan, position=0):
    scenario = plan.scenarios[position]
    return render_run(plan, scenario=scenario, run_id="r", run_index=1, batch_id="b", environ={})


def test_cells_are_the_combinations_less_what_is_excluded_and_what_is_included():
    assert cells(f"{{{AXES}, include: [{{locale: fr, tier: gold}}], exclude: [{{locale: de, tier: free}}]}}") == [
        {"locale": "en", "tier": "gold"},
        {"locale": "en", "tier": "free"},
        {"locale": "de", "tier": "gold"},
        {"locale": "fr", "tier": "gold"},
    ]


def test_an_exclude_of_one_axis_leaves_out_a_whole_row():
    assert cells(f"{{{AXES}, exclude: [{{tier: free}}]}}") == [
        {"locale": "en", "tier": "gold"},
        {"locale": "de", "tier": "gold"},
    ]


def test_what_is_excluded_may_be_included_again_in_another_place():
    matrix = f"{{{AXES}, exclude: [{{locale: de}}], include: [{{locale: de, tier: gold}}]}}"
    assert cells(matrix)[-1] == {"locale": "de", "tier": "gold"}
    assert len(cells(matrix)) == 3


@given(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1), st.data())
@settings(deadline=None)
def test_every_combination_is_a_cell_once_and_nothing_excluded_is_left(axes, data):
    rule = {
        name: data.draw(st.sampled_from(axes[name]))
        for name in data.draw(st.sets(st.sampled_from(sorted(axes)), min_size=1))
    }
    total = 1
    for values in axes.values():
        total *= len(values)
    if all(len(axes[name]) == 1 for name in rule):
        return  # it would leave no cell
    found = cells(f"{{axes: {axes!r}, exclude: [{rule!r}]}}".replace("'", ""))
    assert len({tuple(cell.items()) for cell in found}) == len(found) < total
    assert not any(rule.items() <= cell.items() for cell in found)


def test_true_and_one_are_two_values():
    assert cells("{axes: {flag: [1, true, 1.0]}}") == [{"flag": 1}, {"flag": True}, {"flag": 1.0}]
    assert [type(cell["flag"]) for cell in cells("{axes: {flag: [1, true]}, exclude: [{flag: 1}]}")] == [bool]


def test_each_entry_runs_in_every_cell_as_often_as_it_repeats():
    plan = plan_of(f"{{{AXES}}}", scenarios="[{scenario: 101, repeat: 2}, {scenario: 102}]")
    assert plan.run_count == (2 + 1) * 4 == estimate(plan).runs
    runs = expand(plan)
    assert len(runs) == plan.run_count
    assert [run.scenario.scenario_id for run in runs[:4]] == [101, 102, 101, 102]
    seen = [(run.scenario.scenario_id, *run.scenario.cell.values()) for run in runs]
    assert {one: seen.count(one) for one in seen} == {
        (scenario, locale, tier): repeat
        for scenario, repeat in ((101, 2), (102, 1))
        for locale in ("en", "de")
        for tier in ("gold", "free")
    }
    assert "2 scenario entries x 4 cells" in arithmetic(plan)


def test_a_cell_is_merged_over_the_body_key_by_key():
    plan = plan_of(
        "{axes: {locale: [de], account: [{plan: pro}]}}",
        scenarios="[{scenario: 101, body: {locale: fr, account: {plan: free, region: us}, own: 1}}]",
    )
    assert body_of(plan).body == {"locale": "de", "account": {"region": "us", "plan": "pro"}, "own": 1}


def test_templates_read_the_cell_and_keep_its_types():
    plan = plan_from_text(
        "version: 1\nagent: {kind: pipecat_cloud, name: b, body: {hello: 'in {{ matrix.locale }}'}}\n"
        "scenarios: [{scenario: 101, body: {n: '{{ matrix.n }}', all: '{{ matrix.more }}',"
        " t: 'n={{ matrix.n }} {{ matrix.more }}'},"
        " publish_data_message: {n: '{{ matrix.n }}'}}]\n"
        "matrix: {axes: {locale: [en], n: [true], more: [{a: [1]}]}}\n"
    ).plan
    rendered = body_of(plan)
    assert rendered.body["hello"] == "in en"
    assert rendered.body["all"] == {"a": [1]}
    assert rendered.body["t"] == 'n=true {"a": [1]}'
    assert rendered.body["n"] is rendered.publish_data_message["n"] is True


def test_a_plan_with_a_matrix_comes_back_from_its_document():
    plan = plan_of(f"{{{AXES}}}")
    assert plan_from_document(plan_document(plan)) == plan


def test_a_matrix_is_of_the_digest():
    assert plan_of(f"{{{AXES}}}").digest != plan_of("{axes: {locale: [en, de]}}").digest


CASES = [
    ("{}", "matrix.axes", "is missing", "add axes"),
    ("{axes: {}}", "matrix.axes", "must not be empty", "locale: [en, de]"),
    ("{axes: {a: []}}", "matrix.axes.a", "must not be empty", "leave it out"),
    ("{axes: {a: en}}", "matrix.axes.a", "must be a list of values, not 'en'", "write a: [en, de]"),
    ("{axes: {a: [x, y, x]}}", "matrix.axes.a", "must not repeat 'x'", "keep one"),
    ("{axes: {a: [{x: 1}, {x: 1}]}}", "matrix.axes.a", "must not repeat", "keep one"),
    ("{axes: {'a b': [1]}}", "matrix.axes.a b", "is no name for an axis", "rename it"),
    ("{axes: {_orchestrator: [1]}}", "matrix.axes._orchestrator", "its mark", "another key"),
    ("{axes: {a: ['{{ run.id }}']}}", "matrix.axes.a.0", "templates are rendered in", "write the value out"),
    (f"{{{AXES}, exclude: [{{local: en}}]}}", "matrix.exclude.0.local", "no axis local", "did you mean locale?"),
    (f"{{{AXES}, exclude: [{{xyz: en}}]}}", "matrix.exclude.0.xyz", "no axis xyz", "the axes are locale, tier"),
    (f"{{{AXES}, exclude: [{{}}]}}", "matrix.exclude.0", "leave out every cell", "name the values"),
    (f"{{{AXES}, exclude: [{{locale: it}}]}}", "matrix.exclude.0", "leaves nothing out", "mend its values"),
    ("{axes: {a: [1]}, exclude: [{a: 1}]}", "matrix.exclude", "leaves no cell", "leave out less"),
    (f"{{{AXES}, include: [{{locale: fr}}]}}", "matrix.include.0", "does not give tier", "add tier"),
    (f"{{{AXES}, include: [{{locale: en, tier: gold}}]}}", "matrix.include.0", "there is already", "leave it out"),
    (
        f"{{{AXES}, include: [{{locale: fr, tier: x}}, {{tier: x, locale: fr}}]}}",
        "matrix.include.1",
        "there is already",
        "leave it out",
    ),
    (f"{{{AXES}, include: [{{locale: fr, tier: x, z: 1}}]}}", "matrix.include.0.z", "no axis z", "the axes are"),
    (f"{{{AXES}, also: 1}}", "matrix.also", "unknown key also", "known keys here: axes, include, exclude"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}: {case[2]}")
def test_what_is_wrong_with_a_matrix_is_said_at_its_place(problems_of, case):
    matrix, path, message, remedy = case
    found = problems_of(f"{GOOD}matrix: {matrix}\n")
    assert [one for one in found if one[:2] == (path, 4) and message in one[2] and remedy in one[3]], found


def test_combinations_are_counted_before_they_are_made(problems_of):
    axes = ", ".join(f"a{n}: {list(range(200))}" for n in range(9))
    [(path, _, message, _)] = problems_of(f"{GOOD}matrix: {{axes: {{{axes}}}}}\n")
    assert path == "matrix.axes"
    assert f"{200**9} combinations" in message


def test_cells_count_towards_the_runs_of_a_batch(problems_of):
    text = f"{HEAD}scenarios: [{{scenario: 101, repeat: 101}}]\nmatrix: {{axes: {{n: {list(range(100))}}}}}\n"
    [(path, _, message, _)] = problems_of(text)
    assert path == "scenarios"
    assert "make 10100 runs" in message


def test_bodies_that_every_cell_would_repeat_are_bounded_together(problems_of):
    text = (
        f"{HEAD}scenarios: [{{scenario: 101, body: {{a: {'x' * 50_000}}}}}]\n"
        f"matrix: {{axes: {{n: {list(range(1000))}}}}}\n"
    )
    [(path, _, message, remedy)] = problems_of(text)
    assert path == "scenarios"
    assert "in every cell, more than 32000000" in message
    assert "references" in remedy


def test_the_widest_cell_is_measured_with_the_body(problems_of):
    text = (
        f"{HEAD}scenarios: [{{scenario: 101, body: {{a: {'x' * 600_000}}}}}]\n"
        f"matrix: {{axes: {{n: [short, {'y' * 400_000}]}}}}\n"
    )
    [(path, _, message, _)] = problems_of(text)
    assert path == "scenarios.0.body"
    assert "Pipecat Cloud takes 1000000" in message


def test_a_template_that_reads_no_axis_is_refused_with_those_there_are(problems_of):
    text = f"{HEAD}scenarios: [{{scenario: 1, body: {{a: '{{{{ matrix.local }}}}'}}}}]\nmatrix: {{{AXES}}}\n"
    [(path, _, message, remedy)] = problems_of(text)
    assert (path, "no known name" in message) == ("scenarios.0.body.a", True)
    assert remedy == "did you mean {{ matrix.locale }}?"


@pytest.mark.parametrize("matrix", ["{axes: {a: [1]}, exclude: [{a: 1}]}", "{axes: {a: []}}", "{axes: {a: 3}}"])
def test_a_broken_matrix_does_not_break_the_templates_that_read_it(problems_of, matrix):
    problems_of(f"{HEAD}scenarios: [{{scenario: 1, body: {{a: '{{{{ matrix.a }}}}'}}}}]\nmatrix: {matrix}\n")


@pytest.mark.parametrize("channel", ["pipecat_v2", "livekit_v2", "voice"])
def test_only_our_own_channel_has_bodies_to_vary(problems_of, channel):
    text = f"version: 1\nchannel: {channel}\ncekura: {{agent: 5}}\n{ONE}matrix: {{{AXES}}}\n"
    [(path, line, message, _)] = problems_of(text)
    assert (path, line, message) == ("matrix", 5, f"channel {channel} does not take matrix; pipecat_v1 does")


def test_a_pools_sessions_know_no_cell(problems_of):
    text = f"version: 1\nagent: {{kind: pipecat_cloud, name: b, pool: p}}\n{ONE}matrix: {{{AXES}}}\n"
    [(path, _, message, _)] = problems_of(text)
    assert (path, "does not go with agent.pool" in message) == ("matrix", True)
