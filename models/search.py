"""Search: what somebody who looks for a free time wants of it."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, Select, Uuid, and_, false, func, select

from models import zone
from models.appointment import Appointment, is_for, with_policies
from models.availability import available
from models.record import array_of, bound
from models.refusal import InvalidInput
from models.relation import rows
from models.requirement import Requirement
from models.skill import ProviderSkill
from models.viewer import Viewer
from models.wall import Wall, wall

LONGEST_SPAN = timedelta(days=366)
MOST_DATES = 62
DAY = timedelta(days=1)
Dates = tuple[date | None, date | None]
TimeOfDay = tuple[timedelta | None, timedelta | None]


@dataclass(frozen=True)
class Availability:
    """What a search narrows availability to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()
    uneven: ClassVar[tuple[str, ...]] = ("provider_ids",)  # how many they are decides how they are best looked for

    provider_id: UUID | None = None
    provider_ids: tuple[UUID, ...] | None = None
    location_id: UUID | None = None
    service_id: UUID | None = None
    skill_ids: tuple[UUID, ...] | None = None
    resource_id: UUID | None = None
    starts_from: datetime | None = None
    starts_until: datetime | None = None
    late_from: timedelta | None = None  # since midnight, by the clock on the wall
    late_until: timedelta | None = None
    wall: Wall | None = None
    minimum: timedelta | None = None

    @classmethod
    def read(
        cls,
        *,
        starts: tuple[datetime | None, datetime | None] = (None, None),
        local: "Local | None" = None,
        minimum_minutes: int | None = None,
        provider_ids: tuple[UUID, ...] | None = None,
        **wanted: Any,
    ) -> "Availability":
        """Check a filter."""
        if minimum_minutes is not None and not 1 <= minimum_minutes <= 1440:
            raise InvalidInput("minimumMinutes", problem="minimumMinutes must be from 1 to 1440.")
        if provider_ids is not None and len(provider_ids) == 1:  # an index then gives their times in order
            wanted["provider_id"], provider_ids = provider_ids[0], None
        read = cls(
            provider_ids=provider_ids,
            minimum=None if minimum_minutes is None else timedelta(minutes=minimum_minutes),
            **wanted,
        ).within(*span(*starts))
        return read if local is None else local.narrow(read)

    def on(self, first: date | None, end: date | None, time_zone: str) -> "Availability":
        """Narrow it to the local dates from the first one to the last one before `end`."""
        where = zone.zone(time_zone, "timeZone")
        return self.within(
            None if first is None else zone.day(first, where)[0], None if end is None else zone.day(end, where)[0]
        )

    def within(self, starts_from: datetime | None, starts_until: datetime | None) -> "Availability":
        first = max((at for at in (self.starts_from, starts_from) if at), default=None)
        end = min((at for at in (self.starts_until, starts_until) if at), default=None)
        return replace(self, starts_from=first, starts_until=end)

    def at_time_of_day(
        self, late_from: timedelta | None, late_until: timedelta | None, time_zone: str | None
    ) -> "Availability":
        if (late_from or timedelta()) >= (DAY if late_until is None else late_until):
            raise InvalidInput("timeOfDay", "until", problem="until must lie after from, on the same day.")
        named = zone.zone(_needed(time_zone, "A time of day needs"), "timeZone").key
        return replace(self, late_from=late_from, late_until=late_until, wall=wall(named))


@dataclass(frozen=True)
class Local:
    """When somebody wants a time, by the clock on their wall; each date is from its first instant to the next one's."""

    day: date | None = None
    dates: Dates = (None, None)
    time_of_day: TimeOfDay = (None, None)
    time_zone: str | None = None

    def narrow(self, wanted: Availability) -> Availability:
        if self.day is not None:
            wanted = wanted.on(self.day, self.day + DAY, _needed(self.time_zone, "A date needs"))
        if self.dates != (None, None):
            between(*self.dates)
            wanted = wanted.on(*self.dates, _needed(self.time_zone, "Dates need"))
        return wanted if self.time_of_day == (None, None) else wanted.at_time_of_day(*self.time_of_day, self.time_zone)


def _needed(time_zone: str | None, what: str) -> str:
    if time_zone is None:
        raise InvalidInput("timeZone", problem=f"{what} the timeZone that is meant, here or in the header X-Time-Zone.")
    return time_zone


def span(starts_from: datetime | None, starts_until: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Check a range of instants."""
    if starts_from is not None and starts_until is not None:
        if starts_from > starts_until:
            raise InvalidInput("startsAt", "until", problem="until must not lie before from.")
        if starts_until - starts_from > LONGEST_SPAN:
            raise InvalidInput("startsAt", "until", problem="A range is at most 366 days long.")
    return starts_from, starts_until


def between(first: date | None, end: date | None) -> None:
    """Check a range of dates."""
    if first is not None and end is not None:
        if first > end:
            raise InvalidInput("dates", "until", problem="until must not lie before from.")
        if end - first > LONGEST_SPAN:
            raise InvalidInput("dates", "until", problem="A range is at most 366 days long.")


def free(business: UUID, wanted: Availability) -> Select[Any]:
    """Select the appointments that can be reserved now, of those that are asked for."""
    return narrow(available(business, wanted.service_id), wanted, business)


def published(viewer: Viewer, wanted: Availability) -> Select[Any]:
    """Select the published appointments, free or not, of those that are asked for."""
    statement, service = rows(Appointment, viewer), wanted.service_id
    if service is not None:
        statement = with_policies(statement, service).where(is_for(service))
    return narrow(statement, wanted, viewer.business_id)


def narrow(statement: Select[Any], wanted: Availability, business: UUID) -> Select[Any]:
    """Narrow a selection of a business's appointments, which are for the right service, to what a search asks for."""
    if wanted.provider_id is not None:
        statement = statement.where(Appointment.provider_id == wanted.provider_id)
    if wanted.provider_ids is not None:
        statement = statement.where(Appointment.provider_id == func.any(array_of(wanted.provider_ids, Uuid)))
    if wanted.location_id is not None:
        statement = statement.where(Appointment.location_id == wanted.location_id)
    if wanted.skill_ids is not None:
        statement = statement.where(Appointment.provider_id.in_(_skilled(business, wanted.skill_ids)))
    if wanted.resource_id is not None:
        statement = statement.where(_needs(business, wanted.resource_id, wanted.service_id))
    if wanted.minimum is not None:
        statement = statement.where(Appointment.ends_at - Appointment.starts_at >= wanted.minimum)
    return _narrow_times(statement, wanted)


def _narrow_times(statement: Select[Any], wanted: Availability) -> Select[Any]:
    if wanted.starts_from is not None:
        statement = statement.where(Appointment.starts_at >= wanted.starts_from)
    if wanted.starts_until is not None:
        statement = statement.where(Appointment.starts_at < wanted.starts_until)
    if wanted.wall is None:
        return statement
    late, bounds = wanted.wall.since_midnight(Appointment.starts_at), []
    if wanted.late_from is not None:
        bounds.append(late >= bound(wanted.late_from, Interval))
    if wanted.late_until is not None:
        bounds.append(late < bound(wanted.late_until, Interval))
    # Of two comparisons PostgreSQL expects that hardly a row passes, and sorts all rows to find the first ones.
    return statement.where(func.coalesce(and_(*bounds), false()))


def _skilled(business: UUID, skill_ids: Any) -> Select[Any]:
    """Select the providers who have all of these skills, of which none is named twice."""
    skills = array_of(skill_ids, Uuid)
    return (
        select(ProviderSkill.provider_id)
        .where(ProviderSkill.business_id == business, ProviderSkill.skill_id == func.any(skills))
        .group_by(ProviderSkill.provider_id)
        .having(func.count() == func.cardinality(skills))
    )


def _needs(business: UUID, resource_id: Any, service_id: Any) -> ColumnElement[bool]:
    """Whether what an appointment is for needs a resource: its own service, or else the one that is looked for."""
    service = Appointment.service_id
    chosen = service if service_id is None else func.coalesce(service, bound(service_id, Uuid))
    needing = select(Requirement.service_id).where(
        Requirement.business_id == business, Requirement.resource_id == bound(resource_id, Uuid)
    )
    return chosen.in_(needing)


@dataclass(frozen=True)
class Month:
    """What free times are counted of, on each date of a clock on some wall."""

    fixed: ClassVar[tuple[str, ...]] = ()

    wanted: Availability
    wall: Wall

    @classmethod
    def read(cls, wanted: Availability, first: date, end: date, time_zone: str | None) -> "Month":
        """Check the dates: from the first one to the last one before `end`."""
        named = zone.zone(_needed(time_zone, "Dates need"), "timeZone").key
        if first > end:
            raise InvalidInput("until", problem="until must not lie before from.")
        if (end - first).days > MOST_DATES:
            raise InvalidInput("until", problem=f"At most {MOST_DATES} dates are counted at once.")
        return cls(wanted.on(first, end, named), wall(named))


def per_date(business: UUID, month: Month) -> Select[Any]:
    """Count the free appointments of each local date that has any."""
    day = month.wall.date(Appointment.starts_at).label("date")
    counted = (
        free(business, month.wanted)
        .with_only_columns(day, func.count().label("count"), maintain_column_froms=True)
        .group_by(day)
    )
    found = counted.subquery("counted")
    return select(found.c.date, found.c.count)
