"""Events of foreign calendars: when each of them takes time, with all its repeats (RFC 5545, section 3.8.5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

from models.zone import day, instant

MOST_REPEATS = 40_000
DAYS_AHEAD = 366
DAY = timedelta(days=1)
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
BROKEN = "An event of the calendar is not written as RFC 5545 says."

Span = tuple[datetime, datetime]
Local = date | datetime
"""A date, or a time as a clock shows it: of the zone that it names, or of any."""


class UnreadableError(Exception):
    """One sentence for why a calendar cannot be read; `seconds` tells how long that was tried."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Reading:
    """Which busy times are wanted: those that touch a span; and the zone of dates and of times that name none."""

    since: datetime
    until: datetime
    zone: ZoneInfo

    @classmethod
    def on(cls, today: date, zone: ZoneInfo) -> "Reading":
        """Read a calendar as it is read all day, so that the same one tells the same."""
        since = datetime.combine(today, time.min, UTC)
        return cls(since, since + timedelta(days=DAYS_AHEAD), zone)

    def instant(self, local: Local) -> datetime:
        """Find when a time begins."""
        if not isinstance(local, datetime):
            return day(local, self.zone)[0]
        return instant(local.replace(tzinfo=None), local.tzinfo or self.zone)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Series:
    """An event with all its repeats, of which `moved` have become events of their own."""

    event: Any
    moved: tuple[Any, ...] = ()

    def spans(self, reading: Reading) -> Iterator[Span]:
        """Tell when it takes time: what is transparent or cancelled does not."""
        said = str(self.event.get("TRANSP", "")).upper(), str(self.event.get("STATUS", "")).upper()
        if said[0] == "TRANSPARENT" or said[1] == "CANCELLED":
            return
        first = _local(self.event["DTSTART"])
        length = _length(self.event, first, reading)
        gone = {_place(_local(each["RECURRENCE-ID"]), first, reading) for each in self.moved}
        gone |= {_place(each, first, reading) for each in _dates(self.event, "EXDATE")}
        seen = set(gone)
        for local, ends in self._repeats(first, length, reading):
            place = _place(local, first, reading)
            if place not in seen and _date(local) not in gone:
                seen.add(place)
                start = reading.instant(local)
                yield (
                    start,
                    ends or (start + length if isinstance(first, datetime) else reading.instant(local + length)),
                )

    def _repeats(self, first: Local, length: timedelta, reading: Reading) -> Iterator[tuple[Local, datetime | None]]:
        """Tell when it begins, again and again; where something else says so, also when it ends."""
        yield first, None
        for rule in several(self.event.get("RRULE")):
            for local in _by_rule(rule, first, length, reading):
                yield local, None
        for said in _dates(self.event, "RDATE", periods=True):
            if not isinstance(said, tuple):
                yield said, None
                continue
            yield said[0], period(said, reading)[1]


def collected(events: list[Any]) -> Iterator[Series]:
    """Put together what belongs together; of an event that is there twice, the one that was changed last."""
    newest: dict[tuple[str, bytes], Any] = {}
    for n, event in enumerate(events):
        place = event.get("RECURRENCE-ID")
        if place is not None and "RANGE" in place.params:
            raise UnreadableError("The calendar moves all later events of a series at once (RANGE), which is not read.")
        key = str(event.get("UID", n)), b"" if place is None else place.to_ical()
        if key not in newest or int(event.get("SEQUENCE", 0)) >= int(newest[key].get("SEQUENCE", 0)):
            newest[key] = event
    moved: dict[str, list[Any]] = {}
    for (uid, place), event in newest.items():
        if place:
            moved.setdefault(uid, []).append(event)
    for (uid, place), event in newest.items():
        yield Series(event, () if place else tuple(moved.get(uid, ())))


def period(told: tuple[Local, Any], reading: Reading) -> Span:
    """Read from when to when, or for how long, a period is."""
    start = reading.instant(told[0])
    return start, (start + told[1] if isinstance(told[1], timedelta) else reading.instant(told[1]))


def _length(event: Any, first: Local, reading: Reading) -> timedelta:
    """How long an event takes: of dates in whole days, else as time goes by, whatever the clocks show."""
    is_timed = isinstance(first, datetime)
    if "DTEND" in event:
        end = _local(event["DTEND"])
        if is_timed:
            return reading.instant(end) - reading.instant(first)
        return _date(end) - _date(first)
    if "DURATION" in event:
        told: timedelta = event["DURATION"].dt
        return told if is_timed else max(timedelta(days=told.days), DAY)
    return timedelta() if is_timed else DAY


def _place(local: Local, first: Local, reading: Reading) -> Local:
    """By what an event of a series is known: its date, or the instant at which it begins; many programs write the date."""
    if isinstance(first, datetime) and isinstance(local, datetime):
        return reading.instant(local)
    return _date(local)


def _date(local: Local) -> date:
    return date.fromordinal(local.toordinal())


def _by_rule(rule: Any, first: Local, length: timedelta, reading: Reading) -> Iterator[Local]:
    """Expand a rule on the clock of its own zone, as far as is asked for."""
    if str(next(iter(rule.get("FREQ", ())), "")).upper() not in FREQUENCIES:
        raise UnreadableError(f"The calendar repeats an event otherwise than {', '.join(FREQUENCIES)}.")
    zone = first.tzinfo if isinstance(first, datetime) else None
    begins = datetime.combine(first, first.time() if isinstance(first, datetime) else time.min)
    ends = _until(rule, first, reading)
    text = type(rule)({name: value for name, value in rule.items() if name.upper() != "UNTIL"}).to_ical().decode()
    expanded: Any = rrulestr(text, dtstart=begins)
    since, until = (each.replace(tzinfo=None) for each in (reading.since - length - 2 * DAY, reading.until + 2 * DAY))
    for n, at in enumerate(expanded):
        if at > until or (ends is not None and at > ends):
            return
        if n >= MOST_REPEATS:
            raise UnreadableError(f"The calendar repeats an event more than {MOST_REPEATS} times.")
        if at >= since:
            yield at.replace(tzinfo=zone) if isinstance(first, datetime) else at.date()


def _until(rule: Any, first: Local, reading: Reading) -> datetime | None:
    """Read until when a rule holds, on the clock of its own zone."""
    told = next(iter(several(rule.get("UNTIL"))), None)
    if told is None:
        return None
    if not isinstance(told, datetime):
        return datetime.combine(told, time.max)
    if not isinstance(first, datetime):
        return datetime.combine(told.date(), time.max)
    return (
        told.replace(tzinfo=None)
        if told.tzinfo is None
        else (told.astimezone(first.tzinfo or reading.zone).replace(tzinfo=None))
    )


def _dates(event: Any, name: str, *, periods: bool = False) -> Iterator[Any]:
    """Read a list of times, which may stand in several lines."""
    for line in several(event.get(name)):
        for each in line.dts:
            if not isinstance(each.dt, tuple):
                yield _local(each, line.params)
            elif periods:
                yield tuple(each.dt)


def _local(told: Any, params: Any = None) -> Local:
    """Read a time; what names a zone that nobody knows is no time."""
    local: Local = told.dt
    zone = (told.params if params is None else params).get("TZID")
    if isinstance(local, datetime) and local.tzinfo is None and zone:
        raise UnreadableError(f"The calendar does not tell what its time zone {str(zone)[:80]!r} is.")
    if not isinstance(local, date):
        raise UnreadableError(BROKEN)
    return local


def several(told: Any) -> list[Any]:
    """Read what may be there once, several times or never."""
    if told is None:
        return []
    return told if isinstance(told, list) else [told]
