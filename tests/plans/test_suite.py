"""Tests-as-code files as plans: their scenarios are those of the same names at Cekura."""

import pytest

from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidPlan
from orchestrator.plans import plan_from_data
from orchestrator.plans.importing import Wishes
from orchestrator.plans.suite import is_suite, plan_of_suite, read_suite

AT_CEKURA = [(101, "Order status"), (102, "Refund"), (103, "Twin"), (104, "Twin"), (105, "Opening hours")]
SUITE = {
    "version": "1",
    "suite": {"name": "Nightly", "description": "every night"},
    "defaults": {"frequency": 2, "concurrency_limit": 4, "metrics": ["politeness"]},
    "scenarios": [
        {"name": "Order status", "key": "os", "instructions": "ask", "tags": ["smoke"]},
        {"name": "Refund", "instructions": "ask for it", "frequency": 3},
    ],
}


def cases(*names, **common):
    return {"version": "1", "scenarios": [{"name": name, **common} for name in names]}


def imported(data, *, partial=False, to=None, at_cekura=AT_CEKURA):
    wishes = Wishes(to=to, agent_name="support-bot" if to in {None, Channel.PIPECAT_V1} else None, cekura_agent_id=5)
    return plan_of_suite(read_suite(data), at_cekura, wishes, partial=partial)


def refused(data, **options):
    with pytest.raises(InvalidPlan) as caught:
        imported(data, **options)
    return str(caught.value)


def test_scenarios_are_found_by_name_and_run_as_often_as_the_file_says():
    found = imported(SUITE)

    assert found.plan == {
        "version": 1,
        "name": "nightly",
        "agent": {"kind": "pipecat_cloud", "name": "support-bot"},
        "cekura": {"agent": 5, "name": "Nightly"},
        "scenarios": [{"scenario": 101, "repeat": 2}, {"scenario": 102, "repeat": 3}],
        "limits": {"calls": 4},
    }
    assert found.remarks == {101: "Order status", 102: "Refund"}


def test_what_a_plan_cannot_carry_is_named():
    told = "\n".join(imported(SUITE).notes)

    for name in ("suite.description", "defaults.metrics", "instructions", "tags", "key"):
        assert any(note.startswith(name) and "is left out" in note for note in told.splitlines()), name
    assert "instructions of 'Order status', 'Refund' is left out" in told


def test_on_an_automated_channel_one_frequency_holds_for_all():
    told = refused(SUITE, to=Channel.PIPECAT_V2)
    assert "frequency: differs (2 for 'Order status'; 3 for 'Refund')" in told
    assert "--to pipecat_v1" in told

    plan = plan_from_data(imported(cases("Order status", "Refund", frequency=4), to=Channel.VOICE).plan).plan
    assert (plan.channel, plan.automated.frequency, plan.run_count) == (Channel.VOICE, 4, 8)


def test_a_personality_of_all_scenarios_is_asked_for_where_the_channel_takes_one():
    data = {**cases("Order status", "Refund"), "defaults": {"personality": 2, "test_profile": {"agent_variables": {}}}}
    found = imported(data, to=Channel.PIPECAT_V2)

    assert found.plan["cekura"]["personality_ids"] == [2]
    assert any(note.startswith("defaults.test_profile is left out") for note in found.notes)
    assert any("personality_ids [2] is left out" in note for note in imported(data).notes)


def test_personalities_that_differ_are_left_to_the_scenarios():
    data = cases("Order status", "Refund")
    data["scenarios"][0]["personality"] = 2
    found = imported(data, to=Channel.PIPECAT_V2)

    assert "personality_ids" not in found.plan["cekura"]
    assert any(note.startswith("personality is left out, for it is not the same") for note in found.notes)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Order statsu", "is no scenario of the agent at Cekura -> did you mean 'Order status'?"),
        ("Something else entirely", "create it at Cekura under that name"),
        ("order status", "is no scenario of the agent at Cekura"),
        ("Twin", "is the name of 2 scenarios of the agent: 103, 104 -> rename all but one"),
    ],
)
def test_a_scenario_that_is_not_there_once_is_named_with_the_remedy(name, words):
    assert words in refused(cases("Order status", name))

    found = imported(cases("Order status", name), partial=True)
    assert found.plan["scenarios"] == [{"scenario": 101}]
    assert any(words in note for note in found.notes)


def test_every_scenario_that_is_missing_is_named_at_once():
    told = refused(cases("One", "Two", "Three"))

    assert told.count("is no scenario of the agent") == 3
    assert refused(cases("One", "Two"), partial=True).count("is no scenario") == 2
    assert "is no scenario" in refused(cases("Order status"), at_cekura=[])


def test_a_name_that_the_file_has_twice_is_refused():
    assert "is named twice in the file" in refused(cases("Refund", "Refund"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({**SUITE, "version": "2"}, """version: must be the text "1", not '2'"""),
        ({**SUITE, "version": 1}, """version: must be the text "1", not 1 -> write "version": "1\""""),
        ({**SUITE, "scenarios": []}, "scenarios: must not be empty"),
        ({**SUITE, "scenarios": ["Refund"]}, "scenarios.0: must be a mapping"),
        ({**SUITE, "scenarios": None}, "scenarios: is missing"),
        ({**SUITE, "scenarios": [{"key": "a"}]}, "scenarios.0.name: is missing"),
        ({**SUITE, "scenarios": [{"name": 7}]}, "scenarios.0.name: must be text"),
        ({**SUITE, "scenarios": [{"name": "a", "frequency": "2"}]}, "scenarios.0.frequency: must be a whole number"),
        ({**SUITE, "defaults": {"frequency": 0}}, "defaults.frequency: must be at least 1"),
        ({**SUITE, "defaults": []}, "defaults: must be a mapping"),
        ({**SUITE, "scenarios": [{"name": "a"}] * 201}, "scenarios"),
    ],
)
def test_a_file_that_is_not_of_its_own_shape_is_refused_with_its_place(data, words):
    assert is_suite(data)
    assert words in refused(data)


def test_unknown_fields_are_named():
    told = "\n".join(imported({**SUITE, "colour": "red"}).notes)

    assert "colour is left out: it is no field of such a file" in told
