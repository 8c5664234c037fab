"""`orchestrator health`: asks a service whether it lives. It runs every few seconds, so it imports next to nothing."""

from __future__ import annotations

import json
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

SECONDS: Final = 6.0  # more than /readyz takes to say that something did not answer
MOST_BYTES: Final = 16_384
OK: Final = 200


def health(url: str, *, ready: bool) -> int:
    """Print how the service at `url` is and return 0 when it is well, else 1; `ready` asks its parts as well.

    ValueError where `url` is not an address. It goes straight there, whatever proxy the environment names.
    """
    well, said = _asked(url, "/readyz" if ready else "/livez")
    (sys.stdout if well else sys.stderr).write(f"{said}\n")
    return 0 if well else 1


def _asked(url: str, path: str) -> tuple[bool, str]:
    connection = _connection(url)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status == OK, _words(answer.status, answer.read(MOST_BYTES))
    except (OSError, HTTPException) as error:
        return False, f"no answer from {url}: {error}"
    finally:
        connection.close()


def _connection(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        message = "not an address such as http://127.0.0.1:8080"
        raise ValueError(message)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname, parts.port, timeout=SECONDS)


def _words(status: int, body: bytes) -> str:
    """What a service of ours says of itself; of any other, only its status."""
    try:
        document = json.loads(body)
        words = document.get("detail") or document.get("status")
    except (ValueError, AttributeError):
        words = None
    return words if isinstance(words, str) and words.isprintable() else f"it answered with status {status}"
