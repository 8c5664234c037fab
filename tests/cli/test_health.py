"""`orchestrator health` ends with 0 only for a service that says of itself that it is well."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

READY = (200, b'{"status": "ready", "checks": {"store": "ok"}}')
NOT_READY = (503, b'{"title": "The service is not ready", "detail": "Not ready: store.", "status": 503}')
LIVE = (200, b'{"status": "alive", "version": "1.0"}')


class Service(ThreadingHTTPServer):
    """Answers each path as a test says; a path without an answer hangs up."""

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path not in self.server.answers:
            self.close_connection = True
            return
        status, body = self.server.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "/livez")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def service():
    opened = []

    def open_service(**answers):
        one = Service({f"/{name}": answer for name, answer in answers.items()})
        threading.Thread(target=one.serve_forever, daemon=True).start()
        opened.append(one)
        return one

    yield open_service
    for one in opened:
        one.shutdown()
        one.server_close()


def test_a_service_that_lives_is_well(shell, service):
    ended = shell.look("health", "--url", service(livez=LIVE).url)
    assert (ended.code, ended.out, ended.err) == (0, "alive\n", "")


def test_one_that_lives_need_not_be_ready(shell, service):
    url = service(livez=LIVE, readyz=NOT_READY).url
    assert shell.look("health", "--url", url).code == 0
    ended = shell.look("health", "--ready", "--url", f"{url}/")
    assert (ended.code, ended.out, ended.err) == (1, "", "Not ready: store.\n")


def test_one_that_is_ready_is_well(shell, service):
    assert shell.look("health", "--ready", "--url", service(readyz=READY).url).code == 0


@pytest.mark.parametrize(
    "answer", [(404, b"nothing here"), (302, b""), (500, b"[]"), (500, b'{"detail": "\\u001b[2J"}')], ids=str
)
def test_any_other_answer_is_told_by_its_status(shell, service, answer):
    ended = shell.look("health", "--url", service(livez=answer).url)
    assert (ended.code, ended.err) == (1, f"it answered with status {answer[0]}\n")


def test_no_answer_is_told(shell, service):
    ended = shell.look("health", "--url", service().url)
    assert ended.code == 1
    assert "no answer from http://127.0.0.1:" in ended.err


def test_nobody_there_is_told(shell, service):
    gone = service()
    gone.server_close()
    ended = shell.look("health", "--url", gone.url)
    assert ended.code == 1
    assert "no answer" in ended.err


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:8080", "http://", "http://127.0.0.1:8080/livez"])
def test_what_is_no_address_is_bad_usage(shell, url):
    ended = shell.look("health", "--url", url)
    assert ended.code == 2
    assert "--url" in ended.err


def test_no_proxy_stands_in_between(shell, service):
    shell.environment["http_proxy"] = shell.environment["HTTP_PROXY"] = service(livez=(500, b"")).url
    assert shell.look("health", "--url", service(livez=LIVE).url).code == 0


def test_it_imports_next_to_nothing():
    asked = (
        "import sys\n"
        "from orchestrator.cli.main import app\n"
        "try:\n    app(['health', '--url', 'http://127.0.0.1:9'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=30)
    loaded = set(ended.stdout.split())
    assert "http.client" in loaded
    assert loaded.isdisjoint({"httpx", "loguru", "sqlalchemy", "orchestrator.settings", "orchestrator.app"})
