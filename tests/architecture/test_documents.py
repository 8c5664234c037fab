"""Documents that stay true: every word of ours is in the glossary, every name in a document exists."""

import ast
import importlib
import pkgutil
import re
import subprocess
import tomllib
from enum import StrEnum

import pytest

from orchestrator import domain

# A place on somebody's machine, or a host that packages are fetched from, has no place in the repository.
MACHINE_PATHS = re.compile(r"(?<![\w.:/-])/(?:work|root|home|Users|private)/\w")
REGISTRIES = re.compile(
    r"https?://[^\s\"']*(?:pypi|pythonhosted|/simple\b)|(?:index-url|find-links)[ =]+\S*/", re.IGNORECASE
)


def enumerations():
    found = set()
    for info in pkgutil.iter_modules(domain.__path__):
        module = importlib.import_module(f"{domain.__name__}.{info.name}")
        found |= {one for one in vars(module).values() if isinstance(one, type) and issubclass(one, StrEnum)}
    return sorted(found - {StrEnum}, key=lambda one: one.__name__)


@pytest.fixture(scope="session")
def glossary(root):
    return (root / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def tracked(root):
    """Every text file git knows, with its text."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    texts = {}
    for name in filter(None, listed.split("\0")):
        path = root / name
        if path.is_file():
            texts[name] = path.read_bytes().decode("utf-8", errors="ignore")
    return texts


@pytest.mark.parametrize("enumeration", enumerations())
def test_every_value_of_ours_is_in_the_glossary(glossary, enumeration):
    first_columns = " ".join(line.split("|")[1] for line in glossary.splitlines() if line.startswith("|"))
    missing = [one.value for one in enumeration if f"`{one.value}`" not in first_columns]
    assert missing == []


@pytest.mark.parametrize(
    "word",
    [
        *[
            "Plan",
            "Batch",
            "Run",
            "Session",
            "Room",
            "Submission",
            "Outcome",
            "Teardown",
            "Reaper",
            "Worker",
            "Sandbox",
        ],
        *["Roster", "Nonce", "Mark", "Evidence", "Step", "Fact", "Condemned"],
    ],
)
def test_the_words_of_the_house_are_in_the_glossary(glossary, word):
    assert f"| **{word}**" in glossary


def test_every_path_in_a_document_exists(root):
    written = re.compile(r"`((?:orchestrator|tests|docs|config|examples|benchmarks)/[\w./-]*)`")
    for document in sorted((root / "docs").rglob("*.md")):
        for name in written.findall(document.read_text(encoding="utf-8")):
            assert (root / name).exists(), f"{document.name}: {name}"


def test_every_module_named_in_the_architecture_exists(root):
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:domain|plans|clients|store|engine|app|cli|sandbox)/\w+)`", text)
    assert named
    for name in named:
        assert (root / "orchestrator" / f"{name}.py").exists(), name


def test_every_promise_in_the_architecture_is_kept_by_a_test_that_exists(root):
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+)::(test_\w+)`", text)
    assert named
    for place, test in named:
        source = (root / "tests" / f"{place}.py").read_text(encoding="utf-8")
        tests = {
            node.name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        assert test in tests, f"{place}::{test}"


def test_decisions_are_numbered_without_gaps_dated_and_titled(root):
    decisions = sorted((root / "docs" / "decisions").glob("*.md"))
    assert decisions
    for number, path in enumerate(decisions, start=1):
        title, blank, date = path.read_text(encoding="utf-8").splitlines()[:3]
        assert path.name.startswith(f"{number:04}-")
        assert re.fullmatch(rf"# {number:04} [A-Z].*[^.]", title)
        assert not blank
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)


def test_every_dependency_has_its_reason_in_a_decision(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=;~ ]", one)[0].lower() for one in wanted}
    text = "\n".join(path.read_text(encoding="utf-8") for path in (root / "docs" / "decisions").glob("*.md"))
    given = {name.lower() for name in re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)}
    assert names == given


def test_no_tracked_file_names_a_place_on_somebodys_machine(tracked):
    found = {name: MACHINE_PATHS.findall(text) for name, text in tracked.items() if MACHINE_PATHS.search(text)}
    assert found == {}


def test_no_tracked_file_names_where_packages_are_fetched_from(tracked):
    found = {name: REGISTRIES.findall(text) for name, text in tracked.items() if REGISTRIES.search(text)}
    assert found == {}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATHS, "see /" + "home/" + "me/notes"),
        (MACHINE_PATHS, "'/" + "work/" + "main'"),
        (REGISTRIES, "https://" + "py" + "pi.org/project/x"),
        (REGISTRIES, "--index-" + "url https://mirror.example/x"),
    ],
)
def test_the_search_finds_what_it_looks_for(pattern, text):
    assert pattern.search(text)
