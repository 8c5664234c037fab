"""What the environment may say: files beside values, keys that are never shown, and refusals that name the variable."""

import pytest

from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.secret import ApiKey
from orchestrator.settings import DEFAULT_DATABASE_URL, load_settings, variables

PLAIN = "sk_0123456789abcdef"
KEYS = {
    "CEKURA_API_KEY": "cekura_api_key",
    "CEKURA_WEBHOOK_SECRET": "cekura_webhook_secret",
    "PIPECAT_CLOUD_API_KEY": "pipecat_public_key",
    "PIPECAT_CLOUD_PRIVATE_KEY": "pipecat_private_key",
    "DAILY_API_KEY": "daily_api_key",
}


def refusal_of(environ):
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environ)
    return caught.value


def test_an_empty_environment_means_the_public_remotes_a_local_file_and_no_keys():
    settings = load_settings({})
    assert settings.cekura_api_url == "https://api.cekura.ai"
    assert settings.pipecat_api_host == "https://api.pipecat.daily.co"
    assert settings.daily_api_url == "https://api.daily.co/v1"
    assert settings.database_url == DEFAULT_DATABASE_URL == "sqlite:///.orchestrator/state.db"
    assert [getattr(settings, field) for field in KEYS.values()] == [None] * len(KEYS)
    assert settings.daily_keys == {}


@pytest.mark.parametrize(("name", "field"), KEYS.items())
def test_a_key_is_read_and_never_shown(name, field):
    settings = load_settings({name: f" {PLAIN}\n"})
    assert getattr(settings, field) == ApiKey(PLAIN)
    for shown in (repr(settings), str(settings), f"{settings}", str(settings.model_dump())):
        assert PLAIN not in shown


@pytest.mark.parametrize(("name", "field"), KEYS.items())
@pytest.mark.parametrize("blank", ["", "   ", "\n"])
def test_a_blank_key_is_no_key(name, field, blank):
    assert getattr(load_settings({name: blank}), field) is None


@pytest.mark.parametrize(("name", "field"), KEYS.items())
def test_a_mounted_file_gives_a_key_without_its_last_newline(tmp_path, name, field):
    (tmp_path / "key").write_text(f"{PLAIN}\n")
    assert getattr(load_settings({f"{name}_FILE": str(tmp_path / "key")}), field) == ApiKey(PLAIN)


def a_value_of(variable):
    """Not its default."""
    if variable.values == "secret":
        return PLAIN
    if variable.values.startswith("domain="):
        return f"acme={PLAIN}"
    if "names" in variable.values:
        return "CUSTOMER_ID, STAGING_URL"
    if "number" in variable.values:
        return "17"
    return "https://example.test" if variable.values in {"URL", "text"} else variable.values.split(" or ")[-1]


def test_every_variable_can_be_given_as_a_file(tmp_path):
    values = {variable.name: a_value_of(variable) for variable in variables()}
    for name, value in values.items():
        (tmp_path / name).write_text(value)
    from_files = load_settings({f"{name}_FILE": str(tmp_path / name) for name in values})
    assert from_files == load_settings(values)
    defaults = load_settings({})
    assert [name for name in type(defaults).model_fields if getattr(from_files, name) == getattr(defaults, name)] == []


def test_a_file_wins_over_a_value_and_an_empty_path_does_not(tmp_path):
    (tmp_path / "key").write_text(PLAIN)
    both = {"DAILY_API_KEY": "from-the-value", "DAILY_API_KEY_FILE": str(tmp_path / "key")}
    assert load_settings(both).daily_api_key == ApiKey(PLAIN)
    assert load_settings({**both, "DAILY_API_KEY_FILE": ""}).daily_api_key == ApiKey("from-the-value")


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path):
    path = tmp_path / "missing"
    refusal = refusal_of({"CEKURA_API_KEY_FILE": str(path)})
    assert str(refusal) == "CEKURA_API_KEY_FILE: the file it names cannot be read: No such file or directory"


def test_keys_of_further_domains_are_read_by_domain():
    settings = load_settings({"ORCHESTRATOR_DAILY_KEYS": f" acme = {PLAIN} , staging=a=b==, "})
    assert settings.daily_keys == {"acme": ApiKey(PLAIN), "staging": ApiKey("a=b==")}
    assert PLAIN not in repr(settings)


@pytest.mark.parametrize("value", [PLAIN, f"={PLAIN}", "acme=", f"acme={PLAIN},{PLAIN}", f"acme={PLAIN}, = "])
def test_keys_without_a_domain_or_a_key_are_refused_without_being_quoted(value):
    refusal = refusal_of({"ORCHESTRATOR_DAILY_KEYS": value})
    assert "ORCHESTRATOR_DAILY_KEYS" in str(refusal)
    assert "domain=key" in str(refusal)
    assert PLAIN not in str(refusal) + repr(refusal)


@pytest.mark.parametrize("value", ["0", "-1", "many", PLAIN, "1.5"])
def test_a_number_that_cannot_be_used_names_its_variable_and_not_the_value(value):
    refusal = refusal_of({"ORCHESTRATOR_DATA_MESSAGE_LIMIT": value})
    assert str(refusal).startswith("ORCHESTRATOR_DATA_MESSAGE_LIMIT: ")
    assert PLAIN not in str(refusal) + repr(refusal)


def test_the_refusal_leads_to_no_cause_that_holds_a_value():
    refusal = refusal_of({"ORCHESTRATOR_DAILY_KEYS": PLAIN})
    assert refusal.__cause__ is None
    assert refusal.__suppress_context__


def test_every_wrong_variable_is_named_at_once():
    refusal = refusal_of({"ORCHESTRATOR_DATA_MESSAGE_LIMIT": "0", "ORCHESTRATOR_DAILY_KEYS": "x"})
    assert len(str(refusal).splitlines()) == 2
    assert "doctor" in refusal.next_step


@pytest.mark.parametrize("name", ["CEKURA_API_URL", "PIPECAT_API_HOST", "DAILY_API_URL"])
def test_an_address_loses_its_trailing_slash(name):
    settings = load_settings({name: "http://127.0.0.1:8090/base/"})
    assert "http://127.0.0.1:8090/base" in settings.model_dump().values()


def test_settings_cannot_be_changed():
    settings = load_settings({})
    with pytest.raises(ValueError, match="frozen"):
        settings.log_level = "DEBUG"


def test_only_the_environment_that_was_passed_in_is_read(monkeypatch):
    monkeypatch.setenv("CEKURA_API_KEY", PLAIN)
    assert load_settings({}).cekura_api_key is None
    assert load_settings().cekura_api_key == ApiKey(PLAIN)
