"""Notifications: what was told to whom about a reservation, and what is still to be told."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    ForeignKeyConstraint,
    Index,
    Select,
    SmallInteger,
    UniqueConstraint,
    case,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import Update

from models.client import Client
from models.notification_reservation import NotificationReservation as About
from models.notification_reservation import is_told
from models.page import Sort
from models.provider import Provider
from models.record import Record, generated_id, of_persons, stamped
from models.relation import Listing, Many, One, rows
from models.reservation import Reservation
from models.viewer import Viewer


class NotificationStatus(StrEnum):
    """Where a message stands: QUEUED, then SENT or one of the others.

    LOGGED, where no server for it is set; FAILED, if it was refused for good or too often; DROPPED, if it was no longer
    true, or no longer wanted, when its time came, if a newer one tells the same anew, or if it was one too many.
    """

    QUEUED = "QUEUED"
    SENT = "SENT"
    LOGGED = "LOGGED"
    FAILED = "FAILED"
    DROPPED = "DROPPED"


class NotificationTemplate(StrEnum):
    """What a message says.

    To a client CONFIRMED, CANCELLED, RESCHEDULED, REASSIGNED, DECLINED and LAPSED (of a request), OFFERED (to one who
    waits) and REMINDER; to a provider BOOKED, BOOKING_CANCELLED, BOOKING_RESCHEDULED, BOOKING_PASSED_ON (to another one)
    and REQUESTED.
    """

    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"
    RESCHEDULED = "RESCHEDULED"
    REASSIGNED = "REASSIGNED"
    DECLINED = "DECLINED"
    LAPSED = "LAPSED"
    OFFERED = "OFFERED"
    REMINDER = "REMINDER"
    BOOKED = "BOOKED"
    BOOKING_CANCELLED = "BOOKING_CANCELLED"
    BOOKING_RESCHEDULED = "BOOKING_RESCHEDULED"
    BOOKING_PASSED_ON = "BOOKING_PASSED_ON"
    REQUESTED = "REQUESTED"


FINAL = ("CANCELLED", "DECLINED", "LAPSED", "BOOKING_CANCELLED")
"""What stays true whatever comes."""
RETRIES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
"""How long to wait before each further try to send."""


class Notification(Record):
    """A message about an event to one recipient by one channel. Its words are forgotten after 30 days."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("business_id", "event_id", "recipient_id", "channel", name="notified_once"),
        ForeignKeyConstraint(
            ["business_id", "client_id"], ["clients.business_id", "clients.id"], name="notification_of_client"
        ),
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="notification_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "reservation_id"],
            ["reservations.business_id", "reservations.id"],
            name="notification_of_reservation",
        ),
        CheckConstraint("num_nonnulls(client_id, provider_id) = 1", name="notification_to_one"),
        CheckConstraint(
            "channel IN ('EMAIL', 'SMS') AND topic IN ('BOOKING', 'REMINDER', 'WAITLIST')"
            " AND status IN ('QUEUED', 'SENT', 'FAILED', 'DROPPED', 'LOGGED')",
            name="notification_is_known",
        ),
        Index("notifications_to_recipient", "business_id", "recipient_id", "id"),
        Index("notifications_of_reservation", "business_id", "reservation_id", "id"),
        Index("notifications_due", "next_attempt_at", postgresql_where=text("status = 'QUEUED'")),
        Index("notifications_with_text", "created_at", postgresql_where=text("text IS NOT NULL")),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    event_id: Mapped[UUID] = mapped_column(deferred=True)
    recipient_id: Mapped[UUID] = mapped_column(
        Computed("coalesce(client_id, provider_id)", persisted=True), nullable=False, deferred=True
    )
    channel: Mapped[str]
    topic: Mapped[str]
    template: Mapped[str]
    client_id: Mapped[UUID | None]
    provider_id: Mapped[UUID | None]
    reservation_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(server_default="QUEUED")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    created_at: Mapped[datetime] = stamped()
    next_attempt_at: Mapped[datetime] = stamped()
    claimed_until: Mapped[datetime | None] = mapped_column(deferred=True)
    sent_at: Mapped[datetime | None]
    problem: Mapped[str | None]
    subject: Mapped[str | None]
    text: Mapped[str | None]

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """Whoever sees everybody sees all; a client or a provider what is for themselves."""
        return of_persons(
            super().visible_to(viewer),
            viewer,
            provider=cls.provider_id == viewer.person_id,
            client=cls.client_id == viewer.person_id,
        )


@dataclass(frozen=True)
class Wanted:
    """What a list of notifications is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ("status",)

    recipient_id: UUID | None = None
    reservation_id: UUID | None = None
    status: tuple[NotificationStatus, ...] | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select what was told, and is to be."""
    statement = rows(Notification, viewer)
    if wanted.recipient_id is not None:
        statement = statement.where(Notification.recipient_id == wanted.recipient_id)
    if wanted.reservation_id is not None:
        told = select(About.notification_id).where(About.business_id == viewer.business_id)
        statement = statement.where(Notification.id.in_(told.where(About.reservation_id == wanted.reservation_id)))
    if wanted.status is not None:
        statement = statement.where(Notification.status.in_([each.value for each in wanted.status]))
    return statement


NOTIFICATIONS = Listing("notifications", Notification, found)
NOTIFICATION_CLIENT = One("Notification.client", Client, "client_id")
NOTIFICATION_PROVIDER = One("Notification.provider", Provider, "provider_id")
NOTIFICATION_RESERVATION = One("Notification.reservation", Reservation, "reservation_id")
NOTIFICATION_RESERVATIONS = Many("Notification.reservations", Reservation, is_told, (Sort("starts_at"), Sort("id")))


@dataclass(frozen=True)
class Outcome:
    """What came of a try: the status that follows, and what was sent or stood in the way."""

    status: NotificationStatus
    problem: str | None = None
    subject: str | None = None
    text: str | None = None


def record(business: UUID, row: Any, outcome: Outcome) -> Update:
    """Write what came of a try, unless another worker has taken the message over, or its client was erased meanwhile."""
    known = exists().where(
        Reservation.business_id == business,
        Reservation.id == row.reservation_id,
        Client.business_id == business,
        Client.id == Reservation.client_id,
        Client.erased_at.is_(None),
    )
    values: dict[str, Any] = {"status": outcome.status.value, "problem": outcome.problem, "claimed_until": None}
    if outcome.status is NotificationStatus.QUEUED:
        values["next_attempt_at"] = func.clock_timestamp() + RETRIES[row.attempts - 1]
    if outcome.status is NotificationStatus.SENT:
        values["sent_at"] = func.clock_timestamp()
    if outcome.text is not None:
        values |= {"subject": case((known, outcome.subject)), "text": case((known, outcome.text))}
    mine = Notification.status == NotificationStatus.QUEUED.value, Notification.attempts == row.attempts
    return (
        update(Notification)
        .values(values)
        .where(Notification.business_id == business, Notification.id == row.id, *mine)
    )


def of_client(viewer: Viewer, client_id: UUID) -> Select[Any]:
    """Select what a client was told."""
    return rows(Notification, viewer).where(Notification.client_id == client_id).order_by(Notification.id)


def forget(viewer: Viewer, client_id: UUID) -> Update:
    """Take the words out of all messages to and about a client; what was not sent yet is sent to nobody."""
    theirs = select(Reservation.id).where(
        Reservation.business_id == viewer.business_id, Reservation.client_id == client_id
    )
    is_queued = Notification.status == NotificationStatus.QUEUED.value
    return (
        update(Notification)
        .values(
            subject=None,
            text=None,
            status=case((is_queued, NotificationStatus.DROPPED.value), else_=Notification.status),
            problem=case((is_queued, "The client was erased."), else_=Notification.problem),
        )
        .where(
            Notification.business_id == viewer.business_id,
            Notification.reservation_id.in_(theirs),
            or_(is_queued, Notification.text.is_not(None)),
        )
    )


def claim(most: int) -> Select[Any]:
    """Take messages that are due in hand, of every business."""
    claimed = func.claim_notifications(most).table_valued("business_id", "id")
    return select(claimed.c.business_id, claimed.c.id)


def prune(most: int) -> Select[Any]:
    """Forget the words of old messages; tells of how many."""
    return select(func.prune_notifications(most).label("pruned"))
