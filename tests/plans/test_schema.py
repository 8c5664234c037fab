import jsonschema
import pytest
import yaml

from orchestrator.plans import json_schema, service_json_schema
from orchestrator.plans.model import SECTIONS, PlanFile
from orchestrator.plans.schema import SCHEMA_PATH, SERVICE_SCHEMA_PATH, schema_text
from orchestrator.plans.service_model import SERVICE_SECTIONS, ServiceSection
from orchestrator.plans.source import parse


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


def test_the_published_schema_equals_the_code():
    remedy = "run: python -m orchestrator.plans.schema > orchestrator/plans/plan.schema.json"
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(json_schema()), remedy


def test_the_published_schema_of_service_files_equals_the_code():
    remedy = "run: python -m orchestrator.plans.schema service > orchestrator/plans/service.schema.json"
    assert SERVICE_SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(service_json_schema()), remedy


def test_the_example_service_file_satisfies_its_schema(config):
    schema = service_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    example = yaml.safe_load((config / "serve.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(example)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**example, "pool": []})


def test_every_example_plan_satisfies_the_schema_and_the_checks(example, loaded_example, validator):
    validator.validate(parse(example.read_text(encoding="utf-8")).data)
    assert loaded_example.plan.run_count >= 1  # what is selected is not among them


@pytest.mark.parametrize(
    "model",
    [PlanFile, *SECTIONS.values(), ServiceSection, *SERVICE_SECTIONS.values()],
    ids=lambda model: model.__name__,
)
def test_every_key_says_what_it_means_and_shows_an_example(model):
    sections = set(SECTIONS) - {"scenarios"} if model is PlanFile else set()  # those are described by their models
    for name, field in model.model_fields.items():
        assert field.examples, name
        assert field.description or name in {*sections, "agent"}, name


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"scenarios": []},
        {"scenarios": [{"scenario": 1, "repeat": 0}]},
        {"scenarios": [{"repeat": 1}]},
        {"scenarios": [{"scenario": 1, "tags": ["a"]}]},
        {"scenarios": [{"tags": []}]},
        {"scenarios": [{"tags": ["a,b"]}]},
        {"scenarios": [{"tags": ["a"], "tag_filter": "nor"}]},
        {"scenarios": [{"folder_path": "a"}]},
        {"scenarios": [{"scenario": 1, "tag_filter": "or"}]},
        {"matrix": {}},
        {"matrix": {"axes": {}}},
        {"matrix": {"axes": {"a": []}}},
        {"unknown": 1},
        {"agent": {"kind": "pipecat_cloud"}},
        {"agent": {"kind": "pipecat_runner"}},
        {"agent": {"kind": "pipecat_cloud", "name": "b", "url": "http://h"}},
        {"readiness": "soon"},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_checks_refuse(validator, change):
    good = {"version": 1, "agent": {"kind": "pipecat_cloud", "name": "b"}, "scenarios": [{"scenario": 1}]}
    validator.validate({**good, "readiness": "probe"})
    selections = [{"tags": ["a"]}, {"folder_path": "", "project_id": 1}, {"tags": ["a"], "project_id": 1}]
    validator.validate({**good, "scenarios": selections, "matrix": {"axes": {"a": [1]}}})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**good, **change})
