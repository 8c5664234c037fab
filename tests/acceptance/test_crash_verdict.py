"""The judge of the crash matrix condemns each broken promise, and nothing else."""

import json
import sqlite3

import pytest

from orchestrator.domain.run import TRANSITIONS
from tests.crash.matrix import ROWS, random_case, skips
from tests.crash.process import Ended
from tests.crash.rows import Rows, read_rows
from tests.crash.table import STATES
from tests.crash.verdict import alive_of, broken_promises

WORLD = {
    "sessions": {"started": 1, "alive": []},
    "rooms": {"alive": []},
    "submitted_twice": [],
    "cut_short": [],
    "calls": {"active": 0},
    "requests": {"start": 1, "submit": 1},
}
SESSION = {
    "status": "alive",
    "session_id": "s1",
    "room_url": "http://r1",
    "session_end": "confirmed",
    "room_end": "confirmed",
    "meeting_token": None,
}
RUN = {"index": 1, "status": "judged", "outcome": "passed", "reason": "", "cekura_run_id": 7}
BATCH = {"batch_id": "b", "status": "closed"}
REPORT = json.dumps({"teardown": {"left": []}})


def ended(*, code=0, hung=False, stdout=REPORT, stderr=""):
    return Ended(code=code, hung=hung, seconds=1.0, stdout=stdout, stderr=stderr)


def judged(*, world=None, batch=None, run=None, session=None, restart="resume", end=None):
    whole = WORLD | (world or {})
    rows = Rows(batches=(BATCH | (batch or {}),), runs=(RUN | (run or {}),), sessions=(SESSION | (session or {}),))
    return list(
        broken_promises(
            world=whole,
            rows=rows,
            alive=alive_of(whole, rows),
            ended=end or ended(),
            restart=restart,
            judged_passed={7},
            asked={"start": 1, "submit": 1},
        )
    )


def test_a_clean_end_breaks_no_promise():
    assert judged() == []
    assert judged(restart="gc", end=ended(stdout="Everything is confirmed gone")) == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"world": {"sessions": {"started": 1, "alive": [{"id": "s1"}]}}}, "left alive: session s1"),
        ({"world": {"rooms": {"alive": [{"url": "http://r1"}]}}}, "left alive: room http://r1"),
        ({"world": {"submitted_twice": ["http://r1"]}}, "submitted twice"),
        ({"world": {"cut_short": [7]}}, "calls cut short: 7"),
        ({"world": {"calls": {"active": 1}}}, "calls still on: 1"),
        ({"world": {"sessions": {"started": 2, "alive": []}}}, "2 sessions were started, 1 rows know of one"),
        ({"batch": {"status": "open"}}, "batch b is open"),
        ({"run": {"outcome": None, "status": "ready"}}, "run 1 has no outcome"),
        ({"run": {"cekura_run_id": 8}}, "run 1 passed, but Cekura judged no such run a success"),
        ({"run": {"outcome": "inconclusive"}}, "run 1 is inconclusive without a reason"),
        ({"session": {"meeting_token": "t"}}, "a meeting token is still in the state"),
        ({"end": ended(code=5)}, "exit code 5"),
        ({"end": ended(code=2)}, "exit code 2"),
        ({"end": ended(code=3), "restart": "gc"}, "exit code 3"),
        ({"world": {"requests": {"start": 2, "submit": 1}}, "restart": "gc"}, "gc asked for 1 more: start"),
        ({"world": {"requests": {"start": 1, "submit": 2}}, "restart": "gc"}, "gc asked for 1 more: submit"),
        ({"end": ended(hung=True)}, "still running"),
        ({"end": ended(stderr="this is a defect of the orchestrator: KeyError")}, "a defect"),
        ({"end": ended(stdout='{"teardown": {"left": [1]}}')}, "nothing left"),
        ({"end": ended(stdout=REPORT + REPORT)}, "not one JSON document"),
    ],
)
def test_each_broken_promise_is_named(what, said):
    assert said in "; ".join(judged(**what))


def test_what_is_bounded_by_name_is_not_left():
    world = WORLD | {"sessions": {"started": 1, "alive": [{"id": "s1"}]}}
    alive = alive_of(world, Rows(sessions=(SESSION | {"session_end": "bounded"},)))

    assert (alive.left, alive.bounded) == ((), ("session s1",))


def test_a_nameless_row_explains_one_survivor_and_no_more():
    world = WORLD | {"sessions": {"started": 2, "alive": [{"id": "s1"}, {"id": "s2"}]}}
    alive = alive_of(world, Rows(sessions=(SESSION | {"session_id": None, "session_end": "bounded"},)))

    assert (len(alive.left), len(alive.bounded)) == (1, 1)


def test_a_resume_without_a_batch_is_bad_usage():
    rows = Rows()
    end = ended(code=2, stdout="")
    world = WORLD | {"sessions": {"started": 0, "alive": []}}

    assert not list(
        broken_promises(
            world=world, rows=rows, alive=alive_of(world, rows), ended=end, restart="resume", judged_passed=set()
        )
    )


def test_rows_are_read_from_a_file_and_none_from_no_file(tmp_path):
    assert str(read_rows(tmp_path / "none.db")) == "none"
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("CREATE TABLE runs (status TEXT)")
        connection.execute("INSERT INTO runs VALUES ('ready'), ('ready'), ('planned')")
    connection.close()

    assert str(read_rows(tmp_path / "state.db")) == "runs: ready 2, planned 1"


def test_a_rare_operation_is_met_at_each_occurrence_once():
    row = ROWS[0]

    assert skips(row, {row.operation: 1}) == [0]
    assert skips(row, {row.operation: 3}) == [0, 1]
    assert skips(row, {row.operation: 20}) == [0, 9, 16]


def test_a_seed_is_always_the_same_case():
    assert random_case(17) == random_case(17)
    assert len({str(random_case(seed)) for seed in range(50)}) == 50


def test_every_state_of_the_life_of_a_run_is_asked_for():
    assert set(STATES["runs"]) == set(TRANSITIONS)
