"""Explanations: why a time of a provider can be reserved now, or everything that stands in the way."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import DateTime, Select, Uuid, and_, func, select, true

from models import search
from models.appointment import Appointment, is_for, is_long_enough, lead_time, maximum_horizon
from models.availability import missing_resource
from models.business import Business
from models.provider import Provider
from models.record import bound
from models.reservation import CONFIRMED, Reservation, is_claim
from models.search import Availability
from models.service import Service
from models.time_off import TimeOff
from models.timetable import DAY, Timetable
from models.viewer import Viewer

MOMENT, NOTHING = timedelta(microseconds=1), timedelta()


class AvailabilityReasonCode(StrEnum):
    """What stands in the way of reserving a time."""

    BUFFER = "BUFFER"
    CLOSED_BY_RULE = "CLOSED_BY_RULE"
    EXCEPTION = "EXCEPTION"
    FULL = "FULL"
    HELD_UNTIL = "HELD_UNTIL"
    HORIZON = "HORIZON"
    LEAD_TIME = "LEAD_TIME"
    NO_RESOURCE = "NO_RESOURCE"
    NOT_PUBLISHED = "NOT_PUBLISHED"
    SERVICE_INACTIVE = "SERVICE_INACTIVE"
    SERVICE_NOT_GIVEN = "SERVICE_NOT_GIVEN"
    TIME_OFF = "TIME_OFF"


@dataclass(frozen=True)
class Reason:
    """One thing that stands in the way, and when it no longer does, where that is known."""

    code: AvailabilityReasonCode
    message: str
    until: datetime | None = None
    earliest_start: datetime | None = None
    latest_start: datetime | None = None


@dataclass(frozen=True)
class Time:
    """The time that is asked about, and what for."""

    provider_id: UUID
    starts_at: datetime
    service_id: UUID | None = None


def situation(viewer: Viewer, time: Time) -> Select[Any]:
    """Select all that is known of a time, but for claims and rules; no row, if there is no such provider."""
    business = viewer.business_id
    wanted = Availability(
        provider_id=time.provider_id,
        service_id=time.service_id,
        starts_from=time.starts_at,
        starts_until=time.starts_at + MOMENT,
    )
    free = search.free(business, wanted).subquery("free")
    at = bound(time.starts_at, DateTime(timezone=True))
    key = Appointment.service_id if time.service_id is None else bound(time.service_id, Uuid)
    of_provider = and_(Appointment.business_id == business, Appointment.provider_id == Provider.id)
    return (
        select(
            *(
                Appointment.id,
                Appointment.starts_at,
                Appointment.ends_at,
                Appointment.capacity,
                Appointment.withdrawn_at,
            ),
            *(Appointment.service_id, Service.id.label("policy_id"), Service.active),
            *(Service.buffer_before, Service.buffer_after, func.clock_timestamp().label("clock")),
            *(lead_time().label("lead_time"), maximum_horizon().label("maximum_horizon")),
            (true() if time.service_id is None else is_for(time.service_id)).label("is_for"),
            is_long_enough().label("is_long_enough"),
            missing_resource().label("missing_resource"),
            _off_until(business, at).label("off_until"),
            free.c.id.is_not(None).label("is_available"),
        )
        .select_from(Provider)
        .join(Business, Business.id == Provider.business_id)
        .outerjoin(Appointment, and_(of_provider, Appointment.starts_at == at))
        .outerjoin(Service, and_(Service.business_id == business, Service.id == key))
        .outerjoin(free, free.c.id == Appointment.id)
        .where(Provider.business_id == business, Provider.id == bound(time.provider_id, Uuid))
    )


def _off_until(business: UUID, at: Any) -> Any:
    ends_at = func.coalesce(Appointment.ends_at, at + MOMENT)
    off = select(func.max(TimeOff.ends_at)).where(
        TimeOff.business_id == business,
        TimeOff.provider_id == Provider.id,
        TimeOff.starts_at < ends_at,
        TimeOff.ends_at > at,
    )
    return off.correlate(Provider, Appointment).scalar_subquery()


def claims(viewer: Viewer, time: Time, found: Any) -> Select[Any]:
    """Select the claims on the provider's time that reach into an appointment, or into the buffers around it."""
    begins = found.starts_at - (found.buffer_before or NOTHING)
    ends = found.ends_at + (found.buffer_after or NOTHING)
    is_confirmed = (Reservation.stored_status == CONFIRMED).label("is_confirmed")
    times = (Reservation.starts_at, Reservation.ends_at, Reservation.expires_at)
    told: list[Any] = [Reservation.appointment_id, *times, is_confirmed]
    return select(*told).where(
        Reservation.business_id == viewer.business_id,
        Reservation.provider_id == bound(time.provider_id, Uuid),
        Reservation.busy_from < ends,
        Reservation.busy_until > begins,
        is_claim(),
    )


def of_policies(time: Time, found: Any) -> Iterator[Reason]:
    """Tell what the policies of the business and of the service say against a time."""
    ahead = time.starts_at - found.clock
    if found.active is False:
        yield Reason(AvailabilityReasonCode.SERVICE_INACTIVE, "The service is not offered at present.")
    if ahead < found.lead_time:
        earliest = found.clock + found.lead_time
        yield Reason(AvailabilityReasonCode.LEAD_TIME, "It starts too soon to be reserved.", earliest_start=earliest)
    if found.maximum_horizon is not None and ahead > found.maximum_horizon:
        latest = found.clock + found.maximum_horizon
        problem = "It lies farther ahead than can be reserved."
        yield Reason(AvailabilityReasonCode.HORIZON, problem, latest_start=latest)


def of_appointment(time: Time, found: Any, claimed: Sequence[Any]) -> Iterator[Reason]:
    """Tell what stands in the way of a published appointment: the service, others, or a resource that is in use."""
    if not (found.is_for and found.is_long_enough):
        yield Reason(AvailabilityReasonCode.SERVICE_NOT_GIVEN, _why_not_given(time, found))
    yield from _of_claims(found, claimed)
    if found.missing_resource is not None:
        yield Reason(AvailabilityReasonCode.NO_RESOURCE, f"{found.missing_resource} is in use then.")


def _why_not_given(time: Time, found: Any) -> str:
    if time.service_id is not None and found.service_id not in (None, time.service_id):
        return "The time is published for another service."
    return (
        "The provider does not give the service there." if found.is_long_enough else "The service takes longer than it."
    )


def _of_claims(found: Any, claimed: Sequence[Any]) -> Iterator[Reason]:
    seats = [claim for claim in claimed if found.capacity > 1 and claim.appointment_id == found.id]
    others = [] if seats else claimed
    inside = [claim for claim in others if claim.starts_at < found.ends_at and claim.ends_at > found.starts_at]
    if len(seats) >= found.capacity:
        yield _taken(seats, min)
    elif inside:
        yield _taken(inside, max)
    elif others:
        yield Reason(AvailabilityReasonCode.BUFFER, "The buffers around it and a neighbouring reservation overlap.")


def _taken(claimed: Sequence[Any], which: Any) -> Reason:
    """Tell by whom a time is taken: of seats the first to lapse sets one free, of other claims all must lapse."""
    held = [claim.expires_at for claim in claimed if not claim.is_confirmed]
    if held and (which is min or len(held) == len(claimed)):
        return Reason(AvailabilityReasonCode.HELD_UNTIL, "Somebody holds it.", until=which(held))
    return Reason(AvailabilityReasonCode.FULL, "It is booked.")


def of_schedule(time: Time, found: Any, timetable: Timetable) -> Iterator[Reason]:
    """Tell why a time is not published: nobody works then, or it has not come to that."""
    if found.off_until is not None:
        yield Reason(AvailabilityReasonCode.TIME_OFF, "The provider is away.", until=found.off_until)
    if not _is_covered(timetable, time):
        yield _closed(timetable, time)
    elif found.off_until is None:
        problem = "The provider works then, but this time is not published: it is off the grid, or too far ahead."
        yield Reason(AvailabilityReasonCode.NOT_PUBLISHED, problem)


def _is_covered(timetable: Timetable, time: Time) -> bool:
    return any(
        timetable.moment(source.zone, day, starts) <= time.starts_at < timetable.moment(source.zone, day, ends)
        for day in _days(time)
        for source, starts, ends in timetable.windows(time.provider_id, day)
    )


def _closed(timetable: Timetable, time: Time) -> Reason:
    for day in _days(time):
        exception = timetable.exceptions.get((time.provider_id, day))
        if exception is not None and _local(time, exception.zone) == day:
            return Reason(AvailabilityReasonCode.EXCEPTION, f"The provider has other hours on {day}.")
        for rule in timetable.rules(time.provider_id, day) if exception is None else ():
            starts, ends = (timetable.moment(rule.zone, day, at) for at in (rule.starts_minute, rule.ends_minute))
            if starts <= time.starts_at < ends and timetable.is_holiday(day, rule.location_id):
                return Reason(AvailabilityReasonCode.EXCEPTION, f"{day} is a holiday.")
    return Reason(AvailabilityReasonCode.CLOSED_BY_RULE, "No rule of the provider covers this time.")


def _days(time: Time) -> Iterable[Any]:
    """Every local date, of any zone, on which something may begin that lasts until then."""
    today = time.starts_at.date()
    return [today + n * DAY for n in (-2, -1, 0, 1)]


def _local(time: Time, zone: str) -> Any:
    return time.starts_at.astimezone(ZoneInfo(zone)).date()
