"""Locations: the places of a business, each in its own time zone."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record, generated_id, stamped, versioned


class Location(Record):
    """A place where appointments are kept."""

    __tablename__ = "locations"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="location_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="location_has_a_name"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    name: Mapped[str]
    time_zone: Mapped[str]
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()
