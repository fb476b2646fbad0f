"""Events: the history of every change and the outbox of every message, in one table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, Identity, Index, Select, Text, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.page import Listed, Sort
from models.record import Record, array_of, generated_id, stamped
from models.refusal import InvalidInput
from models.relation import rows
from models.viewer import Viewer
from models.zone import written

MOST_TYPES = 50
_TYPE = re.compile(r"[a-z0-9_.]{1,200}", re.ASCII)


class Event(Record):
    """One change, written by the statement that made it (triggers). Carries ids and times, never personal data."""

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("length(type) <= 200", name="event_type_is_short"),
        CheckConstraint(
            "position IS NOT NULL OR relayed_at IS NULL OR starts_with(type, 'audit.')", name="relayed_by_the_relay"
        ),
        Index("events_to_relay", "seq", postgresql_where=text("relayed_at IS NULL")),
        Index("events_of_aggregate", "business_id", "aggregate_id", "id"),
        Index("events_by_position", "position", unique=True, postgresql_where=text("position IS NOT NULL")),
        Index("events_of_business", "business_id", "position", postgresql_where=text("position IS NOT NULL")),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    type: Mapped[str]
    aggregate_id: Mapped[UUID]
    occurred_at: Mapped[datetime] = stamped()
    actor: Mapped[str | None] = mapped_column(
        server_default=text("nullif(current_setting('holdfast.actor', true), '')")
    )
    correlation_id: Mapped[str | None] = mapped_column(
        server_default=text("nullif(current_setting('holdfast.correlation_id', true), '')")
    )
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    diff: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    relayed_at: Mapped[datetime | None]
    position: Mapped[int | None] = mapped_column(BigInteger)
    transaction_id: Mapped[int | None] = mapped_column(
        BigInteger, server_default=text("pg_current_xact_id()::text::bigint"), deferred=True
    )


def envelope(row: Any) -> dict[str, Any]:
    """Tell an event as the world outside hears of it."""
    return {
        "id": str(row.id),
        "type": row.type,
        "source": source(row.business_id),
        "occurred_at": written(row.occurred_at),
        "correlation_id": row.correlation_id,
        "data": row.data,
    }


def source(business: UUID) -> str:
    """Name the business that an event is of."""
    return f"/businesses/{business}"


def authored(actor: str, correlation_id: str) -> ColumnElement[bool]:
    """Tell every event that a statement writes who asks, and in which request; a condition that is always true."""
    named = func.set_config("holdfast.actor", actor, True)
    return (
        select(func.concat(named, func.set_config("holdfast.correlation_id", correlation_id, True)))
        .scalar_subquery()
        .is_not(None)
    )


FEED = Listed("events", Event, (Sort("position"),))


@dataclass(frozen=True)
class Wanted:
    """What the feed is narrowed to; nothing means all types."""

    types: tuple[str, ...] | None = None

    @classmethod
    def read(cls, types: Sequence[str] | None) -> "Wanted":
        """Check which types are asked for."""
        if types is None:
            return cls()
        if not 1 <= len(types) <= MOST_TYPES:
            raise InvalidInput("types", problem=f"types must name 1 to {MOST_TYPES} types.")
        for n, each in enumerate(types):
            if not _TYPE.fullmatch(each):
                raise InvalidInput(
                    "types", n, problem="This is no type of events; they look like scheduling.client.created.v1."
                )
        return cls(tuple(types))


def fed(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select what was done in a business, as far as it was relayed; readings never are."""
    statement = rows(Event, viewer).where(Event.position.is_not(None))
    if wanted.types is not None:
        statement = statement.where(Event.type == func.any(array_of(wanted.types, Text)))
    return statement
