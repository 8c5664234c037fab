"""A driving process lets everything go at its end, whatever fails on the way."""

import pytest
from loguru import logger

from orchestrator.app.graph import open_worker
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.reaper import Reaper
from orchestrator.engine.remotes import Remotes
from orchestrator.settings import load_settings
from orchestrator.store.database import Store, open_store

CLOSING = {Dispatcher: "close", Remotes: "aclose", Store: "close"}


class Broken(Exception):
    """What a closing raises."""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def worker(url):
    settings = load_settings({"ORCHESTRATOR_DATABASE_URL": url, "CEKURA_API_KEY": "key-of-tests"})
    return open_worker(settings, command="test", environ={}, listener=lambda before, after: None)


@pytest.fixture
def closed(monkeypatch):
    """The names of what was closed, in order."""
    names = []
    for kind, method in CLOSING.items():
        monkeypatch.setattr(kind, method, noting(names, kind.__name__, getattr(kind, method)))
    return names


def noting(names, name, close):
    def closing(self):
        names.append(name)
        return close(self)

    return closing


async def break_async(self):
    raise Broken


async def test_everything_is_closed_in_reverse(worker, closed):
    async with worker:
        assert closed == []
    assert closed == ["Dispatcher", "Remotes", "Store"]


@pytest.mark.parametrize("kind", [Dispatcher, Remotes])
async def test_the_lock_is_given_back_and_the_rest_closed_where_one_closing_fails(
    worker, url, closed, monkeypatch, kind
):
    monkeypatch.setattr(kind, CLOSING[kind], break_async)
    with pytest.raises(Broken):
        async with worker:
            pass
    assert {"Dispatcher", "Remotes", "Store"} - {kind.__name__} == set(closed)
    open_store(url, driving="next").close()


async def test_a_reaper_that_ended_early_is_reported_and_keeps_nothing_open(worker, url, closed, monkeypatch):
    monkeypatch.setattr(Reaper, "run", break_async)
    reports = []
    sink = logger.add(lambda message: reports.append(message.record), level="ERROR")
    async with worker as opened:
        await opened.clock.sleep(0)
    logger.remove(sink)
    assert closed == ["Dispatcher", "Remotes", "Store"]
    assert ["Broken" in report["extra"]["error"] for report in reports] == [True]
    open_store(url, driving="next").close()


async def test_a_body_that_fails_is_what_the_caller_hears(worker, url, closed):
    with pytest.raises(Broken):
        async with worker:
            raise Broken
    assert closed == ["Dispatcher", "Remotes", "Store"]
    open_store(url, driving="next").close()
