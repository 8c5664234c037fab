"""The image, as far as it can be shown without a container engine: its own pip commands, run as they are written.

They are read from the Dockerfile, so that the two cannot drift apart. By default only this project is installed, beside
the packages that are here already. `pytest -m slow_install tests/acceptance/test_dockerfile.py` installs all of them
afresh, which asks a package index and takes about a minute.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/orchestrator"  # where the image keeps its environment
SECRETS = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
LIMIT = 120.0  # seconds for one command
INSTALL_LIMIT = 900.0


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its continued lines joined; `stage` counts from 0."""

    stage: int
    name: str
    text: str


def instructions():
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    stage = -1
    for line in filter(None, joined.splitlines()):
        name, _, text = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage=stage, name=name, text=text.strip()))
    return found


DOCKERFILE = instructions()


def texts(name, *, stage):
    return [one.text for one in DOCKERFILE if one.name == name and one.stage == stage]


def copied():
    """What the build stage takes from the repository."""
    return [source for text in texts("COPY", stage=0) for source in text.split()[:-1]]


# --- what can be read off ----------------------------------------------------------------------------------------


def test_two_stages_and_only_the_environment_passes_between_them():
    assert len(texts("FROM", stage=0) + texts("FROM", stage=1)) == 2
    assert texts("COPY", stage=1) == [f"--from=build {PREFIX} {PREFIX}"]


def test_the_python_of_the_image_is_one_we_support():
    bases = {re.match(r"python:(\d+)\.(\d+)-slim", text)[0] for stage in (0, 1) for text in texts("FROM", stage=stage)}
    assert len(bases) == 1
    lowest = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    major, minor = re.match(r"python:(\d+)\.(\d+)", bases.pop()).groups()
    assert (int(major), int(minor)) >= tuple(map(int, lowest.groups()))


def test_it_runs_the_command_as_nobody_special():
    assert json.loads(texts("ENTRYPOINT", stage=1)[0]) == ["orchestrator"]
    (user,) = texts("USER", stage=1)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)  # a number: Kubernetes checks `runAsNonRoot` by it
    order = [one.name for one in DOCKERFILE if one.stage == 1]
    assert order.index("USER") < order.index("WORKDIR") < order.index("ENTRYPOINT")


def test_the_working_directory_is_the_users_and_outlives_the_container():
    (folder,) = texts("WORKDIR", stage=1)
    assert texts("VOLUME", stage=1) == [folder]
    assert any(f"--owner=10001 --group=10001 {folder}" in text for text in texts("RUN", stage=1))


def health_check(tmp_path, *words):
    """Ends as the image's health check does while its first process has these words, and nothing listens."""
    _options, _, command = texts("HEALTHCHECK", stage=1)[0].partition("CMD ")
    (tmp_path / "cmdline").write_text("".join(f"{word}\0" for word in words))
    command = command.replace("/proc/1/cmdline", str(tmp_path / "cmdline"))
    command = command.replace(
        "orchestrator health", f"{sys.executable} -m orchestrator.cli health --url http://[::1]:9"
    )
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT, check=False)


def test_a_service_that_does_not_answer_is_unhealthy(tmp_path):
    checked = health_check(tmp_path, "python", "orchestrator", "serve", "--host", "0.0.0.0")
    assert checked.returncode == 1
    assert "no answer from" in checked.stderr


def test_any_other_command_is_healthy_for_as_long_as_it_runs(tmp_path):
    checked = health_check(tmp_path, "python", "orchestrator", "run", "/plans/serve.yaml")
    assert (checked.returncode, checked.stdout) == (0, "")


def test_no_secret_can_enter_a_layer():
    assert [one for one in DOCKERFILE if one.name == "ARG"] == []
    assert [one for one in DOCKERFILE if one.name == "ENV" and SECRETS.search(one.text)] == []


def test_the_build_sees_what_it_copies_and_nothing_else():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied())
    for name in ("settings.env", ".env", ".git", ".orchestrator", "plan.yaml"):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
        assert f"!{name}" not in ignored


def test_every_package_of_the_image_is_pinned_with_its_hashes():
    joined = (ROOT / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    assert joined
    assert [line for line in joined if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    fetching = [line for line in pip_lines() if " -r " in line]
    assert fetching
    assert all("--require-hashes" in line and "--no-deps" in line for line in fetching)


# --- what can be done --------------------------------------------------------------------------------------------


def pip_lines():
    """The build stage's pip commands, in order."""
    parts = [part for text in texts("RUN", stage=0) for part in text.split(" && ")]
    return [part.strip() for part in parts if " install " in part]


@dataclass(frozen=True)
class Image:
    """An environment in a folder instead of an image; `state` is the working directory."""

    environment: Path
    state: Path

    def __call__(self, *words):
        done = subprocess.run(
            [str(self.environment / "bin" / words[0]), *words[1:]],
            cwd=self.state,
            env={"PATH": f"{self.environment / 'bin'}:/usr/bin:/bin", "PYTHONUTF8": "1", "HOME": str(self.state)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout


def carry_out(line, *, source, environment, limit=LIMIT):
    """One RUN line of the Dockerfile, elsewhere."""
    assert PREFIX in line
    command = line.replace(PREFIX, str(environment))
    done = subprocess.run(
        ["sh", "-euc", command],
        cwd=source,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What the build stage sees of the repository."""
    folder = tmp_path_factory.mktemp("source")
    for name in copied():
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, folder / name)
    return folder


@pytest.fixture(scope="module")
def image(source, tmp_path_factory):
    """This project installed as the Dockerfile does it, beside the packages of the running environment."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=True)
    where = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    # A .pth of the running environment is not followed from here: its editable install stays out of sight.
    (where / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # The image holds the pinned setuptools; a fresh environment may bring one of its own, years older.
    carry_out(f"{PREFIX}/bin/pip uninstall --quiet --yes setuptools", source=source, environment=environment)
    carry_out(pip_lines()[-1], source=source, environment=environment)
    return Image(environment=environment, state=tmp_path_factory.mktemp("state"))


def test_the_package_is_the_installed_one_and_not_the_source_tree(image):
    place = Path(image("python", "-c", "import orchestrator; print(orchestrator.__file__)").strip())
    assert place.is_relative_to(image.environment)


def test_every_file_of_the_package_is_installed(image, source):
    tree = source / "orchestrator"
    written = {path.relative_to(tree) for path in tree.rglob("*") if path.is_file()}
    place = Path(image("python", "-c", "import orchestrator; print(orchestrator.__file__)").strip()).parent
    installed = {path.relative_to(place) for path in place.rglob("*") if path.is_file()}
    assert len(written) > 50
    assert sorted(map(str, written - installed)) == []


def test_the_command_says_its_version_and_its_help(image):
    assert re.fullmatch(r"orchestrator \d+\.\d+\.\d+\S*\n", image("orchestrator", "--version"))
    assert "sandbox" in image("orchestrator", "--help")


def test_the_schema_and_a_plan_can_be_read(image):
    assert json.loads(image("orchestrator", "plan", "--schema"))["type"] == "object"
    shutil.copy2(ROOT / "config" / "cloud-minimal.yaml", image.state / "plan.yaml")
    assert len(json.loads(image("orchestrator", "plan", "plan.yaml", "--json"))["runs"]) == 1


@pytest.mark.long
@pytest.mark.slow
def test_a_whole_batch_runs_from_the_installed_package(image):
    """The state's migrations and the demo's plan are in it too."""
    assert "The demo ended as scripted." in image("orchestrator", "demo", "--speed", "30")


@pytest.mark.slow_install
def test_everything_is_installed_afresh_by_the_dockerfiles_own_commands(source, tmp_path):
    environment = tmp_path / "environment"
    for line in texts("RUN", stage=0):
        carry_out(line, source=source, environment=environment, limit=INSTALL_LIMIT)
    image = Image(environment=environment, state=tmp_path)
    assert "No broken requirements found" in image("pip", "check")
    assert "The demo ended as scripted." in image("orchestrator", "demo", "--speed", "30")
