"""Asks before a batch of many runs: a factor too many in a plan is soon a bill of thousands."""

from __future__ import annotations

import sys

from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.plan import Plan
from orchestrator.plans import estimate
from orchestrator.plans.estimation import arithmetic


def confirm(plan: Plan, *, above: int, yes: bool) -> None:
    """Have a person agree to a batch of more than `above` runs; InvalidSettings where nobody does, or nobody is there.

    `yes`: somebody agreed beforehand, as a pipeline must.
    """
    if yes or plan.run_count <= above:
        return
    figures = estimate(plan)
    what = f"{plan.name} is {arithmetic(plan)}, about {figures.credits_low:.0f} Cekura credits"
    if not sys.stdin.isatty():
        raise InvalidSettings(
            f"{what}; more than {above} runs are not begun unasked",
            next_step="Look at `orchestrator plan`, then add --yes, or raise ORCHESTRATOR_CONFIRM_ABOVE.",
        )
    sys.stderr.write(f"{what}. Begin? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InvalidSettings("nothing was begun", next_step="Answer y, or add --yes.")
