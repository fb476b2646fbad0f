"""Events: the history of every change and the outbox of every message, in one table."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Identity, Index, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record, generated_id, stamped


class Event(Record):
    """One change, written by the statement that made it (triggers). Carries ids and times, never personal data."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_to_relay", "seq", postgresql_where=text("relayed_at IS NULL")),
        Index("events_of_aggregate", "business_id", "aggregate_id", "id"),
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


def authored(actor: str, correlation_id: str) -> ColumnElement[bool]:
    """Tell every event that a statement writes who asks, and in which request; a condition that is always true."""
    named = func.set_config("holdfast.actor", actor, True)
    return (
        select(func.concat(named, func.set_config("holdfast.correlation_id", correlation_id, True)))
        .scalar_subquery()
        .is_not(None)
    )
