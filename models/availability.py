"""Availability: which appointments can be reserved now. What a search offers is what `hold` accepts."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Interval,
    Select,
    Uuid,
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

from models import zone
from models.appointment import Appointment, is_ahead, with_policies
from models.business import Business
from models.record import array_of, columns
from models.refusal import InvalidInput
from models.reservation import Reservation, is_claim
from models.service import Service

LONGEST_SPAN = timedelta(days=366)


@dataclass(frozen=True)
class Availability:
    """What a search narrows availability to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()
    uneven: ClassVar[tuple[str, ...]] = ("provider_ids",)  # how many they are decides how they are best looked for

    provider_id: UUID | None = None
    provider_ids: tuple[UUID, ...] | None = None
    location_id: UUID | None = None
    service_id: UUID | None = None
    starts_from: datetime | None = None
    starts_until: datetime | None = None
    minimum: timedelta | None = None

    @classmethod
    def read(
        cls,
        *,
        starts: tuple[datetime | None, datetime | None] = (None, None),
        date: date | None = None,
        time_zone: str | None = None,
        minimum_minutes: int | None = None,
        provider_ids: tuple[UUID, ...] | None = None,
        **wanted: Any,
    ) -> "Availability":
        """Check a filter; a date is everything from its first instant to the next date's first instant."""
        if date is not None and time_zone is None:
            raise InvalidInput("timeZone", problem="A date needs the timeZone that it is meant in.")
        if minimum_minutes is not None and not 1 <= minimum_minutes <= 1440:
            raise InvalidInput("minimumMinutes", problem="minimumMinutes must be from 1 to 1440.")
        starts_from, starts_until = span(*starts)
        if date is not None and time_zone is not None:
            first, end = zone.day(date, zone.zone(time_zone, "timeZone"))
            starts_from, starts_until = max(first, starts_from or first), min(end, starts_until or end)
        minimum = None if minimum_minutes is None else timedelta(minutes=minimum_minutes)
        if provider_ids is not None and len(provider_ids) == 1:  # an index then gives their times in order
            wanted["provider_id"], provider_ids = provider_ids[0], None
        return cls(
            provider_ids=provider_ids, starts_from=starts_from, starts_until=starts_until, minimum=minimum, **wanted
        )


def span(starts_from: datetime | None, starts_until: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Check a range of instants."""
    if starts_from is not None and starts_until is not None:
        if starts_from > starts_until:
            raise InvalidInput("startsAt", "until", problem="until must not lie before from.")
        if starts_until - starts_from > LONGEST_SPAN:
            raise InvalidInput("startsAt", "until", problem="A range is at most 366 days long.")
    return starts_from, starts_until


def _or_none(buffer: Any) -> ColumnElement[timedelta]:
    """A buffer, or none. Not by COALESCE, which row-level security takes for something that might tell of a row it hides.

    No index would then be searched for what is compared with it.
    """
    return case((buffer.is_not(None), buffer), else_=literal_column("interval '0'", Interval))


@cache
def is_free() -> ColumnElement[bool]:
    """Whether nobody claims the provider's time (with the service's buffers), or a seat of the group is left.

    Claims of one provider never overlap, save the seats of one group: so the last one to begin before an appointment
    ends is the only one that can reach into it, and one probe of an index finds it.
    """
    claim, seat = aliased(Reservation), aliased(Reservation)
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
        .limit(literal_column("1", Integer))
        .scalar_subquery()
    )
    is_taken = last_claim > Appointment.starts_at - _or_none(Service.buffer_before)
    seats = (
        select(func.count())
        .where(seat.business_id == Appointment.business_id, seat.live_appointment_id == Appointment.id, is_claim(seat))
        .scalar_subquery()
    )
    return and_(is_taken.is_not(true()), or_(Appointment.capacity == literal_column("1"), seats < Appointment.capacity))


def soonest(business: UUID) -> ColumnElement[datetime]:
    """No policy of this business lets anybody reserve before this instant: an index can begin here."""
    shortest = select(func.min(Service.lead_time)).where(Service.business_id == business).scalar_subquery()
    return (
        select(func.statement_timestamp() + func.least(Business.lead_time, shortest))
        .where(Business.id == business)
        .scalar_subquery()
    )


@lru_cache(maxsize=1024)
def available(business: UUID) -> Select[Any]:
    """Select the appointments of a business that can be reserved now."""
    return with_policies(select(*columns(Appointment))).where(
        Appointment.business_id == business, Appointment.starts_at >= soonest(business), is_ahead(), is_free()
    )


def narrow(statement: Select[Any], wanted: Availability) -> Select[Any]:
    """Narrow a selection of appointments to what a search asks for."""
    if wanted.provider_id is not None:
        statement = statement.where(Appointment.provider_id == wanted.provider_id)
    if wanted.provider_ids is not None:
        statement = statement.where(Appointment.provider_id == func.any(array_of(wanted.provider_ids, Uuid)))
    if wanted.location_id is not None:
        statement = statement.where(Appointment.location_id == wanted.location_id)
    if wanted.service_id is not None:
        statement = statement.where(or_(Appointment.service_id == wanted.service_id, Appointment.service_id.is_(None)))
    if wanted.starts_from is not None:
        statement = statement.where(Appointment.starts_at >= wanted.starts_from)
    if wanted.starts_until is not None:
        statement = statement.where(Appointment.starts_at < wanted.starts_until)
    if wanted.minimum is not None:
        statement = statement.where(Appointment.ends_at - Appointment.starts_at >= wanted.minimum)
    return statement


def alternatives(business: UUID, provider: UUID, taken: UUID, wanted: datetime) -> Select[Any]:
    """Select the three free appointments of a provider, other than one, that lie nearest to an instant."""
    free = available(business).where(Appointment.provider_id == provider, Appointment.id != taken)
    later = free.where(Appointment.starts_at >= wanted).order_by(Appointment.starts_at).limit(3).subquery()
    earlier = free.where(Appointment.starts_at < wanted).order_by(Appointment.starts_at.desc()).limit(3).subquery()
    near = union_all(select(later), select(earlier)).subquery("near")
    distance = func.abs(func.extract("epoch", near.c.starts_at - wanted))
    return select(near).order_by(distance, near.c.starts_at).limit(3)
