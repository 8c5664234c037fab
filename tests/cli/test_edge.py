"""Whatever ends a command becomes a sentence, a next step and an exit code; a defect never shows its text."""

import asyncio
import json

import pytest
import typer

from orchestrator.cli.edge import carry_out
from orchestrator.domain.errors import (
    BudgetExhausted,
    Conflict,
    InvalidSettings,
    NotFound,
    RemoteAuthFailed,
    RemoteUnavailable,
    StateUnusable,
)

REMOTE = {"remote": "Cekura", "operation": "submit"}


def ended(capsys, error, **options):
    async def work():
        raise error

    with pytest.raises(typer.Exit) as exit_:
        carry_out(work, **options)
    return exit_.value.exit_code, capsys.readouterr()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidSettings("bad"), 2),
        (Conflict("held"), 2),
        (NotFound("none"), 2),
        (StateUnusable("damaged"), 2),
        (RemoteAuthFailed(**REMOTE), 2),
        (RemoteUnavailable(**REMOTE), 3),
        (BudgetExhausted("spent"), 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_error_has_its_code_and_says_itself(capsys, error, code):
    got, said = ended(capsys, error)

    assert got == code
    assert str(error) in said.err
    assert said.out == ""


def test_a_defect_is_called_one_and_its_text_stays_hidden(capsys):
    got, said = ended(capsys, KeyError("token-that-nobody-may-see"), as_json=True)

    assert got == 3
    assert "this is a defect of the orchestrator: KeyError (work, line" in said.err
    assert "token-that-nobody-may-see" not in said.err + said.out
    assert json.loads(said.out)["error"]["kind"] == "Defect"


def test_the_traceback_of_a_defect_is_shown_on_request(capsys):
    _, said = ended(capsys, KeyError("why"), log_level="DEBUG")

    assert "Traceback" in said.err


def test_an_interruption_before_anything_started_ends_with_130(capsys):
    got, said = ended(capsys, asyncio.CancelledError())

    assert got == 130
    assert "interrupted before anything was started" in said.err


def test_a_log_level_that_is_none_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_LOG_LEVEL", "LOUD")

    got, said = ended(capsys, AssertionError("never reached"))

    assert got == 2
    assert "ORCHESTRATOR_LOG_LEVEL" in said.err
