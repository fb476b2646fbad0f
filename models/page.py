"""Pages: a part of an ordered list, found by the keys of its neighbours (keyset pagination)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Select, and_, or_, tuple_
from sqlalchemy.orm import QueryableAttribute

from models.refusal import InvalidInput

DEFAULT_SIZE = 20
LARGEST_SIZE = 100
LARGEST_OFFSET = 10_000
LONGEST_CURSOR = 8_000  # two names of 200 of the widest characters fit


@dataclass(frozen=True)
class Sort:
    """One column of an order."""

    column: str
    descending: bool = False


Order = tuple[Sort, ...]
"""Columns that together tell any two rows apart; the last is the id."""


@dataclass(frozen=True)
class Page:
    """Which part of a list: `size` rows after (or, backward, before) a cursor, or from an offset."""

    size: int = DEFAULT_SIZE
    after: str | None = None
    before: str | None = None
    backward: bool = False
    offset: int = 0

    @classmethod
    def read(
        cls,
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
        size = first or last or limit or DEFAULT_SIZE
        return cls(size, after, before, backward=last is not None, offset=offset or 0)


@dataclass(frozen=True)
class Slice:
    """The rows of a page, and whether the list goes on at either side."""

    rows: Sequence[Any]
    has_previous: bool
    has_next: bool


def cursor(row: Any, order: Order, name: str) -> str:
    """Tell where in the list called `name` a row stands."""
    place = [_signature(order, name), *(getattr(row, sort.column) for sort in order)]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def select_page(statement: Select[Any], record: Any, order: Order, page: Page, name: str) -> Select[Any]:
    """Narrow a list to a page, and one row more, by which `cut` knows whether the list goes on."""
    for side, backward in ((page.after, False), (page.before, True)):
        if side is not None:
            field = "before" if backward else "after"
            statement = statement.where(_beyond(record, order, _place(side, order, name, field), backward))
    ordered = [
        column.desc() if sort.descending != page.backward else column.asc()
        for sort, column in ((sort, getattr(record, sort.column)) for sort in order)
    ]
    statement = statement.order_by(*ordered).limit(page.size + 1)
    return statement.offset(page.offset) if page.offset else statement


def cut(rows: Sequence[Any], page: Page) -> Slice:
    """Turn the rows of `select_page` into the page itself, in the order of the list."""
    more = len(rows) > page.size
    kept = list(rows[: page.size])
    if page.backward:
        return Slice(kept[::-1], has_previous=more, has_next=page.before is not None)
    return Slice(kept, has_previous=page.after is not None or page.offset > 0, has_next=more)


def _signature(order: Order, name: str) -> str:
    return name + "".join(f"{'-' if sort.descending else '+'}{sort.column}" for sort in order)


def _place(value: str, order: Order, name: str, field: str) -> list[str]:
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
        or len(place) != len(order) + 1
        or not all(isinstance(key, str) and "\0" not in key for key in place)
        or place[0] != _signature(order, name)
    ):
        raise InvalidInput(field, problem=f"{field} is not a cursor of this list; use one that its answer contained.")
    return place[1:]


def _beyond(record: Any, order: Order, place: Sequence[str], backward: bool) -> ColumnElement[bool]:
    columns = [getattr(record, sort.column) for sort in order]
    keys = [_typed(column, key, backward) for column, key in zip(columns, place, strict=True)]
    down = [sort.descending != backward for sort in order]
    if len(set(down)) == 1:
        row, mark = tuple_(*columns), tuple_(*keys)
        return row < mark if down[0] else row > mark
    return or_(
        *(
            and_(
                *(column == key for column, key in zip(columns[:n], keys[:n], strict=True)),
                columns[n] < keys[n] if down[n] else columns[n] > keys[n],
            )
            for n in range(len(order))
        )
    )


def _typed(column: QueryableAttribute[Any], key: str, backward: bool) -> Any:
    parsers: dict[type, Callable[[str], Any]] = {datetime: datetime.fromisoformat, UUID: UUID}
    parse = parsers.get(column.type.python_type, str)
    try:
        return parse(key)
    except ValueError:
        raise InvalidInput("before" if backward else "after", problem="This is not a cursor of this list.") from None
