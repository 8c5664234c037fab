"""Cursors: what was written is read back, and nothing else is taken for one."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import InvalidCursor
from orchestrator.domain.page import (
    LONGEST_CURSOR,
    cut_page,
    moment_cursor,
    number_cursor,
    read_moment,
    read_number,
)

MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
IDS = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)


def encoded(document):
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@given(MOMENTS, IDS)
def test_a_place_in_a_list_by_time_is_read_back_exactly(at, name):
    cursor = moment_cursor("batches", at, name)

    assert read_moment("batches", cursor) == (at, name)
    assert len(cursor) <= LONGEST_CURSOR


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_place_in_a_list_by_number_is_read_back_exactly(number):
    assert read_number("audit", number_cursor("audit", number)) == number


def test_without_a_cursor_a_list_begins_at_its_beginning():
    assert (read_moment("batches", None), read_number("audit", None)) == (None, None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "latest",
        "%00",
        "ä",
        "\ud800",
        "A" * 100_000,
        encoded("no json"),
        encoded("[" * 150),
        encoded("9" * 180),
        encoded({"at": 1}),
        encoded([]),
        encoded([1, "batches"]),
        encoded([2, "batches", 1, "b"]),  # of another version
        encoded([1, "sessions", 1, "b"]),  # of another list
        encoded([1, "batches", 1, "b", "more"]),
        encoded([1, "batches", "1", "b"]),
        encoded([1, "batches", 1.0, "b"]),
        encoded([1, "batches", True, "b"]),
        encoded([True, "batches", 1, "b"]),
        encoded([1, "batches", -1, "b"]),
        encoded([1, "batches", 10**30, "b"]),
        encoded([1, "batches", 1, ""]),
        encoded([1, "batches", 1, "b" * 65]),
        encoded([1, "batches", 1, "b\x00"]),
        encoded([1, "batches", 1, "\ud800"]),
        encoded([1, "batches", 1, ["b"]]),
        encoded([1, "batches", None, "b"]),
        encoded('[1, "batches", 1, "b"]'),  # another spelling of a good one
        moment_cursor("batches", datetime(2026, 1, 1, tzinfo=UTC), "b") + "=",
        moment_cursor("batches", datetime(2026, 1, 1, tzinfo=UTC), "b") + "\n",
    ],
)
def test_what_is_no_cursor_is_refused_with_what_to_do(cursor):
    with pytest.raises(InvalidCursor, match="no cursor of the list of batches") as refused:
        read_moment("batches", cursor)
    assert "without one, the list begins anew" in refused.value.next_step


@pytest.mark.parametrize("key", [[True], [-1], [2**63], [1.5], ["1"], [None], [], [1, 2]], ids=json.dumps)
def test_what_is_no_number_is_refused(key):
    with pytest.raises(InvalidCursor):
        read_number("audit", encoded([1, "audit", *key]))


@given(st.text(max_size=300))
def test_whatever_text_is_sent_it_is_read_or_refused(text):
    for read in (read_moment, read_number):
        with pytest.raises(InvalidCursor):
            read("batches", text)


@given(MOMENTS, IDS, st.data())
def test_a_cursor_changed_in_one_place_is_refused_or_another_place_of_that_list(at, name, data):
    cursor = moment_cursor("batches", at, name)
    place = data.draw(st.integers(min_value=0, max_value=len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCxyz019-_=!"))
    changed = cursor[:place] + other + cursor[place + 1 :]
    try:
        found = read_moment("batches", changed)
    except InvalidCursor:
        return
    assert moment_cursor("batches", *found) == changed


def test_a_page_says_that_it_is_the_last_one():
    more = cut_page([1, 2, 3], limit=2, cursor_of=str)
    last = cut_page([1, 2], limit=2, cursor_of=str)
    empty = cut_page([], limit=2, cursor_of=str)

    assert (more.items, more.next_cursor) == ((1, 2), "2")
    assert (last.items, last.next_cursor) == ((1, 2), None)
    assert (empty.items, empty.next_cursor) == ((), None)
