"""The declarative base of every table, and the columns that a statement reads of one."""

from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Interval,
    Label,
    Text,
    Uuid,
    and_,
    bindparam,
    false,
    inspect,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.viewer import Sight, Viewer

CLOCK = text("clock_timestamp()")


class Record(DeclarativeBase):
    """A table of the one schema. Rows travel as plain rows, never as objects of these classes."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: DateTime(timezone=True),
        timedelta: Interval,
        UUID: Uuid,
    }

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """Which rows somebody sees: those of their business, unless a table says less."""
        condition: ColumnElement[bool] = cls.business_id == viewer.business_id  # type: ignore[attr-defined]
        return condition


def of_persons(
    rows: ColumnElement[bool],
    viewer: Viewer,
    *,
    provider: ColumnElement[bool] | None = None,
    client: ColumnElement[bool] | None = None,
) -> ColumnElement[bool]:
    """Narrow rows that are about persons to what somebody sees: all, or what is a provider's or a client's own, or none."""
    match viewer.sight:
        case Sight.ALL:
            return rows
        case Sight.PROVIDER if provider is not None:
            return and_(rows, provider)
        case Sight.CLIENT if client is not None:
            return and_(rows, client)
    return false()


def generated_id() -> Mapped[UUID]:
    """A key that the database makes, in the order of creation (RFC 9562, version 7)."""
    return mapped_column(primary_key=True, server_default=text("uuidv7()"))


def stamped() -> Mapped[datetime]:
    """An instant that the database's clock writes."""
    return mapped_column(server_default=CLOCK)


def versioned() -> Mapped[int]:
    """A number that grows by one with each change."""
    return mapped_column(server_default=text("1"))


class OfBusiness:
    """The columns of every thing that belongs to a business. All keys begin with the business."""

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()


def columns(record: Any) -> list[Label[Any]]:
    """Everything a row of this table (or of an alias of it) carries, stored and derived, save what is `deferred`."""
    return [
        getattr(record, attribute.key).label(attribute.key)
        for attribute in inspect(record).mapper.column_attrs
        if not attribute.deferred
    ]


def bound(value: Any, type_: Any) -> ColumnElement[Any]:
    """Put a value into a statement; a compiler gives the place of a value instead, and fills it at each run."""
    return value if isinstance(value, ColumnElement) else literal(value, type_)


def array_of(values: Any, type_: Any) -> ColumnElement[Any]:
    """Put several values into a statement, as one."""
    return values if isinstance(values, ColumnElement) else bindparam(None, list(values), type_=ARRAY(type_))
