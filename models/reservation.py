"""Reservations: one client's claim on an appointment; holding, confirming and cancelling it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
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
    Select,
    SmallInteger,
    Text,
    Update,
    and_,
    case,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint, insert
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.appointment import Appointment, is_ahead, lead_time, with_policies
from models.business import Business
from models.client import Client
from models.event import Event
from models.idempotency_key import Key, is_new, remembered
from models.record import Record, bound, columns, generated_id, versioned
from models.service import Service
from models.viewer import Sight, Viewer


class ReservationStatus(StrEnum):
    """Where a reservation stands: HELD, then CONFIRMED, then COMPLETED or NO_SHOW; or EXPIRED; or CANCELLED."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    COMPLETED = "COMPLETED"
    NO_SHOW = "NO_SHOW"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


HELD, CONFIRMED, CANCELLED, EXPIRED = (
    literal_column(f"'{status}'", Text) for status in ("HELD", "CONFIRMED", "CANCELLED", "EXPIRED")
)


@dataclass(frozen=True)
class Wish:
    """What a client asks for."""

    fixed: ClassVar[tuple[str, ...]] = ()

    client_id: UUID
    appointment_id: UUID
    note: str | None = None


@dataclass(frozen=True)
class Change:
    """A reservation that is to change, and why."""

    fixed: ClassVar[tuple[str, ...]] = ()

    reservation_id: UUID
    reason: str | None = None


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
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    busy_from: Mapped[datetime] = mapped_column(deferred=True)
    busy_until: Mapped[datetime] = mapped_column(deferred=True)
    lead_time: Mapped[timedelta] = mapped_column(deferred=True)
    created_at: Mapped[datetime]
    scheduled_at: Mapped[datetime] = mapped_column(deferred=True)
    expires_at: Mapped[datetime] = mapped_column()
    confirmed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
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
        case((and_(stored_status == HELD, expires_at <= func.statement_timestamp()), EXPIRED), else_=stored_status)
    )
    expired: Mapped[bool] = column_property(
        or_(stored_status == EXPIRED, and_(stored_status == HELD, expires_at <= func.statement_timestamp()))
    )
    confirmed: Mapped[bool] = column_property(stored_status == CONFIRMED)

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A client sees their own, a provider those with them, the rest of a team all."""
        of_business = super().visible_to(viewer)
        match viewer.sight:
            case Sight.ALL:
                return of_business
            case Sight.PROVIDER:
                return and_(of_business, cls.provider_id == viewer.person_id)
            case Sight.CLIENT:
                return and_(of_business, cls.client_id == viewer.person_id)
        return false()


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

    fixed: ClassVar[tuple[str, ...]] = ("status",)

    status: tuple[ReservationStatus, ...] | None = None
    client_id: UUID | None = None
    provider_id: UUID | None = None
    starts_from: datetime | None = None
    starts_until: datetime | None = None


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
    return statement


def hold(viewer: Viewer, wish: Wish, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Reserve an appointment: the claim, its event and its key in one statement; no row means no."""
    wanted = (
        with_policies(select(Appointment.business_id, Client.id, Appointment.id, bound(wish.note, Text)))
        .join(Client, and_(Client.business_id == Appointment.business_id, Client.id == wish.client_id))
        .where(
            Client.visible_to(viewer),
            Appointment.business_id == viewer.business_id,
            Appointment.id == wish.appointment_id,
            is_ahead(),
            Client.erased_at.is_(None),
        )
        .where(is_new(key), authored)
    )
    claim = (
        insert(Reservation)
        .from_select(["business_id", "client_id", "appointment_id", "note"], wanted)
        .on_conflict_do_nothing()
        .returning(*columns(Reservation))
    )
    return remembered(claim.cte("claim"), key)


def confirm(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Turn a hold that has not lapsed into a booking; no row means no."""
    change = (
        update(Reservation)
        .values(stored_status=CONFIRMED)
        .where(Reservation.stored_status == HELD, Reservation.expires_at > func.clock_timestamp())
    )
    return _changed(change, viewer, asked, key, authored)


def cancel(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Give back a hold that has not lapsed, or a booking that has not begun; no row means no."""
    ends = case((Reservation.stored_status == HELD, Reservation.expires_at), else_=Reservation.starts_at)
    change = (
        update(Reservation)
        .values(stored_status=CANCELLED, cancel_reason=asked.reason)
        .where(Reservation.live, ends > func.clock_timestamp())
    )
    return _changed(change, viewer, asked, key, authored)


def _changed(
    change: Update, viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]
) -> Select[Any]:
    """Make a change to one reservation, its event and its key in one statement; no row means no."""
    one = change.where(Reservation.visible_to(viewer), Reservation.id == asked.reservation_id, is_new(key), authored)
    return remembered(one.returning(*columns(Reservation)).cte("change"), key)


def _live_holds(viewer: Viewer, wish: Wish) -> ColumnElement[int]:
    """Count what a client holds at this moment."""
    return (
        select(func.count())
        .where(
            Reservation.business_id == viewer.business_id,
            Reservation.client_id == wish.client_id,
            Reservation.live,
            Reservation.stored_status == HELD,
            Reservation.expires_at > func.clock_timestamp(),
        )
        .scalar_subquery()
    )


def why_not_held(viewer: Viewer, wish: Wish) -> Select[Any]:
    """Read, after `hold` said no, what it was that stood in the way."""
    withdrawn = exists().where(
        Event.business_id == viewer.business_id,
        Event.aggregate_id == wish.appointment_id,
        Event.type == "scheduling.appointment.withdrawn.v1",
    )
    return (
        select(
            exists()
            .where(Client.visible_to(viewer), Client.id == wish.client_id, Client.erased_at.is_(None))
            .label("client_exists"),
            withdrawn.label("withdrawn"),
            Appointment.id.label("appointment_id"),
            Appointment.provider_id,
            Appointment.starts_at,
            lead_time().label("lead_time"),
            is_ahead().label("ahead"),
            Business.hold_limit,
            _live_holds(viewer, wish).label("live_holds"),
            func.clock_timestamp().label("clock"),
        )
        .select_from(Business)
        .outerjoin(Appointment, and_(Appointment.business_id == Business.id, Appointment.id == wish.appointment_id))
        .outerjoin(
            Service,
            and_(Service.business_id == Appointment.business_id, Service.id == Appointment.service_id),
        )
        .where(Business.id == viewer.business_id)
    )
