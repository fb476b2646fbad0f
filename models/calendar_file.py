"""Calendar files: reservations as other programs keep them (RFC 5545), in bytes that are the same for the same reservations."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

MEDIA_TYPE = "text/calendar; charset=utf-8"
PRODUCT = "-//Holdfast//Appointments//EN"
REFRESH = "PT15M"  # how often a program should look again
LONGEST_LINE = 75  # octets
_STATUS = {"HELD": "TENTATIVE", "PENDING": "TENTATIVE", "CANCELLED": "CANCELLED", "EXPIRED": "CANCELLED"}
_CONTROLS = dict.fromkeys([*map(chr, range(32)), "\x7f"])  # which have no meaning in a calendar
_ESCAPES = str.maketrans({**_CONTROLS, "\\": r"\\", ";": r"\;", ",": r"\,", "\n": r"\n"})


@dataclass(frozen=True)
class Entry:
    """A reservation as a calendar shows it: nothing in it is a client's own words."""

    reservation_id: UUID
    sequence: int
    status: str
    starts_at: datetime
    ends_at: datetime
    changed_at: datetime
    summary: str
    location: str | None = None

    @classmethod
    def of(cls, row: Any, summary: str, location: str | None) -> "Entry":
        """Read a reservation's row; a hold that has lapsed is cancelled at once, before its version tells."""
        lapsed = row.status == "EXPIRED"
        return cls(
            row.id,
            row.version - (0 if lapsed else 1),
            _STATUS.get(row.status, "CONFIRMED"),
            row.starts_at,
            row.ends_at,
            _changed(row),
            summary,
            location,
        )

    def lines(self) -> Iterator[str]:
        """Write it as a component of a calendar."""
        yield "BEGIN:VEVENT"
        yield f"UID:{self.reservation_id}@holdfast"
        yield f"DTSTAMP:{_instant(self.changed_at)}"
        yield f"LAST-MODIFIED:{_instant(self.changed_at)}"
        yield f"SEQUENCE:{self.sequence}"
        yield f"DTSTART:{_instant(self.starts_at)}"
        yield f"DTEND:{_instant(self.ends_at)}"
        yield f"STATUS:{self.status}"
        yield f"TRANSP:{'TRANSPARENT' if self.status == 'CANCELLED' else 'OPAQUE'}"
        yield f"SUMMARY:{_text(self.summary)}"
        if self.location:
            yield f"LOCATION:{_text(self.location)}"
        yield "END:VEVENT"


def invitation(*entries: Entry) -> str:
    """Write the file of one reservation, or of several that were changed at once."""
    return _written(["METHOD:PUBLISH"], entries)


def feed(name: str, entries: Sequence[Entry]) -> str:
    """Write a whole calendar, which programs read again and again."""
    told = [
        "METHOD:PUBLISH",
        f"NAME:{_text(name)}",
        f"X-WR-CALNAME:{_text(name)}",
        f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}",
        f"X-PUBLISHED-TTL:{REFRESH}",
    ]
    return _written(told, entries)


def summary(service: str | None, whom: str | None, *, between: str = " with ") -> str:
    """Say in a line what an appointment is for, and with whom."""
    what = service or "Appointment"
    return f"{what}{between}{whom}" if whom else what


def place(name: str | None, address: str | None) -> str | None:
    """Say in a line where an appointment is."""
    return ", ".join(filter(None, (name, address))) or None


def _written(told: Iterable[str], entries: Iterable[Entry]) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODUCT}", "CALSCALE:GREGORIAN", *told]
    for entry in entries:
        lines += entry.lines()
    lines.append("END:VCALENDAR")
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _changed(row: Any) -> datetime:
    """When a reservation was last known to change: of a file that is made twice, this too must be the same."""
    known = (row.created_at, row.scheduled_at, row.requested_at, row.confirmed_at, row.started_at, row.completed_at)
    lapsed_at = row.expires_at if row.status == "EXPIRED" else None
    newest: datetime = max(filter(None, (*known, row.cancelled_at, lapsed_at)))
    return newest


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(value: str) -> str:
    """Escape what has a meaning."""
    return value.translate(_ESCAPES)


def _folded(line: str) -> str:
    """Break a line that is too long, and no letter."""
    if len(line.encode()) <= LONGEST_LINE:
        return line
    parts, part, size = [], "", 0
    for letter in line:
        octets = len(letter.encode())
        if size + octets > LONGEST_LINE:
            parts.append(part)
            part, size = " ", 1
        part, size = part + letter, size + octets
    return "\r\n".join([*parts, part])
