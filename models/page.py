"""Pages: a part of an ordered list, found by the keys of its neighbours (keyset pagination)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, ColumnElement, Integer, Select, and_, literal_column, or_, tuple_
from sqlalchemy.orm import QueryableAttribute

from models.refusal import InvalidInput
from models.zone import written

DEFAULT_SIZE = 20
LARGEST_SIZE = 100
LARGEST_OFFSET = 10_000
LARGEST_NUMBER, LARGEST_POSITION = 2**31, 2**63  # of a column of whole numbers, and of a large one
LONGEST_CURSOR = 8_000  # two names of 200 of the widest characters fit


@dataclass(frozen=True)
class Sort:
    """One column of an order."""

    column: str
    descending: bool = False

    def of(self, column: Any, *, backward: bool = False) -> ColumnElement[Any]:
        """Order by this column of some rows, or the other way round."""
        ordered: ColumnElement[Any] = column.desc() if self.descending != backward else column.asc()
        return ordered


Order = tuple[Sort, ...]
"""Columns that together tell any two rows apart; the last is the id."""


class Place(tuple[Any, ...]):
    """Where a row stands in a list: its values of the order's columns."""

    __slots__ = ()


@dataclass(frozen=True)
class Listed:
    """A list as its cursors know it: how it is called, what its rows are, and in which order they come."""

    name: str
    target: Any
    order: Order

    @property
    def signature(self) -> str:
        """What tells its cursors from those of another list, or of another order."""
        return self.name + "".join(f"{'-' if sort.descending else '+'}{sort.column}" for sort in self.order)

    def columns(self) -> list[QueryableAttribute[Any]]:
        return [getattr(self.target, sort.column) for sort in self.order]


@dataclass(frozen=True)
class Page:
    """Which part of a list: `size` rows after (or, backward, before) a place, or from an offset."""

    fixed: ClassVar[tuple[str, ...]] = ("of", "size", "backward")  # what shapes the statement; the rest only fills it

    of: Listed
    size: int = DEFAULT_SIZE
    after: Place | None = None
    before: Place | None = None
    backward: bool = False
    offset: int | None = None

    @classmethod
    def read(
        cls,
        of: Listed,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> "Page":
        """Check the arguments of a connection (Relay's Cursor Connections), or of a numbered page."""
        sizes = {"first": first, "last": last, "limit": limit}
        for name, size in sizes.items():
            if size is not None and not 1 <= size <= LARGEST_SIZE:
                raise InvalidInput(name, problem=f"{name} must be from 1 to {LARGEST_SIZE}.")
        if offset is not None and not 0 <= offset <= LARGEST_OFFSET:
            raise InvalidInput("offset", problem=f"offset must be from 0 to {LARGEST_OFFSET}.")
        given = [name for name, size in sizes.items() if size is not None]
        if len(given) > 1:
            raise InvalidInput(given[1], problem=f"Give either {given[0]} or {given[1]}.")
        if offset and (after or before or last):
            raise InvalidInput("offset", problem="Give either an offset or a cursor.")
        return cls(
            of,
            first or last or limit or DEFAULT_SIZE,
            _place(after, of, "after"),
            _place(before, of, "before"),
            backward=last is not None,
            offset=offset or None,
        )


@dataclass(frozen=True)
class Slice:
    """The rows of a page, and whether the list goes on at either side."""

    rows: Sequence[Any]
    has_previous: bool
    has_next: bool


def cursor(row: Any, of: Listed) -> str:
    """Tell where in a list a row stands."""
    keys = (getattr(row, sort.column) for sort in of.order)
    place = [of.signature, *(written(key) if isinstance(key, datetime) else key for key in keys)]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def select_page(statement: Select[Any], page: Page, more: int = 1) -> Select[Any]:
    """Narrow a list to a page, and one row more, by which `cut` knows whether the list goes on."""
    for place, backward in ((page.after, False), (page.before, True)):
        if place is not None:
            statement = statement.where(_beyond(page.of, place, backward))
    ordered = [
        sort.of(column, backward=page.backward) for sort, column in zip(page.of.order, page.of.columns(), strict=True)
    ]
    # The size stands in the statement itself: told only afterwards, it would leave the planner guessing.
    limit = literal_column(str(page.size + more), Integer)
    statement = statement.order_by(*ordered).limit(limit)
    return statement if page.offset is None else statement.offset(page.offset)


def cut(rows: Sequence[Any], page: Page) -> Slice:
    """Turn the rows of `select_page` into the page itself, in the order of the list."""
    more = len(rows) > page.size
    kept = list(rows[: page.size])
    if page.backward:
        return Slice(kept[::-1], has_previous=more, has_next=page.before is not None)
    return Slice(kept, has_previous=page.after is not None or page.offset is not None, has_next=more)


def _place(value: str | None, of: Listed, field: str) -> Place | None:
    if value is None:
        return None
    try:
        place = (
            orjson.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
            if len(value) <= LONGEST_CURSOR
            else None
        )
    except (binascii.Error, ValueError):
        place = None
    if (
        not isinstance(place, list)
        or len(place) != len(of.order) + 1
        or not all(_is_plain(key) for key in place)
        or place[0] != of.signature
    ):
        raise InvalidInput(field, problem=f"{field} is not a cursor of this list; use one that its answer contained.")
    try:
        return Place(_typed(column, key) for column, key in zip(of.columns(), place[1:], strict=True))
    except ValueError:
        raise InvalidInput(field, problem="This is not a cursor of this list.") from None


def _is_plain(key: Any) -> bool:
    """Whether a column could have such a value: a text, or a number that is not too large for any."""
    return (isinstance(key, str) and "\0" not in key) or (type(key) is int and abs(key) < LARGEST_POSITION)


def _typed(column: QueryableAttribute[Any], key: str | int) -> Any:
    kind = column.type.python_type
    if (kind is int) != isinstance(key, int):
        raise ValueError(key)
    if isinstance(key, int) and abs(key) >= LARGEST_NUMBER and not isinstance(column.type, BigInteger):
        raise ValueError(key)
    parsers: dict[type, Callable[[Any], Any]] = {
        datetime: datetime.fromisoformat,
        date: date.fromisoformat,
        UUID: UUID,
        int: int,
    }
    return parsers.get(kind, str)(key)


def _beyond(of: Listed, place: Place, backward: bool) -> ColumnElement[bool]:
    columns = of.columns()
    down = [sort.descending != backward for sort in of.order]
    if len(set(down)) == 1:
        row, mark = tuple_(*columns), tuple_(*place)
        return row < mark if down[0] else row > mark
    return or_(
        *(
            and_(
                *(column == key for column, key in zip(columns[:n], place[:n], strict=True)),
                columns[n] < place[n] if down[n] else columns[n] > place[n],
            )
            for n in range(len(columns))
        )
    )
