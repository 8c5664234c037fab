"""Whatever the file holds, the only exception is InvalidPlan."""

import contextlib

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.domain.errors import InvalidPlan
from orchestrator.plans import plan_from_text
from orchestrator.plans.model import SECTIONS, PlanFile
from orchestrator.plans.refusals import keys_of

NAMES = sorted({name for model in (PlanFile, *SECTIONS.values()) for name in keys_of(model)})
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        [
            "pipecat_cloud",
            "pipecat_runner",
            "{{ run.id }}",
            "{{ x }}",
            "{{",
            "http://h",
            "http://[",
            "probe",
            "steps",
            "spike",
        ]
    ),
)
KEYS = st.one_of(st.sampled_from(NAMES), st.text(max_size=4), st.integers(), st.booleans())
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


def sections(model):
    """Mostly well-formed, so that the rules behind the shape are reached too."""
    return TREES | st.dictionaries(st.sampled_from(sorted(keys_of(model))), TREES, max_size=8)


PLANS = st.fixed_dictionaries(
    {"version": st.just(1) | LEAVES},
    optional={
        **{name: sections(model) for name, model in SECTIONS.items()},
        "scenarios": TREES | st.lists(sections(SECTIONS["scenarios"]), max_size=3),
        **dict.fromkeys(("name", "env", "unknown"), TREES),
    },
)
PIECES = [
    *"[]{}&*!|>%@`#?-:,'\"\\\n\t ",
    *("<<: ", "a: ", "*a", "&a ", "!!int ", "!!binary ", "!!timestamp ", "\\U", "9" * 9, "- ", "---\n", "...\n"),
    *("%YAML 9.9\n", "0o8", "1:2", "=", "~", "\ufeff", "\x00", "\udc80", "2026-13-99", "1e999"),
]
FRAGMENTS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def refused_or_read(text, **options):
    with contextlib.suppress(InvalidPlan):
        plan_from_text(text, **options)


@given(st.text(max_size=200) | FRAGMENTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_read_or_refused(text):
    refused_or_read(text)


@given(PLANS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_tree_under_known_keys_is_read_or_refused(tree):
    refused_or_read(yaml.safe_dump(tree, allow_unicode=True))


@given(TREES, TREES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_properties_of_rooms_and_tokens_are_read_or_refused(room, token):
    agent = {"kind": "pipecat_cloud", "name": "bot", "room_properties": room, "token_properties": token}
    refused_or_read(yaml.safe_dump({"version": 1, "agent": agent, "scenarios": [{"scenario": 1}]}))


@given(st.lists(st.text(max_size=15) | st.sampled_from(NAMES).map(lambda name: f"{name}.0={name}"), max_size=4))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_overrides_are_taken_or_refused(overrides):
    text = "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{scenario: 1}]\n"
    refused_or_read(text, overrides=overrides)
