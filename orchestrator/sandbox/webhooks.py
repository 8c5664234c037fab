"""Cekura's webhooks: one before a result's calls, to be answered first, and one when the last of its runs is judged.

They carry a static secret, neither signature nor time. The first is tried up to three times and its calls wait for it;
what becomes of them when nobody answers is not documented: here they begin all the same. The second is sent once.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import aiohttp

from orchestrator.sandbox.calls import Run
from orchestrator.sandbox.catalogue import PERSONALITIES, scenario_of
from orchestrator.sandbox.cekura import Result
from orchestrator.sandbox.clock import SandboxClock, iso
from orchestrator.sandbox.faults import Faults
from orchestrator.sandbox.settings import SandboxSettings

PATIENCE: Final = 30.0  # seconds for an answer; real ones, for whoever answers is no part of the sandbox
ATTEMPTS: Final = 3  # at the first kind
APART: Final = 1.0  # seconds between them; not documented
STRANGE: Final = 1_000_000_000  # added to ids, it makes such as the sandbox never gives
OK: Final = range(200, 300)
UNANSWERED: Final = "unanswered"


class Webhooks:
    """Sends them where the settings say; `answers` counts how each was answered, by status."""

    def __init__(self, *, settings: SandboxSettings, clock: SandboxClock, faults: Faults) -> None:
        self.answers: Counter[str] = Counter()
        self._url = settings.webhook_url
        self._secret = settings.webhook_secret
        self._clock = clock
        self._faults = faults
        self._fates: dict[int, str | None] = {}  # by result, until its last webhook is on its way
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Send nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def made(self, result: Result, go: Callable[[], None]) -> None:
        """Announce a result and let its calls begin afterwards."""
        if self._url is None or not result.runs:
            go()
            return
        self._fates[result.id] = self._faults.take("webhook")
        self._spawn(self._announce(result, go))

    def talking(self, result: Result) -> None:
        """Lie, once, where that was asked for."""
        if self._fates.get(result.id) == "early":
            del self._fates[result.id]
            self._spawn_send(_finished(result, claimed=True))

    def finished(self, result: Result) -> None:
        """Say that a result is finished, as its fate allows."""
        if result.id not in self._fates:
            return
        fate = self._fates.pop(result.id)
        if fate == "lost":
            return
        body = _finished(result, strange=STRANGE if fate == "stranger" else 0)
        if fate == "garbled":
            body = body[: len(body) // 2]
        secret = self._secret + "?" if fate == "wrong_secret" else self._secret
        for _ in range(2 if fate == "duplicate" else 1):
            self._spawn_send(body, secret=secret)

    def _spawn_send(self, body: bytes, *, secret: str | None = None) -> None:
        self._spawn(self._send_once(body, {"X-CEKURA-SECRET": secret or self._secret}))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _announce(self, result: Result, go: Callable[[], None]) -> None:
        headers = {
            "X-CEKURA-SECRET": self._secret,
            "X-CEKURA-IDEMPOTENCY-KEY": f"result_pre_trigger:{result.id}",
        }
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._clock.scaled(APART))
            if await self._send(_encoded("result.pre_trigger", _core(result)), headers) in OK:
                break
        go()

    async def _send_once(self, body: bytes, headers: Mapping[str, str]) -> None:
        await self._send(body, headers)

    async def _send(self, body: bytes, headers: Mapping[str, str]) -> int:
        """POST once; the status of the answer, 0 where none came."""
        if self._http is None:
            self._http = aiohttp.ClientSession()
        limit = aiohttp.ClientTimeout(total=PATIENCE)
        sent = {**headers, "Content-Type": "application/json"}
        try:
            async with self._http.post(str(self._url), data=body, headers=sent, timeout=limit) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            self.answers[UNANSWERED] += 1
            return 0
        self.answers[str(status)] += 1
        return status


def _encoded(event: str, data: Mapping[str, Any]) -> bytes:
    return json.dumps({"event_type": event, "data": data}).encode()


def _finished(result: Result, *, strange: int = 0, claimed: bool = False) -> bytes:
    """The body of `result.completed`, whatever became of the runs; `claimed` says that all of them succeeded."""
    passed = sum(claimed or run.success for run in result.runs)
    data = {
        **_core(result),
        "id": result.id + strange,
        "status": "completed",
        "met_expected_outcome_count": passed,
        "total_expected_outcome_count": len(result.runs),
        "success_rate": 100.0 * passed / len(result.runs),
        "runs": {str(run.id + strange): _run(run, strange=strange, claimed=claimed) for run in result.runs},
    }
    return _encoded("result.completed", data)


def _core(result: Result) -> dict[str, Any]:
    """What both kinds say; what else the first one says is not documented."""
    return {
        "id": result.id,
        "name": result.name,
        "agent": result.agent,
        "status": result.status,
        "run_as_text": False,
        "is_cronjob": False,
        "created_at": iso(result.created_at),
    }


def _run(run: Run, *, strange: int, claimed: bool) -> dict[str, Any]:
    """A run as webhooks show it: other names than a poll's, its scenario as an object, and no status."""
    hello = {"role": "Testing Agent", "time": "00:02", "content": "Hello.", "start_time": 2.3, "end_time": 2.8}
    return {
        "id": run.id + strange,
        "scenario": {
            "id": run.scenario,
            "name": scenario_of(run.scenario).name,
            "personality_name": PERSONALITIES.get(run.personality, "Normal"),
            "expected_outcome_prompt": "",
        },
        "expected_outcome": {},
        "success": claimed or run.success,
        "evaluation": {"metrics": []},
        "transcript_object": [hello] if run.call_began_at else [],
        "voice_recording": "",
        "timestamp": iso(run.created_at),
        "executed_at": iso(run.executed_at) if run.executed_at else "",
        "error_message": "" if claimed else run.error_message,
    }
