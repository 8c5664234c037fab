"""What is written as a plan's file is read back as it was, whatever it holds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plans.source import parse
from orchestrator.plans.writing import plan_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["yes", "on", "~", "1:2", "0o7", "012", "2026-01-01", "<<", "=", "- a", "# no", "a: b", "x" * 200, "a b " * 60]
)
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {"scenario": st.integers(1, 9)}, optional={"body": VALUES, "publish_data_message": VALUES}
)


@given(
    data=st.fixed_dictionaries({"agent": VALUES, "scenarios": st.lists(ENTRIES, min_size=1, max_size=3)}),
    head=st.lists(TEXTS, max_size=3),
    remarks=st.dictionaries(st.integers(1, 9), TEXTS, max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_a_plan_is_read_back_as_it_was_written(data, head, remarks):
    source = parse(plan_text(data, head=head, remarks=remarks))

    assert source.problems == ()
    assert source.data == data


def test_it_is_laid_out_as_people_write_plans():
    data = {"version": 1, "cekura": {"agent": 5, "personality_ids": [1]}, "scenarios": [{"scenario": 101, "repeat": 2}]}

    assert plan_text(data, head=["made by hand"], remarks={101: "Order\nstatus"}) == (
        "# made by hand\nversion: 1\ncekura:\n  agent: 5\n  personality_ids:\n    - 1\n"
        "scenarios:\n  - scenario: 101  # Order status\n    repeat: 2\n"
    )
