"""Whatever rules, exceptions, holidays, time off and bookings there are: what is offered is what a slow reference computes."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest

from models.business import DEFAULT_BUSINESS
from tests.conftest import Api
from tests.rota import DAY, ROWS, Sql, insert, key, published, time_off

MINUTE = timedelta(minutes=1)
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Pacific/Chatham",
]
Slot = tuple[datetime, datetime, int, UUID | None]
OFFERED = (
    "SELECT starts_at, ends_at, capacity, location_id FROM appointments WHERE is_generated AND withdrawn_at IS NULL"
)
BOOKED = """SELECT a.starts_at, a.ends_at, a.capacity, a.location_id FROM appointments a
 WHERE is_generated AND EXISTS (SELECT FROM reservations r WHERE r.live_appointment_id = a.id)"""


@dataclass
class Window:
    """What a rule or an exception says, as the test remembers it."""

    starts: int
    ends: int
    slot: int
    step: int
    capacity: int
    location: UUID | None


@dataclass
class World:
    """One provider, and all that was said of when they work, around a change of the clock."""

    sql: Sql
    random: Random
    provider: str
    zone: str
    focus: date
    locations: list[UUID]
    weekly: list[tuple[int, date, date, Window]] = field(default_factory=list)
    dated: list[tuple[set[date], Window]] = field(default_factory=list)
    exceptions: dict[date, list[Window]] = field(default_factory=dict)
    holidays: set[tuple[date, UUID | None]] = field(default_factory=set)
    away: list[tuple[UUID, datetime, datetime]] = field(default_factory=list)
    submitted: list[tuple[datetime, datetime]] = field(default_factory=list)

    def date(self) -> date:
        return self.focus + self.random.randint(-3, 3) * DAY

    def instant(self) -> datetime:
        minutes = self.random.randrange(-3 * 288, 3 * 288) * 5
        return datetime.combine(self.focus, time(), UTC) + minutes * MINUTE

    def window(self) -> tuple[Window, dict[str, Any]]:
        starts = self.random.randrange(0, 1440, 15)
        ends = min(starts + self.random.choice([30, 60, 150, 240, 700]), starts + 1440, 2880)
        slot = min(self.random.choice([15, 20, 30, 50, 60]), ends - starts)
        grid = self.random.choice([None, None, slot, slot + 10])
        capacity, location = self.random.choice([1, 1, 3]), self.random.choice([None, *self.locations])
        columns: dict[str, Any] = {
            "slot_minutes": slot,
            "grid_minutes": grid,
            "capacity": capacity,
            "location_id": location,
        }
        columns |= {"time_zone": self.zone, "provider_id": key(self.provider)}
        return Window(starts, ends, slot, grid or slot, capacity, location), columns


def say_weekly(world: World) -> None:
    window, columns = world.window()
    first = world.date()
    last, weekday = first + world.random.randint(0, 6) * DAY, world.random.randint(1, 7)
    minutes = {"starts_minute": window.starts, "ends_minute": window.ends}
    insert(world.sql, "availability_rules", weekday=weekday, valid_from=first, valid_until=last, **minutes, **columns)
    world.weekly.append((weekday, first, last, window))


def say_dated(world: World) -> None:
    window, columns = world.window()
    days = {world.date() for _ in range(2)}
    dates = "{" + ",".join(f"[{day},{day + DAY})" for day in days) + "}"
    minutes = {"starts_minute": window.starts, "ends_minute": window.ends}
    insert(world.sql, "availability_rules", dates=dates, **minutes, **columns)
    world.dated.append((days, window))


def say_exception(world: World) -> None:
    window, columns = world.window()
    day, is_closed = world.date(), world.random.random() < 0.4
    windows = "{}" if is_closed else f"{{[{window.starts},{window.ends})}}"
    insert(world.sql, "availability_exceptions", date=day, windows=windows, **columns)
    world.exceptions[day] = [] if is_closed else [window]


def say_holiday(world: World) -> None:
    day, location = world.date(), world.random.choice([None, *world.locations])
    insert(world.sql, "holidays", date=day, location_id=location, name="Closed")
    world.holidays.add((day, location))


def take_time_off(world: World) -> None:
    starts = world.instant()
    ends = starts + world.random.randint(1, 600) * MINUTE
    world.away.append((time_off(world.sql, world.provider, starts, ends), starts, ends))


def come_back(world: World) -> None:
    if world.away:
        made, *_ = world.away.pop()
        world.sql("DELETE FROM time_off WHERE id = %s", made)


def submit(world: World) -> None:
    starts = world.instant()
    ends = starts + 25 * MINUTE
    over = "SELECT count(*) FROM appointments WHERE starts_at < %s AND ends_at > %s"
    if world.sql(over, ends, starts) == [(0,)]:
        insert(world.sql, "appointments", provider_id=key(world.provider), starts_at=starts, ends_at=ends)
        world.submitted.append((starts, ends))


def forget(world: World) -> None:
    world.sql("DELETE FROM availability_rules WHERE weekday IS NOT NULL")
    world.weekly.clear()


def book(world: World) -> None:
    free = world.sql(f"SELECT id FROM ({OFFERED.replace('SELECT', 'SELECT id,')}) free ORDER BY starts_at")
    if free:
        client = insert(world.sql, "clients", first_name="Charles", last_name="Babbage")
        (chosen,) = world.random.choice(free)
        columns = "business_id, client_id, appointment_id, status"
        world.sql(
            f"INSERT INTO reservations ({columns}) VALUES (%s, %s, %s, 'CONFIRMED')", DEFAULT_BUSINESS, client, chosen
        )  # a group that is full stays as it is


def cancel(world: World) -> None:
    booked = world.sql("SELECT id FROM reservations WHERE live ORDER BY id LIMIT 1")
    if booked:
        world.sql("UPDATE reservations SET status = 'CANCELLED' WHERE id = %s", *booked[0])


STEPS = [
    say_weekly,
    say_weekly,
    say_weekly,
    say_dated,
    say_exception,
    say_holiday,
    take_time_off,
    come_back,
    submit,
    forget,
]
STEPS += [book, book, book, cancel]


class Clock:
    """What a wall clock shows, minute by minute, and the farthest that it has shown until then."""

    def __init__(self, world: World) -> None:
        begins = datetime.combine(world.focus, time(), UTC) - 6 * DAY
        where = ZoneInfo(world.zone)
        self.instants = [begins + n * MINUTE for n in range(20 * 1440)]
        self.farthest = list(accumulate((each.astimezone(where).replace(tzinfo=None) for each in self.instants), max))

    def first(self, wall: datetime) -> datetime:
        """The first minute at which it shows a wall time, or one beyond it."""
        return self.instants[bisect_left(self.farthest, wall)]


def said(world: World, day: date) -> list[Window]:
    """What counts on a date."""
    if day in world.exceptions:
        return world.exceptions[day]
    windows = [window for days, window in world.dated if day in days]
    windows = windows or [
        window for weekday, first, last, window in world.weekly if weekday == day.isoweekday() and first <= day <= last
    ]
    return [window for window in windows if not {(day, None), (day, window.location)} & world.holidays]


def every_slot(world: World, clock: Clock) -> Iterator[Slot]:
    """Every slot of every window, minute by minute; a window that another one still runs into begins later, on its grid."""
    windows = []
    for n in range(-4, 12):
        day = world.focus + n * DAY
        midnight = datetime.combine(day, time())
        for window in said(world, day):
            starts, ends = (clock.first(midnight + minute * MINUTE) for minute in (window.starts, window.ends))
            windows.append((starts, ends, window))
    busy = None
    for starts, ends, window in sorted(windows, key=lambda each: each[:2]):
        slots = []
        begin = starts
        while begin + window.slot * MINUTE <= ends:
            if busy is None or begin >= busy:
                slots.append((begin, begin + window.slot * MINUTE, window.capacity, window.location))
            begin += window.step * MINUTE
        if slots:
            busy = ends
        yield from slots


def reference(world: World, clock: Clock, booked: set[Slot]) -> set[Slot]:
    """What has to be offered, of what is said, and of what is booked."""
    away = [(starts, ends) for _, starts, ends in world.away]
    wanted = {slot for slot in every_slot(world, clock) if not _meets(slot, away)}
    taken = [(starts, ends) for starts, ends, *_ in booked - wanted] + world.submitted
    return {slot for slot in wanted if slot in booked or not _meets(slot, taken)}


def _meets(slot: Slot, times: list[tuple[datetime, datetime]]) -> bool:
    return any(starts < slot[1] and slot[0] < ends for starts, ends in times)


def next_change(name: str, random: Random) -> date:
    """A date on which the clock of a zone changes, within a year; else any."""
    where, now = ZoneInfo(name), datetime.now(UTC)
    for n in range(8, 350):
        before, after = ((now + ahead * DAY).astimezone(where) for ahead in (n, n + 1))
        if before.utcoffset() != after.utcoffset():
            return after.date()
    return now.date() + random.randint(8, 350) * DAY


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_offered_is_what_the_reference_says_and_nothing_that_is_booked_goes(
    api: Api, sql: Sql, seed: int
) -> None:
    random = Random(seed)
    zone = ZONES[seed % len(ZONES)]
    sql("UPDATE businesses SET publication_days = 366, lead_time = '0'")
    locations = [insert(sql, "locations", name=name, time_zone="UTC") for name in ("Here", "There")]
    world = World(sql, random, await api.provider(), zone, next_change(zone, random), locations)
    clock = Clock(world)
    offered_once = 0

    for _ in range(15):
        for step in random.sample(STEPS, 2):
            try:
                step(world)
            except (psycopg.errors.ExclusionViolation, psycopg.errors.UniqueViolation):
                continue  # it contradicts what was said before

        await published(api, providerIds=[world.provider])

        booked, offered = set(sql(BOOKED)), set(sql(OFFERED))
        assert offered == reference(world, clock, booked)
        assert sql("SELECT count(*) FROM reservations WHERE live AND live_appointment_id IS NULL") == [(0,)]
        rows = sql(ROWS)
        assert (await published(api, providerIds=[world.provider]))[::2] == (0, 0)
        assert sql(ROWS) == rows
        offered_once += bool(offered)

    assert offered_once > 3
