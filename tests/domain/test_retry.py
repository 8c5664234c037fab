"""Waiting before asking again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.retry import backoff_seconds, hold_off_seconds


@pytest.mark.parametrize(("failures", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 15.0), (500, 15.0)])
def test_waits_double_up_to_the_longest(failures, seconds):
    assert backoff_seconds(failures, longest=15.0) == seconds


@given(told=st.floats(0, 1e9), failures=st.integers(1, 10_000))
def test_what_the_remote_asks_for_is_kept_but_never_beyond_our_patience(told, failures):
    assert hold_off_seconds(failures, told=told, longest=15.0, patience=120.0) == min(told, 120.0)


@given(failures=st.integers(0, 10_000))
def test_without_a_word_of_the_remote_the_wait_is_our_own(failures):
    wait = hold_off_seconds(failures, told=None, longest=15.0, patience=120.0)
    assert wait == backoff_seconds(failures, longest=15.0) <= 15.0
