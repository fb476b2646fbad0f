"""Scalars: instants, dates and time zones, strict in what they accept."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NewType

import strawberry

from models import wall, zone
from models.refusal import InvalidInput

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,10})?", re.ASCII)
_EXAMPLE = "2027-05-03T09:00:00Z"

LOCALE = "In which language they are written to, as a tag like en, en-GB or pt-BR (BCP 47)."
TimeZone = NewType("TimeZone", str)
LocalTime = NewType("LocalTime", int)
"""Minutes since midnight."""
LocalDateTime = NewType("LocalDateTime", datetime)


def parse_instant(value: Any) -> datetime:
    """Read an instant (RFC 3339); parts of a second beyond the microsecond are cut off."""
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInput(problem=f"This is not an instant; write it like {_EXAMPLE}.")
    day, time, fraction, offset = match.groups()
    if offset is None:
        raise InvalidInput(problem=f"This instant lacks its offset: add Z or an offset, like {_EXAMPLE}.")
    try:
        instant = datetime.fromisoformat(
            f"{day}T{time}{(fraction or '')[:7].ljust(7, '0') if fraction else ''}{offset}".upper()
        )
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(problem="No calendar and no clock shows this instant.") from None
    if not EARLIEST <= instant <= LATEST:
        raise InvalidInput(problem="Instants lie between the years 2000 and 2200.")
    return instant


def parse_date(value: Any) -> date:
    """Read a calendar date."""
    try:
        found = date.fromisoformat(value if isinstance(value, str) and _DATE.fullmatch(value) else "")
    except ValueError:
        raise InvalidInput(problem="This is not a date of the calendar; write it like 2027-05-03.") from None
    if not EARLIEST.date() <= found < LATEST.date():
        raise InvalidInput(problem="Dates lie between the years 2000 and 2200.")
    return found


def parse_time(value: Any) -> LocalTime:
    """Read what a clock on a wall shows; 24:00 is the end of a day."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInput(problem="This is not a time of day; write it like 09:00, from 00:00 to 24:00.")
    return LocalTime(int(value[:2]) * 60 + int(value[3:]))


def write_time(minutes: int) -> str:
    """Write minutes since midnight as a clock shows them."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def parse_decimal(value: Any) -> Decimal:
    """Read a decimal number, to the digit: a float would not say which digits were meant."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise InvalidInput(problem='This is not a decimal number; write it as a text, like "45.00".')
    return Decimal(text)


def parse_zone(value: Any) -> TimeZone:
    """Read the name of a time zone; ours, not the database's, is the list that counts."""
    return TimeZone(zone.zone(value if isinstance(value, str) else repr(value)).key)


SCALARS: dict[object, Any] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant (RFC 3339), like 2027-05-03T09:00:00Z. Input needs an offset; output is in UTC.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        parse_value=parse_instant,
        serialize=zone.written,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A calendar date (ISO 8601), like 2027-05-03.",
        specified_by_url="https://scalars.graphql.org/andimarek/local-date",
        parse_value=parse_date,
        serialize=date.isoformat,
    ),
    LocalTime: strawberry.scalar(
        name="LocalTime",
        description="What a clock on a wall shows, like 09:00; to the minute, from 00:00 to 24:00, the end of the day.",
        parse_value=parse_time,
        serialize=write_time,
    ),
    LocalDateTime: strawberry.scalar(
        name="LocalDateTime",
        description="A date and what a clock on a wall shows (ISO 8601, without an offset), like 2027-05-03T09:00:00.",
        serialize=wall.written,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='A decimal number, kept to the digit and written as a text, like "45.00".',
        parse_value=parse_decimal,
        serialize=lambda value: format(value, "f"),
    ),
    TimeZone: strawberry.scalar(
        name="TimeZone",
        description="A time zone of the IANA database, like Europe/Berlin.",
        parse_value=parse_zone,
        serialize=str,
    ),
}
