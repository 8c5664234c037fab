"""The family of errors: what each says, and what none may carry."""

import inspect
import re

import pytest

from orchestrator.domain import errors
from orchestrator.domain.errors import (
    InvalidPlan,
    InvalidSettings,
    OrchestratorError,
    OutcomeUnknown,
    Problem,
    RemoteBusy,
    RemoteError,
    RemoteNotFound,
    RemoteRejected,
    RemoteUnavailable,
)

FAMILY = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, Exception)]
REMOTE = [found for found in FAMILY if issubclass(found, RemoteError)]
WHAT = {"remote": "Cekura", "operation": "submit"}


def test_the_drawn_tree_is_the_family():
    drawn = re.findall(r"(?:\|--|`--) (\w+)", errors.__doc__ or "")
    assert sorted([*drawn, "OrchestratorError"]) == sorted(found.__name__ for found in FAMILY)


@pytest.mark.parametrize("error", FAMILY)
def test_every_error_is_of_the_family_and_says_what_it_means(error):
    assert issubclass(error, OrchestratorError)
    assert error.__doc__


@pytest.mark.parametrize("error", REMOTE)
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "Cekura submit"),
        ({"status": 503}, "Cekura submit (HTTP 503)"),
        ({"detail": "no answer"}, "Cekura submit: no answer"),
        ({"status": 400, "detail": "scenario 9: unknown"}, "Cekura submit (HTTP 400): scenario 9: unknown"),
    ],
)
def test_a_remote_error_says_which_remote_which_operation_and_what_happened(error, more, sentence):
    assert str(error(**WHAT, **more)) == sentence


@pytest.mark.parametrize("error", REMOTE)
def test_a_remote_error_has_no_place_for_a_body_a_key_or_a_request(error):
    held = set(vars(error(**WHAT)))
    allowed = {"remote", "operation", "detail", "status", "next_step", "retry_after", "capacity", "session_id"}
    assert held <= allowed


@pytest.mark.parametrize("error", REMOTE)
def test_a_remote_error_carries_what_to_do_next(error):
    assert error(**WHAT, next_step="Look it up.").next_step == "Look it up."


def test_a_busy_remote_says_when_to_come_back_and_whether_it_is_full():
    busy = RemoteBusy(**WHAT, retry_after=7.0, capacity=True)
    assert (busy.retry_after, busy.capacity) == (7.0, True)
    assert (RemoteBusy(**WHAT).retry_after, RemoteBusy(**WHAT).capacity) == (None, None)


def test_an_unknown_outcome_is_never_mistaken_for_one_that_may_be_tried_again():
    assert not issubclass(OutcomeUnknown, (RemoteUnavailable, RemoteBusy, RemoteRejected))
    assert issubclass(RemoteNotFound, RemoteRejected)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem(path="limits.calls", message="must be at least 1", line=7),
            "line 7, limits.calls: must be at least 1",
        ),
        (Problem(path="--set name", message="unknown key"), "--set name: unknown key"),
        (Problem(path="name", message="is empty", line=2, remedy="name: x"), "line 2, name: is empty -> name: x"),
    ],
)
def test_a_problem_says_where_what_and_the_remedy(problem, text):
    assert str(problem) == text


def test_an_invalid_plan_names_every_problem_on_a_line_of_its_own():
    problems = tuple(Problem(path=path, message="is unknown", line=1) for path in ("nme", "agnt"))
    error = InvalidPlan(problems)
    assert error.problems == problems
    assert str(error).splitlines() == ["line 1, nme: is unknown", "line 1, agnt: is unknown"]
    assert "orchestrator plan" in error.next_step


def test_invalid_settings_point_to_the_doctor_unless_they_know_better():
    assert "orchestrator doctor" in InvalidSettings("CEKURA_API_KEY is missing").next_step
    assert InvalidSettings("x", next_step="Set it.").next_step == "Set it."
