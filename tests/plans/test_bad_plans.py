"""Each bad plan gets its place, what is wrong, and what to write instead."""

import re

import pytest

from orchestrator.domain.errors import InvalidPlan
from orchestrator.plans import load_plan

CLOUD = "agent: {kind: pipecat_cloud, name: bot}"
RUNNER = "agent: {kind: pipecat_runner, url: 'http://localhost:7860'}"
HEAD = f"version: 1\n{CLOUD}\n"
ONE = "scenarios: [{scenario: 101}]\n"
GOOD = HEAD + ONE  # three lines; what a case adds is on line 4

CASES = [
    # shape of the file
    ("", "plan", 1, "is empty", "version: 1"),
    ("# only a comment\n", "plan", 1, "is empty", "version: 1"),
    ("- 1\n", "plan", 1, "is a list, not a mapping", "version: 1"),
    ("version: 1\nagent: {\n", "plan", 3, "not YAML", "mend the YAML"),
    ("version: 1\n\tagent: x\n", "plan", 2, "not YAML", "mend the YAML"),
    (GOOD + "--- \nversion: 1\n", "plan", 4, "not YAML", "mend"),
    (GOOD + "name: '\x07'\n", "plan", 4, "character YAML does not allow", "mend"),
    (GOOD + "name: *nowhere\n", "plan", 4, "undefined alias", "mend"),
    (GOOD + "version: 1\n", "version", 4, "given twice (first on line 1)", "keep one"),
    (GOOD + "timing: {}\ntiming: {}\n", "timing", 5, "given twice (first on line 4)", "keep one"),
    (GOOD + "1: x\n", "plan", 4, "key 1 is not text", 'quote it: "1"'),
    (GOOD + "off: x\n", "plan", 4, "key off is not text", 'quote it: "off"'),
    (GOOD + "on: x\n", "on", 4, "unknown key on here", "did you mean notifications.on?"),
    # keys
    (CLOUD + "\n" + ONE, "version", 1, "is missing", "add version: 1"),
    ("version: 1\n" + ONE, "agent", 1, "is missing", "add agent: {kind: pipecat_cloud"),
    (HEAD, "scenarios", 1, "is missing", "add scenarios: [{scenario: 101}]"),
    (HEAD + "scenarios: []\n", "scenarios", 3, "must not be empty", "write scenarios: [{scenario: 101}]"),
    (HEAD + "scenarios: [{repeat: 2}]\n", "scenarios.0.scenario", 3, "is missing", "add scenario: 101"),
    (HEAD + "scenarios: [7]\n", "scenarios.0", 3, "must be a mapping", "write - {scenario: 101}"),
    (GOOD + "limit: {}\n", "limit", 4, "unknown key limit", "did you mean limits?"),
    (GOOD + "limits: {concurency: 2}\n", "limits.concurency", 4, "unknown key", "did you mean concurrency?"),
    (GOOD + "poll_interval: 5\n", "poll_interval", 4, "unknown key", "did you mean timing.poll_interval?"),
    (GOOD + "limits: {gate: 1}\n", "limits.gate", 4, "unknown key", "did you mean gate at the top of the plan?"),
    (GOOD + "gate: {xyz: 1}\n", "gate.xyz", 4, "unknown key", "known keys here: min_pass_rate, max_inconclusive"),
    (GOOD + "schedule: daily\n", "schedule", 4, "does not support schedule yet", "scheduler"),
    (GOOD + "limits: {ramp: 3}\n", "limits.ramp", 4, "unknown key ramp", "did you mean ramp at the top of the plan?"),
    (GOOD + "limits: {matrix: 3}\n", "limits.matrix", 4, "does not support matrix yet", "one entry of `scenarios`"),
    # types and ranges
    ("version: 2\n" + CLOUD + "\n" + ONE, "version", 1, "must be 1", "version: 1"),
    (GOOD + "name: Nightly Run\n", "name", 4, "must be lower-case letters", "write name: nightly-support"),
    (GOOD + f"name: {'x' * 81}\n", "name", 4, "at most 80 characters", "write name"),
    (HEAD + 'scenarios: [{scenario: "101"}]\n', "scenarios.0.scenario", 3, "whole number", "write 101 without quotes"),
    (HEAD + "scenarios: [{scenario: true}]\n", "scenarios.0.scenario", 3, "whole number, not True", "scenario: 101"),
    (HEAD + "scenarios: [{scenario: 1.5}]\n", "scenarios.0.scenario", 3, "whole number, not 1.5", "scenario: 101"),
    (HEAD + "scenarios: [{scenario: 0}]\n", "scenarios.0.scenario", 3, "not 0", "scenario: 101"),
    (
        HEAD + "scenarios: [{scenario: 1, repeat: 0}]\n",
        "scenarios.0.repeat",
        3,
        "must be from 1 to 1000, not 0",
        "repeat",
    ),
    (HEAD + "scenarios: [{scenario: 1, repeat: 1001}]\n", "scenarios.0.repeat", 3, "from 1 to 1000", "repeat"),
    (HEAD + "scenarios: [{scenario: 1, body: [1]}]\n", "scenarios.0.body", 3, "must be a mapping", "write body"),
    (GOOD + "limits: {concurrency: -1}\n", "limits.concurrency", 4, "from 1 to 10000, not -1", "concurrency: 10"),
    (GOOD + "limits: {starts_per_second: 0}\n", "limits.starts_per_second", 4, "more than 0", "starts_per_second: 5"),
    (GOOD + "limits: {call_slot_until: ended}\n", "limits.call_slot_until", 4, "must be call_ended", "call_ended?"),
    (GOOD + "timeouts: {run: .inf}\n", "timeouts.run", 4, "not a finite number", "quote it"),
    (GOOD + "timeouts: {run: soon}\n", "timeouts.run", 4, "must be a number, not 'soon'", "run: 900"),
    (GOOD + "timeouts:\n", "timeouts", 4, "is empty", "or leave it out"),
    (GOOD + "timing: {poll_interval: 0.1}\n", "timing.poll_interval", 4, "from 0.5 to 300", "poll_interval: 5"),
    (GOOD + "gate: {min_pass_rate: 1.2}\n", "gate.min_pass_rate", 4, "from 0 to 1, not 1.2", "min_pass_rate: 1.0"),
    (GOOD + "gate: {max_inconclusive: -1}\n", "gate.max_inconclusive", 4, "not -1", "max_inconclusive: 0"),
    (GOOD + "retries: {infrastructure: 11}\n", "retries.infrastructure", 4, "from 0 to 10", "infrastructure: 1"),
    (GOOD + "cekura: {agent: five}\n", "cekura.agent", 4, "whole number", "agent: 5"),
    (GOOD + "cekura: {mock_tool_names: [a, a]}\n", "cekura.mock_tool_names", 4, "must not repeat a", "write"),
    (GOOD + "env: [A-B]\n", "env.0", 4, "name of an environment variable", "write CUSTOMER_ID"),
    (HEAD + "scenarios:\n" + "- {scenario: 1, repeat: 1000}\n" * 11, "scenarios", 3, "make 11000 runs", "lower repeat"),
    # a pool
    (
        "version: 1\nagent: {kind: pipecat_cloud, name: b, pool: p}\nscenarios:\n- {scenario: 1, body: {a: 1}}\n",
        "scenarios.0.body",
        4,
        "does not go with agent.pool",
        "leave agent.pool out",
    ),
    (
        "version: 1\nagent: {kind: pipecat_cloud, name: b, pool: p, body: {a: ['{{ run.id }}']}}\n" + ONE,
        "agent.body.a.0",
        2,
        "must not hold a template: a pool's sessions",
        "write the value out",
    ),
    (
        "version: 1\nagent: {kind: pipecat_cloud, name: b, pool: My pool}\n" + ONE,
        "agent.pool",
        2,
        "must be lower-case letters",
        "write pool: support",
    ),
    # the agent
    ("version: 1\nagent: {kind: http}\n" + ONE, "agent.kind", 2, "does not support kind http yet", "pipecat_runner"),
    ("version: 1\nagent: {kind: [http]}\n" + ONE, "agent.kind", 2, "must be pipecat_cloud or", "kind: pipecat_cloud"),
    ("version: 1\nagent: {kind: pipecat}\n" + ONE, "agent.kind", 2, "must be pipecat_cloud or", "did you mean"),
    ("version: 1\nagent: {kind: pipecat_cloud}\n" + ONE, "agent.name", 2, "is missing", "add name"),
    ("version: 1\nagent: {kind: pipecat_runner}\n" + ONE, "agent.url", 2, "is missing", "add url"),
    ("version: 1\nagent: {kind: pipecat_cloud, name: a/b}\n" + ONE, "agent.name", 2, "must be letters", "support-bot"),
    (
        "version: 1\nagent: {kind: pipecat_cloud, name: b, url: 'http://x'}\n" + ONE,
        "agent.url",
        2,
        "does not go with",
        "leave it out",
    ),
    ("version: 1\nagent: {kind: pipecat_runner, url: bot}\n" + ONE, "agent.url", 2, "http or https", "write http://"),
    ("version: 1\nagent: {kind: pipecat_runner, url: 'ftp://h'}\n" + ONE, "agent.url", 2, "http or https", "write"),
    ("version: 1\nagent: {kind: pipecat_runner, url: 'http://h:x'}\n" + ONE, "agent.url", 2, "http or https", "write"),
    ("version: 1\nagent: {kind: pipecat_runner, url: 'http://u:p@h'}\n" + ONE, "agent.url", 2, "password", "leave"),
    (
        "version: 1\nagent: {kind: pipecat_runner, url: 'http://h:1/start'}\n" + ONE,
        "agent.url",
        2,
        "must not end in /start",
        "write http://h:1",
    ),
    (
        "version: 1\nagent: {kind: pipecat_cloud, name: b, body: {_orchestrator: 1}}\n" + ONE,
        "agent.body._orchestrator",
        2,
        "its mark",
        "another key",
    ),
    # readiness
    (GOOD + "readiness: {evidence: []}\n", "readiness.evidence", 4, "must not be empty", "evidence"),
    (GOOD + "readiness: {evidence: [presense]}\n", "readiness.evidence.0", 4, "must be presence", "presence?"),
    (GOOD + "readiness: {evidence: [settle, settle]}\n", "readiness.evidence", 4, "must not repeat settle", "write"),
    (GOOD + "readiness: {status_url: 'https://h'}\n", "readiness.status_url", 4, "does not support", "presence"),
    (
        f"version: 1\n{RUNNER}\n{ONE}readiness: {{evidence: [record]}}\n",
        "readiness.evidence",
        4,
        "keeps no session records",
        "presence or settle",
    ),
    # expiry the provider cannot give
    (f"version: 1\n{RUNNER}\n{ONE}timeouts: {{run: 7000}}\n", "timeouts.run", 4, "end after 7200 s", "by 163 s"),
    (GOOD + "timeouts: {run: 14400}\n", "timeouts.run", 4, "after at most 14400 s", "by 363 s"),
    # values that are not JSON, or not the same to every reader
    (HEAD + "scenarios: [{scenario: 1, body: {d: 2026-01-01}}]\n", "scenarios.0.body.d", 3, "is a date", "2026-01-01"),
    (HEAD + "scenarios: [{scenario: 1, body: {n: .nan}}]\n", "scenarios.0.body.n", 3, "finite", "quote it"),
    (HEAD + "scenarios: [{scenario: 1, body: {n: 12:30}}]\n", "scenarios.0.body.n", 3, "12:30 is 750", '"12:30"'),
    (HEAD + "scenarios: [{scenario: 1, body: {n: 0123}}]\n", "scenarios.0.body.n", 3, "0123 is 83", '"0123"'),
    (HEAD + "scenarios: [{scenario: 1, body: {n: no}}]\n", "scenarios.0.body.n", 3, "no is true or false", '"no"'),
    (HEAD + "scenarios: [{scenario: 1, body: {n: !!set {a}}}]\n", "scenarios.0.body.n", 3, "has the tag", "leave"),
    (
        HEAD + "scenarios: [{scenario: 1, body: {n: !!int }}]\n",
        "scenarios.0.body.n",
        3,
        "has the tag",
        "leave YAML tags",
    ),
    (HEAD + "scenarios: [{scenario: 1, body: {n: 2026-13-99}}]\n", "scenarios.0.body.n", 3, "no value", "quote it"),
    (
        HEAD + "scenarios: [{scenario: 1, body: {n: !!python/name:os.x ''}}]\n",
        "scenarios.0.body.n",
        3,
        "has the tag",
        "leave",
    ),
    (HEAD + 'scenarios: [{scenario: 1, body: {n: "\\ud800"}}]\n', "scenarios.0.body.n", 3, "surrogate", "quote"),
    (HEAD + "scenarios: [{scenario: 1, body: &b {n: *b}}]\n", "scenarios.0.body.n", 3, "holds itself", "write"),
    # templates
    (HEAD + "scenarios: [{scenario: 1, body: {a: {{ run.id }}}}]\n", "scenarios.0.body.a", 3, "must be text", '"{{'),
    (
        HEAD + 'scenarios: [{scenario: 1, body: {a: ["{{ run.indx }}"]}}]\n',
        "scenarios.0.body.a.0",
        3,
        "{{ run.indx }} is no known name",
        "did you mean {{ run.index }}?",
    ),
    (HEAD + 'scenarios: [{scenario: 1, body: {a: "{{ q }}"}}]\n', "scenarios.0.body.a", 3, "no known", "known names"),
    (HEAD + 'scenarios: [{scenario: 1, body: {a: "{{ run.id"}}]\n', "scenarios.0.body.a", 3, "not closed", "'{{'"),
    (
        HEAD + 'scenarios: [{scenario: 1, body: {"{{ run.id }}": 1}}]\n',
        "scenarios.0.body.{{ run.id }}",
        3,
        "key",
        "val",
    ),
    (
        HEAD + 'scenarios: [{scenario: 1, publish_data_message: "{{ env.TOKEN }}"}]\n',
        "scenarios.0.publish_data_message",
        3,
        "does not list",
        "env: [TOKEN]",
    ),
    (GOOD + "env: [NOT_SET]\n", "env.0", 4, "variable NOT_SET is not set", "export NOT_SET="),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}: {case[3]}")
def test_a_bad_plan_is_refused_with_place_reason_and_remedy(problems_of, case):
    text, path, line, message, remedy = case
    problems = problems_of(text)
    matching = [item for item in problems if item[:2] == (path, line) and message in item[2] and remedy in item[3]]
    assert matching, problems


def test_every_problem_is_reported_at_once_and_in_the_order_of_the_file(problems_of):
    text = (
        "version: 1\n"
        "agent: {kind: pipecat_cloud, room_properties: {exp: 5}}\n"
        "scenarios:\n"
        "  - {scenario: x, body: {a: '{{ nope }}'}}\n"
        "  - {scenario: 2, repeat: 0, when: 2026-01-01}\n"
        "limits: {concurrency: 0}\n"
        "gat: {}\n"
    )
    problems = problems_of(text, overrides=["gate.min_pass_rate=2"])
    assert [(path, line) for path, line, _, _ in problems] == [
        ("agent.name", 2),
        ("agent.room_properties.exp", 2),
        ("scenarios.0.scenario", 4),
        ("scenarios.0.body.a", 4),
        ("scenarios.1.when", 5),
        ("scenarios.1.repeat", 5),
        ("scenarios.1.when", 5),
        ("limits.concurrency", 6),
        ("gat", 7),
        ("--set gate.min_pass_rate", None),
    ]


def test_every_problem_has_a_remedy(problems_of):
    for text, *_ in CASES:
        assert all(remedy for _, _, _, remedy in problems_of(text)), text


def test_the_error_reads_as_lines_a_person_can_follow(problems_of, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(GOOD + "limits: {concurrency: 0}\n")
    with pytest.raises(InvalidPlan) as caught:
        load_plan(file)
    assert str(caught.value) == ("line 4, limits.concurrency: must be from 1 to 10000, not 0 -> write concurrency: 10")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"version: 1\nname: \xff\n", "is not UTF-8"),
        (b"# " + b"x" * 1_048_576, "is larger than"),
    ],
)
def test_a_file_that_cannot_be_read_as_text_is_refused_by_name(tmp_path, content, message):
    file = tmp_path / "p.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidPlan, match=f"{re.escape(str(file))}|{message}") as caught:
        load_plan(file)
    assert message in str(caught.value)
    assert caught.value.problems[0].remedy


def test_a_directory_is_refused_as_a_plan(tmp_path):
    with pytest.raises(InvalidPlan, match="cannot read"):
        load_plan(tmp_path)


def test_nesting_beyond_the_bound_is_refused_rather_than_exhausting_the_stack(problems_of):
    [(_, line, message, _)] = problems_of("a: " + "[" * 100_000)
    assert line == 1
    assert "nested deeper" in message


def test_stacked_anchors_cannot_get_around_the_bound_on_nesting(problems_of):
    stacked = "\n".join(f"a{n}: &a{n} {'[' * 40}*a{n - 1}{']' * 40}" for n in range(1, 60))
    assert any("nested deeper" in message for _, _, message, _ in problems_of(f"a0: &a0 [1]\n{stacked}\n"))


def test_anchors_that_multiply_are_refused_before_they_fill_memory(problems_of):
    bombs = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))
    assert any("more than 100000 values" in message for _, _, message, _ in problems_of(f"a0: &a0 [x]\n{bombs}\n"))


def test_a_start_body_over_the_documented_limit_is_refused(problems_of):
    agent = f"agent: {{kind: pipecat_cloud, name: bot, body: {{a: {'x' * 600_000}}}}}\n"
    text = f"version: 1\n{agent}scenarios: [{{scenario: 1}}, {{scenario: 2, body: {{b: {'y' * 400_000}}}}}]\n"
    [(path, line, message, _)] = problems_of(text)
    assert (path, line) == ("scenarios.1.body", 3)
    assert "Pipecat Cloud takes 1000000" in message


def test_a_data_message_over_our_limit_is_refused_as_rendered(problems_of, a_plan):
    scenarios = "[{scenario: 1, publish_data_message: '{{ env.BIG }}'}]"
    environ = {"BIG": "ü" * 500}
    a_plan("env: [BIG]", scenarios=scenarios, environ=environ, data_message_limit=1002)
    text = f"{HEAD}scenarios: {scenarios}\nenv: [BIG]\n"
    [(path, _, message, remedy)] = problems_of(text, environ=environ, data_message_limit=1001)
    assert path == "scenarios.0.publish_data_message"
    assert "1002 bytes" in message
    assert "ORCHESTRATOR_DATA_MESSAGE_LIMIT" in remedy


def test_a_variable_that_is_not_text_is_named_without_its_value(problems_of):
    [(path, _, message, _)] = problems_of(GOOD + "env: [ODD]\n", environ={"ODD": "secret\udcff"})
    assert path == "env.0"
    assert "ODD is not UTF-8" in message
    assert "secret" not in message


def test_long_texts_and_lists_are_checked_in_one_pass(problems_of):
    braces = "{{" + " " * 300_000
    names = ", ".join(f"V{n}" for n in range(20_000))
    problems = problems_of(f"{HEAD}scenarios: [{{scenario: 1, body: {{a: '{braces}'}}}}]\nenv: [{names}]\n")
    assert len(problems) == 20_001
