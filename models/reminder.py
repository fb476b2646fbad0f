"""Reminders: which are done with, and those that are due."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, Select, func, select
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record


class Reminder(Record):
    """A reminder that is done with: of one reservation, for one start, so many minutes before it."""

    __tablename__ = "reminders"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "reservation_id"],
            ["reservations.business_id", "reservations.id"],
            name="reminder_of_reservation",
        ),
        Index("reminders_by_start", "starts_at"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    reservation_id: Mapped[UUID] = mapped_column(primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    minutes: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


def remind(most: int) -> Select[Any]:
    """Write the events of reminders that are due, those of a visit with its first; tells how many."""
    return select(func.remind_due(most).label("reminded"))
