from pathlib import Path

import pytest

from orchestrator.domain.errors import InvalidPlan
from orchestrator.plans import load_plan, plan_from_text

CONFIG = Path(__file__).parents[2] / "config"
ENVIRON = {
    "CUSTOMER_PREFIX": "C",
    "TENANT": "acme",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.test/services/T0/B0/x",
    "HOOK_URL": "https://hooks.test/batches",
    "HOOK_SECRET": "whsec_c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3Jl",
}


@pytest.fixture
def a_plan():
    """Builds a plan from the smallest valid one and further top-level YAML."""

    def build(more="", *, scenarios="[{scenario: 101}]", agent="{kind: pipecat_cloud, name: bot}", **options):
        text = f"version: 1\nagent: {agent}\nscenarios: {scenarios}\n{more}"
        return plan_from_text(text, **options)

    return build


@pytest.fixture
def problems_of():
    """The problems of a plan's text as (path, line, message, remedy); it must have some."""

    def find(text, **options):
        with pytest.raises(InvalidPlan) as caught:
            plan_from_text(text, **options)
        return [(problem.path, problem.line, problem.message, problem.remedy) for problem in caught.value.problems]

    return find


NOT_PLANS = {"serve.yaml", "compose.yaml"}


@pytest.fixture(
    params=sorted(path for path in CONFIG.glob("*.yaml") if path.name not in NOT_PLANS), ids=lambda path: path.name
)
def example(request):
    return request.param


@pytest.fixture
def loaded_example(example):
    return load_plan(example, environ=ENVIRON)


@pytest.fixture
def config():
    return CONFIG
