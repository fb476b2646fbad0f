"""Calendar files: to the byte, and as another program reads them."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from icalendar import Calendar

from models.calendar_file import Entry, feed, invitation, place, summary

ID = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")
CREATED = datetime(2027, 3, 1, 12, tzinfo=UTC)
STARTS = datetime(2027, 3, 28, 1, tzinfo=UTC)  # 03:00 in Berlin, a moment after the clocks went forward from 02:00
GOLDEN = b"""BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Holdfast//Appointments//EN\r
CALSCALE:GREGORIAN\r
METHOD:PUBLISH\r
BEGIN:VEVENT\r
UID:0190ffff-ffff-7fff-8fff-ffffffffffff@holdfast\r
DTSTAMP:20270301T130000Z\r
LAST-MODIFIED:20270301T130000Z\r
SEQUENCE:1\r
DTSTART:20270328T010000Z\r
DTEND:20270328T013000Z\r
STATUS:CONFIRMED\r
TRANSP:OPAQUE\r
SUMMARY:Cut\\, wash with Ada Lovelace\r
LOCATION:Here\\; and there\\, Unter den Linden 1\\nBerlin\r
END:VEVENT\r
END:VCALENDAR\r
"""


def row(**more: Any) -> Any:
    """A reservation, as it is read of the table."""
    never = dict.fromkeys(("requested_at", "confirmed_at", "started_at", "completed_at", "cancelled_at"))
    known = {"id": ID, "version": 1, "status": "HELD", "created_at": CREATED, "scheduled_at": CREATED}
    times = {"starts_at": STARTS, "ends_at": STARTS + timedelta(minutes=30), "expires_at": CREATED + timedelta(hours=2)}
    return SimpleNamespace(**{**never, **known, **times, **more})


def entry(what: str = "Cut", where: str | None = None, **more: Any) -> Entry:
    return Entry.of(row(**more), what, where)


def test_the_file_of_a_reservation_is_the_same_to_the_byte() -> None:
    confirmed = {"status": "CONFIRMED", "version": 2, "confirmed_at": CREATED + timedelta(hours=1)}
    where = place("Here; and there", "Unter den Linden 1\nBerlin")

    written = invitation(entry(summary("Cut, wash", "Ada Lovelace"), where, **confirmed))

    assert written.encode() == GOLDEN


@pytest.mark.parametrize(
    ("status", "version", "told"),
    [
        ("HELD", 1, ("TENTATIVE", 0, "OPAQUE")),
        ("PENDING", 2, ("TENTATIVE", 1, "OPAQUE")),
        ("CONFIRMED", 2, ("CONFIRMED", 1, "OPAQUE")),
        ("COMPLETED", 4, ("CONFIRMED", 3, "OPAQUE")),
        ("NO_SHOW", 3, ("CONFIRMED", 2, "OPAQUE")),
        ("CANCELLED", 3, ("CANCELLED", 2, "TRANSPARENT")),
        # A hold that has lapsed has the version of the hold, until that is written down.
        ("EXPIRED", 1, ("CANCELLED", 1, "TRANSPARENT")),
        ("EXPIRED", 2, ("CANCELLED", 2, "TRANSPARENT")),
    ],
)
def test_another_program_reads_where_a_reservation_stands(status: str, version: int, told: Any) -> None:
    read: Any = Calendar.from_ical(invitation(entry(status=status, version=version)))
    (event,) = read.walk("VEVENT")

    assert (event["STATUS"], event["SEQUENCE"], event["TRANSP"]) == told
    assert (event["DTSTART"].dt, event["DTEND"].dt) == (STARTS, STARTS + timedelta(minutes=30))


def test_another_program_reads_every_letter_of_a_feed() -> None:
    long = "Färben, „Strähnen“ und Schnitt – 👩‍🦰 " * 20 + "\\;\n\x07\x7f\r\nEND:VCALENDAR"
    shown = [entry(long, "a" * 500), entry("Cut")]

    calendar = feed("Ada Lovelace", shown)

    read: Any = Calendar.from_ical(calendar)
    assert [event["SUMMARY"] for event in read.walk("VEVENT")] == [
        long.replace("\x07", "").replace("\x7f", "").replace("\r", ""),
        "Cut",
    ]
    assert [event.get("LOCATION") for event in read.walk("VEVENT")] == ["a" * 500, None]
    assert (read["METHOD"], read["NAME"], read["X-WR-CALNAME"]) == ("PUBLISH", "Ada Lovelace", "Ada Lovelace")
    assert read["REFRESH-INTERVAL"].dt == timedelta(minutes=15)
    assert max(len(line) for line in calendar.encode().split(b"\r\n")) == 75
    assert feed("Ada Lovelace", shown) == calendar


def test_a_summary_and_a_place_say_what_is_known() -> None:
    assert summary("Cut", "Ada") == "Cut with Ada"
    assert summary("Cut", "Charles", between=": ") == "Cut: Charles"
    assert summary(None, None) == "Appointment"
    assert (place(None, None), place("Here", None), place("Here", "There")) == (None, "Here", "Here, There")
