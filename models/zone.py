"""Time zones: the one place where local time becomes an instant.

A wall time means its first occurrence; a wall time inside a gap means the moment of the jump;
a date is everything from its first instant to the next date's first instant.
"""

import difflib
import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

from models.refusal import UnknownTimeZone

# Names that the database of zones ships for machines, not for people.
_MACHINERY = {"Factory", "localtime", "posixrules", "leapseconds", "tzdata.zi"}


@cache
def names() -> frozenset[str]:
    """Every name that may be used: those of the IANA database, in their own spelling."""
    return frozenset(
        name for name in available_timezones() if name not in _MACHINERY and not name.startswith(("posix/", "right/"))
    )


@cache
def fingerprint() -> str:
    """Tell this database of zones from another one, by the content of all its zones."""
    told = hashlib.sha256()
    for name in sorted(names()):
        told.update(name.encode())
        told.update(_content(name))
    return told.hexdigest()[:16]


def _content(name: str) -> bytes:
    """Read a zone from where `zoneinfo` has it: the machine's database, else the package `tzdata`."""
    for folder in TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.read_bytes()
    package, _, last = f"tzdata.zoneinfo.{name.replace('/', '.')}".rpartition(".")
    return resources.files(package).joinpath(last).read_bytes()


def zone(name: str, *field: str | int) -> ZoneInfo:
    """Find a zone, or refuse with up to three near names."""
    if name not in names():
        raise UnknownTimeZone(*field, zone=name[:80], suggestions=near(name[:80], names()))
    return ZoneInfo(name)


def near(name: str, known: Iterable[str]) -> list[str]:
    """Find up to three known names that look like this one, whatever its case; also by city alone."""
    wanted = name.strip().lower().replace(" ", "_")
    spelling = {word: full for full in sorted(known) for word in (full.rsplit("/", 1)[-1].lower(), full.lower())}
    found = [spelling[word] for word in difflib.get_close_matches(wanted, spelling, n=6, cutoff=0.4)]
    return list(dict.fromkeys(found))[:3]


def written(instant: datetime) -> str:
    """Write an instant in UTC (RFC 3339), with no more digits than it needs."""
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if instant.microsecond else text}Z"


def instant(local: datetime, where: ZoneInfo) -> datetime:
    """Find the instant of a wall time (a naive datetime)."""
    first, second = (local.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return first
    return jump(second, first, where)


def day(which: date, where: ZoneInfo) -> tuple[datetime, datetime]:
    """Find the first instant of a local date, and that of the next one."""
    return (
        instant(datetime.combine(which, time.min), where),
        instant(datetime.combine(which + timedelta(days=1), time.min), where),
    )


def jump(before: datetime, after: datetime, where: ZoneInfo) -> datetime:
    """Find the moment between two instants at which the zone's offset changes, to the second."""
    old = before.astimezone(where).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        before, after = (middle, after) if middle.astimezone(where).utcoffset() == old else (before, middle)
    return after.replace(microsecond=0)
