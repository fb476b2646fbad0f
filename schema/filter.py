"""Filters and orders: how lists are narrowed and sorted."""

import datetime as dt
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry

from models import text
from models.audit_entry import Wanted as WantedEntries
from models.node_id import decode, key_if_given, key_of
from models.page import LARGEST_SIZE, Order, Sort
from models.refusal import InvalidInput
from models.reservation import Wanted
from models.search import Availability, Local, TimeOfDay, span
from schema.reservation import ReservationStatus
from schema.scalars import LocalTime, TimeZone

STEP = "One step of an order; the next step tells apart what this one finds equal."


@strawberry.input(description="A half-open range of instants: `from` belongs to it, `until` does not.")
class DateTimeRange:
    from_: dt.datetime | None = strawberry.field(name="from", default=None)
    until: dt.datetime | None = None


@strawberry.input(description="A half-open range of local dates: `from` belongs to it, `until` does not.")
class LocalDateRange:
    from_: dt.date | None = strawberry.field(name="from", default=None)
    until: dt.date | None = None


@strawberry.input(
    description="A half-open part of every local day: `from` (else 00:00) belongs to it, `until` (else 24:00) does not."
)
class TimeOfDayRange:
    from_: LocalTime | None = strawberry.field(name="from", default=None)
    until: LocalTime | None = None


@strawberry.input(description="What a search for appointments is narrowed to. All that is given must hold.")
class AvailabilityFilter:
    provider_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Of these providers, at most 100; of none, if the list is empty."
    )
    location_id: strawberry.ID | None = strawberry.field(default=None, description="At this location.")
    service_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Published for this service; or for any, if the provider gives it there and the time is long enough.",
    )
    skill_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Of providers who have all of these skills, at most 100."
    )
    resource_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="For a service that needs this resource: the time's own, or the one that serviceId names.",
    )
    starts_at: DateTimeRange | None = strawberry.field(default=None, description="Starting in this range.")
    date: dt.date | None = strawberry.field(default=None, description="Starting on this local date; needs timeZone.")
    dates: LocalDateRange | None = strawberry.field(
        default=None, description="Starting on these local dates, at most 366; needs timeZone."
    )
    time_of_day: TimeOfDayRange | None = strawberry.field(
        default=None, description="Starting at these times of the local day, on whichever date; needs timeZone."
    )
    time_zone: TimeZone | None = strawberry.field(
        default=None,
        description="The zone that date, dates and timeOfDay are meant in; else the one that the header X-Time-Zone names.",
    )
    minimum_minutes: int | None = strawberry.field(default=None, description="At least this long, in minutes.")


@strawberry.input(description="What a list of reservations is narrowed to. All that is given must hold.")
class ReservationFilter:
    status: list[ReservationStatus] | None = strawberry.field(default=None, description="In one of these states now.")
    client_id: strawberry.ID | None = strawberry.field(default=None, description="Of this client.")
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="With this provider.")
    starts_at: DateTimeRange | None = strawberry.field(default=None, description="Starting in this range.")
    affected: bool | None = strawberry.field(
        default=None, description="Whether its appointment is no longer offered: its time no longer fits the schedule."
    )


@strawberry.input(description="What the audit is narrowed to. All that is given must hold.")
class AuditFilter:
    node_id: strawberry.ID | None = strawberry.field(default=None, description="About the thing with this id.")
    actor: str | None = strawberry.field(default=None, description="By this principal.")
    action: str | None = strawberry.field(
        default=None, description="Whose action begins with this, like `audit.client.`."
    )
    occurred_at: DateTimeRange | None = strawberry.field(default=None, description="In this range.")


@strawberry.enum(description="What persons are sorted by.")
class PersonOrderField(Enum):
    LAST_NAME = "last_name"
    FIRST_NAME = "first_name"
    CREATED_AT = "id"  # ids are made in the order of creation


@strawberry.enum(description="What appointments are sorted by.")
class AppointmentOrderField(Enum):
    STARTS_AT = "starts_at"
    CREATED_AT = "id"


@strawberry.enum(description="What reservations are sorted by.")
class ReservationOrderField(Enum):
    STARTS_AT = "starts_at"
    CREATED_AT = "id"


@strawberry.enum(description="Upwards or downwards.")
class OrderDirection(Enum):
    ASC = "ASC"
    DESC = "DESC"


@strawberry.input(description=STEP)
class PersonOrder:
    field: PersonOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class AppointmentOrder:
    field: AppointmentOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class ReservationOrder:
    field: ReservationOrderField
    direction: OrderDirection = OrderDirection.ASC


def availability(filter_: AvailabilityFilter | None, time_zone: str | None = None) -> Availability:
    """Read the filter of a search for appointments by somebody in this zone, if it is known."""
    if filter_ is None:
        return Availability()
    starts, dates = filter_.starts_at or DateTimeRange(), filter_.dates or LocalDateRange()
    skill_ids = _keys("Skill", filter_.skill_ids, "skillIds")
    return Availability.read(
        starts=(starts.from_, starts.until),
        local=Local(
            day=filter_.date,
            dates=(dates.from_, dates.until),
            time_of_day=_time_of_day(filter_.time_of_day or TimeOfDayRange()),
            time_zone=filter_.time_zone or time_zone,
        ),
        provider_ids=_keys("Provider", filter_.provider_ids, "providerIds"),
        location_id=key_if_given("Location", filter_.location_id, "locationId"),
        service_id=key_if_given("Service", filter_.service_id, "serviceId"),
        skill_ids=tuple(dict.fromkeys(skill_ids)) if skill_ids else None,
        resource_id=key_if_given("Resource", filter_.resource_id, "resourceId"),
        minimum_minutes=filter_.minimum_minutes,
    )


def _time_of_day(range_: TimeOfDayRange) -> TimeOfDay:
    from_, until = (None if each is None else timedelta(minutes=each) for each in (range_.from_, range_.until))
    return from_, until


def reservations(filter_: ReservationFilter | None) -> Wanted:
    """Read the filter of a list of reservations."""
    if filter_ is None:
        return Wanted()
    starts = filter_.starts_at or DateTimeRange()
    starts_from, starts_until = span(starts.from_, starts.until)
    return Wanted(
        status=None if filter_.status is None else tuple(dict.fromkeys(filter_.status)),
        client_id=key_if_given("Client", filter_.client_id, "clientId"),
        provider_id=key_if_given("Provider", filter_.provider_id, "providerId"),
        starts_from=starts_from,
        starts_until=starts_until,
        affected=filter_.affected,
    )


def audit_entries(filter_: AuditFilter | None) -> WantedEntries:
    """Read the filter of the audit, which may reach as far back as there is history."""
    if filter_ is None:
        return WantedEntries()
    occurred = filter_.occurred_at or DateTimeRange()
    if occurred.from_ is not None and occurred.until is not None and occurred.from_ > occurred.until:
        raise InvalidInput("occurredAt", "until", problem="until must not lie before from.")
    return WantedEntries(
        thing_id=None if filter_.node_id is None else decode(filter_.node_id, "nodeId")[1],
        actor=None if filter_.actor is None else text.name(filter_.actor, "actor"),
        action=None if filter_.action is None else text.name(filter_.action, "action"),
        occurred_from=occurred.from_,
        occurred_until=occurred.until,
    )


def order(steps: Sequence[Any] | None, default: Order) -> Order:
    """Read an order; the id, last, tells apart what the steps find equal."""
    if not steps:
        return default
    sorts = [Sort(step.field.value, step.direction is OrderDirection.DESC) for step in steps]
    columns = [sort.column for sort in sorts]
    if len(set(columns)) < len(columns):
        raise InvalidInput("orderBy", problem="orderBy names the same field twice.")
    return (*sorts, *(() if "id" in columns else (Sort("id", sorts[-1].descending),)))


def _keys(type_name: str, values: Sequence[str] | None, field: str) -> tuple[UUID, ...] | None:
    if values is None:
        return None
    if len(values) > LARGEST_SIZE:
        raise InvalidInput(field, problem=f"{len(values)} ids are too many; {LARGEST_SIZE} are allowed.")
    return tuple(key_of(type_name, value, field, n) for n, value in enumerate(values))
