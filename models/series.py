"""Series: the same time every so many weeks; found by one statement, and chosen among here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Uuid,
    and_,
    column,
    false,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import aliased

from models.any_provider import NOTHING
from models.appointment import Appointment, is_for, lead_time, maximum_horizon, with_policies
from models.availability import available, nearest
from models.business import Business
from models.chain import MOST_CANDIDATES, asked_by, described, gives, loads
from models.location import Location
from models.provider import Provider
from models.record import array_of, bound
from models.refusal import InvalidInput
from models.reservation import HELD, Reservation
from models.service import Service
from models.viewer import Viewer
from models.zone import instant

FEWEST, MOST = 2, 52
MOST_BY_CLIENT = 12  # as a client's own wish: what is held cannot be had by others
MOST_WEEKS = 8
_AT = literal_column("occasion.starts_at", DateTime(timezone=True))


class SeriesMode(StrEnum):
    """What becomes of a series when some of it cannot be had: nothing is held, or what can be had is."""

    ALL_OR_NOTHING = "ALL_OR_NOTHING"
    SKIP_CONFLICTS = "SKIP_CONFLICTS"


class ConflictReason(StrEnum):
    """Why an appointment of a series cannot be had."""

    SLOT_UNAVAILABLE = "SLOT_UNAVAILABLE"
    NOT_OFFERED = "NOT_OFFERED"
    LEAD_TIME = "LEAD_TIME"
    HORIZON = "HORIZON"


@dataclass(frozen=True)
class SeriesWish:
    """What a client wants again and again: an appointment, or a service at an instant; how often, and how far apart."""

    client_id: UUID
    appointment_id: UUID | None
    service_id: UUID | None
    provider_id: UUID | None
    location_id: UUID | None
    starts_at: datetime | None
    count: int
    every_weeks: int
    mode: SeriesMode
    note: str | None = None

    def check(self) -> "SeriesWish":
        """Check what names the first appointment, and how many there are."""
        if self.appointment_id is None and (self.service_id is None or self.starts_at is None):
            missing = "serviceId" if self.service_id is None else "startsAt"
            problem = f"Send appointmentId, or serviceId and startsAt; {missing} is missing."
            raise InvalidInput(missing, problem=problem)
        for name in ("starts_at", "provider_id", "location_id"):
            if self.appointment_id is not None and getattr(self, name) is not None:
                shown = {"starts_at": "startsAt", "provider_id": "providerId", "location_id": "locationId"}[name]
                raise InvalidInput(shown, problem=f"The appointment says what {shown} would; send one of them.")
        if not FEWEST <= self.count <= MOST:
            raise InvalidInput("count", problem=f"count must be from {FEWEST} to {MOST}.")
        if not 1 <= self.every_weeks <= MOST_WEEKS:
            raise InvalidInput("everyWeeks", problem=f"everyWeeks must be from 1 to {MOST_WEEKS}.")
        return self

    @property
    def field(self) -> str:
        """Name the field that says when the first appointment is."""
        return "startsAt" if self.appointment_id is None else "appointmentId"


@dataclass(frozen=True)
class Occasions:
    """The instants of a series, and what is wanted then: a service, or if there is none a time at least that long."""

    instants: tuple[datetime, ...]
    service_id: UUID | None
    provider_id: UUID | None
    location_id: UUID | None
    length: timedelta | None

    @classmethod
    def read(cls, wish: SeriesWish, first: Any) -> "Occasions":
        """Repeat what the first appointment is: the same time of a clock on a wall, whatever its offset is by then."""
        instants = tuple(repeated(first.starts_at, ZoneInfo(first.zone), wish.count, wish.every_weeks))
        is_free_choice = wish.appointment_id is None
        return cls(
            instants,
            wish.service_id if is_free_choice else (first.published_for or wish.service_id),
            wish.provider_id if is_free_choice else first.provider_id,
            wish.location_id if is_free_choice else first.location_id,
            None if is_free_choice else first.ends_at - first.starts_at,
        )


def repeated(first: datetime, where: ZoneInfo, count: int, every_weeks: int) -> list[datetime]:
    """Find the instants at which a clock shows the same time on the same weekday again."""
    local = first.astimezone(where).replace(tzinfo=None, fold=0)
    later = [instant(local + timedelta(weeks=every_weeks * turn), where) for turn in range(1, count)]
    return [first, *later]


@dataclass(frozen=True)
class Conflict:
    """An appointment of a series that cannot be had, why, and what is free instead."""

    index: int
    starts_at: datetime
    reason: ConflictReason
    alternatives: tuple[UUID, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Write it down, to be told again."""
        found = [str(key) for key in self.alternatives]
        return {
            "index": self.index,
            "starts_at": self.starts_at.isoformat(),
            "reason": self.reason.value,
            "alternatives": found,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Conflict":
        """Read back what `to_json` wrote down."""
        found = tuple(UUID(key) for key in kept["alternatives"])
        at = datetime.fromisoformat(kept["starts_at"])
        return cls(kept["index"], at, ConflictReason(kept["reason"]), found)


def choose(candidates: Sequence[Any], without: set[UUID]) -> dict[int, Any]:
    """Choose an appointment for each occasion: with as few providers as it can be, and of those with the least loaded."""
    free = [each for each in candidates if each.id is not None and each.id not in without]
    often = Counter(each.provider_id for each in free)
    chosen: dict[int, Any] = {}
    for each in sorted(free, key=lambda each: (-often[each.provider_id], each.load, each.provider_id)):
        chosen.setdefault(each.turn, each)
    return chosen


def conflicts(occasions: Occasions, candidates: Sequence[Any], chosen: dict[int, Any], first: Any) -> list[Conflict]:
    """Tell of every occasion for which nothing was chosen why that is."""
    published = {each.turn for each in candidates if each.is_published}
    return [
        Conflict(turn, at, _reason(at - first.clock, turn in published, first))
        for turn, at in enumerate(occasions.instants)
        if turn not in chosen
    ]


def _reason(ahead: timedelta, is_published: bool, first: Any) -> ConflictReason:
    if ahead < first.lead_time:
        return ConflictReason.LEAD_TIME
    if first.maximum_horizon is not None and ahead > first.maximum_horizon:
        return ConflictReason.HORIZON
    return ConflictReason.SLOT_UNAVAILABLE if is_published else ConflictReason.NOT_OFFERED


def first(viewer: Viewer, wish: SeriesWish) -> Select[Any]:
    """Read what a series begins with: when and where that is, by which clock on a wall, and what there is to say against it."""
    appointment, place, who = aliased(Appointment), aliased(Location), aliased(Provider)
    provider: Any = appointment.provider_id if wish.provider_id is None else bound(wish.provider_id, Uuid)
    starts_at: Any = appointment.starts_at if wish.starts_at is None else bound(wish.starts_at, DateTime(timezone=True))
    service: Any = func.coalesce(appointment.service_id, bound(wish.service_id, Uuid))
    located: Any = func.coalesce(appointment.location_id, bound(wish.location_id, Uuid), _usual_place(viewer, wish))
    of = Business.id
    is_it = false() if wish.appointment_id is None else appointment.id == wish.appointment_id
    return (
        select(
            *asked_by(viewer, wish.client_id, wish.location_id),
            held_series(viewer, wish.client_id).label("held_series"),
            appointment.id.label("appointment_id"),
            appointment.withdrawn_at,
            appointment.service_id.label("published_for"),
            appointment.provider_id,
            appointment.location_id,
            starts_at.label("starts_at"),
            appointment.ends_at,
            who.id.label("who_id"),
            (true() if wish.provider_id is None else gives(viewer, wish.provider_id, wish.service_id)).label(
                "is_given"
            ),
            func.coalesce(place.time_zone, who.time_zone, Business.time_zone).label("zone"),
            Service.id.label("service_id"),
            Service.active.label("active"),
            lead_time().label("lead_time"),
            maximum_horizon().label("maximum_horizon"),
        )
        .select_from(Business)
        .outerjoin(appointment, and_(appointment.business_id == of, is_it))
        .outerjoin(Service, and_(Service.business_id == of, Service.id == service))
        .outerjoin(who, and_(who.business_id == of, who.id == provider))
        .outerjoin(place, and_(place.business_id == of, place.id == located))
        .where(of == viewer.business_id)
    )


def _usual_place(viewer: Viewer, wish: SeriesWish) -> ColumnElement[UUID | None]:
    """Where somebody works at the wished instant: the clock on that wall is meant."""
    if wish.starts_at is None:
        return literal_column("NULL", Uuid)
    there = aliased(Appointment)
    found = select(there.location_id).where(
        there.business_id == viewer.business_id, there.starts_at == wish.starts_at, there.location_id.is_not(None)
    )
    if wish.provider_id is not None:
        found = found.where(there.provider_id == wish.provider_id)
    return found.order_by(there.provider_id).limit(1).scalar_subquery()


def held_series(viewer: Viewer, client_id: UUID) -> ColumnElement[Any]:
    """Count the series of a client that are held at this moment."""
    return (
        select(func.count(Reservation.series_id.distinct()))
        .where(
            Reservation.business_id == viewer.business_id,
            Reservation.client_id == client_id,
            Reservation.live,
            Reservation.stored_status == HELD,
            Reservation.expires_at > func.clock_timestamp(),
        )
        .scalar_subquery()
    )


def candidates(viewer: Viewer, wanted: Occasions) -> Select[Any]:
    """Select for each occasion the appointments that are free then, and whether any is published."""
    occasion = _occasion(range(len(wanted.instants)), wanted.instants)
    at_once = max(MOST_CANDIDATES // len(wanted.instants), 5)
    free = (
        _meant(available(viewer.business_id, wanted.service_id), wanted)
        .with_only_columns(*described(wanted.service_id), maintain_column_froms=True)
        .where(Appointment.starts_at == _AT)
        .order_by(Appointment.provider_id)
        .limit(at_once)
        .lateral("free")
    )
    found = (
        select(occasion.c.turn, _is_published(viewer, wanted).label("is_published"), *free.c)
        .join_from(occasion, free, true(), isouter=True)
        .cte("found")
    )
    load = loads(viewer, select(found.c.provider_id), wanted.instants[0]).subquery("load")
    busy = func.coalesce(load.c.length, NOTHING).label("load")
    return select(*found.c, busy).join_from(found, load, load.c.provider_id == found.c.provider_id, isouter=True)


def alternatives(viewer: Viewer, wanted: Occasions, missing: Sequence[Conflict], chosen: Sequence[UUID]) -> Select[Any]:
    """Select, for each conflict, the three free appointments that lie nearest to it and are not chosen already."""
    occasion = _occasion([each.index for each in missing], [each.starts_at for each in missing])
    free = _meant(available(viewer.business_id, wanted.service_id), wanted)
    spare = free.where(Appointment.id != func.all(array_of(chosen, Uuid)))
    near = nearest(spare, _AT).lateral("nearest_ones")
    return select(occasion.c.turn, *near.c).join_from(occasion, near, true())


def _occasion(turns: Sequence[int], instants: Sequence[datetime]) -> Any:
    return (
        func.unnest(array_of(turns, Integer), array_of(instants, DateTime(timezone=True)))
        .table_valued(column("turn", Integer), column("starts_at", DateTime(timezone=True)))
        .render_derived(name="occasion")
    )


def _is_published(viewer: Viewer, wanted: Occasions) -> ColumnElement[bool]:
    """Whether there is an appointment at all, free or not."""
    there = with_policies(select(Appointment.id), wanted.service_id).where(
        Appointment.business_id == viewer.business_id,
        Appointment.starts_at == _AT,
        Appointment.withdrawn_at.is_(None),
        *(() if wanted.service_id is None else (is_for(wanted.service_id),)),
    )
    return _meant(there, wanted).exists()


def _meant(statement: Select[Any], wanted: Occasions) -> Select[Any]:
    """Narrow a selection of appointments to those of the provider, of the place, and of the kind that are wanted."""
    if wanted.provider_id is not None:
        statement = statement.where(Appointment.provider_id == wanted.provider_id)
    if wanted.location_id is not None:
        statement = statement.where(Appointment.location_id == wanted.location_id)
    if wanted.service_id is None:
        statement = statement.where(Appointment.service_id.is_(None))
    if wanted.service_id is None and wanted.length is not None:
        statement = statement.where(Appointment.ends_at - Appointment.starts_at >= wanted.length)
    return statement
