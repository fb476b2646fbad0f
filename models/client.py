"""Clients: the people who reserve."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record, generated_id, stamped, versioned


class Client(Record):
    """Whoever takes appointments. Without a zone, the business's holds."""

    __tablename__ = "clients"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="client_of_business"),
        CheckConstraint(
            "length(first_name) BETWEEN 1 AND 200 AND length(last_name) BETWEEN 1 AND 200", name="client_has_a_name"
        ),
        Index("clients_by_name", "business_id", "last_name", "first_name", "id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    first_name: Mapped[str]
    last_name: Mapped[str]
    email: Mapped[str | None]
    time_zone: Mapped[str | None]
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()
