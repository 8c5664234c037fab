"""A few cases of the crash matrix: the real command is killed at a request and restarted; the world is the judge.

`make crash` plays the whole matrix.
"""

import pytest

from tests.crash.case import UnknownCase, read_case
from tests.crash.matrix import SMALL, TROUBLED, random_case
from tests.crash.trial import run_trial


@pytest.mark.slow
@pytest.mark.parametrize("key", SMALL)
async def test_a_killed_process_leaves_nothing_and_pays_for_nothing_twice(tmp_path, key):
    trial = await run_trial(read_case(key), tmp_path)

    assert trial.kills == key.count(">") + 1
    assert trial.broken == (), trial.ended.stderr


@pytest.mark.parametrize("key", [*SMALL, *TROUBLED, *(str(random_case(seed)) for seed in range(20))])
def test_the_key_of_a_case_names_it(key):
    case = read_case(key)

    assert read_case(str(case)) == case


@pytest.mark.parametrize(
    "key",
    [
        "submit.done:cloud:gc",
        "submit.done@0:cloud",
        "submit.done@0:clout:gc",
        "sumbit.done@0:cloud:gc",
        "submit.did@0:cloud:gc",
        "submit.done@0:cloud:gc:fwe",
        "",
    ],
)
def test_a_key_that_names_no_case_is_refused(key):
    with pytest.raises(UnknownCase):
        read_case(key)
