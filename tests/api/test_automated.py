"""Plans of automated channels over HTTP: begun and shown like any other, as the published document describes them."""

from dataclasses import replace

from orchestrator.api.documents import RunDocument
from orchestrator.api.documents_report import Preview, Report
from orchestrator.app.batches import view_batch
from orchestrator.app.report import report_document
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.store import submissions
from tests.store.rows import a_submission

PLAN = """
version: 1
channel: voice
cekura: {agent: 7, frequency: 2, personality_ids: [1, 2]}
scenarios: [{scenario: 301}, {scenario: 302}]
"""


def described(model, document):
    """Whether a document has every field of its published model and no other."""
    model.model_validate(document, strict=False)
    return set(document) <= set(model.model_fields)


async def test_its_runs_name_the_personality_and_profile_they_are_for(client):
    batch = (await client.post("/v1/batches", json={"plan_yaml": PLAN})).json()
    runs = (await client.get(batch["links"]["runs"])).json()["runs"]
    assert [(run["scenario_id"], run["personality_id"], run["test_profile_id"]) for run in runs] == [
        (scenario, personality, None) for personality in (1, 2) for _ in range(2) for scenario in (301, 302)
    ]
    assert all(described(RunDocument, run) for run in runs)


async def test_its_report_says_whose_the_sessions_are(client):
    await client.post("/v1/batches", json={"plan_yaml": PLAN})
    report = (await client.get("/v1/batches/latest/report")).json()
    assert (report["batch"]["channel"], report["teardown"]["by_cekura"]) == ("voice", True)
    assert report["runs"][0]["personality_id"] == 1
    assert described(Report, report)


async def test_what_nobody_knows_of_a_submission_of_many_runs_is_of_no_one_run(service, client):
    batch = (await client.post("/v1/batches", json={"plan_yaml": PLAN})).json()
    lost = {"submission_id": "s1", "batch_id": batch["id"], "name": "nightly s1"}

    def unit(connection):
        submissions.record_automated_intent(connection, replace(a_submission("s1"), **lost, calls=1), least=1)
        submissions.record_settled(connection, "s1", SubmissionStatus.UNKNOWN, note="nobody knows")

    await service.store.write(unit)
    view = await view_batch(service.store, batch["id"])
    report = report_document(view, result_url=lambda _: None)
    assert [(one["run"], one["reason"]) for one in report["teardown"]["uncertain"]] == [(None, "nobody knows")]
    assert described(Report, (await client.get("/v1/batches/latest/report")).json())


async def test_its_preview_names_the_arithmetic_and_no_body(client):
    preview = (await client.post("/v1/plans/estimate", json={"plan_yaml": PLAN})).json()
    assert preview["arithmetic"] == "8 runs: scenarios 2 x frequency 2 x personalities 2"
    assert preview["runs"][0] == {"index": 1, "scenario": 301, "personality_id": 1, "test_profile_id": None}
    assert described(Preview, preview)
