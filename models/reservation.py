"""Reservations: one client's claim on an appointment; holding, confirming and cancelling it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ColumnElement,
    Computed,
    ForeignKeyConstraint,
    Index,
    Numeric,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint, insert
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.appointment import Appointment, is_for, is_open, with_policies
from models.business import in_minutes
from models.client import Client
from models.idempotency_key import Key, is_new, remembered
from models.record import Record, bound, columns, generated_id, of_persons, versioned
from models.viewer import Viewer


class ReservationStatus(StrEnum):
    """Where a reservation stands: HELD, then CONFIRMED, then COMPLETED or NO_SHOW; or EXPIRED; or CANCELLED.

    PENDING stands between HELD and CONFIRMED where a service asks for its provider's approval.
    """

    HELD = "HELD"
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    COMPLETED = "COMPLETED"
    NO_SHOW = "NO_SHOW"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


HELD, PENDING, CONFIRMED, COMPLETED, NO_SHOW, CANCELLED, EXPIRED = (
    literal_column(f"'{status}'", Text) for status in ReservationStatus
)


@dataclass(frozen=True)
class Wish:
    """What a client asks for: an appointment, and the service if it was published for anything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    client_id: UUID
    appointment_id: UUID
    note: str | None = None
    service_id: UUID | None = None


class Reservation(Record):
    """A claim on provider, resource and seat. The database copies and stamps all that the client does not choose."""

    __tablename__ = "reservations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "client_id"], ["clients.business_id", "clients.id"], name="reservation_of_client"
        ),
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="reservation_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "service_id"], ["services.business_id", "services.id"], name="reservation_of_service"
        ),
        ForeignKeyConstraint(
            ["business_id", "resource_id"], ["resources.business_id", "resources.id"], name="reservation_of_resource"
        ),
        ForeignKeyConstraint(
            ["business_id", "visit_id", "client_id"],
            ["visits.business_id", "visits.id", "visits.client_id"],
            name="reservation_of_visit",
        ),
        ForeignKeyConstraint(
            ["business_id", "series_id", "client_id"],
            ["reservation_series.business_id", "reservation_series.id", "reservation_series.client_id"],
            name="reservation_of_series",
        ),
        ForeignKeyConstraint(
            ["business_id", "live_appointment_id"],
            ["appointments.business_id", "appointments.id"],
            name="appointment_is_published",
        ),
        CheckConstraint(
            "status IN ('HELD', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'EXPIRED')", name="status_is_known"
        ),
        CheckConstraint(
            "busy_from <= starts_at AND starts_at < ends_at AND ends_at <= busy_until", name="runs_forward"
        ),
        CheckConstraint("seat BETWEEN 1 AND capacity", name="seat_exists"),
        CheckConstraint("lead_waived_by IS NOT NULL OR starts_at - scheduled_at >= lead_time", name="booked_ahead"),
        CheckConstraint("expires_at > created_at", name="hold_ends"),
        CheckConstraint("confirmed_at >= created_at AND confirmed_at < expires_at", name="confirmed_in_time"),
        CheckConstraint(
            "status NOT IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW') OR confirmed_at IS NOT NULL", name="confirmed_or_not"
        ),
        CheckConstraint(
            "approval_time IS NULL OR approved_by IS NOT NULL OR status NOT IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW')",
            name="approved_first",
        ),
        CheckConstraint("length(note) <= 2000 AND length(cancel_reason) <= 2000", name="note_is_short"),
        ExcludeConstraint(
            ("provider_id", "="),
            (text("tstzrange(busy_from, busy_until)"), "&&"),
            ("session_id", "<>"),
            ("business_id", "="),
            where=text("live"),
            using="gist",
            name="provider_is_free",
        ),
        ExcludeConstraint(
            ("resource_id", "="),
            (text("tstzrange(busy_from, busy_until)"), "&&"),
            ("session_id", "<>"),
            ("business_id", "="),
            where=text("live AND resource_id IS NOT NULL"),
            using="gist",
            name="resource_is_free",
        ),
        Index(
            "seat_is_free",
            "business_id",
            "session_id",
            "seat",
            unique=True,
            postgresql_where=text("live AND capacity > 1"),
        ),
        Index("reservations_by_start", "business_id", "starts_at", "id"),
        Index("reservations_of_client", "business_id", "client_id", "starts_at", "id"),
        Index("reservations_of_provider", "business_id", "provider_id", "starts_at", "id"),
        Index("claims_of_provider", "business_id", "provider_id", "busy_from", postgresql_where=text("live")),
        Index("holds_of_client", "business_id", "client_id", "expires_at", postgresql_where=text("live")),
        Index("reservations_of_appointment", "business_id", "appointment_id"),
        Index("reservations_by_expiry", "expires_at", postgresql_where=text("live")),
        *(
            Index(
                f"reservations_of_{group}",
                "business_id",
                f"{group}_id",
                "starts_at",
                postgresql_where=text(f"{group}_id IS NOT NULL"),
            )
            for group in ("visit", "series")
        ),
        Index(
            "reservations_on_appointment",
            "business_id",
            "live_appointment_id",
            postgresql_where=text("live_appointment_id IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": 85}},
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    client_id: Mapped[UUID]
    appointment_id: Mapped[UUID]
    resource_id: Mapped[UUID | None]
    note: Mapped[str | None]
    stored_status: Mapped[str] = mapped_column("status", server_default="HELD", deferred=True)
    cancel_reason: Mapped[str | None]
    lead_waived_by: Mapped[UUID | None] = mapped_column(deferred=True)
    provider_id: Mapped[UUID]
    service_id: Mapped[UUID | None]
    capacity: Mapped[int] = mapped_column(SmallInteger)
    seat: Mapped[int] = mapped_column(SmallInteger)
    starts_at: Mapped[datetime] = mapped_column()
    ends_at: Mapped[datetime] = mapped_column()
    busy_from: Mapped[datetime] = mapped_column(deferred=True)
    busy_until: Mapped[datetime] = mapped_column(deferred=True)
    lead_time: Mapped[timedelta] = mapped_column(deferred=True)
    created_at: Mapped[datetime]
    scheduled_at: Mapped[datetime] = mapped_column(deferred=True)
    expires_at: Mapped[datetime] = mapped_column()
    confirmed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    currency: Mapped[str | None]
    duration: Mapped[timedelta | None] = mapped_column(deferred=True)
    cancel_cutoff: Mapped[timedelta] = mapped_column(server_default=text("'0'"), deferred=True)
    hold_time: Mapped[timedelta | None] = mapped_column(deferred=True)
    renewals: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    approval_time: Mapped[timedelta | None] = mapped_column(deferred=True)
    requested_at: Mapped[datetime | None] = mapped_column()
    approved_by: Mapped[str | None] = mapped_column(deferred=True)
    started_at: Mapped[datetime | None] = mapped_column()
    completed_at: Mapped[datetime | None]
    cancelled_by: Mapped[str | None]
    offered: Mapped[bool] = mapped_column(server_default=text("false"), deferred=True)
    visit_id: Mapped[UUID | None]
    series_id: Mapped[UUID | None]
    version: Mapped[int] = versioned()

    live: Mapped[bool] = mapped_column(
        Boolean, Computed("status IN ('HELD', 'CONFIRMED')", persisted=True), nullable=True, deferred=True
    )
    session_id: Mapped[UUID | None] = mapped_column(
        Computed("CASE WHEN capacity > 1 THEN appointment_id ELSE id END", persisted=True), deferred=True
    )
    live_appointment_id: Mapped[UUID | None] = mapped_column(
        Computed("CASE WHEN status IN ('HELD', 'CONFIRMED') THEN appointment_id END", persisted=True), deferred=True
    )

    # What a reader sees: a hold is EXPIRED from expires_at on, though no job has written so.
    status: Mapped[str] = column_property(
        case(
            (and_(stored_status == HELD, expires_at <= func.statement_timestamp()), EXPIRED),
            (and_(stored_status == HELD, requested_at.is_not(None)), PENDING),
            else_=stored_status,
        )
    )
    expired: Mapped[bool] = column_property(
        or_(stored_status == EXPIRED, and_(stored_status == HELD, expires_at <= func.statement_timestamp()))
    )
    confirmed: Mapped[bool] = column_property(stored_status == CONFIRMED)
    duration_minutes: Mapped[int] = column_property(in_minutes(func.coalesce(duration, ends_at - starts_at)))
    cancel_cutoff_minutes: Mapped[int] = column_property(in_minutes(cancel_cutoff))
    needs_approval: Mapped[bool] = column_property(approval_time.is_not(None))

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A client sees their own, a provider those with them, the rest of a team all."""
        return of_persons(
            super().visible_to(viewer),
            viewer,
            provider=cls.provider_id == viewer.person_id,
            client=cls.client_id == viewer.person_id,
        )


def is_claim(reservation: type[Reservation] = Reservation) -> ColumnElement[bool]:
    """Whether a reservation holds its time now: confirmed, or held and not lapsed."""
    return and_(
        reservation.live,
        or_(
            reservation.stored_status == CONFIRMED,
            reservation.expires_at > func.statement_timestamp(),
        ),
    )


@dataclass(frozen=True)
class Wanted:
    """What a list of reservations is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ("status", "affected")

    status: tuple[ReservationStatus, ...] | None = None
    client_id: UUID | None = None
    provider_id: UUID | None = None
    starts_from: datetime | None = None
    starts_until: datetime | None = None
    affected: bool | None = None


def narrow(statement: Select[Any], wanted: Wanted) -> Select[Any]:
    """Narrow a selection of reservations to what is asked for."""
    if wanted.status is not None:
        statement = statement.where(Reservation.status.in_([status.value for status in wanted.status]))
    if wanted.client_id is not None:
        statement = statement.where(Reservation.client_id == wanted.client_id)
    if wanted.provider_id is not None:
        statement = statement.where(Reservation.provider_id == wanted.provider_id)
    if wanted.starts_from is not None:
        statement = statement.where(Reservation.starts_at >= wanted.starts_from)
    if wanted.starts_until is not None:
        statement = statement.where(Reservation.starts_at < wanted.starts_until)
    if wanted.affected is not None:
        statement = statement.where(_is_affected() if wanted.affected else ~_is_affected())
    return statement


def _is_affected() -> ColumnElement[bool]:
    """Whether the appointment is no longer offered."""
    return exists().where(
        Appointment.business_id == Reservation.business_id,
        Appointment.id == Reservation.appointment_id,
        Appointment.withdrawn_at.is_not(None),
    )


def hold(viewer: Viewer, wish: Wish, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Reserve an appointment: the claim, its event and its key in one statement; no row means no."""
    values = [Appointment.business_id, Client.id, Appointment.id, bound(wish.note, Text)]
    chosen = () if wish.service_id is None else (bound(wish.service_id, Uuid),)
    wanted = (
        with_policies(select(*values, *chosen), wish.service_id)
        .join(Client, and_(Client.business_id == Appointment.business_id, Client.id == wish.client_id))
        .where(
            Client.visible_to(viewer),
            Appointment.business_id == viewer.business_id,
            Appointment.id == wish.appointment_id,
            is_open(),
            Client.erased_at.is_(None),
        )
        .where(is_new(key), authored)
    )
    if wish.service_id is not None:
        wanted = wanted.where(is_for(wish.service_id))
    return claimed(wanted, key)


def claimed(wanted: Select[Any], key: Key | None) -> Select[Any]:
    """Write the claim that is wanted: business, client, appointment, note and, where one is chosen, the service."""
    names = ("business_id", "client_id", "appointment_id", "note", "service_id")[: len(wanted.selected_columns)]
    claim = insert(Reservation).from_select(names, wanted).on_conflict_do_nothing().returning(*columns(Reservation))
    return remembered(claim.cte("claim"), key)
