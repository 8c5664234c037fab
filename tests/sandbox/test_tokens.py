"""Meeting tokens are JWTs that clients may also sign themselves."""

import base64
import json

import pytest

from orchestrator.sandbox.tokens import BadToken, read_token, sign_token


def signed(**properties):
    return sign_token(properties, key="key", domain="sandbox", now=1000.0)


def test_a_token_carries_its_properties_under_the_documented_short_names():
    token = signed(room_name="mine", user_id="mark", is_owner=True, exp=2000)
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))

    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(claims) == {"r": "mine", "ud": "mark", "o": True, "exp": 2000, "d": "sandbox", "iat": 1000}


def test_a_token_reads_back_as_its_properties():
    assert read_token(signed(room_name="mine", start_video_off=True), key="key", domain="sandbox") == {
        "room_name": "mine",
        "start_video_off": True,
    }


@pytest.mark.parametrize(("key", "domain"), [("other", "sandbox"), ("key", "cloud-sandbox")])
def test_a_token_of_another_key_or_domain_is_refused(key, domain):
    with pytest.raises(BadToken):
        read_token(signed(room_name="mine"), key=key, domain=domain)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "eyJ…A"])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(BadToken):
        read_token(token, key="key", domain="sandbox")


def test_a_changed_claim_breaks_the_signature():
    header, _, signature = signed(room_name="mine").split(".")
    claims = base64.urlsafe_b64encode(b'{"r":"other","d":"sandbox"}').rstrip(b"=").decode()

    with pytest.raises(BadToken):
        read_token(f"{header}.{claims}.{signature}", key="key", domain="sandbox")
