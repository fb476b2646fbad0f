"""Schedule filters: how lists of rules, exceptions, holidays and time off are narrowed and sorted."""

import datetime as dt
from enum import Enum

import strawberry

from models import availability_exception, availability_rule, holiday, time_off
from models.node_id import key_if_given
from models.search import span
from models.span import Dates
from schema.filter import STEP, DateTimeRange, LocalDateRange, OrderDirection
from schema.local_interval import Weekday

OF_PROVIDER = "Of this provider."


@strawberry.input(description="What a list of rules is narrowed to. All that is given must hold.")
class AvailabilityRuleFilter:
    provider_id: strawberry.ID | None = strawberry.field(default=None, description=OF_PROVIDER)
    location_id: strawberry.ID | None = strawberry.field(default=None, description="At this location.")
    service_id: strawberry.ID | None = strawberry.field(default=None, description="For this service.")
    weekday: Weekday | None = strawberry.field(default=None, description="On this weekday, every week.")
    date: dt.date | None = strawberry.field(
        default=None, description="For this date: weekly rules that are valid on it, and those for dates."
    )


@strawberry.input(description="What a list of exceptions is narrowed to. All that is given must hold.")
class AvailabilityExceptionFilter:
    provider_id: strawberry.ID | None = strawberry.field(default=None, description=OF_PROVIDER)
    dates: LocalDateRange | None = strawberry.field(default=None, description="In this range, 366 days at most.")


@strawberry.input(description="What a list of holidays is narrowed to. All that is given must hold.")
class HolidayFilter:
    location_id: strawberry.ID | None = strawberry.field(
        default=None, description="On which this location is closed; those of the whole business are among them."
    )
    dates: LocalDateRange | None = strawberry.field(default=None, description="In this range, 366 days at most.")


@strawberry.input(description="What a list of time off is narrowed to. All that is given must hold.")
class TimeOffFilter:
    provider_id: strawberry.ID | None = strawberry.field(default=None, description=OF_PROVIDER)
    starts_at: DateTimeRange | None = strawberry.field(default=None, description="Starting in this range.")


@strawberry.enum(
    description="What rules are sorted by. WEEK: from Monday 00:00 on, then those for dates, by the first one."
)
class AvailabilityRuleOrderField(Enum):
    WEEK = "place"
    CREATED_AT = "id"  # ids are made in the order of creation


@strawberry.enum(description="What exceptions are sorted by.")
class AvailabilityExceptionOrderField(Enum):
    DATE = "date"
    CREATED_AT = "id"


@strawberry.enum(description="What holidays are sorted by.")
class HolidayOrderField(Enum):
    DATE = "date"
    NAME = "name"
    CREATED_AT = "id"


@strawberry.enum(description="What time off is sorted by.")
class TimeOffOrderField(Enum):
    STARTS_AT = "starts_at"
    ENDS_AT = "ends_at"
    CREATED_AT = "id"


@strawberry.input(description=STEP)
class AvailabilityRuleOrder:
    field: AvailabilityRuleOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class AvailabilityExceptionOrder:
    field: AvailabilityExceptionOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class HolidayOrder:
    field: HolidayOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class TimeOffOrder:
    field: TimeOffOrderField
    direction: OrderDirection = OrderDirection.ASC


def rules(filter_: AvailabilityRuleFilter | None) -> availability_rule.Wanted:
    """Read the filter of a list of rules."""
    if filter_ is None:
        return availability_rule.Wanted()
    return availability_rule.Wanted(
        provider_id=key_if_given("Provider", filter_.provider_id, "providerId"),
        location_id=key_if_given("Location", filter_.location_id, "locationId"),
        service_id=key_if_given("Service", filter_.service_id, "serviceId"),
        weekday=None if filter_.weekday is None else filter_.weekday.number,
        date=filter_.date,
    )


def exceptions(filter_: AvailabilityExceptionFilter | None) -> availability_exception.Wanted:
    """Read the filter of a list of exceptions."""
    if filter_ is None:
        return availability_exception.Wanted()
    return availability_exception.Wanted(
        key_if_given("Provider", filter_.provider_id, "providerId"), dates(filter_.dates)
    )


def holidays(filter_: HolidayFilter | None) -> holiday.Wanted:
    """Read the filter of a list of holidays."""
    if filter_ is None:
        return holiday.Wanted()
    return holiday.Wanted(key_if_given("Location", filter_.location_id, "locationId"), dates(filter_.dates))


def time_offs(filter_: TimeOffFilter | None) -> time_off.Wanted:
    """Read the filter of a list of time off."""
    if filter_ is None:
        return time_off.Wanted()
    starts = filter_.starts_at or DateTimeRange()
    return time_off.Wanted(
        key_if_given("Provider", filter_.provider_id, "providerId"), *span(starts.from_, starts.until)
    )


def dates(range_: LocalDateRange | None) -> Dates:
    """Read a range of dates."""
    return Dates() if range_ is None else Dates.read(range_.from_, range_.until)
