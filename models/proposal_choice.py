"""Which times are proposed: whom an absence leaves behind, what others have for them, and the first that can be held."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, Uuid, and_, case, exists, false, func, literal_column, or_, select
from sqlalchemy.orm import aliased

from models.any_provider import idle_since, load
from models.appointment import Appointment, is_for, is_long_enough, with_policies
from models.availability import is_free
from models.business import Business
from models.life import is_offer
from models.location import Location
from models.proposal import PROPOSED, Proposal
from models.record import array_of, bound
from models.relation import rows
from models.reservation import Reservation, is_claim
from models.service import Service
from models.time_off import TimeOff
from models.viewer import Viewer

MOST_CHOICES = 3  # of one reservation, at each try


def overtaken(viewer: Viewer, away: Any) -> Select[Any]:
    """Select the open proposals of times that an absence takes away again."""
    hold = aliased(Reservation)
    return (
        rows(Proposal, viewer)
        .join(hold, and_(hold.business_id == Proposal.business_id, hold.id == Proposal.hold_id))
        .where(
            Proposal.provider_id == away.provider_id,
            Proposal.stored_status == PROPOSED,
            Proposal.expires_at > func.clock_timestamp(),
            hold.starts_at < away.ends_at,
            hold.ends_at > away.starts_at,
        )
        .order_by(Proposal.id)
    )


def affected(viewer: Viewer, away: Any, others: Sequence[UUID] = ()) -> Select[Any]:
    """Select the reservations that an absence leaves behind, and some others: where each is, in which zone.

    However their times were published; but not what is only offered: nobody has asked for that.
    """
    left_behind = and_(
        Reservation.provider_id == away.provider_id,
        Reservation.starts_at < away.ends_at,
        Reservation.ends_at > away.starts_at,
    )
    told: tuple[Any, ...] = (
        *(Reservation.id, Reservation.provider_id, Reservation.service_id, Reservation.starts_at, Reservation.ends_at),
        Appointment.location_id.label("location_id"),
        func.coalesce(Location.time_zone, Business.time_zone).label("time_zone"),
        case((Reservation.capacity == literal_column("1"), Reservation.id)).label("leaving"),
    )
    return (
        select(*told)
        .join(Business, Business.id == Reservation.business_id)
        .outerjoin(Appointment, _same(Appointment, Reservation.appointment_id))
        .outerjoin(Location, _same(Location, Appointment.location_id))
        .where(
            Reservation.business_id == viewer.business_id,
            or_(left_behind, Reservation.id.in_(others)),
            ~is_offer(),
            is_claim(),
            Reservation.starts_at > func.statement_timestamp(),
        )
        .order_by(Reservation.starts_at, Reservation.id)
    )


def _same(record: Any, key: Any) -> ColumnElement[bool]:
    return and_(record.business_id == Reservation.business_id, record.id == key)


def _others(viewer: Viewer, booking: Any) -> Select[Any]:
    """Select free appointments of other providers, for the same and in the same place; the lead time is waived.

    What the reservation uses itself may be used by the one that would take its place.
    """
    service = booking.service_id
    leaving = case((Appointment.capacity == literal_column("1"), bound(booking.leaving, Uuid)))
    missing = func.missing_resource(Appointment.business_id, Appointment.id, Service.id, leaving, type_=Text)
    alike = Appointment.ends_at - Appointment.starts_at >= booking.ends_at - booking.starts_at
    return with_policies(select(Appointment.id), service).where(
        Appointment.business_id == viewer.business_id,
        Appointment.provider_id != booking.provider_id,
        Appointment.location_id.is_not_distinct_from(bound(booking.location_id, Uuid)),
        Appointment.withdrawn_at.is_(None),
        Appointment.starts_at > func.clock_timestamp(),
        Service.active.is_not(false()),
        is_long_enough(),
        is_free(),
        or_(Service.id.is_(None), missing.is_(None)),
        ~_is_away(),
        and_(Appointment.service_id.is_(None), alike) if service is None else is_for(service),
    )


def _is_away() -> ColumnElement[bool]:
    """Whether the provider of an appointment is away then, though it was published by hand and stays so."""
    return (
        exists()
        .where(
            TimeOff.business_id == Appointment.business_id,
            TimeOff.provider_id == Appointment.provider_id,
            TimeOff.starts_at < Appointment.ends_at,
            TimeOff.ends_at > Appointment.starts_at,
        )
        .correlate_except(TimeOff)
    )


def at_the_same_time(viewer: Viewer, booking: Any) -> Select[Any]:
    """Select those that begin when the reservation does: first of whoever has the least to do, as for any provider."""
    then: Any = Appointment.starts_at
    ranked = load(then), idle_since(then).asc().nulls_first(), Appointment.provider_id
    return _others(viewer, booking).where(then == booking.starts_at).order_by(*ranked).limit(MOST_CHOICES)


def on_the_same_day(viewer: Viewer, booking: Any, day: tuple[datetime, datetime]) -> Select[Any]:
    """Select those that begin nearest to the reservation, between two instants."""
    then: Any = Appointment.starts_at
    distance = func.abs(func.extract("epoch", then - booking.starts_at))
    ranked = distance, then, load(then), idle_since(then).asc().nulls_first(), Appointment.provider_id
    near = _others(viewer, booking).where(then >= day[0], then < day[1], then != booking.starts_at)
    return near.order_by(*ranked).limit(MOST_CHOICES)


def propose(
    viewer: Viewer, booking: UUID, places: Sequence[UUID], away: UUID, authored: ColumnElement[bool]
) -> Select[Any]:
    """Hold the first of some appointments that can be held, and propose it; null, if none can."""
    made = func.propose(
        bound(viewer.business_id, Uuid), bound(booking, Uuid), array_of(places, Uuid), bound(away, Uuid), type_=Uuid
    )
    return select(made.label("id")).where(authored)
