"""`doctor` says what each key is for, which remotes take it, and what to do where something is missing."""

import pytest

KEYS = ("ck_sandbox", "pk_sandbox", "sk_sandbox", "daily_sandbox", "daily_cloud_sandbox")


def words(ended):
    return " ".join(ended.out.split())


def test_with_every_key_a_run_could_work_and_no_key_is_shown(shell, play):
    sandbox = play()

    ended = shell.look("doctor", shell.plan_file)

    assert ended.code == 0, ended
    assert "public (pk_): starts sessions" in words(ended)
    assert "10 calls at once, 1000 credits left" in words(ended)
    assert "agent support-bot ready; 0 of 50 sessions in use" in words(ended)
    assert "A run of this plan could work." in ended.out
    assert not any(f" {key} " in words(ended) for key in KEYS)
    assert sandbox.world()["starts"] == 0


def test_without_any_key_it_says_what_each_would_be_for(shell):
    ended = shell.look("doctor")

    assert ended.code == 2
    assert "CEKURA_API_KEY missing: it places the calls" in words(ended)
    assert "DAILY_API_KEY missing: rooms end at their expiry only" in words(ended)
    assert ended.out.count("->") >= 4


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CEKURA_API_KEY", "wrong", "CEKURA_API_KEY must be an API key"),
        ("PIPECAT_CLOUD_API_KEY", "sk_sandbox", "not a public key"),
        ("PIPECAT_CLOUD_PRIVATE_KEY", "pk_sandbox", "a public key (pk_): the private one"),
        ("PIPECAT_CLOUD_PRIVATE_KEY", "wrong", "PIPECAT_CLOUD_PRIVATE_KEY must be a private key"),
    ],
)
def test_a_key_that_cannot_work_is_trouble(shell, play, variable, value, said):
    play()
    shell.environment[variable] = value

    ended = shell.look("doctor", shell.plan_file)

    assert ended.code == 2
    assert said in words(ended)
    assert "✗ trouble" in ended.out


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("PIPECAT_CLOUD_PRIVATE_KEY", "sessions can be neither stopped nor seen to end"),
        ("DAILY_API_KEY", "present: the same for domain cloud-sandbox"),
    ],
)
def test_a_key_that_only_brings_comfort_may_be_missing(shell, play, variable, said):
    play()
    del shell.environment[variable]

    ended = shell.look("doctor", shell.plan_file)

    assert ended.code == 0, ended
    assert said in words(ended)


def test_a_refused_daily_key_is_as_good_as_none(shell, play):
    play()
    shell.environment["DAILY_API_KEY"] = "wrong"

    ended = shell.look("doctor", shell.plan_file)

    assert ended.code == 0
    assert "it is as if this key were missing" in words(ended)


def test_more_calls_than_cekura_runs_at_once_are_noted(shell, play):
    play()

    ended = shell.look("doctor", shell.plan_file, "--set", "limits.concurrency=20")

    assert ended.code == 0
    assert "the plan's limits.calls is 20: what comes on top is queued" in words(ended)


def test_more_sessions_than_the_agent_has_are_noted(shell, play):
    play(max_sessions=1)

    ended = shell.look("doctor", shell.plan_file)

    assert ended.code == 0
    assert "but limits.concurrency is 2: starts on top are refused" in words(ended)


def test_a_project_key_that_may_not_read_billing_is_only_noted(shell, play):
    play(key_has_billing=False)

    ended = shell.look("doctor", shell.plan_file)

    assert ended.code == 0
    assert "the plan's limits.calls decides then" in words(ended)


def test_a_runner_is_asked_for_its_transports(shell, play):
    sandbox = play()
    plan = shell.plan_file.read_text().replace(
        "kind: pipecat_cloud, name: support-bot", f"kind: pipecat_runner, url: '{sandbox.url}'"
    )
    shell.write("plan.yaml", plan)

    ended = shell.look("doctor", shell.plan_file)

    assert ended.code == 0
    assert "answers; serves daily" in words(ended)
    assert "its tokens are an owner's and end after 2 h" in words(ended)
    assert "PIPECAT_CLOUD_API_KEY" not in ended.out


def test_an_agent_that_does_not_exist_is_trouble(shell, play):
    play()

    ended = shell.look("doctor", shell.plan_file, "--set", "agent.name=unknown-agent")

    assert ended.code == 2
    assert "Check agent.name and the session id" in words(ended)


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("pipecat_v2", "agent: 5"), 0, "Cekura's agent 5 Support, provider pipecat"),
        (("pipecat_v2", "agent: 6"), 2, "its provider is livekit, and channel pipecat_v2 wants pipecat"),
        (("livekit_v2", "agent: 6, personality_ids: [2, 9]"), 2, "personalities 9 are not among those enabled"),
        (("voice", "agent: 777"), 2, "Cekura's agent 777"),
    ],
)
def test_cekuras_record_of_an_agent_it_would_start_is_asked_for(shell, play, asked, code, said):
    channel, asked = asked
    play()
    plan = shell.write(
        "other.yaml", f"version: 1\nchannel: {channel}\ncekura: {{{asked}}}\nscenarios: [{{scenario: 101}}]\n"
    )
    ended = shell.look("doctor", plan)
    assert ended.code == code, ended
    assert said in words(ended)
    assert "PIPECAT_CLOUD" not in ended.out
