"""An OTLP collector on loopback: takes spans as OpenTelemetry's exporter sends them, and keeps them."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collected:
    """What arrived; `raw` is every body as it came."""

    url: str
    spans: list[Any] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    def traces(self):
        """By trace: its root span and the others, in the order of their beginnings."""
        found = {}
        for span in self.spans:
            found.setdefault(span.trace_id, []).append(span)
        for spans in found.values():
            (root,) = [span for span in spans if not span.parent_span_id]
            yield root, sorted((span for span in spans if span is not root), key=lambda span: span.start_time_unix_nano)


def facts(span):
    """The attributes of a span."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@contextmanager
def collecting(*, silent: threading.Event | None = None):
    """A collector that serves until the block ends; with `silent` it answers nobody before that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if silent is not None:
                silent.wait(20)
            asked = ExportTraceServiceRequest.FromString(body)
            collected.raw.append(body)
            for resource in asked.resource_spans:
                collected.resources.append(facts(resource.resource))
                collected.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected = Collected(url=f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield collected
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
