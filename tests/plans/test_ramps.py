"""A plan's ramp: its profiles, what is refused of it, and what `plan` shows."""

import pytest

from orchestrator.app.preview import plan_preview
from orchestrator.domain.ramp import Profile, Ramp, StopRule
from orchestrator.plans import estimate, plan_document, plan_from_document, plan_from_text

HEAD = (
    "version: 1\nagent: {kind: pipecat_cloud, name: bot}\nscenarios: [{scenario: 101, repeat: 60}]\n"
    "limits: {concurrency: 20, calls: 15}\n"
)
SOAK = "ramp: {profile: soak, calls: 3"


def ramp_in(text):
    return plan_from_text(f"{HEAD}ramp: {text}\n").plan.ramp


@pytest.mark.parametrize(
    ("text", "ramp"),
    [
        (
            "{profile: steps, from: 2, to: 15, step: 3, every: 60s}",
            Ramp(profile=Profile.STEPS, lowest=2, highest=15, step=3, seconds=60),
        ),
        (
            "{profile: linear, from: 1, to: 15, over: 10m}",
            Ramp(profile=Profile.LINEAR, lowest=1, highest=15, seconds=600),
        ),
        (
            "{profile: spike, base: 2, peak: 15, after: 2m, lasting: 30.5}",
            Ramp(profile=Profile.SPIKE, lowest=2, highest=15, seconds=120, lasting=30.5),
        ),
        ("{profile: soak, calls: 10}", Ramp(profile=Profile.SOAK, lowest=10, highest=10)),
        (
            "{profile: soak, calls: 1, stop: {join_p95: 20, min_pass_rate: 0.8, capacity: 5, after: 7}}",
            Ramp(
                profile=Profile.SOAK,
                lowest=1,
                highest=1,
                stop=StopRule(join_p95=20, min_pass_rate=0.8, capacity=5, after=7),
            ),
        ),
    ],
    ids=["steps", "linear", "spike", "soak", "stop"],
)
def test_each_profile_is_read_and_comes_back_from_its_document(text, ramp):
    plan = plan_from_text(f"{HEAD}ramp: {text}\n").plan
    assert plan.ramp == ramp
    assert plan_from_document(plan_document(plan)) == plan


@pytest.mark.parametrize(
    ("text", "path", "message", "remedy"),
    [
        ("{profile: stepz, calls: 3}", "ramp.profile", "must be steps, linear, spike or soak", "did you mean steps?"),
        ("{calls: 3}", "ramp.profile", "is missing", "add profile: steps"),
        ("{profile: soak}", "ramp.calls", "is missing: profile soak asks for it", "add calls: 10"),
        ("{profile: soak, calls: 3, every: 9}", "ramp.every", "of profile steps, not of soak", "soak takes calls"),
        ("{profile: soak, calls: 0}", "ramp.calls", "must be from 1 to 10000", "calls: 10"),
        ("{profile: soak, calls: 16}", "ramp.calls", "16 calls at once, more than limits.calls (15)", "lower it to 15"),
        ("{profile: linear, from: 3, to: 3, over: 9}", "ramp.to", "must be more than from", "profile: soak, calls: 3"),
        ("{profile: linear, from: 1, to: 3, over: soon}", "ramp.over", "must be a number of seconds", "over: 10m"),
        ("{profile: linear, from: 1, to: 3, over: 0}", "ramp.over", "must be more than 0", "over: 10m"),
        ("{profile: spike, base: 4, peak: 2, after: 1, lasting: 1}", "ramp.peak", "must be more than base", "raise it"),
        ("{profile: soak, calls: 3, stop: {}}", "ramp.stop", "names no cause", "add join_p95: 20"),
        ("{profile: soak, calls: 3, stop: {after: 9}}", "ramp.stop", "names no cause", "leave stop out"),
        ("{profile: soak, calls: 3, stop: {min_pass_rate: 2}}", "ramp.stop.min_pass_rate", "from 0 to 1", "0.8"),
        ("{profile: soak, calls: 3, stop: {capacity: 0}}", "ramp.stop.capacity", "from 1 to", "capacity: 5"),
        ("{profile: soak, calls: 3, stop: {capasity: 1}}", "ramp.stop.capasity", "unknown key", "mean capacity?"),
        ("3", "ramp", "must be a mapping", "profile: steps"),
    ],
)
def test_a_bad_ramp_is_refused_with_place_and_remedy(text, path, message, remedy, problems_of):
    [(found, line, said, advice)] = problems_of(f"{HEAD}ramp: {text}\n")
    assert (found, line) == (path, 5)
    assert message in said
    assert remedy in advice


def test_a_level_above_the_sessions_is_refused_as_well(problems_of):
    text = HEAD.replace("concurrency: 20, calls: 15", "concurrency: 2") + SOAK + "}\n"
    [(path, _, message, remedy)] = problems_of(text)
    assert (path, message) == ("ramp.calls", "reaches 3 calls at once, more than limits.concurrency (2)")
    assert remedy == "lower it to 2, or raise limits.concurrency"


def test_the_estimate_takes_as_long_as_the_ramp_lets_it():
    without = plan_from_text(HEAD).plan
    assert estimate(without, call_seconds=60).seconds == 4 * 60
    soak = plan_from_text(HEAD + SOAK + "}\n").plan
    assert estimate(soak, call_seconds=60).seconds == 20 * 60


def test_the_preview_says_the_ramp_in_words_and_as_a_table():
    text = HEAD + "ramp: {profile: steps, from: 2, to: 9, step: 3, every: 60s, stop: {capacity: 4}}\n"
    document = plan_preview(plan_from_text(text))
    told = " ".join(document["rules"])
    assert "from 2 to 9 calls at once, 3 more every 60 s" in told
    assert "4 starts are refused for capacity" in told
    assert document["ramp"] == {
        "profile": "steps",
        "levels": [{"from_second": at, "calls": calls} for at, calls in ((0, 2), (60, 5), (120, 8), (180, 9))],
        "levels_left_out": 0,
    }
    assert plan_preview(plan_from_text(HEAD))["ramp"] is None


def test_the_table_of_many_levels_shows_some_and_the_last():
    text = HEAD.replace("20, calls: 15", "200") + "ramp: {profile: linear, from: 1, to: 200, over: 10m}\n"
    ramp = plan_preview(plan_from_text(text))["ramp"]
    assert len(ramp["levels"]) <= 21
    assert (ramp["levels"][0]["calls"], ramp["levels"][-1]) == (1, {"from_second": 600.0, "calls": 200})
    assert len(ramp["levels"]) + ramp["levels_left_out"] == 200


def test_too_few_runs_for_the_highest_level_are_warned_of():
    loaded = plan_from_text(HEAD.replace("repeat: 60", "repeat: 2") + SOAK + "}\n")
    assert any("only 2 runs" in warning for warning in loaded.warnings)
    assert not any("the ramp" in warning for warning in plan_from_text(HEAD + SOAK + "}\n").warnings)
