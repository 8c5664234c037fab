"""A secret cannot be shown by accident, by any of the ways in which values come to be shown."""

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest

from orchestrator.domain.observation import StartedSession
from orchestrator.domain.secret import MASK, ApiKey, MeetingToken, Secret

PLAIN = "pk_0123456789abcdef"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    key: Secret


@pytest.fixture(params=[Secret, ApiKey, MeetingToken])
def secret(request):
    return request.param(PLAIN)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        "{}".format,
        "{!r}".format,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r}",
        lambda secret: f"{secret:>40}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031  one of the ways
        lambda secret: repr([secret]),
        lambda secret: repr({"key": secret}),
        lambda secret: str(ValueError(secret)),
        lambda secret: repr(Holder(key=secret)),
        lambda secret: str(asdict(Holder(key=secret))),
        lambda secret: str(vars(secret)) if hasattr(secret, "__dict__") else "",
        lambda secret: json.dumps({"key": secret}, default=str),
        lambda secret: repr(copy.copy(secret)) + repr(copy.deepcopy(secret)),
    ],
)
def test_no_way_of_showing_a_value_shows_a_secret(secret, show):
    assert PLAIN not in show(secret)


def test_a_session_can_be_logged_with_its_token(caplog):
    started = StartedSession(session_id="s1", room_url="https://a.daily.co/r", meeting_token=MeetingToken(PLAIN))
    logging.getLogger("test").error("started %s with %r", started, started.meeting_token)
    assert MASK in caplog.text
    assert PLAIN not in caplog.text


def test_a_traceback_does_not_quote_a_secret_that_was_used_wrongly(secret):
    with pytest.raises(TypeError) as caught:
        "Bearer " + secret
    assert PLAIN not in "".join(traceback.format_exception(caught.value))


def test_a_secret_is_neither_json_nor_pickled(secret):
    with pytest.raises(TypeError):
        json.dumps({"key": secret})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="is not to be stored"):
            pickle.dumps(secret, protocol)


def test_reveal_is_the_way_out(secret):
    assert secret.reveal() == PLAIN


def test_copies_are_the_same_secret(secret):
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_secrets_are_equal_by_value_and_never_to_plain_text(secret):
    assert secret == type(secret)(PLAIN)
    assert secret != type(secret)("other")
    assert secret != PLAIN
    assert hash(secret) == hash(type(secret)(PLAIN))


def test_an_empty_secret_is_false(secret):
    assert secret
    assert not type(secret)("")
