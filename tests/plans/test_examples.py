"""The files in config/ are what people start from: they must hold what they promise."""

import re

from orchestrator.plans import expand, load_plan
from orchestrator.plans.model import SECTIONS, PlanFile
from orchestrator.plans.refusals import keys_of


def test_the_examples_show_every_key(config):
    others = [
        config / "notifications.yaml",
        config / "ramp.yaml",
        config / "selection-and-matrix.yaml",
        *config.glob("channel-*.yaml"),
    ]
    full = [config / "cloud-full.yaml", *others]
    names = {name for model in (PlanFile, *SECTIONS.values()) for name in keys_of(model)}
    shown = {name for path in full for name in re.findall(r"([a-z0-9_]+):", path.read_text(encoding="utf-8"))}
    assert names - shown == set()


def test_the_demo_has_twelve_runs_of_several_scenarios_with_repeats_and_messages(config):
    plan = load_plan(config / "demo.yaml").plan
    assert len(expand(plan)) == 12
    assert len(plan.scenarios) >= 3
    assert any(scenario.repeat > 1 and scenario.has_data_message for scenario in plan.scenarios)
    assert (plan.agent.name, plan.limits.concurrency, plan.limits.calls) == ("support-bot", 6, 6)
    assert plan.infrastructure_retries == 1
