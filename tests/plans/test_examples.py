"""The files in config/ are what people start from: they must hold what they promise."""

import re

from orchestrator.plans import expand, load_plan
from orchestrator.plans.model import SECTIONS, PlanFile
from orchestrator.settings import load_settings, variable_names


def test_the_full_example_shows_every_key(config):
    text = (config / "cloud-full.yaml").read_text(encoding="utf-8")
    names = {*PlanFile.model_fields, *(name for model in SECTIONS.values() for name in model.model_fields)}
    shown = set(re.findall(r"([a-z_]+):", text))
    assert names - shown == {"url"} - shown


def test_the_demo_has_twelve_runs_of_several_scenarios_with_repeats_and_messages(config):
    plan = load_plan(config / "demo.yaml").plan
    assert len(expand(plan)) == 12
    assert len(plan.scenarios) >= 3
    assert any(scenario.repeat > 1 and scenario.has_data_message for scenario in plan.scenarios)
    assert (plan.agent.name, plan.limits.concurrency, plan.limits.calls) == ("support-bot", 6, 6)
    assert plan.infrastructure_retries == 1


def test_the_settings_example_names_every_variable_and_its_defaults_hold(config):
    text = (config / "settings.env.example").read_text(encoding="utf-8")
    pairs = dict(re.findall(r"^#?([A-Z][A-Z_]+)=(.*)$", text, flags=re.MULTILINE))
    assert set(pairs) == set(variable_names())
    defaults = load_settings({})
    given = load_settings({name: value for name, value in pairs.items() if name != "ORCHESTRATOR_DAILY_KEYS"})
    assert given == defaults
    assert set(load_settings(pairs).daily_keys) == {"acme", "acme-staging"}
