"""A batch of many runs is not begun unasked."""

import json


def test_more_runs_than_may_begin_unasked_want_a_yes_where_nobody_can_be_asked(shell, play):
    box = play()
    shell.environment["ORCHESTRATOR_CONFIRM_ABOVE"] = "1"
    ended = shell.run()
    assert ended.code == 2
    assert "2 runs" in ended.err
    assert "Cekura credits" in ended.err
    assert "add --yes" in ended.err
    assert (box.world()["starts"], box.world()["submits"]) == (0, 0)


def test_a_yes_beforehand_begins_it(shell, play, is_clean):
    box = play()
    shell.environment["ORCHESTRATOR_CONFIRM_ABOVE"] = "1"
    ended = shell.run("--yes", "--json")
    assert ended.code == 0, ended
    assert is_clean(box.world())


def test_the_factors_of_an_automated_plan_are_named(shell, play):
    box = play()
    shell.environment["ORCHESTRATOR_CONFIRM_ABOVE"] = "11"
    shell.write(
        "plan.yaml",
        "version: 1\nchannel: pipecat_v2\ncekura: {agent: 5, frequency: 3, personality_ids: [1, 2]}\n"
        "scenarios: [{scenario: 101}, {scenario: 102}]\n",
    )
    ended = shell.run()
    assert ended.code == 2
    assert "12 runs: scenarios 2 x frequency 3 x personalities 2" in ended.err
    assert box.world()["submits"] == 0


def test_results_are_named_and_shared_when_the_plan_asks_for_it(shell, play):
    box = play()
    plan = shell.plan_file.read_text(encoding="utf-8")
    shell.write("plan.yaml", plan.replace("cekura: {", "cekura: {name: nightly support, share_links: 7d, "))
    ended = shell.run("--json", "--report-dir", "report")
    assert ended.code == 0, ended
    document = json.loads(ended.out)
    names = {result["name"] for result in document["results"]}
    assert names == {f"nightly support {document['batch']['id']}"}
    assert names == {result["name"] for result in box.world()["results"]}
    links = [result["shared_url"] for result in document["results"]]
    assert all(links)
    assert all(link in (shell.folder / "report" / "report.md").read_text(encoding="utf-8") for link in links)
    assert not any(link in ended.err for link in links)


def test_a_link_that_cekura_does_not_make_costs_the_batch_nothing(shell, play):
    play(faults=("share_link.not_in_plan=9",))
    plan = shell.plan_file.read_text(encoding="utf-8")
    shell.write("plan.yaml", plan.replace("cekura: {", "cekura: {share_links: 7d, "))
    ended = shell.run("--json")
    assert ended.code == 0, ended
    assert [result["shared_url"] for result in ended.document["results"]] == [None] * len(ended.document["results"])
    assert "could not be named or shared" in ended.err
