"""Somebody who is told outside: an HTTP server on loopback that keeps what is posted to it, and answers as told."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Posted:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self):
        return json.loads(self.body)

    @property
    def notice_id(self):
        return self.headers["webhook-id"]


@dataclass
class Mailbox:
    """`answers` are given in turn, each a status or a status with headers and a body; after them 200.

    `hold`: no answer is given before it is set.
    """

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    answers: list[object] = field(default_factory=list)
    hold: threading.Event | None = None

    def at(self, path):
        return [one for one in self.posted if one.path == path]


@contextmanager
def receiving(*answers):
    """A mailbox that serves until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            box.posted.append(Posted(self.path, headers, body))
            if box.hold is not None:
                box.hold.wait(30)
            answer = box.answers.pop(0) if box.answers else 200
            status, more, content = answer if isinstance(answer, tuple) else (answer, {}, b"ok")
            try:
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                pass  # whoever asked has hung up

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box = Mailbox(url=f"http://127.0.0.1:{server.server_port}", answers=list(answers))
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield box
    finally:
        if box.hold is not None:
            box.hold.set()
        server.shutdown()
        server.server_close()
        serving.join()
