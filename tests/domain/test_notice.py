"""Which batches are told of, and when a notice is tried again."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from orchestrator.domain.notice import (
    LONGEST_HOLD,
    MOST_TRIES,
    UNSENDABLE_LIFE,
    BatchEnd,
    Delivery,
    DeliveryResult,
    Notice,
    NoticeKind,
    NoticeStatus,
    NotificationSpec,
    Occasion,
    after_try,
    end_of,
    occasions,
    seconds_to_wait,
    wanted,
)
from orchestrator.domain.verdict import Outcome

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_notice(**changes):
    values = {"notice_id": "n", "batch_id": "b", "position": 0, "kind": NoticeKind.SLACK, "why": (Occasion.ALWAYS,)}
    return Notice(**{**values, "end": BatchEnd.FAILED, "created_at": NOW, "tries": 1, "next_try_at": NOW, **changes})


@pytest.mark.parametrize(
    ("end", "before", "found"),
    [
        ("passed", None, set()),
        ("failed", None, {"failure", "change"}),
        ("inconclusive", None, {"failure", "change"}),
        ("cancelled", None, {"failure", "change"}),
        ("passed", "passed", set()),
        ("passed", "failed", {"recovery", "change"}),
        ("passed", "inconclusive", {"recovery", "change"}),
        ("passed", "cancelled", {"recovery", "change"}),
        ("failed", "passed", {"failure", "change"}),
        ("failed", "failed", {"failure"}),
        ("failed", "inconclusive", {"failure", "change"}),
    ],
)
def test_a_batch_is_told_of_for_what_it_came_to_and_what_the_one_before_had(end, before, found):
    earlier = None if before is None else BatchEnd(before)
    assert occasions(BatchEnd(end), earlier) == {*map(Occasion, found), Occasion.ALWAYS}


def test_nothing_is_a_failure_and_a_recovery_and_a_pass_is_never_a_failure():
    for end, before in product(BatchEnd, [None, *BatchEnd]):
        found = occasions(end, before)
        assert (Occasion.FAILURE in found) == (end is not BatchEnd.PASSED)
        assert not {Occasion.FAILURE, Occasion.RECOVERY} <= found


def test_a_cancelled_batch_says_nothing_however_its_runs_came_out():
    assert end_of(Outcome.PASSED, cancelled=True) is BatchEnd.CANCELLED
    assert [end_of(one, cancelled=False).value for one in Outcome] == [one.value for one in Outcome]


def test_an_entry_is_told_only_for_what_it_asked_in_its_order():
    spec = NotificationSpec(kind=NoticeKind.SLACK, url_variable="U", on=(Occasion.CHANGE, Occasion.FAILURE))
    assert wanted(spec, occasions(BatchEnd.FAILED, None)) == (Occasion.CHANGE, Occasion.FAILURE)
    assert wanted(spec, occasions(BatchEnd.PASSED, None)) == ()


def test_tries_take_about_a_day_and_come_quickly_at_first():
    waits = [seconds_to_wait(tries, retry_after=None, spread=0.0) for tries in range(1, MOST_TRIES)]
    assert waits[:3] == [2.0, 8.0, 32.0]
    assert waits == sorted(waits)
    assert 12 * 3600 < sum(waits) < 24 * 3600


def test_chance_only_lengthens_a_wait_and_a_receiver_is_never_asked_before_it_said():
    assert 2.0 < seconds_to_wait(1, retry_after=None, spread=1.0) <= 2.5
    assert seconds_to_wait(1, retry_after=60.0, spread=0.5) == 60.0
    assert seconds_to_wait(1, retry_after=1e9, spread=0.5) == LONGEST_HOLD


def test_a_try_that_failed_is_tried_again_until_there_were_enough():
    failed = Delivery(result=DeliveryResult.FAILED, trouble="HTTP 500")
    again = after_try(a_notice(tries=MOST_TRIES - 1), failed, at=NOW, spread=0.0)
    over = after_try(a_notice(tries=MOST_TRIES), failed, at=NOW, spread=0.0)
    assert (again.status, again.next_try_at > NOW, again.last_error) == (NoticeStatus.WAITING, True, "HTTP 500")
    assert (over.status, over.next_try_at, over.given_up_at) == (NoticeStatus.GIVEN_UP, None, NOW)


def test_a_refusal_ends_it_at_once_and_what_is_sent_has_no_error():
    refused = after_try(a_notice(), Delivery(result=DeliveryResult.REFUSED, trouble="HTTP 404"), at=NOW, spread=0.0)
    sent = after_try(a_notice(last_error="HTTP 500"), Delivery(result=DeliveryResult.SENT), at=NOW, spread=0.0)
    assert (refused.status, refused.last_error) == (NoticeStatus.GIVEN_UP, "HTTP 404")
    assert (sent.status, sent.sent_at, sent.next_try_at, sent.last_error) == (NoticeStatus.SENT, NOW, None, "")


def test_where_a_variable_is_missing_no_try_is_counted_for_a_week():
    missing = Delivery(result=DeliveryResult.UNSENDABLE, trouble="HOOK_URL is not set")
    left = after_try(a_notice(tries=3), missing, at=NOW, spread=0.0)
    old = after_try(a_notice(created_at=NOW - UNSENDABLE_LIFE), missing, at=NOW + timedelta(seconds=1), spread=0.0)
    assert (left.status, left.tries, left.next_try_at) == (NoticeStatus.WAITING, 2, NOW)
    assert old.status is NoticeStatus.GIVEN_UP
