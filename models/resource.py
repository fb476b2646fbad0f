"""Resources: rooms, chairs, machines, which a reservation may claim beside its provider."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record, generated_id, stamped, versioned


class Resource(Record):
    """Something that only one reservation can use at a time."""

    __tablename__ = "resources"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="resource_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="resource_has_a_name"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    name: Mapped[str]
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()
