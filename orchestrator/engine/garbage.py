"""Keeps Python's collector of garbage from stopping the loop for long while thousands of runs are followed.

It looks for cycles after so many new objects. What was imported by then is never garbage, and takes a hundred
milliseconds to look through: it is left out, and the loop stands still less often.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

COLLECT_AFTER: Final = (20_000, 20, 20)


@contextmanager
def calm_collector() -> Iterator[None]:
    """Collect rarely, and only what was made since, until the block ends."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
