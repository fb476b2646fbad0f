"""Recurrences: the dates are those that the library finds from the start itself, and are found quickly or not at all."""

import time
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recurrence import MOST_DATES, expanded
from models.refusal import InvalidInput

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
YEAR = timedelta(days=365)
NEVER = [
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;BYMONTH=2;BYDAY=6MO",
    "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2",
    "FREQ=DAILY;BYDAY=MO;BYMONTHDAY=1;BYSETPOS=2",
]


def several(values: Any, most: int = 3) -> st.SearchStrategy[str]:
    """Some of these values, as a part of a recurrence lists them."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(
        lambda s: ",".join(map(str, s))
    )


@st.composite
def recurrences(draw: st.DrawFn) -> str:
    """A recurrence of whole dates that breaks no rule between its parts."""
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    is_rare = frequency in ("MONTHLY", "YEARLY")
    numbers = ["", "1", "2", "-1", "5"] if is_rare else [""]
    parts = {"FREQ": frequency, "INTERVAL": str(draw(st.integers(1, 5))), "WKST": draw(st.sampled_from(DAYS))}
    if draw(st.booleans()):
        parts["BYDAY"] = draw(several([f"{number}{day}" for number in numbers for day in DAYS]))
    if frequency != "WEEKLY" and draw(st.booleans()):
        parts["BYMONTHDAY"] = draw(several([*range(1, 32), -1, -31]))
    if draw(st.booleans()):
        parts["BYMONTH"] = draw(several(range(1, 13), 6))
    is_chosen: bool = draw(st.booleans())
    if is_chosen and parts.keys() & {"BYDAY", "BYMONTHDAY", "BYMONTH"}:
        parts["BYSETPOS"] = draw(several([1, 2, -1]))
    return ";".join(f"{name}={value}" for name, value in parts.items())


def directly(recurrence: str, first: date, last: date) -> list[date]:
    """The dates as the library tells them; with an UNTIL it would still look until the calendar ends."""
    ends = f"{recurrence};UNTIL={last:%Y%m%d}"
    start = datetime.combine(first, datetime.min.time())
    found = rrulestr(ends, dtstart=start).between(start, datetime.combine(last, datetime.min.time()), inc=True)
    return [each.date() for each in found]


def told(recurrence: str, first: date, last: date) -> tuple[str, tuple[date, ...]] | InvalidInput:
    """What is made of a recurrence, or why nothing is."""
    try:
        return expanded(recurrence, first, last, "recurrence")
    except InvalidInput as refused:
        return refused


@settings(max_examples=100, deadline=None)
@given(recurrences(), st.dates(date(2000, 1, 1), date(2197, 12, 31)), st.integers(0, 700))
def test_the_dates_are_those_of_the_library(recurrence: str, first: date, days: int) -> None:
    last = first + timedelta(days=days)
    wanted = directly(recurrence, first, last)

    found = told(recurrence, first, last)

    if isinstance(found, InvalidInput):
        assert found.field == ["recurrence"]
        assert not wanted or len(wanted) > MOST_DATES
    else:
        assert list(found[1]) == wanted
        assert told(found[0], first, last) == found


@pytest.mark.parametrize("first", [date(2027, 5, 3), date(2098, 2, 28), date(2199, 12, 31)], ids=str)
@pytest.mark.parametrize("recurrence", NEVER)
def test_what_never_comes_is_refused_at_once(recurrence: str, first: date) -> None:
    began = time.process_time()

    with pytest.raises(InvalidInput, match="has no date"):
        expanded(recurrence, first, first + YEAR, "recurrence")

    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "recurrence",
    [
        *("FREQ=MONTHLY;BYDAY=53MO", "FREQ=MONTHLY;BYDAY=+99MO", "FREQ=MONTHLY;BYDAY=-6MO,MO"),
        *("FREQ=YEARLY;BYDAY=54MO", "FREQ=YEARLY;BYDAY=MO,-54SU", "FREQ=YEARLY;BYMONTH=5;BYDAY=+99MO"),
    ],
)
def test_a_number_that_no_weekday_can_have_is_refused(recurrence: str) -> None:
    refused = told(f"{recurrence};COUNT=3", date(2027, 5, 3), date(2028, 5, 3))

    assert isinstance(refused, InvalidInput)
    assert refused.field == ["recurrence"]
    assert refused.sentence.endswith("numbers its weekdays up to 5." if "MONTHLY" in recurrence else "up to 53.")


@pytest.mark.parametrize("month", ["", ";BYMONTH=2", ";BYMONTH=1,12"])
@pytest.mark.parametrize("frequency", ["MONTHLY", "YEARLY"])
def test_every_number_of_a_weekday_is_read_or_refused(frequency: str, month: str) -> None:
    for number in {*range(-53, 54)} - {0}:
        found = told(f"FREQ={frequency};BYDAY={number}SU{month};COUNT=1", date(2027, 5, 3), date(2028, 5, 3))

        assert found.field == ["recurrence"] if isinstance(found, InvalidInput) else len(found[1]) == 1


@given(st.text(max_size=40) | st.from_regex(r"\A(FREQ|COUNT|BYDAY|UNTIL|INTERVAL)=[A-Z0-9,;=+-]{0,30}\Z"))
def test_any_text_is_read_or_refused(text: str) -> None:
    first = date(2027, 5, 3)

    found = told(text, first, first + YEAR)

    if isinstance(found, InvalidInput):
        assert found.sentence
    else:
        assert 1 <= len(found[1]) <= MOST_DATES
        assert all(first <= each <= first + YEAR for each in found[1])
        assert list(found[1]) == sorted(set(found[1]))


@pytest.mark.parametrize(
    ("recurrence", "first", "expected"),
    [
        ("FREQ=MONTHLY;BYMONTHDAY=31;COUNT=3", date(2027, 1, 15), [date(2027, 1, 31), date(2027, 3, 31), date(2027, 5, 31)]),
        ("FREQ=YEARLY;COUNT=1", date(2028, 2, 29), [date(2028, 2, 29)]),
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=2;WKST=SU", date(2027, 5, 9), [date(2027, 5, 9), date(2027, 5, 23)]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=2", date(2027, 5, 1), [date(2027, 5, 31), date(2027, 6, 30)]),
        ("FREQ=DAILY;UNTIL=20991231;INTERVAL=366", date(2098, 1, 1), [date(2098, 1, 1), date(2099, 1, 2)]),
    ],
)  # fmt: skip
def test_a_recurrence_that_ends_by_itself_needs_no_last_date(
    recurrence: str, first: date, expected: list[date]
) -> None:
    assert list(expanded(recurrence, first, None, "recurrence")[1]) == expected


def test_a_count_that_lies_beyond_the_last_date_is_cut_there() -> None:
    first = date(2027, 5, 3)

    dates = expanded("FREQ=DAILY;COUNT=500", first, first + timedelta(days=2), "recurrence")[1]

    assert list(dates) == [first + timedelta(days=n) for n in range(3)]
