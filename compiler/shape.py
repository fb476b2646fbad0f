"""Shapes: what of the values that are asked for makes the statement, and what only fills it."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BindParameter, DateTime, Integer, Interval, LargeBinary, Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY

from compiler.road import OrdinaryRoad
from models.page import Place

TYPES: dict[type, Any] = {
    UUID: Uuid(),
    datetime: DateTime(timezone=True),
    timedelta: Interval(),
    str: Text(),
    int: Integer(),
    bytes: LargeBinary(),
}
_WRITERS: dict[type, Callable[[Any], str]] = {
    UUID: str,
    str: str,
    int: str,
    datetime: datetime.isoformat,
    timedelta: lambda value: f"{value // timedelta(microseconds=1)} microseconds",
    bytes: lambda value: f"\\x{value.hex()}",
    bool: lambda value: str(value).lower(),
}


def shape(values: Any, bound: list[Any]) -> Hashable:
    """Tell values of one statement from those of another, and gather into `bound` what only fills it, in order."""
    fixed = getattr(values, "fixed", None)
    if fixed is not None:
        parts = vars(values).items()
        return (type(values), *(value if name in fixed else shape(value, bound) for name, value in parts))
    if isinstance(values, Place):
        return tuple(shape(value, bound) for value in values)
    if values is None:
        return None
    bound.append(values)
    kind: type[Any] = type(values)
    return cast("Hashable", kind)


def hollow(values: Any, holes: list[BindParameter[Any]]) -> Any:
    """Put a hole, a parameter of its type, in the place of each value that `shape` gathers, in the same order."""
    fixed = getattr(values, "fixed", None)
    if fixed is not None:
        parts = vars(values).items()
        for name in getattr(values, "uneven", ()):
            if getattr(values, name) is not None:
                raise OrdinaryRoad(f"no one plan serves any number of {name}")
        return replace(values, **{name: hollow(value, holes) for name, value in parts if name not in fixed})
    if isinstance(values, Place):
        return Place(hollow(value, holes) for value in values)
    if values is None:
        return None
    holes.append(hole(f"v{len(holes)}", _type_of(values)))
    return holes[-1]


def hole(name: str, type_: Any) -> BindParameter[Any]:
    """A parameter whose value each run brings; the statement is compiled as if it were null."""
    return bindparam(name, None, type_=type_)


def text(value: Any) -> bytes | None:
    """Write a value as PostgreSQL reads it; a ValueError, if no text can carry it."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return _array(value)
    return _WRITERS[type(value)](value).encode()


def _array(values: tuple[Any, ...]) -> bytes:
    """Only of what needs no quotes: keys, and names of types."""
    return b"{%b}" % b",".join(str(value).encode() for value in values)


def _type_of(value: Any) -> Any:
    if isinstance(value, tuple):
        return ARRAY(TYPES[type(value[0])] if value else Uuid())
    return TYPES[type(value)]
