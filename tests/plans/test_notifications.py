"""Who is told of a batch's end: what a plan may say of it, and that no credential stands in a plan."""

import pytest

from orchestrator.domain.notice import Inclusion, NoticeKind, Occasion
from orchestrator.plans import plan_document, plan_from_document, plan_from_text
from orchestrator.plans.notifications import address_trouble, key_in

HEAD = "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{scenario: 101}]\n"
KEY = "whsec_c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3Jl"
GOOD = {"SLACK": "https://hooks.slack.test/services/T0/B0/x", "HOOK": "https://hooks.test/in?key=1", "SECRET": KEY}
TWO = """env: [SLACK, HOOK, SECRET]
notifications:
  - kind: slack
    url: "{{ env.SLACK }}"
  - kind: webhook
    url: "{{env.HOOK}}"
    secret: "{{ env.SECRET }}"
    on: [always]
    include: [reasons, links]
"""
HIDDEN = "hunter2-never-shown"


def one(entry, env="[HOOK, SECRET]"):
    """A plan whose one entry stands on line 5."""
    return f"{HEAD}env: {env}\nnotifications: [{entry}]\n"


def test_an_entry_becomes_names_of_variables_and_never_what_they_hold():
    loaded = plan_from_text(HEAD + TWO, environ=GOOD)
    slack, webhook = loaded.plan.notifications
    assert (slack.kind, slack.url_variable, slack.secret_variable) == (NoticeKind.SLACK, "SLACK", None)
    assert (slack.on, slack.include) == ((Occasion.FAILURE, Occasion.RECOVERY), ())
    assert (webhook.kind, webhook.url_variable, webhook.secret_variable) == (NoticeKind.WEBHOOK, "HOOK", "SECRET")
    assert (webhook.on, webhook.include) == ((Occasion.ALWAYS,), (Inclusion.REASONS, Inclusion.LINKS))
    assert plan_from_document(loaded.document) == loaded.plan
    assert not [value for value in GOOD.values() if value in str(loaded.document)]


def test_a_plan_without_notifications_keeps_its_digest_and_one_with_them_has_another():
    plain = plan_from_text(HEAD).plan
    assert plain.digest == "ec3e102115cfc62bfa6f9c54400a2bc7527a0a36817c58cd4d681a818b39a781"
    assert plain.notifications == ()
    assert plan_from_text(HEAD + TWO, environ=GOOD).plan.digest != plain.digest


def test_a_plan_that_was_stored_before_there_were_notifications_is_read():
    document = plan_document(plan_from_text(HEAD).plan)
    del document["plan"]["notifications"]
    assert plan_from_document(document).notifications == ()


@pytest.mark.parametrize("channel", ["pipecat_v2", "livekit_v2", "voice"])
def test_every_channel_takes_them(channel):
    text = f"version: 1\nchannel: {channel}\ncekura: {{agent: 5}}\nscenarios: [{{scenario: 1}}]\n{TWO}"
    assert len(plan_from_text(text, environ=GOOD).plan.notifications) == 2


@pytest.mark.parametrize(
    ("text", "place", "message", "remedy"),
    [
        (one(f"{{kind: slack, url: 'https://{HIDDEN}'}}"), "url", "it is a credential", 'write url: "{{ env.HOOK_URL'),
        (one("{kind: slack, url: 'https://x/{{ env.HOOK }}'}"), "url", "one template of a variable and", "write url"),
        (one("{kind: slack, url: '{{ run.id }}'}"), "url", "one template of a variable and nothing else", "write url"),
        (one("{kind: slack, url: '{{ env.OTHER }}'}"), "url", "the plan does not list", "env: [OTHER]"),
        (one("{kind: slack}"), "url", "is missing", "add url"),
        (one("{kind: webhook, url: '{{ env.HOOK }}'}"), "secret", "is signed", "add secret"),
        (
            one(f"{{kind: webhook, url: '{{{{ env.HOOK }}}}', secret: {HIDDEN}}}"),
            "secret",
            "it is a credential",
            "write secret",
        ),
        (one("{kind: slack, url: '{{ env.HOOK }}', secret: '{{ env.SECRET }}'}"), "secret", "not go with", "leave"),
        (one("{kind: slack, url: '{{ env.HOOK }}', on: [sucess]}"), "on.0", "must be failure", "write failure"),
        (one("{kind: slack, url: '{{ env.HOOK }}', on: [recoverd]}"), "on.0", "must be failure", "recovery?"),
        (one("{kind: slack, url: '{{ env.HOOK }}', on: []}"), "on", "must not be empty", "write on"),
        (one("{kind: slack, url: '{{ env.HOOK }}', on: [change, change]}"), "on", "must not repeat change", "write"),
        (one("{kind: slack, url: '{{ env.HOOK }}', include: [transcripts]}"), "include.0", "never hold", "use links"),
        (one("{kind: slack, url: '{{ env.HOOK }}', include: [share_links]}"), "include.0", "never hold", "use links"),
        (one("{kind: teams, url: '{{ env.HOOK }}'}"), "kind", "must be slack or webhook", "kind: slack"),
        (one("{kind: slack, url: '{{ env.HOOK }}', adress: 1}"), "adress", "unknown key", "known keys here: kind, url"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line_and_a_remedy(problems_of, text, place, message, remedy):
    problems = problems_of(text, environ=GOOD)
    wanted = [
        found
        for found in problems
        if found[:2] == (f"notifications.0.{place}", 5) and message in found[2] and remedy in found[3]
    ]
    assert wanted, problems
    assert HIDDEN not in str(problems)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HOOK", f"http://hooks.test/{HIDDEN}", "is plain http"),
        ("HOOK", f"https://me:{HIDDEN}@hooks.test/in", "user name or password"),
        ("HOOK", f"ftp://hooks.test/{HIDDEN}", "is not an https address"),
        ("HOOK", f"{HIDDEN}", "is not an https address"),
        ("HOOK", f"https://hooks.test:{HIDDEN}/", "is not an https address"),
        ("HOOK", f"https://hooks.test/{HIDDEN}#part", "fragment"),
        ("SECRET", HIDDEN, "holds no base64 of 24 to 64 bytes"),
        ("SECRET", "whsec_c2hvcnQ=", "holds no base64 of 24 to 64 bytes"),
        ("HOOK", None, "the environment variable HOOK is not set"),
    ],
)
def test_a_variable_that_holds_nothing_usable_is_refused_without_what_it_holds(problems_of, name, value, message):
    environ = {known: held for known, held in {**GOOD, name: value}.items() if held is not None}
    problems = problems_of(one("{kind: webhook, url: '{{ env.HOOK }}', secret: '{{ env.SECRET }}'}"), environ=environ)
    assert [found for found in problems if message in found[2] and found[3]], problems
    assert HIDDEN not in str(problems)


@pytest.mark.parametrize("url", ["http://localhost:1/x", "http://127.0.0.1:8080", "http://[::1]/x", "https://h/x?y=z"])
def test_plain_http_stays_on_this_machine(url):
    assert address_trouble(url) is None


def test_a_secret_is_base64_with_or_without_its_mark():
    assert key_in(KEY) == key_in(KEY.removeprefix("whsec_")) == b"sixteen bytes and sixteen more"
