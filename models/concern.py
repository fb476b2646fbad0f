"""Concerns: what is read once of a time that has changed, so that it can be told which searches could find it."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from models.appointment import Appointment
from models.offering import is_given
from models.requirement import Requirement
from models.search import DAY, Availability
from models.service import Service
from models.signal import AN_INSTANT, AvailabilityChange, since_midnight
from models.skill import ProviderSkill
from models.wall import Wall

MOST_READ = 5000  # appointments that were published at once; of more, whoever may be concerned is told
Given = Mapping[
    UUID, timedelta | None
]  # services that a provider gives somewhere, and how long each takes, if it says so


@dataclass(frozen=True)
class Times:
    """Appointments of a provider that differ only in when they begin; in order."""

    service_id: UUID | None
    location_id: UUID | None
    length: timedelta
    starts: list[datetime]
    late: "dict[str, array[int]]" = field(default_factory=dict, compare=False, repr=False)

    def any_begins(self, wanted: Availability) -> bool:
        """Whether one begins when a search wants it."""
        first = 0 if wanted.starts_from is None else bisect_left(self.starts, wanted.starts_from)
        end = len(self.starts) if wanted.starts_until is None else bisect_left(self.starts, wanted.starts_until)
        if wanted.wall is None or first >= end:
            return first < end
        earliest = (wanted.late_from or timedelta()) // AN_INSTANT
        latest = (DAY if wanted.late_until is None else wanted.late_until) // AN_INSTANT
        return any(earliest <= late < latest for late in self._late(wanted.wall)[first:end])

    def _late(self, wall: Wall) -> "array[int]":
        if wall.zone not in self.late:
            self.late[wall.zone] = array("q", (since_midnight(wall, start) // AN_INSTANT for start in self.starts))
        return self.late[wall.zone]


@dataclass(frozen=True)
class Known:
    """What is known of a change. `given` tells of each location, `needed` of each service what resources it needs."""

    times: tuple[Times, ...]
    is_whole: bool
    skills: frozenset[UUID]
    given: Mapping[UUID | None, Given]
    needed: Mapping[UUID, frozenset[UUID]]

    def concerns(self, wanted: Availability) -> bool:
        """Whether a search could find it, or some of it."""
        if wanted.skill_ids is not None and not (wanted.skill_ids and self.skills.issuperset(wanted.skill_ids)):
            return False
        return not self.is_whole or any(self._is_fit(each, wanted) for each in self.times)

    def _is_fit(self, times: Times, wanted: Availability) -> bool:
        if wanted.location_id not in (None, times.location_id):
            return False
        if wanted.minimum is not None and times.length < wanted.minimum:
            return False
        if wanted.service_id is not None and not self._is_for(wanted.service_id, times):
            return False
        if wanted.resource_id is not None:
            chosen = times.service_id or wanted.service_id
            if chosen is None or wanted.resource_id not in self.needed.get(chosen, ()):
                return False
        return times.any_begins(wanted)

    def _is_for(self, service: UUID, times: Times) -> bool:
        """Decide as `models.appointment.is_for` does."""
        if times.service_id is not None:
            return times.service_id == service
        given = self.given[times.location_id]
        return service in given and (given[service] or times.length) <= times.length


def gathered(rows: Iterable[Any]) -> tuple[Times, ...]:
    """Put appointments that differ only in when they begin together."""
    found: dict[tuple[UUID | None, UUID | None, timedelta], list[datetime]] = defaultdict(list)
    for row in rows:
        found[row.service_id, row.location_id, row.ends_at - row.starts_at].append(row.starts_at)
    return tuple(Times(service, location, length, starts) for (service, location, length), starts in found.items())


def known(row: Any, service: UUID | None, skills: Iterable[UUID], needed: Mapping[UUID, frozenset[UUID]]) -> Known:
    """Tell what is known of one appointment that is for a service, if one is named."""
    given: Given = {} if service is None else {service: None}
    return Known(gathered([row]), True, frozenset(skills), {row.location_id: given}, needed)


def appointments(business: UUID, provider: UUID, first: datetime, end: datetime) -> Select[Any]:
    """Read the appointments of a provider that begin in a span; one more than can be looked at, if there are so many."""
    told: Any = Appointment.service_id, Appointment.location_id, Appointment.starts_at, Appointment.ends_at
    theirs: Select[Any] = select(*told).where(Appointment.business_id == business, Appointment.provider_id == provider)
    begun = theirs.where(Appointment.starts_at >= first, Appointment.starts_at < end)
    return begun.order_by(Appointment.starts_at).limit(MOST_READ + 1)


def span(change: AvailabilityChange) -> tuple[datetime, datetime]:
    """When the appointments of a change begin: from, and until before."""
    return change.starts_at, change.ends_at if change.is_span else change.starts_at + AN_INSTANT


def skills(business: UUID, provider: UUID) -> Select[Any]:
    """Read the skills of a provider."""
    of_provider = ProviderSkill.business_id == business, ProviderSkill.provider_id == provider
    return select(ProviderSkill.skill_id).where(*of_provider)


def services(business: UUID, provider: UUID, location: UUID | None) -> Select[Any]:
    """Read the services that a provider gives at a location."""
    given = is_given(business, provider, Service.id, location)
    told: Any = Service.id, Service.duration
    return select(*told).where(Service.business_id == business, given)


def requirements(business: UUID) -> Select[Any]:
    """Read which resources the services of a business need."""
    told: Any = Requirement.service_id, Requirement.resource_id
    return select(*told).where(Requirement.business_id == business)
