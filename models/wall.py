"""Walls: what a clock on a wall shows at an instant, for Python and, by tables that Python makes, for PostgreSQL.

PostgreSQL has a database of zones of its own, which is not asked: two databases would disagree some day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Date, DateTime, Integer, Interval, Time, cast, func

from models.record import array_of

FIRST, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 2, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# No zone changes its offset twice within so many days: they go back for a Ramadan, and for the week after it.
STEP = timedelta(days=6)


@dataclass(frozen=True)
class Wall:
    """The clocks of a zone: its offsets in minutes, each from a jump, in minutes since 1970, to the next one."""

    fixed: ClassVar[tuple[str, ...]] = ()

    zone: str
    jumps: tuple[int, ...]
    offsets: tuple[int, ...]

    def shown(self, instant: datetime) -> datetime:
        """What the clocks show at an instant."""
        return instant.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)

    def time(self, instant: Any) -> ColumnElement[datetime]:
        """What the clock shows at an instant of a row."""
        return func.wall_time(instant, array_of(self.jumps, Integer), array_of(self.offsets, Integer), type_=DateTime)

    def date(self, instant: Any) -> ColumnElement[Any]:
        return cast(self.time(instant), Date)

    def since_midnight(self, instant: Any) -> ColumnElement[timedelta]:
        """How late the clock says that it is."""
        return cast(cast(self.time(instant), Time), Interval)


@cache
def wall(name: str) -> Wall:
    """Find out when the offsets of a zone change, by looking at it every few days; there are some hundred zones in all."""
    found = list(jumps(ZoneInfo(name), STEP))
    epoch = EPOCH.replace(tzinfo=None)
    return Wall(name, tuple((at - epoch) // MINUTE for at, _ in found), tuple(offset // MINUTE for _, offset in found))


def jumps(where: ZoneInfo, step: timedelta) -> Iterator[tuple[datetime, timedelta]]:
    """Find the minutes, in UTC, from which on a zone has another offset, and that; first the one that it begins with.

    Ten thousand instants are looked at: each in the one form in which a zone is asked quickest.
    """
    read = where.fromutc
    before, end = (instant.replace(tzinfo=where) for instant in (FIRST, END))
    offset = read(before) - before
    yield before.replace(tzinfo=None), offset
    while before < end:
        after = before + step
        if read(after) - after != offset:
            jump = _first_of(where, before, after)
            offset = read(jump) - jump
            yield jump.replace(tzinfo=None), offset
        before = after


def _first_of(where: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Find the minute at which the offset of the former instant ends."""
    offset, early, late = where.fromutc(before) - before, 0, (after - before) // MINUTE
    while late - early > 1:
        middle = (early + late) // 2
        at = before + middle * MINUTE
        early, late = (middle, late) if where.fromutc(at) - at == offset else (early, middle)
    return before + late * MINUTE


def written(local: datetime) -> str:
    """Write local time without an offset, with no more digits than it needs."""
    text = local.isoformat()
    return text.rstrip("0") if local.microsecond else text
