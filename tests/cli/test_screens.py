"""Tables and progress stay legible: narrow, without colour, without Unicode, for few runs and for many."""

import asyncio
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from orchestrator.app.batches import BatchView
from orchestrator.app.progress import progress_of
from orchestrator.app.report import report_document
from orchestrator.cli.console import duration
from orchestrator.cli.progress import LiveScreen, PlainLines, frame, phases, summary
from orchestrator.cli.tables import print_report
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import Batch, BatchStatus
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.domain.verdict import Outcome
from orchestrator.plans import plan_from_text

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG = "the agent never greeted the caller by name and then repeated the same question four times in a row"


def a_run(index, status, *, outcome=None, reason="", lasted=40.0):
    timeline = {"planned": BEGAN, "starting": BEGAN, "in_call": BEGAN + timedelta(seconds=5)}
    if status.final:
        timeline |= {
            "call_ended": BEGAN + timedelta(seconds=lasted - 5),
            status.value: BEGAN + timedelta(seconds=lasted),
        }
    return Run(
        run_id=f"b-{index:03d}",
        batch_id="b",
        index=index,
        scenario_id=100 + index,
        scenario_position=0,
        status=status,
        outcome=outcome,
        reason=reason,
        attempt=1,
        cekura_run_id=7000 + index,
        cekura_result_id=9000,
        timeline=timeline,
    )


def passed(index):
    return a_run(index, RunStatus.JUDGED, outcome=Outcome.PASSED)


def a_session(run, *, session_end, room_end):
    return Session(
        nonce=f"nonce-{run.index}",
        batch_id="b",
        run_id=run.run_id,
        attempt=1,
        agent_kind=AgentKind.PIPECAT_CLOUD,
        agent_address="bot",
        status=SessionStatus.ALIVE,
        intended_at=BEGAN,
        ends_by="its limit",
        ends_at=BEGAN + timedelta(hours=2),
        room_expires_at=BEGAN + timedelta(hours=1),
        session_id=f"session-{run.index}",
        room_url=f"https://acme.daily.co/room-{run.index}",
        session_end=session_end,
        room_end=room_end,
    )


def a_view(*runs, sessions=(), **batch):
    plan = plan_from_text(
        "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{scenario: 101}]\n"
        "limits: {concurrency: 2}\ngate: {min_pass_rate: 0.5, max_inconclusive: 9}"
    ).plan
    values = {"batch_id": "b", "name": "nightly", "status": BatchStatus.CLOSED, "created_at": BEGAN, "document": {}}
    values |= {"digest": "d", "outcome": Outcome.PASSED, **batch}
    return BatchView(batch=Batch(**values), plan=plan, runs=runs, sessions=tuple(sessions))


def printed(view, *, width=80, encoding="utf-8"):
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding=encoding), width=width, highlight=False, markup=False)
    print_report(console, report_document(view, result_url=lambda result: f"https://cekura.example/{result}"))
    console.file.flush()
    return raw.getvalue().decode(encoding)


def drawn(view, *, width=80, after=60.0):
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    console.print(frame(view, now=BEGAN + timedelta(seconds=after), console=console))
    return console.file.getvalue()


def test_a_report_at_80_columns_folds_and_cuts_nothing():
    view = a_view(passed(1), a_run(2, RunStatus.JUDGED, outcome=Outcome.FAILED, reason=LONG))

    text = printed(view)

    table = text.partition("https://")[0]
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "…" not in text
    column = table.splitlines()[0].index("reason")
    assert " ".join(line[column:].strip() for line in table.splitlines()[3:]).strip() == LONG
    assert "✗ failed" in text
    assert "https://cekura.example/9000  (runs 1, 2)" in text


def test_a_report_needs_neither_colour_nor_unicode():
    text = printed(a_view(passed(1)), encoding="ascii")

    assert "+ passed" in text
    assert "\x1b" not in text


def test_what_is_not_confirmed_gone_is_named_with_what_ends_it_and_when():
    run = passed(1)
    until = BEGAN + timedelta(hours=1)
    session = a_session(
        run,
        session_end=End(state=Teardown.OPEN, how="Pipecat Cloud stop_session (HTTP 500)"),
        room_end=End(state=Teardown.BOUNDED, how="it expires", at=until),
    )

    text = printed(a_view(run, sessions=[session]), width=200)

    assert "Teardown: 1 session and 1 room; 0 of 2 ends confirmed, 1 bounded, 1 left." in text
    limit = session.ends_at.astimezone()
    assert (
        "LEFT: session session-1 (run b-001): Pipecat Cloud stop_session (HTTP 500); ended at the latest by its limit,"
        f" by {limit:%Y-%m-%d %H:%M:%S}" in text
    )
    assert (
        f"bounded: room https://acme.daily.co/room-1 (run b-001): it expires, by {until.astimezone():%Y-%m-%d}" in text
    )
    assert f"what is named above ends by itself by {limit:%Y-%m-%d %H:%M:%S}; `orchestrator gc` goes on" in text
    assert "Exit code 5" in text


def test_a_large_batch_lists_only_what_did_not_pass():
    runs = [passed(index) for index in range(1, 60)] + [a_run(60, RunStatus.ABANDONED, outcome=Outcome.INCONCLUSIVE)]

    text = printed(a_view(*runs))

    assert "? inconclusive" in text
    assert "✓ passed" not in text
    assert "59 passed runs are not listed" in text


def test_markup_in_a_remotes_words_stays_text():
    run = a_run(1, RunStatus.JUDGED, outcome=Outcome.FAILED, reason="[red]not ours[/red]")

    assert "[red]not ours[/red]" in printed(a_view(run))
    assert "[red]not ours" in drawn(a_view(run))


def test_the_screen_gives_each_run_a_line_that_long_reasons_do_not_disturb():
    view = a_view(
        passed(1),
        a_run(2, RunStatus.IN_CALL, reason=LONG),
        a_run(3, RunStatus.PLANNED),
        status=BatchStatus.OPEN,
        outcome=None,
    )

    lines = drawn(view).splitlines()

    assert lines[1].startswith("  1  scenario 101      ✓ passed")
    assert lines[2].startswith("  2  scenario 102      ● in_call       55 s")
    assert lines[2].rstrip().endswith("…")
    assert len(lines) == 6
    assert "1/3 finished: 1 passed, 0 failed, 0 inconclusive; calls 1/2" in lines[5]


def test_the_screen_counts_where_there_are_many_runs():
    runs = [passed(index) for index in range(1, 31)] + [a_run(index, RunStatus.PLANNED) for index in range(31, 41)]

    text = drawn(a_view(*runs, status=BatchStatus.OPEN, outcome=None))

    assert "10 planned, 30 judged" in text
    assert "[######################--------]" in text
    assert len(text.splitlines()) == 4


def test_the_time_left_is_learned_from_finished_runs():
    nothing_yet = a_view(a_run(1, RunStatus.IN_CALL), a_run(2, RunStatus.PLANNED))
    one_done = a_view(passed(1), *[a_run(index, RunStatus.PLANNED) for index in range(2, 6)])
    begun = replace(
        one_done,
        runs=tuple(replace(run, timeline={"planned": BEGAN}) if not run.status.final else run for run in one_done.runs),
    )

    assert progress_of(nothing_yet, now=BEGAN).eta is None
    # Four runs to go, two at a time, forty seconds each.
    assert progress_of(begun, now=BEGAN + timedelta(seconds=40)).eta == timedelta(seconds=80)


async def test_plain_lines_tell_each_step_of_a_small_batch_and_none_of_a_large_one():
    console = Console(file=io.StringIO(), width=200, markup=False, highlight=False)
    lines = PlainLines(console, SystemClock())
    before, after = a_run(3, RunStatus.SUBMITTED), a_run(3, RunStatus.IN_CALL)

    lines.begin("b", runs=12)
    lines.heard(before, after)
    told = console.file.getvalue()
    lines.begin("b", runs=200)
    lines.heard(before, after)

    assert told.endswith("run 3 (scenario 103) submitted -> in_call\n")
    assert console.file.getvalue() == told


async def test_plain_lines_sum_a_large_batch_up_now_and_then():
    console = Console(file=io.StringIO(), width=200, markup=False, highlight=False)
    lines = PlainLines(console, SystemClock(), summary_every=0.01)
    view = a_view(passed(1), a_run(2, RunStatus.PLANNED))
    lines.begin("b", runs=200)

    async with lines.following(lambda: view):
        await asyncio.sleep(0.1)

    assert "1/2 finished: 1 passed" in console.file.getvalue()
    assert "1 planned, 1 judged" in console.file.getvalue()


async def test_the_screen_gives_the_terminal_back():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, markup=False)
    screen = LiveScreen(console, SystemClock())
    screen.begin("b", runs=1)

    async with screen.following(lambda: a_view(passed(1))):
        await asyncio.sleep(0.05)
        screen.note("a note above the screen")
        screen.abandon()

    text = console.file.getvalue()
    assert "a note above the screen" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_summary_says_when_only_teardown_is_left():
    session = a_session(passed(1), session_end=End(), room_end=End())
    progress = progress_of(a_view(passed(1), sessions=[session]), now=BEGAN + timedelta(minutes=2))

    assert summary(progress).startswith("2 min 00 s, tearing down; 1/1 finished")
    assert phases(progress) == "1 judged"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (185, "3 min 05 s"), (3725, "1 h 02 min")]
)
def test_lengths_of_time_read_like_speech(seconds, said):
    assert duration(seconds) == said
