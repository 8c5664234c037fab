"""Where session seconds went, worked out by hand, and that nothing is lost on the way."""

import pytest

from benchmarks.idle import (
    PARTS,
    call_lengths,
    idle_seconds,
    limited_lags,
    paid_seconds,
    quantiles,
    split,
    teardown_lags,
)

SPEED = 10.0


def session(name, created, joined, ended, *, idle, room_ended=None):
    return {
        "id": name,
        "room_url": f"room-{name}",
        "created_at": created,
        "bot_joined_at": joined,
        "ended_at": ended,
        "room_ended_at": room_ended,
        "idle": idle,
        "lived": (100.0 if ended is None else ended) - created,
    }


def run(name, submitted, dispatched, began, ended, *, ordinal=0):
    return {
        "room_url": f"room-{name}",
        "ordinal": ordinal,
        "submitted_at": submitted,
        "dispatched_at": dispatched,
        "call_began_at": began,
        "call_ended_at": ended,
    }


def history(sessions, runs):
    return {"now": 100.0, "speed": SPEED, "sessions": sessions, "runs": runs}


def test_a_session_is_split_at_every_moment_of_its_life():
    seen = history([session("a", 1.0, 3.0, 30.0, idle=13.0)], [run("a", 5.0, 9.0, 10.0, 26.0)])

    parts = split(seen, {"a": 4.5})

    assert parts == {
        "remote_start": pytest.approx(20.0),
        "evidence": pytest.approx(15.0),
        "unsubmitted": pytest.approx(5.0),
        "queued": pytest.approx(40.0),
        "remote_tester": pytest.approx(10.0),
        "ending": pytest.approx(40.0),
        "never_called": 0.0,
    }
    assert sum(parts.values()) == pytest.approx(idle_seconds(seen))


def test_without_our_times_the_wait_for_evidence_counts_as_unsubmitted():
    seen = history([session("a", 1.0, 3.0, 30.0, idle=13.0)], [run("a", 5.0, 9.0, 10.0, 26.0)])

    parts = split(seen)

    assert (parts["evidence"], parts["unsubmitted"]) == (0.0, pytest.approx(20.0))
    assert sum(parts.values()) == pytest.approx(idle_seconds(seen))


def test_a_room_submitted_before_its_bot_came_is_the_remotes_until_it_did():
    # submitted at 2, dispatched at 3, tester there at 4, bot only at 6: the call begins with it
    seen = history([session("a", 1.0, 6.0, 20.0, idle=7.0)], [run("a", 2.0, 3.0, 6.0, 18.0)])

    parts = split(seen)

    assert parts["remote_start"] == pytest.approx(50.0)
    assert [parts[name] for name in ("evidence", "unsubmitted", "queued", "remote_tester")] == [0, 0, 0, 0]
    assert sum(parts.values()) == pytest.approx(idle_seconds(seen))


def test_what_never_had_a_call_is_a_line_of_its_own():
    seen = history([session("a", 1.0, 3.0, 31.0, idle=30.0)], [run("a", 5.0, 9.0, None, 20.0)])

    parts = split(seen, {"a": 4.0})

    assert parts["never_called"] == pytest.approx(300.0)
    assert sum(parts.values()) == pytest.approx(idle_seconds(seen))


def test_what_is_still_alive_counts_until_now():
    talking = session("a", 1.0, 2.0, None, idle=9.0)
    over = session("b", 90.0, 91.0, None, idle=7.0)
    seen = history([talking, over], [run("a", 2.0, 9.0, 10.0, None), run("b", 92.0, 93.0, 94.0, 97.0)])

    parts = split(seen)

    assert parts["ending"] == pytest.approx(30.0)
    assert sum(parts.values()) == pytest.approx(idle_seconds(seen))
    assert set(parts) == set(PARTS)


def test_paid_seconds_and_call_lengths_are_lifes_and_in_the_order_of_dispatch():
    seen = history(
        [session("a", 1.0, 2.0, 30.0, idle=9.0), session("b", 1.0, 2.0, 40.0, idle=9.0)],
        [run("a", 2.0, 9.0, 10.0, 25.0), run("b", 2.0, 8.0, 9.0, 39.0, ordinal=1)],
    )

    assert paid_seconds(seen) == pytest.approx(680.0)
    assert call_lengths(seen) == [pytest.approx(300.0), pytest.approx(150.0)]


def test_teardown_lags_count_from_the_end_of_the_call():
    seen = history(
        [session("a", 1.0, 2.0, 30.0, idle=9.0, room_ended=32.0), session("b", 1.0, 2.0, 41.0, idle=9.0)],
        [run("a", 2.0, 9.0, 10.0, 29.5), run("b", 2.0, 8.0, 9.0, 39.0)],
    )

    lags = teardown_lags(seen)

    assert lags["session"] == {"count": 2, "median": pytest.approx(12.5), "p95": pytest.approx(20.0)}
    assert lags["room"] == {"count": 1, "median": pytest.approx(25.0), "p95": pytest.approx(25.0)}


def test_the_lag_that_the_limit_on_deletes_imposes_falls_on_the_fifty_first():
    # 51 calls end within a second of life: fifty rooms go after the patience, the last when the window opens again
    ends = [10.0 + number / 1000 for number in range(51)]
    seen = history([], [run(str(number), 1.0, 2.0, 3.0, end) for number, end in enumerate(ends)])

    lags = limited_lags(seen, patience=7.0)

    assert lags["count"] == 51
    assert lags["median"] == pytest.approx(7.0)
    assert limited_lags(history([], seen["runs"][:50]), patience=7.0)["p95"] == pytest.approx(7.0)
    last = limited_lags(history([], [*seen["runs"]] * 2), patience=7.0)
    assert last["p95"] > 30.0


def test_quantiles_of_a_hundred_and_of_none():
    assert quantiles(list(range(1, 101))) == {"count": 100, "median": 50.5, "p95": 95}
    assert quantiles([]) == {"count": 0, "median": None, "p95": None}
