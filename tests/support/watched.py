"""A sandbox that keeps what it was asked and every token it signed, and can answer by repeating what it was sent."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.sandbox import edge
from orchestrator.sandbox.daily import Domain
from orchestrator.sandbox.exchange import Answer, Asked
from orchestrator.sandbox.settings import CEKURA_KEY, CLOUD_DAILY_KEY, DAILY_KEY, PRIVATE_KEY, PUBLIC_KEY

KEYS = (CEKURA_KEY, PUBLIC_KEY, PRIVATE_KEY, DAILY_KEY, CLOUD_DAILY_KEY)
TOKEN_BEGINS = "eyJ"  # whatever signed it: the first letters of every JSON web token


@dataclass
class Watch:
    """What went over the wire; `echoes`: how many requests of an operation are refused in their own words, and how."""

    asked: list[Asked] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    echoes: dict[str, tuple[int, int]] = field(default_factory=dict)
    echoed: Counter[str] = field(default_factory=Counter)

    def found_in(self, content: bytes | str):
        """The keys and tokens that occur in `content`, by name only as far as a key's."""
        text = content.decode("latin-1") if isinstance(content, bytes) else content
        shown = [secret for secret in (*KEYS, *self.tokens) if secret in text]
        return shown or ([TOKEN_BEGINS] if TOKEN_BEGINS in text else [])

    def echo(self, operation: str, asked: Asked) -> Answer | None:
        """A refusal that repeats every header and the whole body, while there is one to give."""
        status, count = self.echoes.get(operation, (0, 0))
        if self.echoed[operation] >= count:
            return None
        self.echoed[operation] += 1
        said = f"echo of {operation}: {dict(asked.headers)} {asked.raw.decode()}"
        return Answer(status=status, body={"detail": said, "error": said, "message": [said], "headers": [said]})


def watch(monkeypatch) -> Watch:
    """Watch every sandbox that is started from here on."""
    watched = Watch()
    sign, act = Domain.sign, edge._act

    def signing(self, properties):
        token = sign(self, properties)
        watched.tokens.append(token)
        return token

    def acting(remote, operation, handler, asked):
        watched.asked.append(asked)
        return watched.echo(operation, asked) or act(remote, operation, handler, asked)

    monkeypatch.setattr(Domain, "sign", signing)
    monkeypatch.setattr(edge, "_act", acting)
    return watched


def files_below(folder: Path):
    """Every file below `folder` with its bytes, as they are now; one that goes away meanwhile is left out."""
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path.name, path.read_bytes()
        except FileNotFoundError:
            continue


def family(pid: int):
    """The arguments of a process and of all its descendants, as anybody on the machine sees them."""
    try:
        yield Path(f"/proc/{pid}/cmdline").read_bytes()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield from family(int(child))


def body_of(asked: Asked):
    """A request's JSON."""
    return json.loads(asked.raw or b"{}")
