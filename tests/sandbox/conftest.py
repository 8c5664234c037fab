import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from orchestrator.sandbox import Sandbox, SandboxSettings

CEKURA = {"X-CEKURA-API-KEY": "ck_sandbox"}
PUBLIC = {"Authorization": "Bearer pk_sandbox"}
PRIVATE = {"Authorization": "Bearer sk_sandbox"}
DAILY = {"Authorization": "Bearer daily_sandbox"}
CLOUD_DAILY = {"Authorization": "Bearer daily_cloud_sandbox"}
API = "/test_framework"
SUBMIT = f"{API}/v1/scenarios/run_scenarios_pipecat/"
ENDPOINTS = {
    "pipecat_v2": "run_scenarios_pipecat_v2",
    "livekit_v2": "run_scenarios_livekit_v2",
    "voice": "run_scenarios",
}
# Loading the machine's certificates takes longer than most of these tests.
NO_TLS = False
# Everything by the remotes' own figures would take minutes; no test asserts how long anything took.
QUICK = {
    "speed": 100.0,
    "start_seconds": 0.0,
    "join_seconds": (2.0, 3.0),
    "call_seconds": (10.0, 12.0),
    "evaluate_seconds": 5.0,
    "presence_lag": 0.0,
    "room_presence_lag": 0.0,
}


class Caller:
    """Talks to one sandbox as a client would, without the product's clients."""

    cekura = CEKURA
    public = PUBLIC
    private = PRIVATE
    daily = DAILY
    cloud_daily = CLOUD_DAILY
    api = API
    submit_path = SUBMIT

    def __init__(self, sandbox, http):
        self.sandbox = sandbox
        self.http = http

    async def start(self, agent="bot", **body):
        answer = await self.http.post(
            f"/v1/public/{agent}/start", json={"createDailyRoom": True, **body}, headers=PUBLIC
        )
        answer.raise_for_status()
        return answer.json()

    async def stop(self, session, agent="bot"):
        return await self.http.delete(f"/v1/agents/{agent}/sessions/{session['sessionId']}", headers=PRIVATE)

    async def submit(self, *sessions, message=None):
        scenarios = [
            {
                "scenario": number,
                "pipecat_room_url": session["dailyRoom"],
                "pipecat_token": session["dailyToken"],
                **({} if message is None else {"publish_data_message": message}),
            }
            for number, session in enumerate(sessions, 1)
        ]
        answer = await self.http.post(SUBMIT, json={"agent": 5, "scenarios": scenarios}, headers=CEKURA)
        answer.raise_for_status()
        return answer.json()

    async def post_automated(self, channel, body, family="v1/scenarios"):
        """Cekura's answer to a run request of one of its automated channels."""
        return await self.http.post(f"{API}/{family}/{ENDPOINTS[channel]}/", json=body, headers=CEKURA)

    async def run_automated(self, channel, **body):
        """The submission that such a request made; its scenario is one of the channel's own unless the body says."""
        own = {
            "pipecat_v2": {"scenarios": [{"scenario": 101}]},
            "livekit_v2": {"scenarios": [{"scenario": 201}]},
            "voice": {"agent_id": 7, "scenarios": [301]},
        }
        answer = await self.post_automated(channel, own[channel] | body)
        answer.raise_for_status()
        return answer.json()

    async def get(self, path, **params):
        """Cekura's answer to a GET below its API."""
        return await self.http.get(f"{API}/{path}", params=params, headers=CEKURA)

    async def runs(self, submission):
        ids = ",".join(str(run["id"]) for run in submission["runs"])
        answer = await self.http.get(f"{API}/v2/runs/bulk/", params={"run_ids": ids}, headers=CEKURA)
        answer.raise_for_status()
        return answer.json()

    async def run_until(self, submission, *statuses):
        """The submission's only run once its status is one of these."""
        async for _ in ticks():
            (run,) = await self.runs(submission)
            if run["status"] in statuses:
                return run
        raise AssertionError(f"the run never became one of {statuses}")

    async def judged(self, submission, every=0.005):
        """All runs of the submission once every one of them is judged."""
        async for _ in ticks(every=every):
            runs = await self.runs(submission)
            if all(run["status"] in {"completed", "failed", "timeout", "cancelled"} for run in runs):
                return runs
        raise AssertionError("the runs were never judged")

    async def present(self, session, headers=CLOUD_DAILY):
        answer = await self.http.get(f"/v1/rooms/{room_name(session)}/presence", headers=headers)
        answer.raise_for_status()
        return answer.json()["data"]

    async def bot_joined(self, session, headers=CLOUD_DAILY):
        async for _ in ticks():
            if present := await self.present(session, headers):
                return present[0]
        raise AssertionError("the bot never joined")

    async def ready(self, **body):
        """A session whose bot is in its room."""
        session = await self.start(**body)
        await self.bot_joined(session)
        return session

    async def world(self):
        return (await self.http.get("/world.json")).json()

    async def eventually(self, look, limit=20.0):
        """The first true thing that `look` (plain or async) answers."""
        async for _ in ticks(limit):
            seen = look()
            if seen := await seen if asyncio.iscoroutine(seen) else seen:
                return seen
        raise AssertionError("it never came true")

    @staticmethod
    def room_name(session):
        return room_name(session)


async def ticks(limit=20.0, every=0.005):
    """Looks again every few milliseconds until the limit (seconds) has passed."""
    deadline = asyncio.get_running_loop().time() + limit
    while asyncio.get_running_loop().time() < deadline:
        yield
        await asyncio.sleep(every)


def room_name(session):
    return session["dailyRoom"].rsplit("/", 1)[1]


@pytest.fixture
async def opened():
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def play(opened):
    """Opens a sandbox with these settings and answers somebody who talks to it."""

    async def open_sandbox(**settings):
        sandbox = await opened.enter_async_context(Sandbox(SandboxSettings(**(QUICK | settings))))
        http = await opened.enter_async_context(httpx.AsyncClient(base_url=sandbox.url, timeout=10, verify=NO_TLS))
        return Caller(sandbox, http)

    return open_sandbox
