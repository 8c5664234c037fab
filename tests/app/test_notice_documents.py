"""What a notice says, and what it never says, however many runs did not pass and whatever their reasons hold."""

import json
from dataclasses import replace

import pytest

from orchestrator.app.batches import BatchView
from orchestrator.app.notice_documents import SECTION_LIMIT, notice_document, slack_message
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.notice import BatchEnd, Inclusion, Notice, NoticeKind, NotificationSpec, Occasion
from orchestrator.domain.run import RunStatus
from orchestrator.domain.verdict import Outcome
from orchestrator.plans import new_batch, plan_from_text
from tests.store.rows import NOW

PLAN = "version: 1\nname: nightly\nagent: {kind: pipecat_cloud, name: b}\nscenarios: [{scenario: 101, repeat: 300}]\n"
VALUE = "value-of-a-variable"
REASON = f"<!channel> & *all*: {VALUE} at https://acme.daily.co/secret-room?t=eyJhbGciOi.eyJy.x said {'ä' * 900}"
NOTICE = Notice(
    notice_id="msg_1",
    batch_id="b",
    position=0,
    kind=NoticeKind.WEBHOOK,
    why=(Occasion.FAILURE,),
    end=BatchEnd.FAILED,
    created_at=NOW,
    before=BatchEnd.PASSED,
    before_batch_id="b0",
)


@pytest.fixture
def view():
    loaded = plan_from_text(PLAN)
    batch, runs = new_batch(loaded, now=NOW)
    batch = replace(batch, status=BatchStatus.CLOSED, outcome=Outcome.FAILED, closed_at=NOW, refusal=REASON)
    ended = tuple(
        replace(run, status=RunStatus.JUDGED, outcome=Outcome.FAILED, reason=REASON, cekura_result_id=run.index)
        for run in runs
    )
    return BatchView(batch=batch, plan=loaded.plan, runs=ended, sessions=())


def told(view, *include):
    spec = NotificationSpec(kind=NoticeKind.WEBHOOK, url_variable="U", include=include)
    links = "https://dashboard.cekura.ai/7/results/{}".format
    return notice_document(view, NOTICE, spec, result_url=links, secrets=[VALUE, "x"])


def test_without_being_asked_it_tells_numbers_and_no_word_of_anybody_else(view):
    document = told(view)
    assert not {"reason", "runs", "links"} & set(document)
    assert "said" not in json.dumps([document, slack_message(document)])
    assert document["before"] == {"batch_id": "b0", "came_to": "passed"}


def test_reasons_come_without_addresses_tokens_and_values_of_variables(view):
    said = json.dumps([told(view, Inclusion.REASONS), slack_message(told(view, Inclusion.REASONS))])
    assert "(address left out)" in said
    assert not [one for one in (VALUE, "daily.co", "secret-room", "eyJ") if one in said]


def test_however_much_there_is_to_say_a_notice_stays_small(view):
    document = told(view, Inclusion.REASONS, Inclusion.LINKS)
    assert (len(document["runs"]), document["runs_left_out"], len(document["links"])) == (20, 280, 20)
    assert len(json.dumps(document, ensure_ascii=False).encode()) < 20_000
    texts = [block["text"]["text"] for block in slack_message(document)["blocks"]]
    assert max(map(len, texts)) <= SECTION_LIMIT


def test_slack_sees_no_mention_or_link_in_what_others_wrote(view):
    message = slack_message(told(view, Inclusion.REASONS))
    texts = [message["text"], *(block["text"]["text"] for block in message["blocks"])]
    assert not [text for text in texts if "<" in text]
    assert "&lt;!channel&gt; &amp; *all*" in texts[2]
