"""Chains: appointments for several services that follow each other; found by one statement, and chosen among here."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple
from uuid import UUID
from zlib import crc32

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    Select,
    Uuid,
    and_,
    case,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import aliased

from models.any_provider import HALF_A_WINDOW, NOTHING, is_booked
from models.appointment import Appointment, lead_time, maximum_horizon
from models.availability import available, nearest
from models.business import Business
from models.client import Client
from models.location import Location
from models.obstacle import holding
from models.offering import Offering
from models.page import Place
from models.provider import Provider
from models.record import array_of, bound
from models.refusal import InvalidInput
from models.reservation import Reservation
from models.service import Service
from models.viewer import Viewer

FEWEST_SERVICES, MOST_SERVICES = 2, 10
LONGEST_GAP = 120
MOST_CANDIDATES = 500


@dataclass(frozen=True)
class Step:
    """A service of a visit, and with whom; with anybody, unless it is told."""

    fixed: ClassVar[tuple[str, ...]] = ()

    service_id: UUID
    provider_id: UUID | None = None


@dataclass(frozen=True)
class VisitWish:
    """What a client wants to have one after the other, from an instant on, and how long they wait in between at most."""

    client_id: UUID
    starts_at: datetime
    steps: tuple[Step, ...]
    gap: timedelta
    location_id: UUID | None = None
    note: str | None = None

    def check(self) -> "VisitWish":
        """Check how many services there are, and how long somebody may wait."""
        if not FEWEST_SERVICES <= len(self.steps) <= MOST_SERVICES:
            problem = f"A visit has {FEWEST_SERVICES} to {MOST_SERVICES} services; {len(self.steps)} were sent."
            raise InvalidInput("services", problem=problem)
        if not timedelta(0) <= self.gap <= timedelta(minutes=LONGEST_GAP):
            problem = f"maximumGapMinutes must be from 0 to {LONGEST_GAP}."
            raise InvalidInput("maximumGapMinutes", problem=problem)
        return self


@dataclass(frozen=True)
class Sought:
    """What of a wish decides what is looked for."""

    fixed: ClassVar[tuple[str, ...]] = ()

    services: Place
    providers: Place
    starts_at: datetime
    gap: timedelta
    location_id: UUID | None

    @classmethod
    def read(cls, wish: VisitWish) -> "Sought":
        services = Place(step.service_id for step in wish.steps)
        providers = Place(step.provider_id for step in wish.steps)
        return cls(services, providers, wish.starts_at, wish.gap, wish.location_id)


class Chain(NamedTuple):
    """One appointment for each service; or none, and the how many-th service it was that no way led to."""

    chosen: tuple[Any, ...]
    failed: int


@dataclass
class _Search:
    """A search by depth. Whatever led nowhere once is not tried again: it looks at each pair of neighbours once at most."""

    candidates: Sequence[Sequence[Any]]
    gap: timedelta
    deepest: int = 0
    tried: set[tuple[int, UUID]] = field(default_factory=set)

    def extended(self, chosen: tuple[Any, ...]) -> tuple[Any, ...] | None:
        turn = len(chosen)
        if turn == len(self.candidates):
            return chosen
        self.deepest = max(self.deepest, turn)
        for each in self.candidates[turn]:
            if (turn, each.id) in self.tried or not _follows(chosen, each, self.gap):
                continue
            found = self.extended((*chosen, each))
            if found is not None:
                return found
            self.tried.add((turn, each.id))
        return None


def choose(candidates: Sequence[Any], wish: VisitWish, without: Container[UUID] = ()) -> Chain:
    """Choose for each service in turn whoever is the least loaded, then what begins the earliest; go back where that fails."""
    steps: list[list[Any]] = [[] for _ in wish.steps]
    for each in sorted(candidates, key=lambda each: (each.load, each.starts_at, _lot(wish.client_id, each))):
        if each.id not in without:
            steps[each.step].append(each)
    search = _Search(steps, wish.gap)
    chosen = search.extended(())
    return Chain(chosen or (), search.deepest)


def _lot(client_id: UUID, each: Any) -> int:
    """Draw a lot for each client: of equals, wishes that come together take different ones."""
    return crc32(client_id.bytes + each.provider_id.bytes)


def _follows(chosen: tuple[Any, ...], each: Any, gap: timedelta) -> bool:
    """Tell whether an appointment comes soon enough after those before it, where they are, and in the way of none."""
    if not chosen:
        return True
    is_soon = timedelta(0) <= each.starts_at - chosen[-1].ends_at <= gap
    return is_soon and _is_there(chosen, each) and not any(_collide(other, each) for other in chosen)


def _is_there(chosen: tuple[Any, ...], each: Any) -> bool:
    """Tell whether it takes place where the first one does; if that one says nothing, where all others do that say so."""
    here: UUID | None = chosen[0].location_id
    if here is not None:
        return bool(each.location_id == here)
    return each.location_id is None or all(other.location_id in (None, each.location_id) for other in chosen)


def _collide(one: Any, other: Any) -> bool:
    """Tell whether two appointments want the same provider, or too much of a resource, for the same time, buffers included."""
    if one.busy_until <= other.busy_from or other.busy_until <= one.busy_from:
        return False
    needs = {resource: (there, wanted) for resource, there, wanted in one.needs or ()}
    return one.provider_id == other.provider_id or any(
        resource in needs and needs[resource][1] + wanted > there for resource, there, wanted in other.needs or ()
    )


def candidates(viewer: Viewer, sought: Sought) -> Select[Any]:
    """Select what is free for each service: the first at the wished instant, each other one as soon after those before it."""
    steps: list[CTE] = []
    for turn in range(len(sought.services)):
        steps.append(_step(viewer, sought, turn, steps))
    found = union_all(*(select(step) for step in steps)).subquery("found")
    load = loads(viewer, select(found.c.provider_id), sought.starts_at).subquery("load")
    busy = func.coalesce(load.c.length, NOTHING).label("load")
    return select(*found.c, busy).join_from(found, load, load.c.provider_id == found.c.provider_id, isouter=True)


def _step(viewer: Viewer, sought: Sought, turn: int, before: Sequence[CTE]) -> CTE:
    step = Step(sought.services[turn], sought.providers[turn])
    free = offered(viewer, step, sought.location_id).with_only_columns(
        literal_column(str(turn), Integer).label("step"),
        *described(step.service_id),
        maintain_column_froms=True,
    )
    if not before:
        free = free.where(Appointment.starts_at == sought.starts_at)
    else:
        earliest, latest = (of(before[-1].c.ends_at) for of in (func.min, func.max))
        free = free.where(
            Appointment.starts_at >= select(earliest).scalar_subquery(),
            Appointment.starts_at <= select(latest + bound(sought.gap, Interval)).scalar_subquery(),
        )
    limited = free.order_by(Appointment.starts_at, Appointment.id).limit(MOST_CANDIDATES // len(sought.services))
    return limited.cte(f"step_{turn}").prefix_with("MATERIALIZED")


def offered(viewer: Viewer, step: Step, location_id: UUID | None) -> Select[Any]:
    """Select the free appointments, whenever they are, that serve a step."""
    free = available(viewer.business_id, step.service_id)
    if step.provider_id is not None:
        free = free.where(Appointment.provider_id == step.provider_id)
    return free if location_id is None else free.where(Appointment.location_id == location_id)


def described(service_id: UUID | None) -> list[Any]:
    """What decides whether appointments go together: when and where they are, and what they keep busy."""
    need = func.needed_resources(
        Appointment.business_id,
        Appointment.service_id if service_id is None else bound(service_id, Uuid),
        Appointment.location_id,
    ).table_valued("resource_id", "there", "wanted", name="need")
    each = func.jsonb_build_array(need.c.resource_id, need.c.there, need.c.wanted)
    return [
        *(Appointment.id, Appointment.provider_id, Appointment.location_id, Appointment.starts_at, Appointment.ends_at),
        (Appointment.starts_at - func.coalesce(Service.buffer_before, NOTHING)).label("busy_from"),
        (Appointment.ends_at + func.coalesce(Service.buffer_after, NOTHING)).label("busy_until"),
        func.coalesce(Service.hold_time, Business.hold_time).label("hold_time"),
        select(func.jsonb_agg(each)).select_from(need).scalar_subquery().label("needs"),
    ]


def loads(viewer: Viewer, providers: Select[Any], starts_at: datetime) -> Select[Any]:
    """Select how long each of some providers is booked in the window around an instant; the seats of a group count once."""
    at = bound(starts_at, DateTime(timezone=True))
    booking = aliased(Reservation)
    session = (
        select(booking.provider_id, booking.session_id, (booking.ends_at - booking.starts_at).label("length"))
        .where(
            booking.business_id == viewer.business_id,
            booking.provider_id.in_(providers),
            booking.starts_at >= at - HALF_A_WINDOW,
            booking.starts_at < at + HALF_A_WINDOW,
            is_booked(booking),
        )
        .distinct()
        .subquery("session")
    )
    return select(session.c.provider_id, func.sum(session.c.length).label("length")).group_by(session.c.provider_id)


def near(viewer: Viewer, step: Step, location_id: UUID | None, starts_at: datetime) -> Select[Any]:
    """Select, of what serves a step, the three that lie nearest to an instant."""
    return nearest(offered(viewer, step, location_id), starts_at)


def why_not(viewer: Viewer, wish: VisitWish) -> Select[Any]:
    """Read, after no chain was found or held, what may have stood in the way: a row for each service, in order."""
    services, providers = ([getattr(step, name) for step in wish.steps] for name in ("service_id", "provider_id"))
    step = (
        func.unnest(array_of(services, Uuid), array_of(providers, Uuid))
        .table_valued(column("service_id", Uuid), column("provider_id", Uuid), with_ordinality="turn")
        .render_derived(name="step")
    )
    provider = exists().where(Provider.visible_to(viewer), Provider.id == step.c.provider_id)
    return (
        select(
            *asked_by(viewer, wish.client_id, wish.location_id),
            Service.id.label("service_id"),
            Service.active.label("active"),
            case((step.c.provider_id.is_not(None), ~provider)).label("is_nobody"),
            case((step.c.provider_id.is_not(None), ~gives(viewer, step.c.provider_id, step.c.service_id))).label(
                "is_not_given"
            ),
            lead_time().label("lead_time"),
            maximum_horizon().label("maximum_horizon"),
        )
        .select_from(Business)
        .join(step, literal_column("true"))
        .outerjoin(Service, and_(Service.business_id == Business.id, Service.id == step.c.service_id))
        .where(Business.id == viewer.business_id)
        .order_by(step.c.turn)
    )


def gives(viewer: Viewer, provider: Any, service: Any) -> ColumnElement[bool]:
    """Whether a provider ever gives a service: they offer it, or have published times for it."""
    offering, time = aliased(Offering), aliased(Appointment)
    return or_(
        *(
            exists()
            .where(each.business_id == viewer.business_id, each.provider_id == provider, each.service_id == service)
            .correlate_except(each)
            for each in (offering, time)
        )
    )


def asked_by(viewer: Viewer, client_id: UUID, location_id: UUID | None) -> list[ColumnElement[Any]]:
    """What is told of the client, of what they hold, and of the place; a visit or a series is held as one."""
    client = exists().where(Client.visible_to(viewer), Client.id == client_id, Client.erased_at.is_(None))
    place = aliased(Location)
    return [
        client.label("client_exists"),
        exists().where(place.business_id == viewer.business_id, place.id == location_id).label("location_exists"),
        *holding(viewer, client_id),
        func.clock_timestamp().label("clock"),
    ]
