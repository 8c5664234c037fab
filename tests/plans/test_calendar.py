"""When schedules are due, above all where clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.schedule import Missed, Overlap, Schedule
from orchestrator.plans.calendar import cron_trouble, fires_between, next_fires, occurrence

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
SHORTEST = timedelta(microseconds=1)


def a_schedule(cron=None, *, every=None, timezone=BERLIN, name="nightly", jitter=0.0):
    return Schedule(
        name=name,
        plan_document={},
        cron=cron,
        every=every,
        timezone=timezone,
        jitter=jitter,
        overlap=Overlap.SKIP,
        missed=Missed.ONE,
        window=3600.0,
        blackouts=(),
    )


def at(text, timezone=BERLIN, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold).astimezone(UTC)


def shown(moments, timezone=BERLIN):
    """The moments as a clock on the wall and its offset show them."""
    return [f"{moment.astimezone(ZoneInfo(timezone)):%m-%d %H:%M%z}" for moment in moments]


# Clocks in Berlin go from 02:00 to 03:00 on 29 March 2026, and back from 03:00 to 02:00 on 25 October.
# Those in New York go from 02:00 to 03:00 on 8 March 2026, and back from 02:00 to 01:00 on 1 November.
SPRING = [
    (BERLIN, "30 2 * * *", "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
    (BERLIN, "0 2 * * *", "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:00+0200"]),
    (BERLIN, "*/20 2 * * *", "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:00+0200", "03-30 02:20+0200"]),
    (BERLIN, "0,30 2,3 * * *", "2026-03-29T01:00", ["03-29 03:00+0200", "03-29 03:30+0200", "03-30 02:00+0200"]),
    (BERLIN, "0 */2 * * *", "2026-03-29T00:00", ["03-29 03:00+0200", "03-29 04:00+0200", "03-29 06:00+0200"]),
    (BERLIN, "30 * * * *", "2026-03-29T01:00", ["03-29 01:30+0100", "03-29 03:30+0200", "03-29 04:30+0200"]),
    (NEW_YORK, "15 2 * * *", "2026-03-07T12:00", ["03-08 03:00-0400", "03-09 02:15-0400"]),
    ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00", ["11-04 01:00-0200", "11-05 00:00-0200"]),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00", ["10-04 02:30+1100", "10-05 02:15+1100"]),
]
AUTUMN = [
    (BERLIN, "30 2 * * *", "2026-10-24T12:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
    (BERLIN, "*/30 2 * * *", "2026-10-24T12:00", ["10-25 02:00+0200", "10-25 02:30+0200", "10-26 02:00+0100"]),
    (BERLIN, "0 */2 * * *", "2026-10-25T00:00", ["10-25 02:00+0200", "10-25 04:00+0100", "10-25 06:00+0100"]),
    (BERLIN, "30 * * * *", "2026-10-25T02:00", ["10-25 02:30+0200", "10-25 02:30+0100", "10-25 03:30+0100"]),
    (BERLIN, "30 0-23 * * *", "2026-10-25T02:00", ["10-25 02:30+0200", "10-25 02:30+0100", "10-25 03:30+0100"]),
    (NEW_YORK, "30 1 * * *", "2026-10-31T12:00", ["11-01 01:30-0400", "11-02 01:30-0500"]),
]


@pytest.mark.parametrize(("timezone", "cron", "after", "expected"), SPRING)
def test_a_time_that_a_spring_day_lacks_is_due_once_at_the_end_of_the_gap(timezone, cron, after, expected):
    moments = next_fires(a_schedule(cron, timezone=timezone), at(after, timezone), len(expected))
    assert shown(moments, timezone) == expected


@pytest.mark.parametrize(("timezone", "cron", "after", "expected"), AUTUMN)
def test_a_time_that_an_autumn_day_has_twice_is_due_once_unless_every_hour_is_named(timezone, cron, after, expected):
    moments = next_fires(a_schedule(cron, timezone=timezone), at(after, timezone), len(expected))
    assert shown(moments, timezone) == expected


def test_asked_within_the_second_pass_of_a_repeated_hour_its_times_are_over():
    second_pass = at("2026-10-25T02:10", fold=1)
    assert shown(next_fires(a_schedule("30 2 * * *"), second_pass, 1)) == ["10-26 02:30+0100"]
    assert shown(next_fires(a_schedule("*/15 * * * *"), second_pass, 1)) == ["10-25 02:15+0100"]


def test_asked_at_a_moment_the_next_one_is_later_and_between_includes_its_end():
    schedule = a_schedule("0 2 * * *")
    first, second = next_fires(schedule, at("2026-06-01T00:00"), 2)
    assert next_fires(schedule, first, 1) == [second]
    assert fires_between(schedule, first, second, 10) == [second]
    assert fires_between(schedule, first, second - SHORTEST, 10) == []


def test_an_interval_counts_from_the_epoch_whoever_asks_and_since_when():
    schedule = a_schedule(every=7 * 60.0)
    after = datetime(2026, 11, 21, 12, 3, 4, 5, tzinfo=UTC)
    one, two = next_fires(schedule, after, 2)
    assert one.timestamp() % 420 == 0
    assert after < one <= after + timedelta(minutes=7)
    assert two - one == timedelta(minutes=7)
    assert next_fires(schedule, one - SHORTEST, 1) == [one]
    assert next_fires(schedule, one, 1) == [two]


def test_a_day_long_interval_takes_no_notice_of_clocks():
    moments = next_fires(a_schedule(every=86_400.0), at("2026-10-24T12:00"), 3)
    assert [moment.hour for moment in moments] == [0, 0, 0]


def test_a_rule_that_is_due_on_a_leap_day_is_found_however_far_away():
    assert next_fires(a_schedule("0 0 29 2 *", timezone="UTC"), datetime(2096, 3, 1, tzinfo=UTC), 1) == [
        datetime(2104, 2, 29, tzinfo=UTC)
    ]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 30 2 *", "never due"),
        ("0 0 31 2,4,6,9,11 *", "never due"),
        ("0 0 */3 2 mon#5", "never due"),
        ("* * * *", "4 fields, not 5"),
        ("0 0 2 * * *", "6 fields, not 5"),
        ("@daily", "1 fields, not 5"),
        ("61 * * * *", "minute that cannot be read"),
        ("0 24 * * *", "hour that cannot be read"),
        ("0 0 32 2 *", "day-of-month that cannot be read"),
        ("0 0 1 13 *", "month that cannot be read"),
        ("0 0 * * mun", "day-of-week that cannot be read"),
        ("0 22-6 * * *", "hour that cannot be read"),
        ("0 0 */0 * *", "day-of-month that cannot be read"),
        ("0 0 * * " + "1," * 200, "longer than 200"),
        ("", "0 fields"),
    ],
)
def test_an_expression_that_cannot_be_read_or_is_never_due_says_so(expression, words):
    assert words in cron_trouble(expression)


@pytest.mark.parametrize("expression", ["*/5 * * * *", "0 2 * * MON-FRI", "0 0 L * *", "0 0 29 2 *", "0 9 * * mon#1"])
def test_a_good_expression_has_no_trouble(expression):
    assert cron_trouble(expression) is None


NUMBERS = st.integers(0, 60).map(str)
ITEMS = st.one_of(
    NUMBERS,
    st.sampled_from(["*", "mon", "feb", "L", "LW", "5L", "1#5", ""]),
    st.builds("{}-{}".format, NUMBERS, NUMBERS),
    st.builds("{}/{}".format, st.one_of(st.just("*"), NUMBERS), NUMBERS),
)
FIELD = st.lists(ITEMS, min_size=1, max_size=3).map(",".join)
EXPRESSIONS = st.lists(FIELD, min_size=4, max_size=6).map(" ".join)


@given(st.one_of(EXPRESSIONS, st.text(max_size=30), st.text("0123456789*/-,#L ", max_size=30)))
def test_whatever_is_written_it_is_good_or_told_why_not(expression):
    trouble = cron_trouble(expression)
    if trouble is None:
        moments = next_fires(a_schedule(expression), at("2026-01-01T00:00"), 3)
        assert moments
        assert moments == sorted(set(moments))
    else:
        assert trouble


ZONES = st.sampled_from(
    [
        BERLIN,
        NEW_YORK,
        "Australia/Lord_Howe",
        "America/Havana",
        "Asia/Beirut",
        "UTC",
        "Asia/Kathmandu",
        "Africa/Casablanca",
    ]
)
RULES = st.one_of(
    st.builds(
        lambda minute, hour, days, zone: a_schedule(f"{minute} {hour} * * {days}", timezone=zone),
        st.sampled_from(["0", "30", "*/20", "15,45", "*", "0-10"]),
        st.sampled_from(["*", "0", "1", "2", "1-3", "*/2", "0-23", "23", "*/1", "0,2"]),
        st.sampled_from(["*", "sun", "mon-fri", "sat,sun"]),
        ZONES,
    ),
    st.builds(lambda every, zone: a_schedule(every=float(every), timezone=zone), st.integers(60, 90_000), ZONES),
)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
# Around changes of clocks, and anywhere in two years; never on a whole second only.
MOMENTS = st.one_of(
    st.sampled_from(
        ["2026-03-29T00:30", "2026-10-25T00:10", "2026-03-08T06:40", "2026-11-01T05:20", "2026-04-04T14:50"]
    )
    .map(lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC))
    .flatmap(lambda near: st.timedeltas(timedelta(hours=-3), timedelta(hours=3)).map(lambda off: near + off)),
    st.integers(0, 2 * 365 * 86_400_000).map(lambda later: NEW_YEAR + timedelta(milliseconds=later)),
)


@given(RULES, MOMENTS)
def test_moments_are_later_than_asked_grow_strictly_and_lie_on_whole_seconds(schedule, after):
    moments = next_fires(schedule, after, 30)
    assert len(moments) == 30
    assert all(earlier < later for earlier, later in zip([after, *moments], moments, strict=False))
    assert all(moment.tzinfo is UTC and not moment.microsecond for moment in moments)


@given(RULES, MOMENTS, st.integers(0, 29))
def test_however_often_it_is_asked_on_the_way_the_moments_are_the_same(schedule, after, stop):
    moments = next_fires(schedule, after, 30)
    assert next_fires(schedule, moments[stop], 29 - stop) == moments[stop + 1 :]
    assert next_fires(schedule, moments[stop] - SHORTEST, 30 - stop) == moments[stop:]


@given(RULES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_what_lies_between_is_what_comes_next_up_to_the_end(schedule, after, span):
    until = after + span
    between = fires_between(schedule, after, until, 10_000)
    assert between == [moment for moment in next_fires(schedule, after, len(between) + 1) if moment <= until]
    assert fires_between(schedule, after, until, 2) == between[:2]


@given(ZONES, st.integers(0, 23), st.integers(0, 59), st.integers(0, 364))
def test_a_time_of_day_is_due_once_a_day_the_year_round(zone, hour, minute, day):
    local = (NEW_YEAR + timedelta(days=day)).replace(tzinfo=ZoneInfo(zone))
    begins, ends = local.astimezone(UTC), (local + timedelta(days=1)).astimezone(UTC)
    schedule = a_schedule(f"{minute} {hour} * * *", timezone=zone)
    [moment] = fires_between(schedule, begins - SHORTEST, ends - SHORTEST, 100)
    shown_then = moment.astimezone(ZoneInfo(zone))
    assert shown_then.date() == local.date()
    assert shown_then.replace(tzinfo=None) >= local.replace(tzinfo=None, hour=hour, minute=minute)


@given(st.text(min_size=1, max_size=20), MOMENTS, st.floats(0, 86_400))
def test_jitter_is_the_moments_own_and_below_what_was_asked_for(name, moment, jitter):
    one = occurrence(a_schedule(every=60.0, name=name, jitter=jitter), moment)
    assert one == occurrence(a_schedule("0 0 * * *", name=name, jitter=jitter), moment)
    assert one.due_at == moment
    assert timedelta(0) <= one.begins_at - moment
    assert (one.begins_at - moment).total_seconds() < jitter or one.begins_at == moment


def test_jitter_differs_from_moment_to_moment_and_from_schedule_to_schedule():
    first, second = next_fires(a_schedule("0 * * * *"), at("2026-06-01T00:00"), 2)
    waits = {
        (occurrence(a_schedule("0 * * * *", name=name, jitter=600.0), moment).begins_at - moment)
        for name in ("a", "b")
        for moment in (first, second)
    }
    assert len(waits) == 4
