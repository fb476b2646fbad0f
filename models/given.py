"""Given: what an input says of a thing. What it leaves out stays as it is; null takes away what need not be there."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.refusal import InvalidInput

Columns = dict[str, Any]
"""Values, by the column that they are written to."""
Check = Callable[[Any, str], Columns]
"""Checks the value of a field, whose name in the API it is told, and writes it as columns."""


@dataclass(frozen=True)
class Field:
    """How a field of an input is read, and whether null takes its value away."""

    check: Check
    is_needed: bool = False


def written(column: str, check: Callable[[Any, str], Any], *, is_needed: bool = False) -> Field:
    """Read a field whose value goes to one column."""
    return Field(lambda value, field: {column: None if value is None else check(value, field)}, is_needed)


def as_it_is(value: Any, _field: str) -> Any:
    """Take a value whose type says all that there is to check."""
    return value


def read(given: Mapping[str, Any], fields: Mapping[str, Field]) -> Columns:
    """Check all that is given, by the names of its fields."""
    columns: Columns = {}
    for name, value in given.items():
        shown = in_camels(name)
        if value is None and fields[name].is_needed:
            raise InvalidInput(shown, problem=f"{shown} must not be null.")
        columns |= fields[name].check(value, shown)
    return columns


def in_camels(name: str) -> str:
    """Call a field as the API does."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def something(columns: Columns) -> Columns:
    """Refuse a change that changes nothing."""
    if not columns:
        raise InvalidInput(problem="Send what is to change, one value at least.")
    return columns


@dataclass(frozen=True)
class Creation:
    """A thing that is to be made."""

    values: Columns


@dataclass(frozen=True)
class Edition:
    """What of a thing is to change, from the version at which it was read."""

    key: UUID
    expected_version: int
    values: Columns


@dataclass(frozen=True)
class Deletion:
    """A thing that is to be deleted, at the version at which it was read, if one is told."""

    key: UUID
    expected_version: int | None
