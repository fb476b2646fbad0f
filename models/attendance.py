"""Attendance: an appointment begins and is completed, or goes to another provider, for all who have a seat of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Interval,
    Select,
    Text,
    Uuid,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from models.any_provider import idle_since, load
from models.appointment import Appointment, is_for, is_long_enough, with_policies
from models.availability import is_free
from models.life import is_ahead, is_offer
from models.record import array_of, columns
from models.reservation import COMPLETED, CONFIRMED, Reservation
from models.service import Service
from models.viewer import Viewer

EARLY = timedelta(hours=1)
"""How long before its start an appointment may begin, as the guard has it."""
MOST_CANDIDATES = 10


@dataclass(frozen=True)
class Attendance:
    """An appointment that begins, or is over."""

    fixed: ClassVar[tuple[str, ...]] = ()

    appointment_id: UUID


@dataclass(frozen=True)
class Reassignment:
    """An appointment that is to go to another provider: to a certain one, or to whoever has the least to do."""

    fixed: ClassVar[tuple[str, ...]] = ()

    appointment_id: UUID
    provider_id: UUID | None = None
    dry_run: bool = False


def lock(viewer: Viewer, appointments: Sequence[UUID], authored: ColumnElement[bool]) -> Select[Any]:
    """Lock appointments, the first of which is to change, and whoever has it: nobody comes or goes until we are done."""
    seats = select(Reservation.id).where(_of(viewer, appointments[0]), Reservation.live).scalar_subquery()
    return select(
        func.lock_booking(
            viewer.business_id, literal_column("'{}'::uuid[]"), func.array(seats), array_of(appointments, Uuid)
        )
    ).where(authored)


def _of(viewer: Viewer, appointment_id: UUID) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = (Reservation.business_id == viewer.business_id) & (
        Reservation.appointment_id == appointment_id
    )
    return condition


def found(viewer: Viewer, appointment_id: UUID) -> Select[Any]:
    """Read an appointment, and the clock."""
    clock = func.clock_timestamp().label("clock")
    return select(*columns(Appointment), clock).where(Appointment.visible_to(viewer), Appointment.id == appointment_id)


def seats(viewer: Viewer, appointment_id: UUID) -> Select[Any]:
    """Select the reservations of an appointment, by seat; for how long each is taken, and whether it can still move."""
    told: tuple[ColumnElement[Any], ...] = (
        is_ahead().label("ahead"),
        is_offer().label("is_offer"),
        Reservation.session_id.label("session_id"),
        Reservation.duration.label("duration"),
    )
    mine = _of(viewer, appointment_id), Reservation.visible_to(viewer)
    return select(*columns(Reservation), *told).where(*mine).order_by(Reservation.seat, Reservation.id)


def start(viewer: Viewer, appointment_id: UUID) -> ReturningUpdate[Any]:
    """Put on record that an appointment has begun, for all who have confirmed it."""
    return (
        update(Reservation)
        .values(started_at=func.clock_timestamp())
        .where(
            _of(viewer, appointment_id),
            Reservation.stored_status == CONFIRMED,
            Reservation.started_at.is_(None),
            Reservation.starts_at - func.clock_timestamp() <= literal(EARLY, Interval),
        )
        .returning(Reservation.id)
    )


def complete(viewer: Viewer, appointment_id: UUID) -> ReturningUpdate[Any]:
    """Put on record that an appointment is over, for all who have confirmed it and whose time has come."""
    has_begun = or_(Reservation.started_at.is_not(None), Reservation.starts_at <= func.clock_timestamp())
    return (
        update(Reservation)
        .values(stored_status=COMPLETED)
        .where(_of(viewer, appointment_id), Reservation.stored_status == CONFIRMED, has_begun)
        .returning(Reservation.id)
    )


def reassign(viewer: Viewer, appointment_id: UUID, target: UUID) -> ReturningUpdate[Any]:
    """Move all who have an appointment to another one. Of a group, those for whom there is no seat stay."""
    return (
        update(Reservation)
        .values(appointment_id=target)
        .where(_of(viewer, appointment_id), is_ahead())
        .returning(Reservation.id)
    )


def candidates(viewer: Viewer, asked: Reassignment, place: Any, seated: Sequence[Any]) -> Select[Any]:
    """Select what other providers have free instead, the best first.

    First come those at the same location, then whoever is booked the least around that time, then whoever is idle the
    longest. The start stays, so the lead time is not asked anew; and what is in use for those who move, moves along.
    """
    first = seated[0]
    missing = func.missing_resource(
        Appointment.business_id, Appointment.id, Service.id, literal(first.session_id, Uuid), type_=Text
    )
    left = Appointment.capacity - func.claimed_seats(Appointment.business_id, Appointment.id)
    length = max((seat.duration for seat in seated if seat.duration is not None), default=timedelta(0))
    free = with_policies(select(*columns(Appointment)), first.service_id).where(
        Appointment.business_id == viewer.business_id,
        Appointment.starts_at == place.starts_at,
        Appointment.provider_id != place.provider_id,
        Appointment.withdrawn_at.is_(None),
        Appointment.ends_at - Appointment.starts_at >= literal(length, Interval),
        Service.active.is_not(False),
        is_long_enough(),
        is_free(),
        case((Service.id.is_(None), true()), else_=missing.is_(None)),
        left >= len(seated),
        is_for(first.service_id) if first.service_id is not None else Appointment.service_id.is_(None),
    )
    if asked.provider_id is not None:
        free = free.where(Appointment.provider_id == asked.provider_id)
    starts_at = literal(place.starts_at, Appointment.starts_at.type)
    return free.order_by(
        Appointment.location_id.is_not_distinct_from(literal(place.location_id, Uuid)).desc(),
        load(starts_at),
        idle_since(starts_at).asc().nulls_first(),
        Appointment.provider_id,
    ).limit(MOST_CANDIDATES)
