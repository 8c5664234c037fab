"""What a person sees while a batch is driven, always on stderr: a live screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator.app.batches import BatchView
from orchestrator.app.progress import Progress, progress_of, status_since
from orchestrator.cli.console import duration, glyph, local_time
from orchestrator.cli.tables import SIGNS, STYLES
from orchestrator.clock import Clock
from orchestrator.domain.run import Run, RunStatus

MOST_LINES: Final = 24  # runs with a line of their own
SUMMARY_EVERY: Final = 10.0
FRAME_SECONDS: Final = 0.2
FRAME_SECONDS_OF_MANY: Final = 1.0
MANY: Final = 200
BAR_WIDTH: Final = 30
STATUS_WIDTH: Final = 16
STATUS_SIGNS: Final = {
    RunStatus.PLANNED: "·",
    RunStatus.STARTING: "…",
    RunStatus.STARTED: "…",
    RunStatus.READY: "…",
    RunStatus.SUBMITTED: "…",
    RunStatus.IN_CALL: "●",
    RunStatus.CALL_ENDED: "●",
}
Look = Callable[[], BatchView | None]


def say(console: Console, text: str) -> None:
    """One line, if anybody still reads: sessions have to be ended whether or not."""
    try:
        console.print(text, soft_wrap=True)
    except OSError:
        console.on_broken_pipe()


class Teller(Protocol):
    """Tells how a batch goes."""

    def note(self, text: str) -> None:
        """Say one thing."""

    def begin(self, batch_id: str, *, runs: int) -> None:
        """Learn which batch this is about."""

    def heard(self, before: Run, after: Run) -> None:
        """One run took a step."""

    def following(self, look: Look) -> AbstractAsyncContextManager[None]:
        """Tell while the block runs; `look` shows the batch, or None before and after it is driven."""

    def abandon(self) -> None:
        """Leave the terminal as it was found; the process ends now."""


def teller_for(console: Console, clock: Clock) -> Teller:
    """A live screen where there is a terminal that can show one."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveScreen(console, clock)
    return PlainLines(console, clock)


class PlainLines:
    """One line per step of a run in small batches; a summary every `summary_every` seconds in large ones."""

    def __init__(self, console: Console, clock: Clock, *, summary_every: float = SUMMARY_EVERY) -> None:
        self._console = console
        self._clock = clock
        self._summary_every = summary_every
        self._batch_id = ""
        self._small = True

    def note(self, text: str) -> None:
        """One line."""
        say(self._console, text)

    def begin(self, batch_id: str, *, runs: int) -> None:
        """Few runs get a line per step."""
        self._batch_id = batch_id
        self._small = runs <= MOST_LINES

    def heard(self, before: Run, after: Run) -> None:
        """Print the step, if there are few."""
        if self._small or after.batch_id != self._batch_id:
            self.note(self._step(before, after))

    def _step(self, before: Run, after: Run) -> str:
        whose = "" if after.batch_id == self._batch_id else f" of {after.batch_id}"
        moved = "is being submitted" if after.taken_up else f"{before.status} -> {after.status}"
        outcome = f": {after.outcome}" if after.outcome else ""
        reason = f" ({after.reason})" if after.reason and after.reason != before.reason else ""
        return f"{self._now()} run {after.index}{whose} (scenario {after.scenario_id}) {moved}{outcome}{reason}"

    @asynccontextmanager
    async def following(self, look: Look) -> AsyncIterator[None]:
        """Print summaries where steps are not printed."""
        telling = asyncio.create_task(self._summarise(look), name="tell progress")
        try:
            yield
        finally:
            await _ended(telling)

    async def _summarise(self, look: Look) -> None:
        while not self._small:
            await asyncio.sleep(self._summary_every)
            view = look()
            if view is not None:
                progress = progress_of(view, now=self._clock.now())
                self.note(f"{self._now()} {summary(progress)}; {phases(progress)}")

    def abandon(self) -> None:
        """Nothing to restore."""

    def _now(self) -> str:
        return local_time(self._clock.now())


class LiveScreen:
    """A screen that redraws itself: one line per run, or phases and counts where there are many."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._live: Live | None = None
        self._frame_seconds = FRAME_SECONDS

    def note(self, text: str) -> None:
        """One line above the screen."""
        say(self._console, text)

    def begin(self, batch_id: str, *, runs: int) -> None:  # noqa: ARG002  the screen shows only one batch
        """Draw large batches less often."""
        self._frame_seconds = FRAME_SECONDS if runs <= MANY else FRAME_SECONDS_OF_MANY

    def heard(self, before: Run, after: Run) -> None:
        """The next frame shows it."""

    @asynccontextmanager
    async def following(self, look: Look) -> AsyncIterator[None]:
        """Draw frames on the loop itself: a thread would read what the loop is changing."""
        with Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False) as self._live:
            drawing = asyncio.create_task(self._draw(look, self._live), name="draw progress")
            try:
                yield
            finally:
                await _ended(drawing)

    async def _draw(self, look: Look, live: Live) -> None:
        while True:
            view = look()
            if view is not None:
                live.update(frame(view, now=self._clock.now(), console=self._console), refresh=True)
            await asyncio.sleep(self._frame_seconds)

    def abandon(self) -> None:
        """Give the cursor back."""
        if self._live is not None:
            self._live.stop()


def frame(view: BatchView, *, now: datetime, console: Console) -> RenderableType:
    """One picture of a batch."""
    progress = progress_of(view, now=now)
    head = Text(f"{view.batch.name}  {view.batch.batch_id}", style="bold")
    body = [_line(run, now, console) for run in view.runs] if len(view.runs) <= MOST_LINES else [Text(phases(progress))]
    ending = [Text("cancelling: calls are ended, sessions and rooms torn down")] if view.batch.cancel_asked_at else []
    if view.batch.stopped and not ending:
        ending = [Text(f"{view.batch.stopped}; calls under way finish")]
    return Group(head, *body, Text(f"{bar(progress)}  {_times(progress)}"), Text(_counts(progress)), *ending)


def summary(progress: Progress) -> str:
    """Elapsed, what is left, outcomes so far, calls and sessions."""
    return f"{_times(progress)}; {_counts(progress)}"


def _times(progress: Progress) -> str:
    elapsed = duration(progress.elapsed)
    if progress.finished == progress.totals.runs:
        return f"{elapsed}, tearing down" if progress.sessions else elapsed
    if progress.eta is None:
        return elapsed
    return (
        f"{elapsed}, about {duration(progress.eta)} left"
        if progress.eta.total_seconds() >= 1
        else f"{elapsed}, nearly done"
    )


def _counts(progress: Progress) -> str:
    totals = progress.totals
    return (
        f"{progress.finished}/{totals.runs} finished: {totals.passed} passed, {totals.failed} failed, "
        f"{totals.inconclusive} inconclusive; calls {progress.calls}/{progress.calls_limit}, "
        f"sessions {progress.sessions}"
    )


def phases(progress: Progress) -> str:
    """How many runs are where, in the order of a run's life."""
    return ", ".join(f"{progress.statuses[status]} {status}" for status in RunStatus if progress.statuses[status])


def bar(progress: Progress) -> str:
    """Finished runs as a bar that any terminal can show."""
    filled = BAR_WIDTH * progress.finished // max(1, progress.totals.runs)
    return f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}]"


def _line(run: Run, now: datetime, console: Console) -> Text:
    """Columns of fixed width: a long reason is shortened, and pushes nothing aside."""
    since = status_since(run)
    lasted = duration(now - since) if since and not run.status.final else ""
    again = f"try {run.attempt}" if run.attempt > 1 else ""
    status = _status(run, console)
    status.pad_right(max(0, STATUS_WIDTH - len(status)))
    line = Text.assemble(
        f"{run.index:>3}  scenario {run.scenario_id:<8} ", status, f"{lasted:<11} {again:<6} {run.reason}"
    )
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _status(run: Run, console: Console) -> Text:
    if run.outcome is not None:
        return Text(f"{glyph(SIGNS[run.outcome], console)} {run.outcome}", style=STYLES[run.outcome])
    return Text(f"{glyph(STATUS_SIGNS.get(run.status, '·'), console)} {run.status}")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
