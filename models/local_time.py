"""Local times: windows of a local day, in minutes since midnight, which may reach into the next day."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Integer, Text, case, literal_column

from models.refusal import DuplicateRows, InvalidInput, OverlappingRows

MINUTES_OF_DAY, MINUTES_OF_WEEK = 24 * 60, 7 * 24 * 60
_DAY = literal_column(str(MINUTES_OF_DAY), Integer)


class Weekday(StrEnum):
    """A day of the week (ISO 8601: it begins on Monday)."""

    MONDAY = "MONDAY"
    TUESDAY = "TUESDAY"
    WEDNESDAY = "WEDNESDAY"
    THURSDAY = "THURSDAY"
    FRIDAY = "FRIDAY"
    SATURDAY = "SATURDAY"
    SUNDAY = "SUNDAY"

    @property
    def number(self) -> int:
        """Number it as ISO 8601 and the database do: 1 is Monday."""
        return list(Weekday).index(self) + 1


def within_day(minute: Any) -> ColumnElement[int]:
    """When a window ends, as a clock on a wall shows it: 24:00 is the end of the day, what is later lies on the next one."""
    return case((minute > _DAY, minute - _DAY), else_=minute)


def is_next_day(minute: Any) -> ColumnElement[bool]:
    """Whether a window that ends at this minute ends on the next day."""
    found: ColumnElement[bool] = minute > _DAY
    return found


def weekday_name(number: Any) -> ColumnElement[str]:
    """Name a weekday that the database has as a number."""
    named = [(number == literal_column(str(day.number)), literal_column(f"'{day}'", Text)) for day in Weekday]
    return case(*named)


@dataclass(frozen=True)
class Interval:
    """A window, in minutes of the local day on which it starts; and where in a request it stands."""

    start: int
    end: int
    field: tuple[str | int, ...] = ()

    @classmethod
    def read(cls, start: int, end: int, *field: str | int, ends_next_day: bool = False) -> "Interval":
        """Check a window: it runs forward, starts within its day, and lasts a day at most."""
        if start == MINUTES_OF_DAY:
            raise InvalidInput(*field, "start", problem="A day begins at 00:00; 24:00 is only an end.")
        if ends_next_day and end == MINUTES_OF_DAY:
            raise InvalidInput(*field, "end", problem="A window ends on the next day before 24:00.")
        end += MINUTES_OF_DAY if ends_next_day else 0
        if end <= start:
            hint = "" if ends_next_day else "; set endsNextDay if it ends on the next day"
            raise InvalidInput(*field, "end", problem=f"end must be after start{hint}.")
        if end - start > MINUTES_OF_DAY:
            raise InvalidInput(*field, "end", problem="A window lasts 24 hours at most.")
        return cls(start, end, field)

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def row(self) -> str:
        return ".".join(map(str, self.field))


Placed = tuple[int, int, int]
"""From which minute to which, and the how many-th window that is."""


def agree(windows: Sequence[tuple[int, Interval]], *, cycle: int | None = None, apart: bool = False) -> None:
    """Refuse windows that repeat or overlap each other; each begins at an offset, in a cycle of so many minutes.

    With `apart`, windows that only touch are refused, too.
    """
    placed: list[Placed] = []
    for n, (offset, window) in enumerate(windows):
        start, end = offset + window.start, offset + window.end
        if cycle is not None and end > cycle:
            placed.append((0, end - cycle, n))
        placed.append((start, end if cycle is None else min(end, cycle), n))
    placed.sort()
    for before, after in pairwise(placed):
        if after[0] < before[1] or (apart and after[0] == before[1]):
            _refuse(windows, *sorted((before[2], after[2])))


def _refuse(windows: Sequence[tuple[int, Interval]], one: int, other: int) -> None:
    (offset, first), (later, second) = windows[one], windows[other]
    if (offset + first.start, first.length) == (later + second.start, second.length):
        raise DuplicateRows(*second.field, rows=[one, other])
    does = "touch" if first.end == second.start or second.end == first.start else "overlap"
    problem = f"{first.row} and {second.row} {does}."
    raise OverlappingRows(*second.field, problem=problem, rows=[one, other], appointment_ids=[])
