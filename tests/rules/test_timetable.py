"""From local rules to stretches of real time: the changes of the clock, what goes before what, and the grid."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import Range

from models import zone
from models.timetable import Stretch, Timetable

ADA, BOB = UUID(int=1), UUID(int=2)
HERE, THERE = UUID(int=10), UUID(int=11)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MONDAY = date(2027, 5, 3)
ZONES = sorted(zone.names())


@dataclass(frozen=True)
class Rule:
    """A row of a rule, as a statement reads it."""

    starts_minute: int = 540
    ends_minute: int = 720
    weekday: int | None = None
    dates: Any = ()
    valid_from: date | None = None
    valid_until: date | None = None
    zone: str = "UTC"
    slot: int | None = 60
    grid: int | None = None
    capacity: int = 1
    provider_id: UUID = ADA
    service_id: UUID | None = None
    location_id: UUID | None = None
    is_offered: bool = True


@dataclass(frozen=True)
class Exceptional:
    """A row of an exception."""

    date: date
    windows: Any = ()
    zone: str = "UTC"
    slot: int | None = 60
    grid: int | None = None
    capacity: int = 1
    provider_id: UUID = ADA
    service_id: UUID | None = None
    location_id: UUID | None = None
    is_offered: bool = True


@dataclass(frozen=True)
class Closed:
    """A row of a holiday."""

    date: date
    location_id: UUID | None = field(default=None)


def daily(**more: Any) -> list[Rule]:
    return [Rule(weekday=weekday, **more) for weekday in range(1, 8)]


def span(first: date, last: date) -> Range[date]:
    return Range(first, last + DAY, bounds="[)")


def minutes(value: str) -> int:
    hours, rest = value.split(":")
    return int(hours) * 60 + int(rest)


def utc(value: str) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


def starts(stretch: Stretch) -> list[datetime]:
    """When the slots of a stretch begin, as PostgreSQL's generate_series tells it."""
    found, begins = [], stretch.starts_at
    while begins + stretch.slot * MINUTE <= stretch.ends_at:
        found.append(begins)
        begins += stretch.step * MINUTE
    return found


def slots(stretches: list[Stretch]) -> list[tuple[datetime, datetime]]:
    return [(begins, begins + each.slot * MINUTE) for each in stretches for begins in starts(each)]


def hours(stretches: list[Stretch]) -> list[str]:
    return [f"{begins:%a %H:%M}-{ends:%H:%M}" for begins, ends in slots(stretches)]


def worked(rules: list[Any], *more: Any, first: date = MONDAY, last: date | None = None) -> list[str]:
    return hours(Timetable(rules, *more).stretches(ADA, first, last or first))


# Zone, local date, window, the same in UTC, and the minutes between.
WINDOWS = [
    ("Europe/Berlin", "2027-03-28", "01:00-04:00", "2027-03-28 00:00", "2027-03-28 02:00", 120),
    ("Europe/Berlin", "2027-03-28", "02:30-03:30", "2027-03-28 01:00", "2027-03-28 01:30", 30),
    ("Europe/Berlin", "2027-10-31", "01:00-04:00", "2027-10-30 23:00", "2027-10-31 03:00", 240),
    ("Europe/Berlin", "2027-10-31", "02:15-02:45", "2027-10-31 00:15", "2027-10-31 00:45", 30),
    ("America/New_York", "2027-11-07", "01:00-02:00", "2027-11-07 05:00", "2027-11-07 07:00", 120),
    ("Australia/Lord_Howe", "2027-04-04", "01:00-03:00", "2027-04-03 14:00", "2027-04-03 16:30", 150),
    ("Asia/Kathmandu", "2027-05-03", "09:00-17:00", "2027-05-03 03:15", "2027-05-03 11:15", 480),
    ("Africa/Cairo", "2027-04-30", "00:00-24:00", "2027-04-29 22:00", "2027-04-30 21:00", 1380),
    ("Pacific/Kiritimati", "2027-01-01", "00:00-24:00", "2026-12-31 10:00", "2027-01-01 10:00", 1440),
    ("Europe/Berlin", "2027-03-22", "09:00-17:00", "2027-03-22 08:00", "2027-03-22 16:00", 480),
    ("Europe/Berlin", "2027-03-29", "09:00-17:00", "2027-03-29 07:00", "2027-03-29 15:00", 480),
    # over midnight: the first into the night that loses an hour, the second into the one that has another
    ("Europe/Berlin", "2027-03-27", "22:00-30:00", "2027-03-27 21:00", "2027-03-28 04:00", 420),
    ("Europe/Berlin", "2027-10-30", "22:00-30:00", "2027-10-30 20:00", "2027-10-31 05:00", 540),
]


@pytest.mark.parametrize(("name", "day", "window", "starts_at", "ends_at", "length"), WINDOWS)
@pytest.mark.parametrize("kind", ["weekly", "dated", "exception"])
def test_a_window_of_the_local_day_is_this_stretch(
    kind: str, name: str, day: str, window: str, starts_at: str, ends_at: str, length: int
) -> None:
    on = date.fromisoformat(day)
    begins, ends = map(minutes, window.split("-"))
    rule: dict[str, Any] = {"starts_minute": begins, "ends_minute": ends, "zone": name, "slot": 15}
    timetable = {
        "weekly": lambda: Timetable([Rule(weekday=on.isoweekday(), **rule)]),
        "dated": lambda: Timetable([Rule(dates=[span(on, on)], **rule)]),
        "exception": lambda: Timetable([], [Exceptional(on, [Range(begins, ends)], zone=name, slot=15)]),
    }[kind]()

    (found,) = timetable.stretches(ADA, on - 2 * DAY, on + 2 * DAY)

    assert (found.starts_at, found.ends_at) == (utc(starts_at), utc(ends_at))
    assert found.slots == len(starts(found)) == length // 15


def test_a_window_that_lies_in_a_gap_is_nothing() -> None:
    berlin = Rule(120, 180, weekday=7, zone="Europe/Berlin", slot=15)

    assert worked([berlin], first=date(2027, 3, 28)) == []
    assert len(worked([berlin], first=date(2027, 3, 21))) == 4


def test_a_weekly_rule_keeps_its_wall_time_over_a_change_of_the_clock() -> None:
    found = Timetable(daily(zone="Europe/Berlin")).stretches(ADA, date(2027, 3, 27), date(2027, 3, 29))

    berlin = ZoneInfo("Europe/Berlin")
    assert [each.starts_at.hour for each in found] == [8, 7, 7]
    assert {each.starts_at.astimezone(berlin).time() for each in found} == {time(9)}


def test_an_exception_replaces_every_rule_of_its_date_and_of_no_other() -> None:
    rules = [*daily(), Rule(dates=[span(MONDAY, MONDAY)], starts_minute=840, ends_minute=900)]
    other_hours = Exceptional(MONDAY, [Range(600, 660), Range(1020, 1080)])

    found = worked(rules, [other_hours], last=MONDAY + DAY)

    assert found == ["Mon 10:00-11:00", "Mon 17:00-18:00", "Tue 09:00-10:00", "Tue 10:00-11:00", "Tue 11:00-12:00"]
    assert worked(rules, [Exceptional(MONDAY)], last=MONDAY + DAY) == found[2:]
    assert worked(rules, [Exceptional(MONDAY, provider_id=BOB)]) == ["Mon 14:00-15:00"]


def test_an_exception_opens_on_a_holiday() -> None:
    assert worked(daily(), [Exceptional(MONDAY, [Range(600, 660)])], [Closed(MONDAY)]) == ["Mon 10:00-11:00"]


def test_a_holiday_closes_its_location_and_no_other() -> None:
    at = {HERE: Rule(540, 600, weekday=1, location_id=HERE), THERE: Rule(600, 660, weekday=1, location_id=THERE)}
    anywhere = Rule(660, 720, weekday=1)
    rules = [*at.values(), anywhere]

    assert worked(rules, [], [Closed(MONDAY, HERE)]) == ["Mon 10:00-11:00", "Mon 11:00-12:00"]
    assert worked(rules, [], [Closed(MONDAY, HERE), Closed(MONDAY, THERE)]) == ["Mon 11:00-12:00"]
    assert worked(rules, [], [Closed(MONDAY)]) == []
    assert len(worked(rules, [], [Closed(MONDAY)], last=MONDAY + 7 * DAY)) == 3


def test_rules_of_a_date_go_before_weekly_ones_even_where_a_holiday_closes_them() -> None:
    dated = Rule(840, 900, dates=[span(MONDAY, MONDAY), span(MONDAY + 14 * DAY, MONDAY + 20 * DAY)], location_id=HERE)
    rules = [Rule(weekday=1, slot=180), dated]

    found = worked(rules, last=MONDAY + 15 * DAY)

    assert found == ["Mon 14:00-15:00", "Mon 09:00-12:00", "Mon 14:00-15:00", "Tue 14:00-15:00"]
    assert worked(rules, [], [Closed(MONDAY, HERE)]) == []


def test_both_ends_of_a_validity_belong_to_it() -> None:
    rules = daily(slot=180, valid_from=MONDAY + DAY, valid_until=MONDAY + 3 * DAY)

    assert [each[:3] for each in worked(rules, first=MONDAY - 7 * DAY, last=MONDAY + 7 * DAY)] == ["Tue", "Wed", "Thu"]
    assert len(worked(daily(slot=180, valid_from=MONDAY), first=MONDAY - DAY, last=MONDAY + DAY)) == 2
    assert len(worked(daily(slot=180, valid_until=MONDAY), first=MONDAY - DAY, last=MONDAY + DAY)) == 2


def test_a_window_over_midnight_belongs_to_the_date_it_starts_on() -> None:
    night = Rule(1320, 1560, weekday=1)

    assert worked([night]) == ["Mon 22:00-23:00", "Mon 23:00-00:00", "Tue 00:00-01:00", "Tue 01:00-02:00"]
    assert worked([night], first=MONDAY + DAY) == []
    assert worked([night], [Exceptional(MONDAY)]) == []
    assert len(worked([night], [Exceptional(MONDAY + DAY)], last=MONDAY + DAY)) == 4


def test_24_00_is_the_end_of_the_day() -> None:
    assert worked([Rule(1380, 1440, weekday=1)]) == ["Mon 23:00-00:00"]


def test_what_is_left_over_at_the_end_of_a_window_is_not_used() -> None:
    assert worked([Rule(540, 639, weekday=1, slot=25)]) == ["Mon 09:00-09:25", "Mon 09:25-09:50", "Mon 09:50-10:15"]
    assert worked([Rule(540, 600, weekday=1, slot=61)]) == []


def test_a_grid_that_is_larger_than_the_slot_leaves_pauses() -> None:
    found = worked([Rule(540, 630, weekday=1, slot=20, grid=30)])

    assert found == ["Mon 09:00-09:20", "Mon 09:30-09:50", "Mon 10:00-10:20"]


def test_a_service_that_is_longer_than_the_grid_begins_on_the_next_line_that_is_free() -> None:
    found = worked([Rule(540, 720, weekday=1, slot=40, grid=30)])

    assert found == ["Mon 09:00-09:40", "Mon 10:00-10:40", "Mon 11:00-11:40"]


def test_the_grid_is_anchored_where_the_window_begins() -> None:
    assert worked([Rule(547, 610, weekday=1, slot=20, grid=30)]) == ["Mon 09:07-09:27", "Mon 09:37-09:57"]


def test_what_is_not_offered_or_has_no_length_is_not_published() -> None:
    assert worked(daily(is_offered=False)) == worked(daily(slot=None)) == []
    assert worked(daily(), [Exceptional(MONDAY, [Range(600, 660)], is_offered=False)]) == []


def test_of_two_that_share_a_moment_the_later_one_begins_when_it_can_on_its_own_grid() -> None:
    berlin = Rule(540, 630, weekday=1, zone="Europe/Berlin", slot=30)  # 07:00-08:30 in UTC
    london = Rule(550, 720, weekday=1, zone="Europe/London", slot=40, capacity=3)  # 08:10-11:00

    found = Timetable([london, berlin]).stretches(ADA, MONDAY, MONDAY)

    assert hours(found) == [
        *("Mon 07:00-07:30", "Mon 07:30-08:00", "Mon 08:00-08:30"),
        *("Mon 08:50-09:30", "Mon 09:30-10:10", "Mon 10:10-10:50"),
    ]
    assert [each.capacity for each in found] == [1, 3]


def test_a_stretch_carries_what_its_rule_says() -> None:
    rule = Rule(weekday=1, capacity=7, service_id=UUID(int=5), location_id=HERE)

    (found,) = Timetable([rule]).stretches(ADA, MONDAY, MONDAY)

    assert (found.provider_id, found.capacity, found.service_id, found.location_id) == (ADA, 7, UUID(int=5), HERE)


def test_providers_are_kept_apart() -> None:
    timetable = Timetable([Rule(weekday=1), Rule(weekday=2, provider_id=BOB)], [Exceptional(MONDAY, provider_id=BOB)])

    assert set(timetable.providers) == {ADA, BOB}
    assert hours(timetable.stretches(BOB, MONDAY, MONDAY + DAY))[0] == "Tue 09:00-10:00"
    assert timetable.stretches(UUID(int=3), MONDAY, MONDAY + 6 * DAY) == []


rules = st.builds(
    lambda begins, length, slot, more, **rest: Rule(begins, begins + length, slot=slot, grid=slot + more if more else None, **rest),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.sampled_from([1, 7, 15, 20, 30, 45, 60, 90, 240, 1440]),
    st.sampled_from([0, 0, 1, 10, 30]),
    weekday=st.integers(1, 7),
    zone=st.sampled_from(ZONES),
)  # fmt: skip


@given(st.lists(rules, max_size=6), st.dates(date(2000, 1, 1), date(2050, 12, 1)))
@settings(max_examples=300, deadline=None)
def test_whatever_rules_say_no_stretch_runs_backwards_and_no_two_slots_overlap(said: list[Rule], first: date) -> None:
    found = Timetable(said).stretches(ADA, first, first + 15 * DAY)

    assert all(each.starts_at < each.ends_at and each.slots == len(starts(each)) > 0 for each in found)
    times = slots(found)
    assert times == sorted(times)
    assert all(ends <= begins for (_, ends), (begins, _) in pairwise(times))
    assert found == Timetable(said).stretches(ADA, first, first + 15 * DAY)
    whole = Timetable(said)
    whole.stretches(ADA, first - 40 * DAY, first)  # what it remembers of other days
    assert whole.stretches(ADA, first, first + 15 * DAY) == found


@given(rules, st.dates(date(2000, 1, 1), date(2050, 12, 1)))
@settings(max_examples=300, deadline=None)
def test_every_slot_lies_on_the_grid_that_begins_with_the_local_window(rule: Rule, first: date) -> None:
    where = zone.zone(rule.zone)
    step = rule.grid or rule.slot or 0
    begins = {
        zone.instant(datetime.combine(first + n * DAY, time.min) + rule.starts_minute * MINUTE, where)
        for n in range(-2, 9)
    }

    for starts_at, _ in slots(Timetable([rule]).stretches(ADA, first, first + 6 * DAY)):
        assert any((starts_at - begin) % (step * MINUTE) == timedelta(0) for begin in begins if begin <= starts_at)


@pytest.mark.parametrize("name", ZONES)
def test_for_thirty_years_no_window_of_this_zone_runs_backwards_and_none_overlaps_the_next(name: str) -> None:
    day_and_night = [
        *daily(starts_minute=0, ends_minute=150, zone=name, slot=45),
        *daily(starts_minute=150, ends_minute=195, zone=name, slot=15),
        *daily(starts_minute=195, ends_minute=1440, zone=name, slot=60),
    ]
    timetable, where = Timetable(day_and_night), zone.zone(name)

    for day in _changes(where):
        found = timetable.stretches(ADA, day - DAY, day + DAY)
        assert all(each.starts_at < each.ends_at for each in found)
        assert all(first.ends_at <= then.starts_at for first, then in pairwise(found))
        begins, _ = zone.day(day - DAY, where)
        _, ends = zone.day(day + DAY, where)
        assert begins <= found[0].starts_at < found[-1].ends_at <= ends


def _changes(where: ZoneInfo) -> list[date]:
    """The dates from 2020 to 2050 about which the clock of a zone changes, and a few more."""
    noon = datetime(2020, 1, 1, 12, tzinfo=UTC)
    weeks = [noon + 7 * n * DAY for n in range(1566)]
    offsets = [week.astimezone(where).utcoffset() for week in weeks]
    changed = [
        (weeks[n] + days * DAY).date()
        for n in range(len(weeks) - 1)
        if offsets[n] != offsets[n + 1]
        for days in range(7)
        if (weeks[n] + days * DAY).astimezone(where).utcoffset()
        != (weeks[n] + (days + 1) * DAY).astimezone(where).utcoffset()
    ]
    return [*changed, MONDAY, date(2028, 2, 29), date(2026, 12, 31)]


@given(rules, st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1)), st.integers(0, 10_000))  # noqa: DTZ001
@settings(max_examples=200, deadline=None)
def test_as_many_slots_lie_within_a_span_as_are_counted(rule: Rule, since: datetime, length: int) -> None:
    begin = since.replace(tzinfo=UTC)
    end = begin + length * MINUTE
    found = Timetable([rule]).stretches(ADA, begin.date() - 2 * DAY, end.date() + DAY)

    counted = sum(each.within(begin, end) for each in found)

    assert counted == sum(begin <= starts_at < end for each in found for starts_at in starts(each))
