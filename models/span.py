"""Spans: ranges of dates that lists are narrowed to."""

from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from sqlalchemy import Select

from models.search import between


@dataclass(frozen=True)
class Dates:
    """From a date, which belongs to it, until another one, which does not; either may be left open."""

    fixed: ClassVar[tuple[str, ...]] = ()

    first: date | None = None
    end: date | None = None

    @classmethod
    def read(cls, first: date | None, end: date | None) -> "Dates":
        """Check a range of dates."""
        between(first, end)
        return cls(first, end)


ANY = Dates()


def within(statement: Select[Any], column: Any, dates: Dates) -> Select[Any]:
    """Narrow a selection to the rows whose date lies in a range."""
    if dates.first is not None:
        statement = statement.where(column >= dates.first)
    return statement if dates.end is None else statement.where(column < dates.end)
