"""Recurrences: on which dates a rule recurs (RFC 5545, section 3.3.10), as far as that is about whole dates."""

import re
from calendar import isleap
from collections.abc import Callable
from datetime import MAXYEAR, date, datetime, time
from functools import partial
from itertools import islice, takewhile

from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

from models.refusal import InvalidInput

LONGEST, MOST_DATES, MOST_YEARS = 500, 366, 2
_DAY = "(?:MO|TU|WE|TH|FR|SA|SU)"
_NUMBER = r"[1-9]\d{0,3}"


def _several(item: str) -> str:
    return f"{item}(?:,{item})*"


# How often a weekday comes in a month and in a year, at most: a number beyond means no date.
MOST_OF_A_WEEKDAY = {"MONTHLY": 5, "YEARLY": 53}
# What each part may say. Whatever is about hours, or about weeks and days of a year, is not read.
PARTS = {
    "FREQ": "DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": _NUMBER,
    "COUNT": _NUMBER,
    "UNTIL": r"\d{8}",
    "WKST": _DAY,
    "BYDAY": _several(rf"(?:[+-]?[1-9]\d?)?{_DAY}"),
    "BYMONTHDAY": _several(r"[+-]?(?:[1-9]|[12]\d|3[01])"),
    "BYMONTH": _several(r"(?:[1-9]|1[0-2])"),
    "BYSETPOS": _several(r"[+-]?[1-9]\d{0,2}"),
}


def expanded(recurrence: str, first: date, last: date | None, *field: str | int) -> tuple[str, tuple[date, ...]]:
    """Read a recurrence that starts on a date and ends with another, or by itself; its own text, and all its dates."""
    refused = partial(InvalidInput, *field)
    parts = _parts(recurrence, refused)
    until = _until(parts, refused)
    if last is None and until is None and "COUNT" not in parts:
        raise InvalidInput("validUntil", problem="A recurrence needs validUntil, unless it has a COUNT or an UNTIL.")
    farthest = _years_after(first)
    for given, where in ((until, refused), (last, partial(InvalidInput, "validUntil"))):
        if given is not None and given > farthest:
            raise where(problem=f"The dates of a recurrence lie within {MOST_YEARS} years.")
    end = min(each for each in (until, last, farthest) if each is not None)
    dates = _dates(parts, first, end, refused)
    is_cut = "COUNT" in parts and last is None and len(dates) < int(parts["COUNT"])
    if is_cut or len(dates) > MOST_DATES:
        raise refused(
            problem=f"A recurrence has {MOST_DATES} dates at most, within {MOST_YEARS} years; this one has more."
        )
    if not dates:
        raise refused(problem="This recurrence has no date between its start and its end.")
    return ";".join(f"{name}={value}" for name, value in parts.items()), dates


def _parts(recurrence: str, refused: Callable[..., InvalidInput]) -> dict[str, str]:
    text = recurrence.strip().upper().removeprefix("RRULE:")
    if len(text) > LONGEST:
        raise refused(problem=f"A recurrence has {LONGEST} characters at most.")
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name not in PARTS or name in parts or not re.fullmatch(PARTS[name], value, re.ASCII):
            raise refused(
                problem="This is not a recurrence of dates (RFC 5545), like FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE; "
                f"it may have {', '.join(PARTS)}, each once."
            )
        parts[name] = value
    if problem := _problem(parts):
        raise refused(problem=problem)
    return parts


def _problem(parts: dict[str, str]) -> str | None:
    """Say what is wrong with the parts together."""
    if "FREQ" not in parts:
        return "A recurrence needs a FREQ: DAILY, WEEKLY, MONTHLY or YEARLY."
    if "COUNT" in parts and "UNTIL" in parts:
        return "A recurrence has either a COUNT or an UNTIL."
    is_rare = parts["FREQ"] in ("MONTHLY", "YEARLY")
    if not is_rare and re.search(r"\d", parts.get("BYDAY", "")):
        return "Only a MONTHLY or YEARLY recurrence numbers its weekdays, like 1MO."
    most = MOST_OF_A_WEEKDAY.get(parts["FREQ"], 0)
    if any(int(number) > most for number in re.findall(r"\d+", parts.get("BYDAY", ""))):
        return f"A {parts['FREQ']} recurrence numbers its weekdays up to {most}."
    if parts["FREQ"] == "WEEKLY" and "BYMONTHDAY" in parts:
        return "A WEEKLY recurrence has no BYMONTHDAY."
    if "BYSETPOS" in parts and not parts.keys() & {"BYDAY", "BYMONTHDAY", "BYMONTH"}:
        return "BYSETPOS needs another BY part to choose from."
    return None


def _until(parts: dict[str, str], refused: Callable[..., InvalidInput]) -> date | None:
    if "UNTIL" not in parts:
        return None
    try:
        return datetime.strptime(parts["UNTIL"], "%Y%m%d").date()  # noqa: DTZ007 -- a date has no zone
    except ValueError:
        raise refused(problem="UNTIL is a date of the calendar, like 20271231.") from None


def _dates(parts: dict[str, str], first: date, end: date, refused: Callable[..., InvalidInput]) -> tuple[date, ...]:
    """Have the library tell the dates, one more than are allowed at most.

    It looks for the next one until the calendar ends, in the year 9999, which takes seconds for what never comes
    (February 30). So it is asked about the last years whose days fall alike, of which few are left.
    """
    shift = _twin(first.year) - first.year
    text = ";".join(f"{name}={value}" for name, value in parts.items() if name != "UNTIL")
    try:
        rule = rrulestr(text, dtstart=datetime.combine(_shifted(first, shift), time.min))
        last = datetime.combine(_shifted(end, shift), time.min)
        found = list(islice(takewhile(lambda each: each <= last, rule), MOST_DATES + 1))
    except (ValueError, ArithmeticError, LookupError):  # the library does not check all that it is told
        raise refused(problem="This is not a recurrence that has dates (RFC 5545).") from None
    return tuple(_shifted(each.date(), -shift) for each in found)


def _twin(year: int) -> int:
    """Find the last year from which on the days of four years fall on the same dates and weekdays."""
    wanted = _pattern(year)
    return next(twin for twin in range(MAXYEAR - 3, 0, -1) if _pattern(twin) == wanted)


def _pattern(year: int) -> list[tuple[int, bool]]:
    return [(date(each, 1, 1).weekday(), isleap(each)) for each in range(year, year + 4)]


def _shifted(day: date, years: int) -> date:
    return day.replace(year=day.year + years)


def _years_after(first: date) -> date:
    """Find the last day of the years that begin with a date."""
    year = first.year + MOST_YEARS
    is_leap_day = (first.month, first.day) == (2, 29)
    return date(year, 2, 28) if is_leap_day else first.replace(year=year)
