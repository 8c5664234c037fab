"""A mark is known again by who made it, and by nobody else."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.mark import RANDOM_BYTES, bears_mark, make_mark

randoms = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(place=st.text(), random=randoms)
def test_a_mark_is_a_uuid_that_its_place_knows_again(place, random):
    mark = make_mark(place=place, random=random)
    assert uuid.UUID(mark).version == 8
    assert uuid.UUID(mark).variant == uuid.RFC_4122
    assert len(mark) == 36
    assert bears_mark(mark, place=place)


@given(random=randoms)
def test_a_mark_made_elsewhere_is_foreign(random):
    assert not bears_mark(make_mark(place="laptop:/a/state.db", random=random), place="laptop:/b/state.db")


@given(random=randoms, position=st.integers(0, 35))
def test_a_mark_with_one_character_changed_is_foreign(random, position):
    mark = make_mark(place="here", random=random)
    changed = mark[:position] + ("0" if mark[position] != "0" else "1") + mark[position + 1 :]
    assert not bears_mark(changed, place="here")


@pytest.mark.parametrize(
    "text", [None, "", "support-bot", "x" * 36, str(uuid.UUID(int=0)), "6f1c2a5e-3d0b-4c58-9a57-2f6f3a1d8b90"]
)
def test_what_is_no_mark_is_foreign(text):
    assert not bears_mark(text, place="here")


def test_another_spelling_of_a_mark_is_foreign():
    """Presence repeats what we sent, letter by letter."""
    mark = make_mark(place="here", random=bytes(RANDOM_BYTES))
    assert not bears_mark(mark.replace("-", ""), place="here")


def test_two_marks_differ_by_their_random_part():
    assert make_mark(place="here", random=b"a" * 12) != make_mark(place="here", random=b"b" * 12)


def test_too_few_random_bytes_are_refused():
    with pytest.raises(ValueError, match="12 random bytes"):
        make_mark(place="here", random=b"short")
