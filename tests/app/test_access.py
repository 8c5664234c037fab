"""The gatekeeper: who is let in, how long a revoked token still opens something, and that no secret stays behind."""

import asyncio
import base64
from datetime import timedelta
from functools import partial

import pytest
from loguru import logger
from sqlalchemy import event

from orchestrator.app import access
from orchestrator.app.access import PREFIX, TRUSTED_FOR, Gatekeeper, create_token, list_tokens, revoke_token
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import Conflict, InvalidSettings, NotAuthenticated, StateUnusable
from orchestrator.domain.secret import ApiKey
from orchestrator.store import audit
from orchestrator.store.database import open_store
from tests.support.hand_clock import HandClock


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def store(url):
    store = open_store(url, driving="test")
    yield store
    store.close()


@pytest.fixture
def keeper(store, clock):
    return Gatekeeper(store=store, clock=clock)


@pytest.fixture
def make(store, clock):
    async def token(name="ci", scope=Scope.RUN, lifetime=None):
        return await create_token(store, clock, name=name, scopes=[scope], lifetime=lifetime, actor="command:ann")

    return token


@pytest.fixture
def said():
    lines = []
    sink = logger.add(lambda message: lines.append(str(message) + str(message.record["extra"])), level="DEBUG")
    yield lines
    logger.remove(sink)


@pytest.fixture
def asked(store):
    """What is read of the state meanwhile."""
    queries = []

    def note(_connection, _cursor, statement, *_):
        queries.append(statement)

    event.listen(store._reading, "before_cursor_execute", note)
    yield queries
    event.remove(store._reading, "before_cursor_execute", note)


async def test_whoever_presents_the_secret_is_known_by_name_and_scope(make, keeper):
    token, secret = await make(scope=Scope.ADMIN)

    caller = await keeper.authenticate(secret)

    assert (caller.actor, caller.scope) == (f"token:ci:{token.token_id}", Scope.ADMIN)


async def test_a_secret_is_32_random_bytes_behind_our_prefix(make):
    secrets = [(await make(name=f"n{number}"))[1].reveal() for number in range(20)]

    assert len(set(secrets)) == 20
    for secret in secrets:
        assert secret.startswith(PREFIX)
        assert len(base64.urlsafe_b64decode(secret.removeprefix(PREFIX) + "=")) == 32


@pytest.mark.parametrize(
    "change",
    [
        lambda secret: "",
        lambda secret: PREFIX,
        lambda secret: secret.removeprefix(PREFIX),
        lambda secret: secret[:-1],
        lambda secret: secret + "A",
        lambda secret: secret + "\n",
        lambda secret: secret.upper(),
        lambda secret: secret[:-2] + ("AA" if secret[-2:] != "AA" else "BB"),
        lambda secret: secret[:-1] + "ä",
        lambda secret: secret[:-1] + "\udcff",
        lambda secret: secret[:-1] + "\x00",
        lambda secret: secret * 100_000,
        lambda secret: "' OR 1=1 --",
        lambda secret: access.digest_of(ApiKey(secret)),
    ],
)
async def test_nothing_but_the_secret_opens_and_all_else_is_refused_in_the_same_words(make, keeper, said, change):
    _, secret = await make()

    with pytest.raises(NotAuthenticated) as refused:
        await keeper.authenticate(ApiKey(change(secret.reveal())))

    assert (str(refused.value), refused.value.next_step) == ("a valid token is needed", NotAuthenticated.next_step)
    assert secret.reveal()[8:24] not in "".join(said)


async def test_what_does_not_look_like_a_token_is_not_even_looked_up(keeper, asked):
    for rubbish in (None, ApiKey(""), ApiKey("x" * 10**7), ApiKey(PREFIX + "A" * 10**7), ApiKey(PREFIX + "é" * 43)):
        with pytest.raises(NotAuthenticated):
            await keeper.authenticate(rubbish)

    assert asked == []


async def test_the_cause_of_a_refusal_is_in_the_log_and_nowhere_else(make, keeper, store, clock, said):
    _, old = await make(name="old", lifetime=timedelta(seconds=10))
    _, gone = await make(name="gone")
    await revoke_token(store, clock, name="gone", actor="command:ann")
    clock.at += 10

    refusals = []
    for presented in (None, ApiKey("rubbish"), ApiKey(PREFIX + "A" * 43), old, gone):
        with pytest.raises(NotAuthenticated) as refused:
            await keeper.authenticate(presented)
        refusals.append((str(refused.value), refused.value.next_step, refused.value.__cause__))

    assert len(set(refusals)) == 1
    causes = [line for line in said if "refused a request" in line]
    for line, cause in zip(
        causes, ["no token", "not what a token looks like", "unknown", "expired", "revoked"], strict=True
    ):
        assert cause in line


async def test_a_revoked_token_stops_within_the_time_it_is_trusted_for(make, keeper, store, clock, asked):
    _, secret = await make()
    await keeper.authenticate(secret)
    await revoke_token(store, clock, name="ci", actor="command:ann")

    clock.at += TRUSTED_FOR - 0.1
    await keeper.authenticate(secret)
    read = len(asked)
    clock.at += 0.1
    with pytest.raises(NotAuthenticated):
        await keeper.authenticate(secret)

    assert (read, len(asked)) == (1, 2)
    assert TRUSTED_FOR <= 5


async def test_a_token_that_is_in_use_all_the_time_is_asked_about_again_all_the_same(make, keeper, store, clock):
    _, secret = await make()
    await keeper.authenticate(secret)
    await revoke_token(store, clock, name="ci", actor="command:ann")

    async def used_for():
        began = clock.at
        while clock.at - began < 60:
            try:
                await keeper.authenticate(secret)
            except NotAuthenticated:
                break
            clock.at += 0.25
        return clock.at - began

    assert await used_for() <= TRUSTED_FOR


async def test_an_expired_token_stops_at_once_even_where_it_was_just_found(make, keeper, clock):
    _, secret = await make(lifetime=timedelta(seconds=1))
    await keeper.authenticate(secret)

    clock.at += 1
    with pytest.raises(NotAuthenticated):
        await keeper.authenticate(secret)


async def test_a_token_is_good_at_once_where_its_secret_was_refused_before(make, keeper, store):
    with pytest.raises(NotAuthenticated):
        await keeper.authenticate(ApiKey(PREFIX + "A" * 43))
    _, secret = await make()

    assert (await keeper.authenticate(secret)).scope is Scope.RUN


async def test_rubbish_takes_no_memory_and_many_tokens_take_little(make, keeper, store, clock, monkeypatch):
    monkeypatch.setattr(access, "MOST_REMEMBERED", 3)
    for number in range(10):
        with pytest.raises(NotAuthenticated):
            await keeper.authenticate(ApiKey(PREFIX + f"{number:A>43}"))
    assert keeper._known == {}

    for number in range(6):
        _, secret = await make(name=f"n{number}")
        await keeper.authenticate(secret)
    assert len(keeper._known) == 3
    assert (await keeper.authenticate(secret)).actor.startswith("token:n5")


async def test_the_last_use_is_noted_once_a_minute(make, keeper, store, clock):
    written = []
    event.listen(store._writing, "before_cursor_execute", lambda *seen: written.append(seen[2]))
    _, secret = await make()
    made, began = len(written), clock.now()

    for _ in range(240):  # two minutes
        await asyncio.gather(*(keeper.authenticate(secret) for _ in range(3)))
        clock.at += 0.5

    noted = [one for one in written[made:] if "last_used_at" in one]
    assert 2 <= len(noted) <= 6  # where several find it due at one moment, the row takes one
    (token,) = await list_tokens(store)
    assert began + timedelta(minutes=1) <= token.last_used_at <= clock.now()


async def test_a_refused_token_is_not_noted_as_used(make, keeper, store, clock):
    _, secret = await make()
    await revoke_token(store, clock, name="ci", actor="command:ann")
    with pytest.raises(NotAuthenticated):
        await keeper.authenticate(secret)

    assert [one.last_used_at for one in await list_tokens(store)] == [None]


async def test_while_the_state_cannot_be_written_a_token_still_opens(make, keeper, store, monkeypatch):
    _, secret = await make()

    async def full(_unit):
        raise StateUnusable("the state could not be written: the disk is full")

    monkeypatch.setattr(store, "write", full)

    assert (await keeper.authenticate(secret)).scope is Scope.RUN


async def test_no_secret_is_left_in_a_row_a_line_or_a_file(make, keeper, store, clock, said):
    _, secret = await make()
    await keeper.authenticate(secret)
    with pytest.raises(Conflict) as conflict:
        await make()
    await revoke_token(store, clock, name="ci", actor="command:ann")
    clock.at += TRUSTED_FOR
    with pytest.raises(NotAuthenticated) as refused:
        await keeper.authenticate(secret)

    tokens = await list_tokens(store)
    lines = await store.read(partial(audit.page_entries, limit=9))
    shown = repr((tokens, lines, said, conflict.value, refused.value, secret, keeper.__dict__))
    store.close()
    kept = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    plain = secret.reveal().removeprefix(PREFIX)
    assert plain not in shown
    assert plain.encode() not in kept
    assert access.digest_of(secret).encode() in kept
    assert len(lines) == 2


@pytest.mark.parametrize("name", ["", " ci", "-ci", "a b", "a\nb", "a:b", "ä", "x" * 81, "a/b", "\udcff"])
async def test_a_name_that_would_be_misread_is_refused(make, store, name):
    with pytest.raises(InvalidSettings, match="a token's name"):
        await make(name=name)

    assert await list_tokens(store) == []


async def test_a_token_revoked_by_another_process_stops_here_within_the_time(make, store, url, clock):
    """Another worker or command has a store of its own on the same state."""
    _, secret = await make()
    beside = open_store(url, driving=None)
    try:
        keeper = Gatekeeper(store=beside, clock=clock)
        await keeper.authenticate(secret)
        await revoke_token(store, clock, name="ci", actor="command:ann")
        clock.at += TRUSTED_FOR
        with pytest.raises(NotAuthenticated):
            await keeper.authenticate(secret)
    finally:
        beside.close()
