"""What is written about the settings is what the settings are."""

import re
from pathlib import Path

import pytest

from orchestrator.app.settings_reference import EXAMPLE, GROUPS, REFERENCE, example, reference, write
from orchestrator.settings import load_settings, variable_names, variables

ROOT = Path(__file__).parents[2]
SENTENCES = re.compile(r"[A-Z].*[.]", re.DOTALL)


@pytest.mark.parametrize(("path", "made"), [(REFERENCE, reference), (EXAMPLE, example)], ids=["reference", "example"])
def test_what_is_kept_is_what_the_code_says(path, made):
    assert (ROOT / path).read_text(encoding="utf-8") == made(), "`make settings` writes it anew"


@pytest.mark.parametrize("variable", variables(), ids=lambda variable: variable.name)
def test_every_variable_says_in_sentences_what_it_is_for(variable):
    assert SENTENCES.fullmatch(variable.description)
    assert "|" not in variable.description, "it stands in a table"


def test_every_variable_is_in_one_group():
    assert sorted(name for group in GROUPS for name in group.names) == sorted(variable_names())


def test_every_variable_without_a_default_says_what_its_absence_means():
    silent = [
        one.name
        for one in variables()
        if not one.default and not re.search(r"\bWithout\b|\babsence\b", one.description)
    ]
    assert silent == []


def test_the_example_as_it_is_sets_nothing():
    lines = [line for line in example().splitlines() if line and not line.startswith("#")]
    assert {line.partition("=")[2] for line in lines} == {""}
    assert load_settings(dict(line.split("=", 1) for line in lines)) == load_settings({})


def test_the_example_with_every_comment_taken_off_is_valid():
    values = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example(), re.MULTILINE))
    assert set(values) == set(variable_names())
    load_settings(values)


def test_a_default_that_is_shown_is_the_one_in_force():
    shown = {one.name: one.default for one in variables() if one.default}
    assert load_settings(shown) == load_settings({})


def test_both_are_written_into_a_checkout(tmp_path):
    for path in (REFERENCE, EXAMPLE):
        (tmp_path / path).parent.mkdir()
    write(tmp_path)
    assert (tmp_path / REFERENCE).read_text(encoding="utf-8") == reference()
    assert (tmp_path / EXAMPLE).read_text(encoding="utf-8") == example()
