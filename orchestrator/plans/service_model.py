"""The shape of a service file: schedules and pools. What holds between its keys is in `schedules` and `pools`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from orchestrator.plans.model import AgentSection
from orchestrator.plans.section import PLAN_NAME, Length, Section, without_repeats
from orchestrator.plans.timetable import TIME_OF_DAY

NAME_LIMIT: Final = 80
SHORTEST_INTERVAL: Final = 60.0  # seconds; cron's minute
LONGEST: Final = 7 * 86_400.0
YEAR: Final = 366 * 86_400.0
MOST_ENTRIES: Final = 1000


def _whole_seconds(value: float) -> float:
    if not value.is_integer():
        raise ValueError(f"must be whole seconds, not {value:g}")
    return value


Interval = Annotated[Length, AfterValidator(_whole_seconds)]
Name = Annotated[str, Field(pattern=PLAN_NAME, max_length=NAME_LIMIT)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Weekdays = Annotated[list[Weekday], Field(min_length=1), AfterValidator(without_repeats)]
TimeOfDay = Annotated[str, Field(pattern=TIME_OF_DAY)]
TIMEZONE: Final = "IANA name of the timezone whose wall clock is meant."


class BlackoutSection(Section):
    """A time in which nothing fires: once from a moment until another, or every week on some days."""

    begins: str | None = Field(
        default=None,
        alias="from",
        max_length=40,
        description="Local date and time; with days, a time of day (default 00:00).",
        examples=["2026-12-24T00:00"],
    )
    ends: str | None = Field(
        default=None,
        alias="until",
        max_length=40,
        description="Local date and time; with days, a time of day (default 24:00), if need be of the day after.",
        examples=["2027-01-02T00:00"],
    )
    days: Weekdays | None = Field(default=None, description="Every week on these days.", examples=[["sat", "sun"]])


class ScheduleSection(Section):
    """A rule that creates a batch of a plan each time it is due."""

    name: Name = Field(description="What the schedule is called.", examples=["nightly"])
    plan: Any = Field(
        description="The plan each fire executes: a path beside this file, or, by API, the plan itself.",
        examples=["nightly-plan.yaml"],
        json_schema_extra={"type": ["string", "object"]},
    )
    cron: str | None = Field(
        default=None,
        max_length=200,
        description="When it is due: minute, hour, day of month, month, day of week.",
        examples=["0 2 * * mon-fri"],
    )
    every: Interval | None = Field(
        default=None,
        ge=SHORTEST_INTERVAL,
        le=YEAR,
        description="Instead of cron: an interval, counted from 1970-01-01 00:00 UTC. Seconds, or text such as 15m.",
        examples=["15m"],
    )
    timezone: str = Field(default="UTC", max_length=64, description=TIMEZONE, examples=["Europe/Berlin"])
    jitter: Length = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Each fire begins later by its own time below this, the same on every worker.",
        examples=["2m"],
    )
    overlap: Literal["skip", "queue", "cancel", "allow"] = Field(
        default="skip",
        description="While the batch of an earlier fire is open: skip this, queue one, cancel the earlier, allow both.",
        examples=["skip"],
    )
    missed: Literal["skip", "one", "all"] = Field(
        default="one",
        description="Fires that were due while no worker was there: skip them, make up for the latest, or for all.",
        examples=["one"],
    )
    window: Length = Field(
        default=3600.0, ge=0, le=LONGEST, description="How old a missed fire may be to be made up for.", examples=["1h"]
    )
    blackouts: list[BlackoutSection] = Field(
        default_factory=list,
        max_length=MOST_ENTRIES,
        description="When nothing fires.",
        examples=[[{"days": ["sat", "sun"]}]],
    )
    paused: bool = Field(default=False, description="True: it rests until it is resumed.", examples=[False])


class HoursSection(Section):
    """When a pool keeps sessions ready."""

    days: Weekdays | None = Field(
        default=None, description="On these days; absent: every day.", examples=[["mon", "tue"]]
    )
    open: TimeOfDay = Field(description="Local time of day.", examples=["08:00"])
    close: TimeOfDay = Field(description="Local time of the same day; 24:00 is its end.", examples=["18:00"])


class PoolSection(Section):
    """Warm sessions kept ready for one agent."""

    name: Name = Field(description="What plans call the pool.", examples=["support"])
    agent: AgentSection = Field(examples=[{"kind": "pipecat_cloud", "name": "support-bot"}])
    min_ready: int = Field(ge=0, le=1000, description="Sessions kept ready for runs.", examples=[2])
    max_alive: int = Field(
        ge=1, le=1000, description="The pool's sessions alive at once, in calls or not.", examples=[6]
    )
    max_age: Length = Field(
        default=240.0,
        gt=0,
        le=14_400,
        description="From a bot's readiness until it is no longer given to a run; below idle_timeout.",
        examples=["4m"],
    )
    idle_timeout: Length = Field(
        default=300.0, gt=0, le=14_400, description="After which the bot gives up by itself.", examples=["5m"]
    )
    check_every: Length = Field(
        default=15.0, ge=1, le=3600, description="Between two looks whether a bot is still there.", examples=["15s"]
    )
    starts_per_minute: float = Field(
        default=30.0, gt=0, le=3000, description="How fast the pool is refilled.", examples=[30]
    )
    ready: Length = Field(
        default=120.0, gt=0, le=3600, description="From the start answer to the bot in its room.", examples=["2m"]
    )
    run: Length = Field(
        default=900.0, gt=0, le=14_400, description="The longest call of a run that takes a session.", examples=["15m"]
    )
    timezone: str = Field(default="UTC", max_length=64, description=TIMEZONE, examples=["Europe/Berlin"])
    hours: list[HoursSection] = Field(
        default_factory=list,
        max_length=MOST_ENTRIES,
        description="When sessions are kept ready; absent: always.",
        examples=[[{"open": "08:00", "close": "18:00"}]],
    )


class ServiceSection(Section):
    """The schedules and pools of a worker."""

    version: Literal[1] = Field(description="The version of this format.", examples=[1])
    schedules: list[ScheduleSection] = Field(
        default_factory=list, max_length=MOST_ENTRIES, description="What creates batches.", examples=[[]]
    )
    pools: list[PoolSection] = Field(
        default_factory=list, max_length=MOST_ENTRIES, description="What keeps sessions ready.", examples=[[]]
    )


SERVICE_SECTIONS: Final[dict[str, type[Section]]] = {
    "schedules": ScheduleSection,
    "blackouts": BlackoutSection,
    "pools": PoolSection,
    "hours": HoursSection,
    "agent": AgentSection,
}
