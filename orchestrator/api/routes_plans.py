"""Plans: what is wrong with one, and what it would take; nothing is started."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.body import Route
from orchestrator.api.documents import Findings, PlanDocument
from orchestrator.api.documents_report import Preview
from orchestrator.api.problems import MOST_PROBLEMS, problem_document
from orchestrator.api.resources import PREFIX, Reader, TakingIn, answer, problems
from orchestrator.app.intake import PlanText
from orchestrator.domain.errors import InvalidPlan

router = APIRouter(prefix=f"{PREFIX}/plans", tags=["plans"], route_class=Route)


@router.post(
    "/validate",
    operation_id="validate_plan",
    summary="Check a plan",
    response_model=Findings,
    responses=problems(body=True),
)
async def validate_plan(plan: PlanDocument, _: Reader, intake: TakingIn) -> Response:
    """Every problem it has, with its line where it came as YAML, and what a person should know before it runs."""
    try:
        loaded = await intake.read(_text(plan))
    except InvalidPlan as error:
        shown = [problem_document(one) for one in error.problems[:MOST_PROBLEMS]]
        left_out = len(error.problems) - len(shown)
        return answer(
            {
                **dict.fromkeys(("name", "digest", "runs")),
                "valid": False,
                "problems": shown,
                "problems_left_out": left_out,
                "warnings": [],
            }
        )
    return answer(
        {
            "valid": True,
            "name": loaded.plan.name,
            "digest": loaded.plan.digest,
            "runs": None if loaded.plan.selections else loaded.plan.run_count,
            "problems": [],
            "problems_left_out": 0,
            "warnings": list(loaded.warnings),
        }
    )


@router.post(
    "/estimate",
    operation_id="estimate_plan",
    summary="Estimate a plan",
    response_model=Preview,
    responses=problems(body=True),
)
async def estimate_plan(plan: PlanDocument, _: Reader, intake: TakingIn) -> Response:
    """What would run, in which order, and what it may take in time and money, as `orchestrator plan --json` says."""
    return answer(await intake.preview(_text(plan)))


def _text(plan: PlanDocument) -> PlanText:
    return PlanText(text=plan.plan_yaml, data=plan.plan, name=plan.name)
