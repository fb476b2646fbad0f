"""Filters and orders: how lists are narrowed and sorted."""

import datetime as dt
from collections.abc import Sequence
from enum import Enum
from uuid import UUID

import strawberry

from models import text
from models.audit_entry import Wanted as WantedEntries
from models.availability import Availability, span
from models.node_id import decode, key_of
from models.page import LARGEST_SIZE, Order, Sort
from models.refusal import InvalidInput
from models.reservation import Wanted
from schema.reservation import ReservationStatus
from schema.scalars import TimeZone


@strawberry.input(description="A half-open range of instants: `from` belongs to it, `until` does not.")
class DateTimeRange:
    from_: dt.datetime | None = strawberry.field(name="from", default=None)
    until: dt.datetime | None = None


@strawberry.input(description="What a search for appointments is narrowed to. All that is given must hold.")
class AvailabilityFilter:
    provider_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Of these providers.")
    location_id: strawberry.ID | None = strawberry.field(default=None, description="At this location.")
    service_id: strawberry.ID | None = strawberry.field(
        default=None, description="Published for this service, or for any."
    )
    starts_at: DateTimeRange | None = strawberry.field(default=None, description="Starting in this range.")
    date: dt.date | None = strawberry.field(default=None, description="Starting on this local date; needs timeZone.")
    time_zone: TimeZone | None = strawberry.field(default=None, description="The zone that `date` is meant in.")
    minimum_minutes: int | None = strawberry.field(default=None, description="At least this long, in minutes.")


@strawberry.input(description="What a list of reservations is narrowed to. All that is given must hold.")
class ReservationFilter:
    status: list[ReservationStatus] | None = strawberry.field(default=None, description="In one of these states now.")
    client_id: strawberry.ID | None = strawberry.field(default=None, description="Of this client.")
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="With this provider.")
    starts_at: DateTimeRange | None = strawberry.field(default=None, description="Starting in this range.")


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


@strawberry.input(description="One step of an order; the next step tells apart what this one finds equal.")
class PersonOrder:
    field: PersonOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description="One step of an order; the next step tells apart what this one finds equal.")
class AppointmentOrder:
    field: AppointmentOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description="One step of an order; the next step tells apart what this one finds equal.")
class ReservationOrder:
    field: ReservationOrderField
    direction: OrderDirection = OrderDirection.ASC


def availability(filter_: AvailabilityFilter | None) -> Availability:
    """Read the filter of a search for appointments."""
    if filter_ is None:
        return Availability()
    starts, provider_ids = filter_.starts_at or DateTimeRange(), filter_.provider_ids
    if provider_ids is not None and len(provider_ids) > LARGEST_SIZE:
        raise InvalidInput("providerIds", problem=f"{len(provider_ids)} ids are too many; {LARGEST_SIZE} are allowed.")
    return Availability.read(
        starts=(starts.from_, starts.until),
        date=filter_.date,
        time_zone=filter_.time_zone,
        provider_ids=None
        if provider_ids is None
        else tuple(key_of("Provider", value, "providerIds", n) for n, value in enumerate(provider_ids)),
        location_id=_key("Location", filter_.location_id, "locationId"),
        service_id=_key("Service", filter_.service_id, "serviceId"),
        minimum_minutes=filter_.minimum_minutes,
    )


def reservations(filter_: ReservationFilter | None) -> Wanted:
    """Read the filter of a list of reservations."""
    if filter_ is None:
        return Wanted()
    starts = filter_.starts_at or DateTimeRange()
    starts_from, starts_until = span(starts.from_, starts.until)
    return Wanted(
        status=None if filter_.status is None else tuple(dict.fromkeys(filter_.status)),
        client_id=_key("Client", filter_.client_id, "clientId"),
        provider_id=_key("Provider", filter_.provider_id, "providerId"),
        starts_from=starts_from,
        starts_until=starts_until,
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


def order(steps: Sequence[PersonOrder | AppointmentOrder | ReservationOrder] | None, default: Order) -> Order:
    """Read an order; the id, last, tells apart what the steps find equal."""
    if not steps:
        return default
    sorts = [Sort(step.field.value, step.direction is OrderDirection.DESC) for step in steps]
    columns = [sort.column for sort in sorts]
    if len(set(columns)) < len(columns):
        raise InvalidInput("orderBy", problem="orderBy names the same field twice.")
    return (*sorts, *(() if "id" in columns else (Sort("id", sorts[-1].descending),)))


def _key(type_name: str, value: str | None, field: str) -> UUID | None:
    return None if value is None else key_of(type_name, value, field)
