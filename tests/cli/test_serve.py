"""What `serve` says when it stops agrees with its exit code."""

import pytest

from orchestrator.app.service import Left
from orchestrator.cli.serve import _left_text


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (Left(batches=0, sessions=0, handed_over=False), "nothing is left"),
        (Left(batches=0, sessions=2, handed_over=False), "2 sessions that may be alive"),
        (Left(batches=1, sessions=2, handed_over=True), "another worker goes on with 1 batch"),
    ],
)
def test_a_session_that_may_be_alive_is_told_of_also_where_no_batch_is_open(left, words):
    assert words in _left_text(left)
