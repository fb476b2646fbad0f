"""Shapes on the compiled road: values that every plan serves, and how PostgreSQL reads them."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter

from compiler.road import OrdinaryRoad
from models import shape

LISTS_KEPT = 256
_WRITERS: dict[type, Callable[[Any], str]] = {
    UUID: str,
    str: str,
    int: str,
    Decimal: str,
    datetime: datetime.isoformat,
    date: date.isoformat,
    timedelta: lambda value: f"{value // timedelta(microseconds=1)} microseconds",
    bytes: lambda value: f"\\x{value.hex()}",
    bool: lambda value: str(value).lower(),
}


def hollow(values: Any, holes: list[BindParameter[Any]]) -> Any:
    """Put a hole in the place of each value that only fills a statement, unless Python has to read it."""
    for name in shape.uneven(values):
        raise OrdinaryRoad(f"no one plan serves any number of {name}")
    try:
        return shape.hollow(values, holes)
    except shape.ShapelessError as why:
        raise OrdinaryRoad(str(why)) from None


def text(value: Any) -> bytes | None:
    """Write a value as PostgreSQL reads it; a ValueError, if no text can carry it."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return _array(value)
    return _WRITERS[type(value)](value).encode()


def _array(values: tuple[Any, ...]) -> bytes:
    """Only of what needs no quotes: keys, names of types, and numbers, which are many and often the same."""
    if values and isinstance(values[0], int):
        return _numbers(values)
    return b"{%b}" % b",".join(str(value).encode() for value in values)


@lru_cache(LISTS_KEPT)
def _numbers(values: tuple[int, ...]) -> bytes:
    return b"{%b}" % ",".join(map(str, values)).encode()
