"""Every metric we publish, by name, with its labels and its buckets; what each means is told in docs/metrics.md.

Labels are bounded: words of ours, HTTP statuses by class, and the first few names of agents, pools and schedules.
Never an id, an address or a name without an end of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

SHORT: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
WAITS: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
CALLS: Final = (5, 15, 30, 60, 120, 180, 300, 600, 900, 1800)
COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Instruments:
    """The metrics of one process, in a registry of their own, so that a process (or a test) may hold several."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._engine()
        self._remotes()
        self._state()
        self._service()

    def _engine(self) -> None:
        self.starts = self._counter("starts", "Starts of sessions, by what became of them.", "outcome")
        self.runs = self._counter("runs", "Runs that have their outcome.", "outcome")
        self.retries = self._counter("retries", "Runs that began anew for an infrastructure reason.")
        self.submissions = self._counter("submissions", "POSTs of rooms to Cekura, by what became of them.", "outcome")
        self.teardowns = self._counter("teardowns", "Ends of sessions and rooms, by how sure we are.", "thing", "end")
        self.polls = self._counter("polls", "Polls of runs, by what they brought.", "result")
        self.polled_runs = self._counter("polled_runs", "Runs that polls asked for.")
        self.ready_seconds = self._histogram(
            "ready_seconds", "From a start's answer until its bot was ready.", WAITS, "agent", "evidence"
        )
        self.idle_seconds = self._histogram("idle_seconds", "Ready bots outside a call, by what for.", WAITS, "cause")
        self.call_seconds = self._histogram("call_seconds", "Calls, as polls and presence show them.", CALLS)
        self.teardown_lag_seconds = self._histogram(
            "teardown_lag_seconds", "From when teardown may begin until the end was confirmed.", WAITS, "thing"
        )

    def _remotes(self) -> None:
        self.requests = self._counter(
            "requests", "Requests to the remotes, by class of status.", "remote", "operation", "status"
        )
        self.request_seconds = self._histogram(
            "request_seconds", "From a request to its whole answer.", SHORT, "remote", "operation"
        )
        self.webhooks = self._counter("webhooks", "Deliveries of Cekura's webhook, by what became of them.", "result")

    def _state(self) -> None:
        self.sessions = self._gauge("sessions", "Sessions by how they stand.", "agent", "state")
        self.batches = self._gauge("batches", "Open batches, by whether a worker drives them.", "state")
        self.queue_oldest_seconds = self._gauge("queue_oldest_seconds", "How long the oldest batch waits for a worker.")
        self.looked_at = self._gauge("looked_at_seconds", "When the state was last counted (Unix time).")
        self.runs_under_way = self._gauge(
            "runs_under_way", "Runs without an outcome that this process drives.", "status"
        )
        self.budget_used = self._gauge("budget_used", "What the batches driven here hold of a budget.", "budget")
        self.budget_limit = self._gauge("budget_limit", "What the batches driven here may hold of it.", "budget")
        self.shared_limit = self._gauge("shared_limit", "What all batches and pools may hold, if limited.", "budget")
        self.commit_units = self._histogram("commit_units", "Units of work in one commit.", COUNTS)
        self.commit_seconds = self._histogram("commit_seconds", "How long one commit took.", SHORT)

    def _service(self) -> None:
        self.pool_sessions = self._gauge("pool_sessions", "Warm sessions of a pool.", "pool", "state")
        self.pool_left = self._counter("pool_left", "Warm sessions that left their pool.", "pool", "to")
        self.pool_idle_seconds = self._counter("pool_idle_seconds", "Seconds that warm sessions waited.", "pool", "to")
        self.fires = self._counter("fires", "Fires of schedules, by decision.", "schedule", "decision")
        self.schedule_lag_seconds = self._histogram(
            "schedule_lag_seconds", "From when a fire was due until it was decided.", SHORT
        )
        self.notices = self._counter("notices", "Tries of notices, by what came of them.", "kind", "result")
        self.api_requests = self._counter("api_requests", "Requests to our own API.", "method", "route", "status")
        self.api_seconds = self._histogram("api_seconds", "From a request to our API to its answer.", SHORT, "route")
        self.loop_late_seconds = self._histogram("loop_late_seconds", "How late the event loop came.", SHORT)
        self.build_info = self._gauge("build_info", "Always 1; which version this is.", "version", "python")

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"orchestrator_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"orchestrator_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"orchestrator_{name}", what, labels, registry=self.registry, buckets=buckets)
