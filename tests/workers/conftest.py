"""A fleet of workers: one PostgreSQL, one sandbox, as many real processes as a test starts."""

import pytest

from tests.support.fleet import Fleet, started_twice
from tests.support.play import Play
from tests.support.postgres import PostgresServer

SPEED = 20.0
# Calls long enough that a worker may die in the middle of them, and its lease run out, before they end.
CALLS = {
    "speed": SPEED,
    "start_seconds": 0.5,
    "call_seconds": (80.0, 160.0),
    "connect_timeout": 6000.0,
    "calls_limit": 50,
}


@pytest.fixture
def play():
    opened = []

    def open_play(**settings):
        opened.append(Play(**CALLS | settings))
        return opened[-1]

    yield open_play
    for one in opened:
        one.close()


@pytest.fixture
def fleet(play, postgres_url, tmp_path):
    """Opens a fleet on a sandbox."""
    opened = []

    def open_fleet(box, url=postgres_url, **environment):
        opened.append(Fleet(url=url, environment=box.environment() | environment, folder=tmp_path, speed=SPEED))
        return opened[-1]

    yield open_fleet
    for one in opened:
        one.close()


@pytest.fixture
def postgres_restartable():
    """A server that only one test uses, and may stop; and the URL of a database in it."""
    server = PostgresServer(durable=True)
    server.start()
    yield server, server.create()
    server.stop()
    server.remove()


@pytest.fixture
def assert_promises():
    """Nothing alive, no room submitted twice, no session started twice; the world is the judge."""

    def check(box, *, cut_short=False):
        world = box.world()
        assert world["sessions"]["alive"] == []
        assert world["rooms"]["alive"] == []
        assert world["submitted_twice"] == []
        assert started_twice(box.sandbox) == []
        if not cut_short:
            assert world["cut_short"] == []
        return world

    return check
