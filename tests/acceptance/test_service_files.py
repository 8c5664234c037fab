"""The files that a service is run with: what they name exists, they agree with each other, and a drain fits in."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from orchestrator.app.service import ANSWER_SECONDS
from orchestrator.settings import load_settings, variable_names
from tests.support.postgres import installed
from tests.support.typed import TYPED, unknown_in

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
COMPOSE = yaml.safe_load((CONFIG / "compose.yaml").read_text(encoding="utf-8"))
WORKERS = ("front", "worker")
ENVIRONMENTS = ("one-machine.env", "many-workers.env")
CLOSING = 5  # seconds, beside the drain and the answers to what was paid for
SERVE, HEALTH = TYPED[("serve",)], TYPED[("health",)]


def text_of(name):
    return (CONFIG / name).read_text(encoding="utf-8")


def unit():
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(CONFIG / "orchestrator.service", encoding="utf-8")
    return parser


def options_of(words):
    """What follows `serve`, as {option: value}; each must be one that the command has."""
    assert words[0] == "serve"
    assert unknown_in(shlex.join(["orchestrator", *words])) == set()
    return dict(zip(words[1::2], words[2::2], strict=True))


def default_of(option):
    return next(parameter.default for parameter in SERVE.params if option in parameter.opts)


def seconds(text):
    return float(re.fullmatch(r"(\d+)s?", text)[1])


def served():
    """The words of every command that serves, and how long it is given to stop."""
    for name in WORKERS:
        service = COMPOSE["services"][name]
        yield name, service["command"], seconds(service["stop_grace_period"])
    service = unit()["Service"]
    yield "unit", shlex.split(service["ExecStart"])[1:], seconds(service["TimeoutStopSec"])


# --- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_variable_of_an_environment_is_one_of_ours(name):
    named = re.findall(r"^#?([A-Z_]+)=", text_of(name), re.MULTILINE)
    assert named
    assert len(named) == len(set(named))
    assert {one.removesuffix("_FILE") for one in named} <= set(variable_names())


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_is_read_alike_by_every_reader(name):
    """systemd, a container engine and a shell differ in quotes, in spaces and in what follows a value."""
    for line in text_of(name).splitlines():
        assert re.fullmatch(r"(#.*)?|[A-Z_]+=[\w.:/-]*", line), line


def test_one_machine_is_read_as_settings():
    values = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text_of("one-machine.env"), re.MULTILINE))
    settings = load_settings(values)
    assert settings.database_url.startswith("sqlite:////")
    assert settings.owner


def test_many_workers_are_read_as_settings_with_their_secrets_in_files(tmp_path):
    values = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text_of("many-workers.env"), re.MULTILINE))
    files = {name: Path(path).name for name, path in values.items() if name.endswith("_FILE")}
    for secret in files.values():
        (tmp_path / secret).write_text("postgresql://orchestrator:secret@postgres/orchestrator\n")
    settings = load_settings(values | {name: str(tmp_path / secret) for name, secret in files.items()})
    assert settings.database_url == "postgresql://orchestrator:secret@postgres/orchestrator"
    assert settings.cekura_api_key is not None
    assert not re.search(r"^#?[A-Z_]+(KEY|URL)=", text_of("many-workers.env"), re.MULTILINE), "a secret in the open"


# --- compose -----------------------------------------------------------------------------------------------------


def test_two_workers_share_one_database_that_keeps_what_it_holds():
    services = COMPOSE["services"]
    assert set(services) == {"postgres", *WORKERS}
    assert sum(services[name].get("deploy", {}).get("replicas", 1) for name in WORKERS) == 2
    assert services["postgres"]["volumes"][0].partition(":")[0] in COMPOSE["volumes"]
    assert services["postgres"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    for name in WORKERS:
        assert services[name]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert services[name]["env_file"] == "many-workers.env"
        assert (CONFIG / services[name]["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"


def test_the_database_is_of_the_version_that_the_tests_use():
    said = subprocess.run([installed() / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True)
    major = re.search(r"(\d+)[.]", said.stdout)[1]
    assert COMPOSE["services"]["postgres"]["image"] == f"postgres:{major}"


def test_every_secret_is_a_file_that_somebody_mounts_and_reads():
    services, secrets = COMPOSE["services"], COMPOSE["secrets"]
    assert {name: one["file"] for name, one in secrets.items()} == {name: f"secrets/{name}" for name in secrets}
    ignored = subprocess.run(["git", "check-ignore", "config/secrets/database_url"], cwd=ROOT, check=False)
    assert ignored.returncode == 0 or not (ROOT / ".git").exists()
    read = set(re.findall(r"^[A-Z_]+_FILE=/run/secrets/(\w+)$", text_of("many-workers.env"), re.MULTILINE))
    for name in WORKERS:
        assert set(services[name]["secrets"]) == read
    assert read | set(services["postgres"]["secrets"]) == set(secrets)
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"


def test_only_one_worker_is_reached_from_outside_and_at_the_port_it_listens_on():
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert list(published) == ["front"]
    (port,) = published["front"]
    address, outside, inside = port.split(":")
    assert address == "127.0.0.1"
    options = options_of(COMPOSE["services"]["front"]["command"])
    assert options["--host"] == "0.0.0.0"
    assert options["--port"] == inside == outside
    others = options_of(COMPOSE["services"]["worker"]["command"])
    assert "--host" not in others
    assert default_of("--host") == "127.0.0.1"


def test_the_health_check_of_the_image_asks_where_both_workers_listen():
    exposed = re.search(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]
    asked = next(one.default for one in HEALTH.params if "--url" in one.opts)
    assert asked == f"http://127.0.0.1:{exposed}"
    for name in WORKERS:
        options = options_of(COMPOSE["services"][name]["command"])
        assert options.get("--port", str(default_of("--port"))) == exposed


# --- stopping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "grace"), [one[1:] for one in served()], ids=[one[0] for one in served()])
def test_a_drain_fits_into_the_time_it_is_given(words, grace):
    drain = float(options_of(words)["--drain"])
    assert grace >= drain + ANSWER_SECONDS + CLOSING


# --- the unit ----------------------------------------------------------------------------------------------------


def test_the_unit_keeps_the_state_where_the_settings_say():
    service = unit()["Service"]
    assert service["StateDirectory"] == "orchestrator"
    assert "ORCHESTRATOR_DATABASE_URL=sqlite:////var/lib/orchestrator/state.db\n" in text_of("one-machine.env")


def test_the_unit_drains_at_a_stop_and_begins_again_after_a_failure():
    service = unit()["Service"]
    assert service["Type"] == "exec"
    assert service["KillSignal"] == "SIGTERM"
    assert service["KillMode"] == "mixed"  # the signal is for the process that drains, not for what it started
    assert service["Restart"] == "on-failure"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_finds_nothing_to_say_against_the_unit(tmp_path):
    program = unit()["Service"]["ExecStart"].split()[0]
    copy = tmp_path / "orchestrator.service"
    copy.write_text(text_of("orchestrator.service").replace(program, shutil.which("true")))
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
