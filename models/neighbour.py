"""Neighbours: other appointments that are free, or no longer, because of what one reservation has claimed or let go.

They are times of the same provider that it reaches into, buffers included, and times of anybody that need a resource of
which it uses a unit. A search that wants them for a service asks for the buffers and the resources of that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Interval,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    and_,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from models.appointment import Appointment, is_for, is_open, with_policies
from models.availability import available, is_free, missing_resource, soonest
from models.event import Event
from models.offering import Offering
from models.record import array_of, columns
from models.requirement import Requirement
from models.reservation import Reservation, is_claim
from models.resource import ResourceClaim
from models.search import DAY, Availability
from models.service import Service
from models.skill import ProviderSkill

MOST_READ = 1000  # appointments that one change may concern, beside its own
MOST_TOLD = 50  # of them to one who listens
FREEING = [
    f"scheduling.reservation.{each}.v1"
    for each in ("cancelled", "expired", "rescheduled", "reassigned", "completed", "no_show")
]
LONGEST_CLAIM = literal_column("interval '96:00:00'", Interval)  # a day, with a day before and after, is shorter
LONGEST = literal_column("interval '24:00:00'", Interval)  # appointment
NONE = literal_column("interval '0'", Interval)


@dataclass(frozen=True)
class Claim:
    """What a reservation has claimed, or let go: time of a provider, buffers included, and units of resources.

    `resource_ids` names the resource of each unit, and is missing where there is none. `own` are the appointments that
    the event itself is about, and `event_id` is that event.
    """

    fixed: ClassVar[tuple[str, ...]] = ("is_taken",)

    is_taken: bool
    event_id: UUID
    reservation_id: UUID
    provider_id: UUID
    busy_from: datetime
    busy_until: datetime
    own: tuple[UUID, ...]
    resource_ids: tuple[UUID, ...] | None = None

    def may_reach(self, wanted: Availability) -> bool:
        """Whether a search could find a neighbour, as far as is known without reading any row."""
        if wanted.starts_from is not None and wanted.starts_from >= self.busy_until + DAY:
            return False
        if wanted.starts_until is not None and wanted.starts_until <= self.busy_from - 2 * DAY:
            return False
        if self.resource_ids is not None:
            return True
        is_theirs = wanted.provider_ids is None or self.provider_id in wanted.provider_ids
        return is_theirs and wanted.provider_id in (None, self.provider_id)


def near(business: UUID, claim: Claim) -> Select[Any]:
    """Select whatever may need the same time or means, by start: of the provider, and of all where a resource is used."""
    then = select(Appointment.id).where(
        Appointment.business_id == business,
        Appointment.starts_at < claim.busy_until + _widest(business, Service.buffer_before),
        Appointment.starts_at > claim.busy_from - LONGEST - _widest(business, Service.buffer_after),
        Appointment.ends_at > claim.busy_from - _widest(business, Service.buffer_after),
        Appointment.id != func.all(array_of(claim.own, Uuid)),
    )
    found: Any = then.where(Appointment.provider_id == claim.provider_id)
    if claim.resource_ids is not None:
        of_resources = Requirement.resource_id == func.any(array_of(claim.resource_ids, Uuid))
        needing = select(Requirement.service_id).where(Requirement.business_id == business, of_resources)
        giving = select(Offering.provider_id).where(Offering.business_id == business, Offering.service_id.in_(needing))
        for_any = and_(Appointment.service_id.is_(None), Appointment.provider_id.in_(giving))
        found = found.union(then.where(or_(for_any, Appointment.service_id.in_(needing))))
    told: Any = Appointment.id, Appointment.provider_id, Appointment.starts_at, Appointment.ends_at
    those = select(*told).where(Appointment.business_id == business, Appointment.id.in_(found))
    return those.order_by(Appointment.starts_at, Appointment.id).limit(MOST_READ)


def neighbours(business: UUID, service: UUID | None, claim: Claim, ids: Sequence[UUID]) -> Select[Any]:
    """Select what is free now for a service because a reservation let go of something, or no longer as it claims it.

    None of these appointments is missed, however much happens at once: each blocked one is told by that of the claims in its
    way whose reservation is the oldest, each free one by whatever was in its way. So one may be told that has not changed,
    if several claims come and go before they are looked at.
    """
    found = (_blocked if claim.is_taken else _freed)(business, service, claim)
    touched = found.where(
        Appointment.id == func.any(array_of(ids, Uuid)),
        Appointment.starts_at - _before() < claim.busy_until,
        Appointment.ends_at + _after() > claim.busy_from,
    )
    return touched.order_by(Appointment.starts_at, Appointment.id)


def skills(business: UUID, providers: Sequence[UUID]) -> Select[Any]:
    """Read the skills of several providers."""
    told: Any = ProviderSkill.provider_id, ProviderSkill.skill_id
    theirs = ProviderSkill.provider_id == func.any(array_of(providers, Uuid))
    return select(*told).where(ProviderSkill.business_id == business, theirs)


def _before() -> ColumnElement[timedelta]:
    return func.coalesce(Service.buffer_before, NONE)


def _after() -> ColumnElement[timedelta]:
    return func.coalesce(Service.buffer_after, NONE)


def _widest(business: Any, buffer: InstrumentedAttribute[timedelta]) -> ScalarSelect[timedelta]:
    return select(func.coalesce(func.max(buffer), NONE)).where(Service.business_id == business).scalar_subquery()


def _freed(business: Any, service: Any, claim: Claim) -> Select[Any]:
    found, was_in_its_way = available(business, service), Appointment.provider_id == claim.provider_id
    if claim.resource_ids is None:
        return found
    needed, units = _needed(), array_of(claim.resource_ids, Uuid)
    of_it = func.cardinality(func.array_positions(units, needed.c.resource_id))
    was_short = (
        exists()
        .select_from(needed)
        .where(needed.c.there - needed.c.wanted < _in_use(needed.c.resource_id) + of_it, of_it > 0)
        .correlate(Appointment, Service)
    )
    return found.where(or_(was_in_its_way, was_short, and_(_is_needed(claim), _is_more_freed(business, claim))))


def _is_more_freed(business: Any, claim: Claim) -> ColumnElement[bool]:
    """Whether anything else was let go since: together they may have freed what neither has alone."""
    ours, later = aliased(Event), aliased(Event)
    position = select(ours.position).where(ours.business_id == business, ours.id == claim.event_id).scalar_subquery()
    freeing = later.type == func.any(array_of(FREEING, Text))
    relayed = exists().where(later.business_id == business, later.position > position, freeing)
    waiting = exists().where(later.business_id == business, later.relayed_at.is_(None), freeing)
    return or_(relayed.correlate_except(later), waiting.correlate_except(later))


def _blocked(business: Any, service: Any, claim: Claim) -> Select[Any]:
    found = with_policies(select(*columns(Appointment)), service).where(
        Appointment.business_id == business,
        Appointment.starts_at >= soonest(business),
        is_open(),
        or_(is_free().is_not(true()), missing_resource().is_not(None)),
        ~_was_taken(claim),
        ~_was_missing(claim),
    )
    if claim.resource_ids is not None:
        found = found.where(or_(Appointment.provider_id == claim.provider_id, _is_needed(claim)))
    return found if service is None else found.where(is_for(service))


def _was_taken(claim: Claim) -> ColumnElement[bool]:
    """Whether an older reservation keeps its provider busy at the time."""
    older = aliased(Reservation)
    return (
        exists()
        .where(
            older.business_id == Appointment.business_id,
            older.provider_id == Appointment.provider_id,
            older.busy_from < Appointment.ends_at + _after(),
            older.busy_from > Appointment.starts_at - _before() - LONGEST_CLAIM,
            older.busy_until > Appointment.starts_at - _before(),
            older.session_id != Appointment.id,
            older.id < claim.reservation_id,
            is_claim(older),
        )
        .correlate_except(older)
    )


def _was_missing(claim: Claim) -> ColumnElement[bool]:
    """Whether older reservations use too many units of what the service needs."""
    needed, older = _needed(), aliased(Reservation)
    in_use = _in_use(needed.c.resource_id, older, claim.reservation_id)
    short = exists().select_from(needed).where(needed.c.there - needed.c.wanted < in_use)
    return short.correlate(Appointment, Service)


def _is_needed(claim: Claim) -> ColumnElement[bool]:
    """Whether the service needs any of the resources."""
    needed = _needed()
    is_one = needed.c.resource_id == func.any(array_of(claim.resource_ids, Uuid))
    return exists().select_from(needed).where(is_one).correlate(Appointment, Service)


def _needed() -> Any:
    of_service = func.needed_resources(Appointment.business_id, Service.id, Appointment.location_id)
    numbers = column("there", Integer), column("wanted", Integer)
    return of_service.table_valued(column("resource_id", Uuid), *numbers).alias("needed")


def _in_use(resource: Any, older: Any = None, than: Any = None) -> ScalarSelect[int]:
    """Count the units that are used at the time; of lapsed holds too, which nobody was told of yet, unless only `older`."""
    claim = aliased(ResourceClaim)
    in_use = select(func.count(claim.unit.distinct())).where(
        claim.business_id == Appointment.business_id,
        claim.resource_id == resource,
        claim.busy_from < Appointment.ends_at + _after(),
        claim.busy_from > Appointment.starts_at - _before() - LONGEST_CLAIM,
        claim.busy_until > Appointment.starts_at - _before(),
        claim.session_id != Appointment.id,
    )
    if older is None:
        return in_use.correlate_except(claim).scalar_subquery()
    of_older = and_(older.business_id == claim.business_id, older.id == claim.reservation_id)
    in_use = in_use.join(older, of_older).where(older.id < than, is_claim(older))
    return in_use.correlate_except(claim, older).scalar_subquery()
