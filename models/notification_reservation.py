"""What notifications are about: one reservation, or those of a visit or a series that one transaction has changed."""

from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKeyConstraint, Index, exists
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record
from models.reservation import Reservation


class NotificationReservation(Record):
    """A reservation that a message is about, and by which event: of a visit or a series, what was changed at once."""

    __tablename__ = "notification_reservations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "notification_id"],
            ["notifications.business_id", "notifications.id"],
            name="told_in_notification",
        ),
        ForeignKeyConstraint(
            ["business_id", "reservation_id"],
            ["reservations.business_id", "reservations.id"],
            name="told_of_reservation",
        ),
        Index("told_of_reservations", "business_id", "reservation_id", "notification_id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    notification_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    reservation_id: Mapped[UUID]


def is_told(notification: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Whether a message is about a reservation."""
    return exists().where(
        NotificationReservation.business_id == Reservation.business_id,
        NotificationReservation.reservation_id == Reservation.id,
        NotificationReservation.notification_id == notification,
    )
