"""Where session seconds went: the sandbox's history, split by who could have done something about them.

All figures are seconds of life. A session is alive outside its call for one of these reasons, in the order they occur:

    remote_start    start to bot joined                                    the remotes'
    evidence        bot joined to our knowing it                           evidence lag
    unsubmitted     known to be ready, not yet submitted                   ours
    queued          submitted, not yet dispatched                          ours: Cekura had no place for it
    remote_tester   dispatched to the call's beginning                     the remotes'
    ending          call ended to session stopped                          ours
    never_called    the whole life of a session that never had a call      unexplained
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

PARTS: Final = ("remote_start", "evidence", "unsubmitted", "queued", "remote_tester", "ending", "never_called")
REMOTES: Final = ("remote_start", "remote_tester")
OURS: Final = ("unsubmitted", "queued", "ending")
DELETES: Final = 50
DELETE_WINDOW: Final = 30.0


def split(history: Mapping[str, Any], ready: Mapping[str, float] | None = None) -> dict[str, float]:
    """Seconds of life by part; their sum is the world's idle seconds.

    `ready`: when the client knew of each session (by its id) that its bot was there, real Unix seconds; a client that
    keeps no such times has no evidence lag, and waits unsubmitted instead.
    """
    called = {run["room_url"]: run for run in history["runs"] if run["call_began_at"] is not None}
    totals = dict.fromkeys(PARTS, 0.0)
    for session in history["sessions"]:
        run = called.get(session["room_url"])
        parts = _session(session, run, (ready or {}).get(session["id"]), history["now"])
        for name, seconds in parts.items():
            totals[name] += seconds * history["speed"]
    return totals


def _session(
    session: Mapping[str, Any], run: Mapping[str, Any] | None, ready: float | None, now: float
) -> dict[str, float]:
    """Real seconds of one session by part; each part ends where the next begins, and none is below zero."""
    if run is None:
        return {"never_called": session["idle"]}
    began = run["call_began_at"]
    parts, at = {}, session["created_at"]
    for name, moment in (
        ("remote_start", session["bot_joined_at"]),
        ("evidence", ready),
        ("unsubmitted", run["submitted_at"]),
        ("queued", run["dispatched_at"]),
        ("remote_tester", began),
    ):
        until = at if moment is None else min(max(at, moment), began)
        parts[name], at = until - at, until
    ended = session["ended_at"] or now
    parts["ending"] = max(0.0, ended - (run["call_ended_at"] or ended))
    return parts


def idle_seconds(history: Mapping[str, Any]) -> float:
    """What the world says, in seconds of life: to be the sum of the parts."""
    return float(history["speed"] * sum(session["idle"] for session in history["sessions"]))


def paid_seconds(history: Mapping[str, Any]) -> float:
    """Session seconds in all, of life."""
    return float(history["speed"] * sum(session["lived"] for session in history["sessions"]))


def call_lengths(history: Mapping[str, Any]) -> list[float]:
    """Seconds of life of every call that was over, in the order of their dispatch."""
    over = [run for run in history["runs"] if run["call_began_at"] is not None and run["call_ended_at"] is not None]
    over.sort(key=lambda run: (run["dispatched_at"], run["ordinal"]))
    return [history["speed"] * (run["call_ended_at"] - run["call_began_at"]) for run in over]


def teardown_lags(history: Mapping[str, Any]) -> dict[str, dict[str, float | int | None]]:
    """From call end to session ended and to room gone, in seconds of life: median, 95th percentile, and how many."""
    sessions = {session["room_url"]: session for session in history["sessions"]}
    lags: dict[str, list[float]] = {"session": [], "room": []}
    for run in history["runs"]:
        session = sessions.get(run["room_url"])
        if session is None or run["call_began_at"] is None or run["call_ended_at"] is None:
            continue
        for what, name in (("session", "ended_at"), ("room", "room_ended_at")):
            if session[name] is not None:
                lags[what].append(history["speed"] * (session[name] - run["call_ended_at"]))
    return {what: quantiles(found) for what, found in lags.items()}


def limited_lags(history: Mapping[str, Any], *, patience: float) -> dict[str, float | int | None]:
    """What the lag to the room's end would be, were each room deleted `patience` seconds after its call, but for
    Daily's limit on deleting singly: DELETES in any DELETE_WINDOW seconds.
    """
    speed = history["speed"]
    ends = sorted(speed * run["call_ended_at"] for run in history["runs"] if run["call_ended_at"] is not None)
    deleted: list[float] = []
    for number, end in enumerate(ends):
        window = deleted[number - DELETES] + DELETE_WINDOW if number >= DELETES else 0.0
        deleted.append(max(end + patience, window))
    return quantiles([moment - end for moment, end in zip(deleted, ends, strict=True)])


def quantiles(values: Sequence[float]) -> dict[str, float | int | None]:
    """Median and 95th percentile (the smallest value that 95 % do not exceed), null where there is none."""
    if not values:
        return {"count": 0, "median": None, "p95": None}
    ordered = sorted(values)
    return {"count": len(values), "median": median(ordered), "p95": ordered[math.ceil(0.95 * len(ordered)) - 1]}
