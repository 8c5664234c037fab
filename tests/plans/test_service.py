"""Service files: what they mean, and everything that can be wrong with one, at once and with its line."""

import json
import re
from datetime import UTC, datetime

import pytest

from orchestrator.domain.errors import InvalidPlan, StateUnusable
from orchestrator.domain.schedule import Blackout, Missed, Overlap, in_blackout
from orchestrator.plans import (
    load_service,
    plan_from_document,
    pool_document,
    pool_from_document,
    pool_from_mapping,
    schedule_document,
    schedule_from_document,
    schedule_from_mapping,
)
from orchestrator.plans.service_model import SERVICE_SECTIONS, ServiceSection

PLAN = "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{scenario: 101}]\n"
PLAN_MAPPING = {
    "version": 1,
    "agent": {"kind": "pipecat_cloud", "name": "bot"},
    "scenarios": [{"scenario": 101}],
}
SCHEDULE = "{name: nightly, plan: plan.yaml, every: 15m}"
AGENT = "{kind: pipecat_cloud, name: bot}"


@pytest.fixture
def load(tmp_path):
    """Loads a service file beside one good plan."""
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")

    def read(text, **options):
        path = tmp_path / "serve.yaml"
        path.write_text(text, encoding="utf-8")
        return load_service(path, **options)

    return read


@pytest.fixture
def problems(load):
    """The problems of a service file as (path, line, message, remedy); it must have some."""

    def find(text, **options):
        with pytest.raises(InvalidPlan) as caught:
            load(text, **options)
        assert "schedules check" in caught.value.next_step
        return [(one.path, one.line, one.message, one.remedy) for one in caught.value.problems]

    return find


def schedules(*lines):
    return "version: 1\nschedules:\n" + "".join(f"  - {line}\n" for line in lines)


def pools(line):
    return f"version: 1\npools:\n  - {line}\n"


def a_pool(more="", *, agent=AGENT, sizes="min_ready: 1, max_alive: 2"):
    return pools(f"{{name: support, agent: {agent}, {sizes}{', ' if more else ''}{more}}}")


def test_the_example_loads_with_two_schedules_and_a_pool(config):
    service = load_service(config / "serve.yaml")
    nightly, smoke = service.schedules
    assert (nightly.cron, nightly.timezone, nightly.jitter) == ("30 2 * * mon-fri", "Europe/Berlin", 120.0)
    assert (smoke.every, smoke.overlap, smoke.missed) == (900.0, Overlap.QUEUE, Missed.SKIP)
    assert plan_from_document(smoke.plan_document).run_count == 12
    assert [(pool.name, pool.min_ready, pool.max_alive) for pool in service.pools] == [("support", 2, 6)]
    assert any(warning.startswith("nightly: cekura.mock_tool_names") for warning in service.warnings)


def test_the_example_shows_every_key_of_schedules_and_pools(config):
    text = (config / "serve.yaml").read_text(encoding="utf-8")
    models = [ServiceSection, *(model for name, model in SERVICE_SECTIONS.items() if name != "agent")]
    names = {field.alias or name for model in models for name, field in model.model_fields.items()}
    assert names <= set(re.findall(r"([a-z_]+):", text))


def test_the_least_a_schedule_says_has_the_documented_defaults(load):
    [schedule] = load(schedules(SCHEDULE)).schedules
    assert (schedule.timezone, schedule.jitter, schedule.overlap, schedule.missed) == (
        "UTC",
        0.0,
        Overlap.SKIP,
        Missed.ONE,
    )
    assert (schedule.window, schedule.blackouts, schedule.paused, schedule.every) == (3600.0, (), False, 900.0)


def test_the_least_a_pool_says_has_the_documented_defaults(load):
    [pool] = load(a_pool()).pools
    assert (pool.max_age, pool.check_every, pool.starts_per_minute, pool.ready, pool.run) == (240, 15, 30, 120, 900)
    assert (pool.timezone, pool.hours) == ("UTC", ())


def test_a_file_may_hold_neither_schedules_nor_pools(load):
    assert load("version: 1\n").schedules == ()


@pytest.mark.parametrize(
    ("written", "seconds"), [("60", 60), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400)]
)
def test_a_length_of_time_may_be_seconds_or_text(load, written, seconds):
    [schedule] = load(schedules(f"{{name: a, plan: plan.yaml, every: {written}}}")).schedules
    assert schedule.every == seconds


def test_a_blackout_is_local_time_also_over_midnight_and_the_end_of_the_week(load):
    text = schedules(
        "{name: a, plan: plan.yaml, every: 60, timezone: Europe/Berlin, blackouts: ["
        "{from: 2026-07-01T00:00, until: 2026-07-02T12:30}, {days: [sun], from: '22:00', until: '06:00'}]}"
    )
    [schedule] = load(text).schedules
    assert schedule.blackouts[0] == Blackout(
        begins=datetime(2026, 6, 30, 22, tzinfo=UTC), ends=datetime(2026, 7, 2, 10, 30, tzinfo=UTC)
    )
    sunday = datetime(2026, 11, 22, tzinfo=UTC)
    dark = [hour for hour in range(48) if in_blackout(schedule, sunday.replace(day=22 + hour // 24, hour=hour % 24))]
    assert dark == list(range(21, 29))  # 22:00 to 06:00 in Berlin's winter, in UTC


CASES = [
    ("", "file", 1, "is empty", "version: 1"),
    ("- 1\n", "file", 1, "is a list, not a mapping", "version: 1"),
    ("version: 1\nschedules: {\n", "file", 3, "not YAML", "mend the YAML"),
    ("schedules: []\n", "version", 1, "is missing", "add version: 1"),
    ("version: 1\nschedule: []\n", "schedule", 2, "unknown key", "did you mean schedules?"),
    ("version: 1\ncron: x\n", "cron", 2, "unknown key cron here", "did you mean schedules.cron?"),
    (schedules("{name: a, plan: plan.yaml}"), "schedules.0", 3, "does not say when it is due", "add cron"),
    (schedules("{name: a, plan: plan.yaml, cron: '* * * * *', every: 60}"), "schedules.0.every", 3, "cron", "leave"),
    (schedules("{name: a, plan: plan.yaml, cron: '0 0 30 2 *'}"), "schedules.0.cron", 3, "never due", "write cron"),
    (schedules("{name: a, plan: plan.yaml, cron: '0 25 * * *'}"), "schedules.0.cron", 3, "hour", "write cron"),
    (schedules("{name: a, plan: plan.yaml, cron: 'daily'}"), "schedules.0.cron", 3, "1 fields, not 5", "write cron"),
    (schedules("{name: a, plan: plan.yaml, every: 59}"), "schedules.0.every", 3, "from 60 to 31622400", "15m"),
    (schedules("{name: a, plan: plan.yaml, every: 30s}"), "schedules.0.every", 3, "not '30s'", "15m"),
    (schedules("{name: a, plan: plan.yaml, every: often}"), "schedules.0.every", 3, "number of seconds", "15m"),
    (schedules("{name: a, plan: plan.yaml, every: 60.5}"), "schedules.0.every", 3, "whole seconds", "15m"),
    (schedules("{name: a, plan: plan.yaml, evry: 60}"), "schedules.0.evry", 3, "unknown key", "did you mean every?"),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, timezone: Europe/Berlni}"),
        "schedules.0.timezone",
        3,
        "is no timezone",
        "did you mean Europe/Berlin?",
    ),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, timezone: Europe}"),
        "schedules.0.timezone",
        3,
        "no timezone",
        "",
    ),
    (schedules("{name: a, plan: plan.yaml, every: 60, timezone: ../etc}"), "schedules.0.timezone", 3, "no time", ""),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, jitter: 2m}"),
        "schedules.0.jitter",
        3,
        "due every 60 s",
        "within",
    ),
    (schedules("{name: a, plan: plan.yaml, every: 60, window: 8d}"), "schedules.0.window", 3, "from 0 to 604800", "1h"),
    (schedules("{name: a, plan: plan.yaml, every: 60, overlap: wait}"), "schedules.0.overlap", 3, "must be skip", ""),
    (schedules("{name: a, plan: plan.yaml, every: 60, missed: two}"), "schedules.0.missed", 3, "must be skip, one", ""),
    (schedules(SCHEDULE, SCHEDULE), "schedules.1.name", 4, "nightly is the name of an earlier", "of its own"),
    (schedules("{name: A B, plan: plan.yaml, every: 60}"), "schedules.0.name", 3, "lower-case", "write name: nightly"),
    (schedules("{name: a, every: 60}"), "schedules.0.plan", 3, "is missing", "add plan"),
    (schedules("{name: a, plan: {version: 1}, every: 60}"), "schedules.0.plan", 3, "the path of a plan", "write plan"),
    (schedules("{name: a, plan: lost.yaml, every: 60}"), "lost.yaml", None, "cannot read", "check the path"),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, blackouts: [{from: '2026-01-01T00:00'}]}"),
        "schedules.0.blackouts.0.until",
        3,
        "is missing",
        'write until: "2026',
    ),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, blackouts: [{from: '2026-01-02', until: '2026-01-01'}]}"),
        "schedules.0.blackouts.0.until",
        3,
        "not later than from",
        "let it end",
    ),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, blackouts: [{from: '2026-01-02T00:00Z', until: noon}]}"),
        "schedules.0.blackouts.0.from",
        3,
        "no local date and time",
        "without an offset",
    ),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, blackouts: [{days: [sat], from: '2026-01-02'}]}"),
        "schedules.0.blackouts.0.from",
        3,
        "no time of day",
        "22:00",
    ),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, blackouts: [{days: [sat], from: '08:00', until: '08:00'}]}"),
        "schedules.0.blackouts.0.until",
        3,
        "leaves no time",
        "whole days",
    ),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, blackouts: [{days: [saturday]}]}"),
        "schedules.0.blackouts.0.days.0",
        3,
        "must be mon",
        "",
    ),
    (
        schedules("{name: a, plan: plan.yaml, every: 60, blackouts: [{till: '2026-01-01'}]}"),
        "schedules.0.blackouts.0.till",
        3,
        "unknown key",
        "did you mean until?",
    ),
    (a_pool(sizes="min_ready: 3, max_alive: 2"), "pools.0.min_ready", 3, "at most 2 may be alive", "max_alive"),
    (a_pool(sizes="min_ready: 3"), "pools.0.max_alive", 3, "is missing", "add max_alive"),
    (a_pool("max_age: 5m"), "pools.0.max_age", 3, "gives up by itself after 300 s", "below idle_timeout"),
    (a_pool("idle_timeout: 120"), "pools.0.max_age", 3, "gives up by itself after 120 s", "below idle_timeout"),
    (a_pool("timezone: Mars/Olympus"), "pools.0.timezone", 3, "is no timezone", ""),
    (a_pool("hours: [{open: '18:00', close: '08:00'}]"), "pools.0.hours.0.close", 3, "not after it opens", "24:00"),
    (a_pool("hours: [{open: '8', close: '18:00'}]"), "pools.0.hours.0.open", 3, "a time of day", "08:00"),
    (a_pool("hours: [{open: 10:00, close: '18:00'}]"), "pools.0.hours.0.open", 3, "is 600 to some", "quote it"),
    (a_pool("run: 4h"), "pools.0.run", 3, "Pipecat Cloud ends every session", "lower run"),
    (a_pool("min_alive: 1"), "pools.0.min_alive", 3, "unknown key", "did you mean max_alive?"),
    (a_pool(agent="{kind: pipecat_cloud}"), "pools.0.agent.name", 3, "is missing", "add name"),
    (
        a_pool(agent="{kind: pipecat_cloud, name: b, room_properties: {max_partcipants: 2}}"),
        "pools.0.agent.room_properties.max_partcipants",
        3,
        "",
        "max_participants",
    ),
    (
        a_pool(agent='{kind: pipecat_cloud, name: b, body: {run: "{{ run.id }}"}}'),
        "pools.0.agent.body.run",
        3,
        "before any run takes them",
        "write the value out",
    ),
]


@pytest.mark.parametrize(("text", "path", "line", "message", "remedy"), CASES)
def test_what_is_wrong_has_its_place_its_line_and_its_remedy(problems, *, text, path, line, message, remedy):
    found = [one for one in problems(text) if one[0] == path and message in one[2] and remedy in one[3]]
    assert found, problems(text)
    assert found[0][1] == line


def test_every_problem_comes_at_once_in_the_order_of_the_file_with_those_of_its_plans(problems, tmp_path):
    (tmp_path / "bad.yaml").write_text(PLAN + "limits: {calls: 0}\nenv: [MISSING]\n", encoding="utf-8")
    text = """\
version: 1
schedules:
  - name: one
    plan: bad.yaml
    cron: 0 0 31 2 *
  - name: one
    plan: bad.yaml
    every: 1s
pools:
  - {name: p, agent: {kind: pipecat_cloud, name: b}, min_ready: 2, max_alive: 1}
"""
    assert [(path, line) for path, line, _, _ in problems(text)] == [
        ("bad.yaml limits.calls", 4),
        ("bad.yaml env.0", 5),
        ("schedules.0.cron", 5),
        ("schedules.1.name", 6),
        ("schedules.1.every", 8),
        ("pools.0.min_ready", 10),
    ]


def test_a_plans_variables_come_from_the_environment(load, problems, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN + "env: [TENANT]\n", encoding="utf-8")
    assert load(schedules(SCHEDULE), environ={"TENANT": "acme"}).schedules
    assert problems(schedules(SCHEDULE))[0][:2] == ("plan.yaml env.0", 4)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(InvalidPlan, match=r"file: cannot read .*lost\.yaml") as caught:
        load_service(tmp_path / "lost.yaml")
    assert "schedules check" in caught.value.next_step


def test_schedules_and_pools_come_back_from_their_documents_as_they_were(config):
    service = load_service(config / "serve.yaml")
    for schedule in service.schedules:
        assert schedule_from_document(json.loads(json.dumps(schedule_document(schedule)))) == schedule
    for pool in service.pools:
        assert pool_from_document(json.loads(json.dumps(pool_document(pool)))) == pool


@pytest.mark.parametrize("document", [{}, {"format": 2}, {"format": 1}, {"format": 1, "schedule": {}, "pool": {}}])
def test_a_document_of_another_kind_is_refused(document):
    with pytest.raises(StateUnusable):
        schedule_from_document(document)
    with pytest.raises(StateUnusable):
        pool_from_document(document)


def test_a_schedule_may_come_as_json_with_its_plan_inline():
    schedule = schedule_from_mapping({"name": "a", "plan": PLAN_MAPPING, "every": "1h", "paused": True})
    assert (schedule.name, schedule.every, schedule.paused) == ("a", 3600.0, True)
    assert plan_from_document(schedule.plan_document).name == "a"


def test_a_pool_may_come_as_json():
    pool = pool_from_mapping({"name": "p", "agent": PLAN_MAPPING["agent"], "min_ready": 0, "max_alive": 1})
    assert (pool.name, pool.agent.address) == ("p", "bot")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"plan": "plan.yaml"}, "plan"),
        ({"plan": {**PLAN_MAPPING, "agent": {}}}, "plan.agent.kind"),
        ({"plan": {**PLAN_MAPPING, "env": ["MISSING"]}}, "plan.env.0"),
        ({"plan": []}, "plan"),
        ({"cron": "* * * * *"}, "every"),
        ({"timezone": "Nowhere"}, "timezone"),
        ({"every": None}, "schedule"),
        ({"every": float("nan")}, "every"),
        ({"name": "\ud800"}, "name"),
        ({"who": 1}, "who"),
    ],
)
def test_json_is_held_to_the_same_rules_without_lines(change, path):
    with pytest.raises(InvalidPlan) as caught:
        schedule_from_mapping({"name": "a", "plan": PLAN_MAPPING, "every": 60, **change})
    assert next((one.path, one.line) for one in caught.value.problems) == (path, None)
    assert "send it again" in caught.value.next_step


@pytest.mark.parametrize("data", [None, [], "x", 1, {}])
def test_what_is_no_schedule_or_pool_at_all_is_refused(data):
    with pytest.raises(InvalidPlan):
        schedule_from_mapping(data)
    with pytest.raises(InvalidPlan):
        pool_from_mapping(data)
