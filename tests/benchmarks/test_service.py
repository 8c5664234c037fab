"""The page shows what was kept of pools, long histories and several workers, and judges it. Small data, no clock."""

import json

import pytest

from benchmarks import figures, goals, pools, workers
from benchmarks.render import ENGINE_REPLACED, render


def a_list(name, ratio):
    return {"name": name, "ms": {"100": 2.0, "10000": 2.0 * ratio}, "ratio": ratio}


def a_takeover(**changes):
    row = {"kind": "takeover", "lease": 2.0, "kills": 6, "median": 2.1, "shortest": 1.9, "longest": 2.6}
    return row | {"runs": 24, "passed": 24, "alive": 0, "submitted_twice": 0} | changes


def a_load(team, seconds, **changes):
    row = {"kind": "load", "workers": team, "batches": 8, "repetitions": 3, "median": seconds}
    row |= {"shortest": seconds, "longest": seconds}
    return row | {"runs": 96, "passed": 96, "alive": 0, "submitted_twice": 0} | changes


def a_batch(*, pooled, wait, idle, in_pool):
    return {
        "pool": pooled,
        "runs": 10,
        "passed": 10,
        "start_to_submit": {"count": 10, "median": wait, "p95": wait + 1},
        "batch_seconds": 60.0,
        "idle_seconds": idle,
        "idle_in_pool": in_pool,
        "idle_unused": 420.0 if pooled else 0.0,
        "served": 10 if pooled else 0,
    }


WITHOUT = a_batch(pooled=False, wait=7.0, idle=130.0, in_pool=0.0)
WITH = a_batch(pooled=True, wait=0.25, idle=780.0, in_pool=700.0)


@pytest.fixture
def page(tmp_path):
    """Renders a page from what was kept."""
    folder = tmp_path / "benchmarks"

    def write(**parts):
        for part, rows in parts.items():
            figures.save(part, rows, folder=folder)
        return render(folder).read_text()

    return write


def section(text, title):
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def verdict(beginning, **parts):
    return next((one for one in goals.verdicts([], **parts) if one.figure.startswith(beginning)), None)


def test_the_page_shows_what_a_pool_saves_and_what_its_waiting_costs(page):
    shown = section(page(pools=[WITHOUT, WITH]), "Session pools")

    assert "| started for runs | 10 | 10 | 7.00 | 8.00 | 60.0 | 13.0 | 0.0 | 0.0 |" in shown
    assert "| warm, from a pool | 10 | 10 | 0.25 | 1.25 | 60.0 | 78.0 | 70.0 | 42.0 |" in shown
    assert "saves each run 6.8 s of 7.0 s" in shown
    assert "here 70 for each of the 10" in shown


def test_what_a_pool_saves_is_told_whichever_row_comes_first():
    assert pools.summary([WITH, WITHOUT]) == pools.summary([WITHOUT, WITH])


def test_the_page_shows_each_list_in_both_histories_the_shorter_first(page):
    shown = section(page(lists=[a_list("runs list", 1.5)]), "Lists as history grows")

    assert "| what | 100 batches, ms | 10,000 batches, ms | ratio |" in shown
    assert "| runs list | 2.00 | 3.00 | 1.50 |" in shown


@pytest.mark.parametrize(("worst", "reached"), [(2.9, True), (3.1, False)])
def test_lists_are_judged_by_the_worst_of_them(worst, reached):
    found = verdict("a list at 10,000 batches", lists=[a_list("one", 1.0), a_list("two", worst)])

    assert found.reached is reached
    assert found.found == f"worst {worst:.2f} (two)"


def test_the_page_shows_takeovers_by_lease_and_what_a_second_worker_brings(page):
    rows = [a_takeover(), a_takeover(lease=10.0, median=9.0), a_load(1, 20.0), a_load(2, 12.5)]
    shown = section(page(workers=rows), "Several workers")

    assert "| 2 | 6 | 2.10 | 1.90 | 2.60 | 24 | 24 | 0 | 0 |" in shown
    assert "| 10 | 6 | 9.00 |" in shown
    assert "| 1 | 20.00 | 20.00 | 20.00 | 3 | 96 | 96 | 0 | 0 | 1.00 |" in shown
    assert "| 2 | 12.50 | 12.50 | 12.50 | 3 | 96 | 96 | 0 | 0 | 1.60 |" in shown


@pytest.mark.parametrize(("seconds", "reached"), [(12.5, True), (21.0, False)])
def test_two_workers_must_carry_more_than_one(seconds, reached):
    assert verdict("time of one worker", workers=[a_load(1, 20.0), a_load(2, seconds)]).reached is reached


def test_no_second_worker_no_verdict_on_it():
    assert workers.ratio([a_takeover(), a_load(1, 20.0)]) is None
    assert verdict("time of one worker", workers=[a_takeover(), a_load(1, 20.0)]) is None


@pytest.mark.parametrize("wrong", ["alive", "submitted_twice"])
def test_whatever_a_killed_worker_leaves_or_pays_twice_fails_its_goal(wrong):
    assert verdict("left alive", workers=[a_takeover()]).reached
    assert not verdict("left alive", workers=[a_takeover(), a_load(2, 12.5, **{wrong: 1})]).reached


def test_figures_of_the_engine_before_are_named_as_such(page, tmp_path):
    page(lists=[a_list("one", 1.0)])
    for part, date in {"lists": ENGINE_REPLACED, "limits": "2026-11-21"}.items():
        kept = {"machine": figures.machine() | {"date": date}, "rows": []}
        (tmp_path / "benchmarks" / f"{part}.json").write_text(json.dumps(kept))

    (note,) = (line for line in page().splitlines() if line.startswith("The figures of "))
    assert "`limits`" in note
    assert "`lists`" not in note
