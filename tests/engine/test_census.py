"""What is counted beside the rows is what counting the rows would say, whatever happened to them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.plan import AgentKind
from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.engine.census import RunCensus, SessionCensus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
minutes = st.integers(0, 60).map(lambda count: NOON + timedelta(minutes=count))


def a_run(index):
    return Run(run_id=f"run {index}", batch_id="b", index=index, scenario_id=1, scenario_position=0)


@st.composite
def session_rows(draw):
    number = draw(st.integers(0, 4))
    return Session(
        nonce=f"n{number}",
        batch_id="b",
        run_id="r",
        attempt=1,
        agent_kind=draw(st.sampled_from(AgentKind)),
        agent_address="bot",
        status=draw(st.sampled_from(SessionStatus)),
        intended_at=NOON,
        ends_by="its limit",
        ends_at=NOON + timedelta(minutes=10 * number),
        room_expires_at=NOON,
        session_end=End(state=draw(st.sampled_from(Teardown))),
        room_end=End(state=draw(st.sampled_from(Teardown))),
    )


@given(rows=st.lists(session_rows(), max_size=30), times=st.lists(minutes, min_size=30, max_size=30).map(sorted))
def test_sessions_are_counted_as_their_rows_are(rows, times):
    census, known = SessionCensus([]), {}
    for row, now in zip(rows, times, strict=False):
        census.note(row)
        known[row.nonce] = row
        assert census.held(now) == sum(one.holds_budget(now) for one in known.values())
        assert census.torn_down == all(one.torn_down for one in known.values())


@given(moves=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(RunStatus)), max_size=40))
def test_runs_are_counted_and_listed_as_they_are_and_in_the_order_of_the_plan(moves):
    runs = {run.run_id: run for run in map(a_run, (5, 3, 0, 4, 1, 2))}
    census = RunCensus(runs.values())
    for index, status in moves:
        before = runs[f"run {index}"]
        after = runs[before.run_id] = replace(before, status=status)
        census.move(before, after)
        for pair in ((status,), (status, RunStatus.PLANNED) if status is not RunStatus.PLANNED else (status,)):
            expected = sorted((run for run in runs.values() if run.status in pair), key=lambda run: run.index)
            assert census.of_status(runs, *pair) == expected
            assert sum(census.counts[one] for one in pair) == len(expected)
            assert census.first(runs, status) == next((run for run in expected if run.status is status), None)
