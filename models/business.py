"""Businesses: the tenants, each with its policies."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, Integer, cast, func, literal_column, text
from sqlalchemy.orm import Mapped, column_property, mapped_column, synonym

from models.record import Record, generated_id, stamped, versioned

# A fresh installation has one business, made by the first migration.
DEFAULT_BUSINESS = UUID("00000000-0000-7000-8000-000000000001")


def minutes(length: timedelta) -> int:
    """Tell a policy's length in whole minutes, as the API does."""
    return int(length.total_seconds() // 60)


def in_minutes(length: Mapped[timedelta]) -> ColumnElement[int]:
    """The same as a derived column."""
    return cast(func.div(func.extract("epoch", length), literal_column("60")), Integer)


class Business(Record):
    """A tenant: nothing of one business can point at anything of another."""

    __tablename__ = "businesses"
    __table_args__ = (
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="business_has_a_name"),
        CheckConstraint("lead_time >= '0' AND lead_time <= '366 days'", name="lead_time_is_sane"),
        CheckConstraint("hold_time > '0' AND hold_time <= '24:00:00'", name="hold_time_is_sane"),
    )

    id: Mapped[UUID] = generated_id()
    name: Mapped[str]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    lead_time: Mapped[timedelta] = mapped_column(server_default=text("'24:00:00'"))
    hold_time: Mapped[timedelta] = mapped_column(server_default=text("'00:30:00'"))
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()

    lead_time_minutes: Mapped[int] = column_property(in_minutes(lead_time))
    hold_time_minutes: Mapped[int] = column_property(in_minutes(hold_time))
    business_id: Mapped[UUID] = synonym("id")  # a business belongs to itself
