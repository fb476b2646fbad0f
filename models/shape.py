"""Shapes: what of the values that a statement is made for makes the statement, and what only fills it."""

from collections.abc import Hashable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BindParameter, Date, DateTime, Integer, Interval, LargeBinary, Numeric, Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY

from models.page import Place

TYPES: dict[type, Any] = {
    UUID: Uuid(),
    datetime: DateTime(timezone=True),
    date: Date(),
    timedelta: Interval(),
    str: Text(),
    int: Integer(),
    Decimal: Numeric(),
    bytes: LargeBinary(),
}


class ShapelessError(Exception):
    """Why values can be no parameters of a statement."""


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
        return replace(values, **{name: hollow(value, holes) for name, value in parts if name not in fixed})
    if isinstance(values, Place):
        return Place(hollow(value, holes) for value in values)
    if values is None:
        return None
    holes.append(hole(f"v{len(holes)}", _type_of(values)))
    return holes[-1]


def uneven(values: Any) -> Iterator[str]:
    """Name what is given of which the number decides how the rest is best looked for: one plan does not serve all."""
    if getattr(values, "fixed", None) is None:
        return
    yield from (name for name in getattr(values, "uneven", ()) if getattr(values, name) is not None)
    for name, value in vars(values).items():
        if name not in values.fixed:
            yield from uneven(value)


def hole(name: str, type_: Any) -> BindParameter[Any]:
    """A parameter whose value each run brings; the statement is compiled as if it were null."""
    return bindparam(name, None, type_=type_)


def _type_of(value: Any) -> Any:
    if isinstance(value, tuple):
        return ARRAY(next((_type_of(one) for one in value if one is not None), Uuid()))
    if type(value) not in TYPES:
        raise ShapelessError(f"a {type(value).__name__} is read by Python")
    return TYPES[type(value)]
