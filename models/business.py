"""Businesses: the tenants, each with its policies."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record, generated_id, stamped, versioned

# A fresh installation has one business, made by the first migration.
DEFAULT_BUSINESS = UUID("00000000-0000-7000-8000-000000000001")


def minutes(length: timedelta) -> int:
    """Tell a policy's length in whole minutes, as the API does."""
    return int(length.total_seconds() // 60)


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
