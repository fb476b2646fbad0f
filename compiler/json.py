"""JSON text, put together by PostgreSQL: what each kind of value looks like, byte for byte as the ordinary road writes it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLOutputType,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_non_null_type,
)
from sqlalchemy import ColumnElement, Text, cast, func, literal_column

from compiler.road import OrdinaryRoad

Json = list[str | ColumnElement[str]]
"""Text that is known, and text that is computed, one after the other."""

# No JSON text contains a control character: where this one stands, something is null that must not be.
MISSING = "\x01"
NULL = "null"
LENGTH_OF_KEY, LENGTH_OF_LINE = 37, 57


def constant(text: str) -> ColumnElement[str]:
    """A text in the statement itself: names of fields, types and columns, which have neither quotes nor backslashes."""
    return literal_column("E'\\x01'" if text == MISSING else f"'{text}'", Text)


def joined(parts: Sequence[str | ColumnElement[str]]) -> ColumnElement[str]:
    """Concatenate; of two halves each, so that no statement nests as deep as it is long."""
    merged: list[str | ColumnElement[str]] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif not isinstance(part, str) or part:
            merged.append(part)
    return _concatenated([constant(part) if isinstance(part, str) else part for part in merged])


def _concatenated(parts: Sequence[ColumnElement[str]]) -> ColumnElement[str]:
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return _concatenated(parts[:middle]).op("||", precedence=6)(_concatenated(parts[middle:]))


def or_nothing(value: ColumnElement[str], type_: GraphQLOutputType) -> ColumnElement[str]:
    """A value that may be absent: null where its type allows it."""
    return func.coalesce(value, constant(MISSING if is_non_null_type(type_) else NULL), type_=Text)


def scalar(column: ColumnElement[Any], type_: GraphQLOutputType) -> ColumnElement[str]:
    """A value of a column as its GraphQL type shows it."""
    named = get_named_type(type_)
    if is_list_type(get_nullable_type(type_)):
        if named.name not in _LISTED:
            raise OrdinaryRoad(f"lists of {named.name} are written by Python")
        return _text(column)
    if isinstance(named, GraphQLEnumType):
        if any(name != value.value for name, value in named.values.items()):
            raise OrdinaryRoad(f"the database does not know the names of {named.name}")
        return _quoted(column)
    write = _SCALARS.get(named.name)
    if write is None:
        raise OrdinaryRoad(f"values of {named.name} are written by Python")
    return write(column)


def identity(type_name: str, key: ColumnElement[Any]) -> ColumnElement[str]:
    """An opaque id, as `models.node_id.encode` makes it."""
    return _base64(joined([f"{type_name}:", cast(key, Text)]), fits=len(type_name) + LENGTH_OF_KEY <= LENGTH_OF_LINE)


def cursor(signature: str, keys: Sequence[ColumnElement[Any]]) -> ColumnElement[str]:
    """A cursor, as `models.page.cursor` makes it."""
    place: Json = [f'["{signature}"']
    for key in keys:
        place += [",", _instant(key) if key.type.python_type is datetime else _text(key)]
    return func.translate(_base64(joined([*place, "]"])), constant("+/="), constant("-_"), type_=Text)


def _base64(text: ColumnElement[str], *, fits: bool = False) -> ColumnElement[str]:
    """PostgreSQL breaks base64 into lines, as mails do; a text that fits into one needs no joining."""
    encoded = func.encode(func.convert_to(text, constant("UTF8")), constant("base64"), type_=Text)
    return encoded if fits else func.replace(encoded, literal_column("E'\\n'", Text), constant(""), type_=Text)


def _instant(column: ColumnElement[Any]) -> ColumnElement[str]:
    """In UTC, which is every session's zone: `2027-05-03T09:00:00+00:00` becomes `2027-05-03T09:00:00Z`."""
    return joined([func.left(_text(column), literal_column("-7"), type_=Text), 'Z"'])


def _time(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Minutes since midnight: 1440 becomes `24:00`."""
    length = func.make_interval(*[literal_column("0")] * 5, column)
    return joined(['"', func.to_char(length, constant("HH24:MI"), type_=Text), '"'])


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    return cast(func.to_json(column), Text)


def _plain(column: ColumnElement[Any]) -> ColumnElement[str]:
    return cast(column, Text)


def _quoted(column: ColumnElement[Any]) -> ColumnElement[str]:
    return joined(['"', cast(column, Text), '"'])


_LISTED = ("Int", "String")
_SCALARS = {
    "Boolean": _plain,
    "Int": _plain,
    "String": _text,
    "TimeZone": _text,
    "Date": _quoted,
    "LocalTime": _time,
    "Decimal": _quoted,
    "LocalDateTime": _text,
    "DateTime": _instant,
}
