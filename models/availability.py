"""Availability: which appointments can be reserved now. What a search offers is what `hold` accepts."""

from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Interval,
    Select,
    Text,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import aliased

from models.appointment import Appointment, is_for, is_open, nearly_always, with_policies
from models.business import Business
from models.record import columns
from models.reservation import Reservation, is_claim
from models.service import Service


def _or_none(buffer: Any) -> ColumnElement[timedelta]:
    """A buffer, or none. Not by COALESCE, which row-level security takes for something that might tell of a row it hides.

    No index would then be searched for what is compared with it.
    """
    return case((buffer.is_not(None), buffer), else_=literal_column("interval '0'", Interval))


@cache
def is_free() -> ColumnElement[bool]:
    """Whether nobody claims the provider's time (with the service's buffers), or a seat of the group is left.

    Claims of one provider never overlap, save the seats of one group: so the last one to begin before an appointment
    ends is the only one that can reach into it, and one probe of an index finds it. A group that has begun to fill
    keeps its provider for the time that its first seat has claimed, whatever became of the buffers since.
    """
    claim, one = aliased(Reservation), literal_column("1", Integer)
    last_claim = (
        select(claim.busy_until)
        .where(
            claim.business_id == Appointment.business_id,
            claim.provider_id == Appointment.provider_id,
            claim.busy_from < Appointment.ends_at + _or_none(Service.buffer_after),
            claim.session_id != Appointment.id,
            is_claim(claim),
        )
        .order_by(claim.busy_from.desc())
        .limit(one)
        .scalar_subquery()
    )
    is_taken = last_claim > Appointment.starts_at - _or_none(Service.buffer_before)
    seats = func.claimed_seats(Appointment.business_id, Appointment.id)
    return and_(
        or_(is_taken.is_not(true()), and_(Appointment.capacity > one, seats >= one)),
        or_(Appointment.capacity == one, seats < Appointment.capacity),
    )


def missing_resource() -> ColumnElement[str | None]:
    """Name a resource that the service needs there and then, and of which too few are free; null, if there is none."""
    return func.missing_resource(Appointment.business_id, Appointment.id, Service.id, type_=Text)


def _is_equipped() -> ColumnElement[bool]:
    """Whether all that the service needs is free; nothing is looked for where there is no service."""
    return case((Service.id.is_(None), true()), else_=missing_resource().is_(None))


def soonest(business: Any) -> ColumnElement[datetime]:
    """No policy of this business lets anybody reserve before this instant: an index can begin here."""
    shortest = (
        select(func.min(Service.lead_time).label("lead_time"), func.min(Service.minimum_horizon).label("horizon"))
        .where(Service.business_id == business)
        .subquery("shortest")
    )
    lead_time = func.least(Business.lead_time, shortest.c.lead_time)
    horizon = func.least(Business.minimum_horizon, shortest.c.horizon)
    return (
        select(func.statement_timestamp() + func.greatest(lead_time, horizon))
        .join_from(Business, shortest, true())
        .where(Business.id == business)
        .scalar_subquery()
    )


def available(business: Any, service: Any = None) -> Select[Any]:
    """Select the appointments of a business that can be reserved now, as they are or for a service."""
    is_hole = isinstance(business, ColumnElement) or isinstance(service, ColumnElement)  # of what is built once
    return _available(business, service) if is_hole else _remembered(business, service)


@lru_cache(maxsize=1024)
def _remembered(business: Any, service: Any) -> Select[Any]:
    return _available(business, service)


def _available(business: Any, service: Any) -> Select[Any]:
    free = with_policies(select(*columns(Appointment)), service).where(
        Appointment.business_id == business,
        Appointment.starts_at >= soonest(business),
        is_open(),
        is_free(),
        nearly_always(_is_equipped()),
    )
    return free if service is None else free.where(is_for(service))


def nearest(free: Select[Any], wanted: Any) -> Select[Any]:
    """Select, of free appointments, the three that lie nearest to an instant."""
    later = free.where(Appointment.starts_at >= wanted).order_by(Appointment.starts_at).limit(3).subquery()
    earlier = free.where(Appointment.starts_at < wanted).order_by(Appointment.starts_at.desc()).limit(3).subquery()
    near = union_all(select(later), select(earlier)).subquery("near")
    distance = func.abs(func.extract("epoch", near.c.starts_at - wanted))
    return select(near).order_by(distance, near.c.starts_at).limit(3)
