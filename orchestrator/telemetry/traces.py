"""Traces: one per run, from its first start to its last teardown, made afterwards from what the rows say.

While a run goes on nothing is recorded but which rows it has; its spans are made when its outcome and the end of every
session of it are known, and handed to a thread that sends them. OpenTelemetry is imported when traces are opened, and
only then.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.session import Session
from orchestrator.telemetry.story import Attempt, Part, tell

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE: Final = "cekura-pipecat-orchestrator"
FLUSH_SECONDS: Final = 2.0
QUEUE: Final = 16_384  # spans; a cancelled batch ends a thousand runs at once, and each makes about seven
MOST_BESIDE: Final = 10_000  # runs; one that is forgotten has no trace
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NO_LIBRARY: Final = "ORCHESTRATOR_TRACES=otlp needs OpenTelemetry, which is not installed"
INSTALL: Final = "Install the package with its extra `traces`, or unset ORCHESTRATOR_TRACES."
CHECK_VARIABLES: Final = "Look at the OTEL_* variables of the environment, or unset ORCHESTRATOR_TRACES."
UNSENT: Final = "spans could not be handed over; look at the collector, and at OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(slots=True)
class _Underway:
    """One run while it goes on: its rows, and the run as it was when it left an earlier session."""

    run: Run | None = None
    sessions: dict[str, Session] = field(default_factory=dict)
    earlier: dict[str, Attempt] = field(default_factory=dict)

    @property
    def batch_id(self) -> str | None:
        rows = (self.run, *self.sessions.values())
        return next((row.batch_id for row in rows if row is not None), None)

    @property
    def complete(self) -> bool:
        over = all(session.torn_down for session in self.sessions.values())
        return self.run is not None and self.run.status.final and over


class Traces:
    """Hears what the engine does (engine/observer), and makes one trace of each run.

    `result_url` says where a person looks at a Cekura result, None where that is not known.
    """

    def __init__(
        self, provider: TracerProvider, *, now: Callable[[], datetime], result_url: Callable[[int], str | None]
    ) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("orchestrator")
        self._now = now
        self._result_url = result_url
        self._underway: dict[str, _Underway] = {}
        self._beside: dict[str, None] = {}  # runs whose sessions were torn down here before their batch was driven here

    def heard(self, before: Run, after: Run) -> None:
        """One run moved."""
        if after.nonce is None and not after.status.final and before.nonce is None:
            return
        known = self._of(after.run_id)
        session = known.sessions.get(before.nonce or "")
        if after.nonce is None and session is not None:
            if session.exists:
                left = after.since(after.status) or self._now()
                known.earlier[session.nonce] = Attempt(run=before, session=session, left=left, why=after.reason)
            else:
                del known.sessions[session.nonce]  # refused for now: nothing was begun
        known.run = after
        self._end_if_complete(after.run_id, known)

    def session_moved(self, before: Session | None, after: Session) -> None:
        """One session moved."""
        known = self._underway.get(after.run_id)
        if known is None:
            if before is None and after.torn_down and after.run_id:
                self._beside[after.run_id] = None
                if len(self._beside) > MOST_BESIDE:
                    del self._beside[next(iter(self._beside))]
            if before is not None or after.torn_down or not after.run_id:
                return  # its run is told of already, or will be when it is driven here; or it waits in a pool
            known = self._of(after.run_id)
        known.sessions[after.nonce] = after
        self._end_if_complete(after.run_id, known)

    def resumed(self, runs: Iterable[Run], sessions: Iterable[Session]) -> None:
        """A batch is driven from these rows on: those that are not over yet will be told of."""
        rows = list(sessions)
        begun = {run.run_id: run for run in runs if run.nonce is not None}
        untold = {one.run_id for one in rows if not one.torn_down or one.run_id in self._beside}
        untold |= {run_id for run_id, run in begun.items() if not run.status.final}
        for session in rows:
            if session.run_id in untold and session.exists:
                self._of(session.run_id).sessions[session.nonce] = session
        for run_id in untold & begun.keys():
            self._beside.pop(run_id, None)
            known = self._of(run_id)
            known.run = begun[run_id]
            self._end_if_complete(run_id, known)

    def let_go(self, batch_id: str) -> None:
        """A batch is driven here no longer: whoever drives it on tells of the runs that are not over."""
        for run_id in [run_id for run_id, known in self._underway.items() if known.batch_id == batch_id]:
            del self._underway[run_id]

    def polled(self, asked: int, news: int | None) -> None:
        """Polls belong to no run."""

    def submission(self, outcome: str) -> None:
        """What came of a submission is told by its runs."""

    def pool_left(self, pool: str, *, served: bool, waited: timedelta) -> None:
        """A pool's sessions have no trace until a run takes them."""

    async def aclose(self) -> None:
        """Send what is waiting, for at most FLUSH_SECONDS: a collector that does not answer holds up nobody."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=close, name="traces-close", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await done.wait()
        except TimeoutError:
            logger.warning(UNSENT)

    def _of(self, run_id: str) -> _Underway:
        return self._underway.setdefault(run_id, _Underway())

    def _end_if_complete(self, run_id: str, known: _Underway) -> None:
        run = known.run
        if run is None or not known.complete:
            return
        del self._underway[run_id]
        attempts = [self._attempt(run, session, known) for session in known.sessions.values()]
        told = tell(run, attempts, over=self._now())
        if told is not None:
            self._record(run, *told)

    def _attempt(self, run: Run, session: Session, known: _Underway) -> Attempt:
        earlier = known.earlier.get(session.nonce)
        if earlier is not None:
            return Attempt(run=earlier.run, session=session, left=earlier.left, why=earlier.why)
        if session.nonce == run.nonce:
            ended = run.since(run.status) or self._now()
            return Attempt(
                run=run, session=session, left=ended, why="" if run.status is RunStatus.JUDGED else run.reason
            )
        # It was left in an earlier process, and of the run at that time nothing is known but what its session says.
        timeline = {
            status.value: at
            for status, at in ((RunStatus.STARTED, session.answered_at), (RunStatus.READY, session.ready_at))
            if at is not None
        }
        then = Run(
            run_id=run.run_id,
            batch_id=run.batch_id,
            index=run.index,
            scenario_id=run.scenario_id,
            scenario_position=run.scenario_position,
            timeline={RunStatus.STARTING.value: session.intended_at, **timeline},
        )
        left = session.condemned_at or session.intended_at
        return Attempt(run=then, session=session, left=left, why=session.condemned_for)

    def _record(self, run: Run, whole: Part, parts: Sequence[Part]) -> None:
        from opentelemetry.trace import set_span_in_context

        url = self._result_url(run.cekura_result_id) if run.cekura_result_id is not None else None
        root = self._begin(whole, None, {"cekura.result.url": url} if url else {})
        context = set_span_in_context(root)
        for part in parts:
            span = self._begin(part, context, {})
            span.end(_nanoseconds(part.ends))
        root.end(_nanoseconds(whole.ends))

    def _begin(self, part: Part, context: Any, more: dict[str, str]) -> Any:
        from opentelemetry.trace import Status, StatusCode

        facts = {**part.facts, **more}
        span = self._tracer.start_span(
            part.name, context=context, attributes=facts, start_time=_nanoseconds(part.begins)
        )
        for name, at in part.moments:
            span.add_event(name, timestamp=_nanoseconds(at))
        if part.error:
            span.set_status(Status(StatusCode.ERROR, part.error))
        return span


def open_traces(
    *,
    version: str,
    now: Callable[[], datetime],
    result_url: Callable[[int], str | None] = lambda _: None,
    exporter: SpanExporter | None = None,
) -> Traces:
    """Traces that are sent by OTLP over HTTP, as OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_ENDPOINT, ...).

    InvalidSettings without the library. `exporter` replaces where they go. Nothing here waits for the collector.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise InvalidSettings(NO_LIBRARY, next_step=INSTALL) from None
    _silence()
    ours = Resource.create({"service.name": SERVICE, "service.version": version})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    try:
        sending = BatchSpanProcessor(_telling_failures(exporter or OTLPSpanExporter()), max_queue_size=QUEUE)
    except ValueError as error:
        raise InvalidSettings(f"OpenTelemetry cannot be set up: {error}", next_step=CHECK_VARIABLES) from None
    provider.add_span_processor(sending)
    return Traces(provider, now=now, result_url=result_url)


def _silence() -> None:
    """The library's own words may quote addresses and answers: ours stand for them."""
    library = logging.getLogger("opentelemetry")
    if not library.handlers:
        library.addHandler(logging.NullHandler())
    library.propagate = False


def _telling_failures(exporter: SpanExporter) -> SpanExporter:
    """`exporter`, with a line in the log when it begins to fail."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Telling(SpanExporter):
        failing = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = SpanExportResult.FAILURE
            try:
                result = exporter.export(spans)
            finally:
                failed = result is not SpanExportResult.SUCCESS
                if failed and not self.failing:
                    logger.warning(UNSENT, spans=len(spans))
                self.failing = failed
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Telling()


def _nanoseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1000
