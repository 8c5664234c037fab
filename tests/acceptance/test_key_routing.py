"""Whole batches over the wire: which key goes to whom, in which header, and which never leaves for anybody else."""

import re

import pytest

from orchestrator.sandbox.settings import (
    CEKURA_KEY,
    CLOUD_DAILY_KEY,
    CLOUD_DOMAIN,
    DAILY_KEY,
    PRIVATE_KEY,
    PUBLIC_KEY,
    USER_DOMAIN,
)
from tests.support.lost import Cell, play
from tests.support.watched import KEYS, TOKEN_BEGINS, body_of, watch

CLOUD = re.compile(r"/v1/(public|agents|organizations)/")
DAILY = re.compile(r"/v1/(rooms|presence|meeting-tokens|$)")
KINDS = pytest.mark.parametrize("runner", [False, True], ids=["pipecat_cloud", "pipecat_runner"])
DOMAIN_OF = {DAILY_KEY: USER_DOMAIN, CLOUD_DAILY_KEY: CLOUD_DOMAIN}


@pytest.fixture
def watched(monkeypatch):
    return watch(monkeypatch)


async def batch(tmp_path, operation, *, runner):
    """One run to its end, with one answer lost, so that what looks things up asks too."""
    cell = Cell(
        operation=operation,
        fault="lost_answer",
        runner=runner,
        mark=True,
        exclusive=False,
        daily=True,
        private=True,
    )
    played = await play(cell, tmp_path / operation, call_seconds=(60.0, 70.0))
    assert str(played.run.outcome) == "passed"
    return played


def keys_in(asked):
    """Every key in every header and in the body of a request."""
    text = f"{dict(asked.headers)} {asked.path} {dict(asked.query)} {asked.raw.decode()}"
    return [key for key in KEYS if key in text]


def allowed(asked):
    """The keys of whom a request was for: exactly one of them must be in it."""
    if asked.path.startswith("/test_framework/"):
        return {CEKURA_KEY}
    if asked.path in {"/start", "/status"}:
        return set()
    if asked.path.startswith("/v1/public/"):
        return {PUBLIC_KEY}
    return {PRIVATE_KEY} if CLOUD.match(asked.path) else {DAILY_KEY, CLOUD_DAILY_KEY}


def assert_each_key_went_where_it_belongs(watched, *, runner):
    wrong = [
        (asked.method, asked.path, keys_in(asked))
        for asked in watched.asked
        if len(keys_in(asked)) != bool(allowed(asked)) or not set(keys_in(asked)) <= allowed(asked)
    ]
    assert wrong == []
    kinds = {"/test_framework/", "/v1/rooms/", *(("/start",) if runner else ("/v1/public/", "/v1/agents/"))}
    paths = [asked.path for asked in watched.asked]
    assert [kind for kind in kinds if not any(path.startswith(kind) for path in paths)] == []


@KINDS
async def test_each_key_goes_to_its_own_remote_and_each_daily_key_acts_on_its_own_rooms(tmp_path, watched, runner):
    """Pipecat Cloud's public key starts and does nothing else, its private one all else; Cekura's has its header."""
    played = await batch(tmp_path, "start", runner=runner)
    assert_each_key_went_where_it_belongs(watched, runner=runner)
    [session] = played.sessions
    home = USER_DOMAIN if runner else CLOUD_DOMAIN
    name = session.room_url.rpartition("/")[2]
    daily = [asked for asked in watched.asked if DAILY.match(asked.path) and asked.method != "GET"]
    acting = [asked for asked in daily if name in asked.path or name in asked.raw.decode()]
    assert f"//{home}.localhost" in session.room_url
    assert {asked.path for asked in acting} >= {"/v1/meeting-tokens", f"/v1/rooms/{name}"}
    assert {DOMAIN_OF[asked.bearer()] for asked in acting} == {home}


@KINDS
async def test_a_meeting_token_travels_to_cekura_once_and_to_nobody_else(tmp_path, watched, runner):
    await batch(tmp_path, "submit", runner=runner)
    assert_each_key_went_where_it_belongs(watched, runner=runner)
    [carrying] = [asked for asked in watched.asked if TOKEN_BEGINS in f"{asked.headers} {asked.query} {asked.raw!r}"]
    [element] = body_of(carrying)["scenarios"]
    assert carrying.path.endswith("/scenarios/run_scenarios_pipecat/")
    assert set(element) == {"scenario", "pipecat_room_url", "pipecat_token"}
    assert element["pipecat_token"] in watched.tokens
