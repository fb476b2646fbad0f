"""Foreign calendars: when somebody is busy, by a calendar that another program keeps for them (RFC 5545).

Its text may be anybody's: what is read of it has bounds, and whoever calls this gives it a process with bounds of its own.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from icalendar import Calendar

from models.foreign_event import BROKEN, DAYS_AHEAD, Reading, Span, UnreadableError, collected, period, several

MOST_BUSY, MOST_EVENTS = 2_000, 20_000
LONGEST = timedelta(days=366)  # of one busy time: what is longer is cut into several
NOT_A_CALENDAR = "This is not a calendar (RFC 5545)."
_FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


def busy_times(content: bytes, reading: Reading) -> list[Span]:
    """Read when somebody is busy: every span once, by start."""
    spans: set[Span] = set()
    try:
        calendars = _calendars(content)
        told = [series.spans(reading) for series in collected(_found(calendars, "VEVENT"))]
        for start, end in chain(*told, _told_as_busy(_found(calendars, "VFREEBUSY"), reading)):
            spans.update(_pieces(start, end, reading))
            if len(spans) > MOST_BUSY:
                problem = f"The calendar has more than {MOST_BUSY} busy times in the next {DAYS_AHEAD} days."
                raise UnreadableError(problem)
    except _FAULTS:
        raise UnreadableError(BROKEN) from None
    return sorted(spans)


def _calendars(content: bytes) -> list[Any]:
    try:
        calendars: Any = Calendar.from_ical(content.decode("utf-8-sig"), multiple=True)
    except UnicodeDecodeError:
        raise UnreadableError("The calendar is not written in UTF-8.") from None
    except _FAULTS:
        raise UnreadableError(NOT_A_CALENDAR) from None
    if not calendars or any(each.name != "VCALENDAR" for each in calendars):
        raise UnreadableError(NOT_A_CALENDAR)
    return list(calendars)


def _found(calendars: list[Any], name: str) -> list[Any]:
    found = [event for each in calendars for event in each.walk(name)]
    if len(found) > MOST_EVENTS:
        raise UnreadableError(f"The calendar has {len(found)} events; {MOST_EVENTS} are read.")
    return found


def _told_as_busy(found: list[Any], reading: Reading) -> Iterator[Span]:
    """Tell when somebody is busy by calendars that say no more than that."""
    for told in chain.from_iterable(several(each.get("FREEBUSY")) for each in found):
        if str(told.params.get("FBTYPE", "BUSY")).upper() != "FREE":
            yield period(told.dt, reading)


def _pieces(start: datetime, end: datetime, reading: Reading) -> Iterator[Span]:
    """Cut what is too long, always at the same places, and leave out what is not asked for."""
    while start < end and start < reading.until:
        stop = min(end, start + LONGEST)
        if stop > reading.since:
            yield start, stop
        start = stop
