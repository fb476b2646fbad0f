"""Candidates: the times that a choice is made among, and the window for which it stays, read by one statement.

A window is derived from the database's clock and the viewer alone, and what was free when it began from what the tables
keep of each claim. So every worker reads the same, and goes on doing so after a restart.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    Interval,
    Select,
    Text,
    Uuid,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from models import search
from models.appointment import Appointment, lead_time, maximum_horizon, with_policies
from models.availability import available
from models.business import Business, ExposureVariant
from models.exposure import WINDOW
from models.location import Location
from models.provider import Provider
from models.record import Record, array_of, columns
from models.refusal import InvalidInput
from models.reservation import Reservation
from models.resource import Resource
from models.search import Availability
from models.service import Service
from models.skill import Skill
from models.text import key
from models.viewer import Viewer

SECONDS = WINDOW // timedelta(seconds=1)
MOST_TIMES = 48
"""How many times of one provider are chosen among, at most."""
MOST_READ = 240
"""How many times are chosen among in all, at most: those of five providers at least."""
MOST_THERE = 2_000
"""How many times at a location are read at most, to find those who work there."""
_AROUND = timedelta(hours=96)  # an appointment of a day, with a day before and after it, and to spare
_BEGAN_AT, _VALID_UNTIL = (
    literal_column(f"shown.{name}", DateTime(timezone=True)) for name in ("began_at", "valid_until")
)
_NOTHING = literal_column("interval '0'", Interval)
NAMED: dict[str, tuple[str, type[Record]]] = {
    "provider_id": ("providerIds", Provider),
    "provider_ids": ("providerIds", Provider),
    "location_id": ("locationId", Location),
    "service_id": ("serviceId", Service),
    "skill_ids": ("skillIds", Skill),
    "resource_id": ("resourceId", Resource),
}
"""What of a filter names a thing: the field that does, and what it names."""
_SEED, _PROVIDER = literal_column("shown.seed", Text), literal_column("provider.id", Uuid)


@dataclass(frozen=True)
class Exhibition:
    """What of the free times of a local date is to be shown to whom; without a variant, the business's is meant."""

    wanted: Availability
    day: date
    time_zone: str
    viewer_key: str
    variant: ExposureVariant | None = None

    @classmethod
    def read(
        cls,
        wanted: Availability,
        day: date | None,
        time_zone: str | None,
        viewer_key: str,
        variant: ExposureVariant | None,
    ) -> "Exhibition":
        """Check what was sent."""
        if day is None or time_zone is None:
            raise InvalidInput("date", problem="Send the date whose times are shown.")
        key(viewer_key, "viewerKey")
        return cls(wanted, day, time_zone, viewer_key, variant)

    @property
    def among(self) -> "Among":
        """What its statement is made for."""
        several = self.wanted.provider_ids
        once = None if several is None else tuple(dict.fromkeys(several))
        return Among(replace(self.wanted, provider_ids=once), self.context, self.phase)

    @property
    def context(self) -> str:
        """All that a seed depends on beside the hour; nobody can read the viewer's key off it."""
        told = self.viewer_key, self.day, self.wanted.provider_id or "all", self.wanted
        return hashlib.sha256(repr(told).encode()).hexdigest()

    @property
    def phase(self) -> int:
        """When this viewer's windows begin, in seconds: not all are to change at once."""
        return int.from_bytes(hashlib.sha256(self.viewer_key.encode()).digest()[:8]) % SECONDS


@dataclass(frozen=True)
class Among:
    """The times that are chosen among, and what the window of a viewer is derived from."""

    fixed: ClassVar[tuple[str, ...]] = ()

    wanted: Availability
    context: str
    phase: int


def candidates(viewer: Viewer, asked: Among) -> Select[Any]:
    """Select the window (`shown`), and beside it the times that were free when it began or became so since.

    Providers are gone through in the order of the seed, until there are enough: a location may have a thousand.
    """
    shown = _window(viewer, asked).cte("shown").prefix_with("MATERIALIZED")
    provider = _providers(viewer, asked.wanted).lateral("provider")
    time = _times(viewer, asked).lateral("time")
    found = (
        select(*time.c).join_from(provider, time, true()).order_by(provider.c.rank).limit(MOST_READ).lateral("found")
    )
    return select(*shown.c, *found.c).join_from(shown, found, true(), isouter=True)


def _window(viewer: Viewer, asked: Among) -> Select[Any]:
    """Select the window and its seed, whose salt is the hour in which it began, and what is asked for but is not there."""
    now = func.extract("epoch", func.statement_timestamp()) - asked.phase
    clock = select((func.floor(now / SECONDS) * SECONDS + asked.phase).label("began")).subquery("clock")
    hour = cast(func.floor(clock.c.began / 3600), BigInteger)
    return (
        select(
            func.md5(func.concat(asked.context, ":", hour)).label("seed"),
            func.to_timestamp(clock.c.began).label("began_at"),
            func.to_timestamp(clock.c.began + SECONDS).label("valid_until"),
            Business.exposure_variant.label("policy"),
            _missing(viewer, asked.wanted).label("missing"),
        )
        .join_from(Business, clock, true())
        .where(Business.visible_to(viewer))
    )


def _missing(viewer: Viewer, wanted: Availability) -> ColumnElement[str]:
    """Name the field of the filter that names what is not there."""
    absent = [
        (_are_missing(record, viewer, getattr(wanted, name)), literal_column(f"'{field}'", Text))
        for name, (field, record) in NAMED.items()
        if getattr(wanted, name) is not None
    ]
    return case(*absent, else_=null()) if absent else cast(null(), Text)


def _are_missing(record: Any, viewer: Viewer, named: Any) -> ColumnElement[bool]:
    """Whether the one that is named is not there, or any of several, of which none is named twice."""
    if isinstance(getattr(named, "type", None), ARRAY):
        there = select(func.count()).where(record.visible_to(viewer), record.id == func.any(named))
        return there.scalar_subquery() < func.cardinality(named)
    return ~exists().where(record.visible_to(viewer), record.id == named)


def _providers(viewer: Viewer, wanted: Availability) -> Select[Any]:
    """Select the providers in the order of the seed; at a location, those who have times there."""
    in_order = cast(func.md5(func.concat(_SEED, Provider.id)), Uuid).label("rank")
    found = select(Provider.id, in_order).where(Provider.visible_to(viewer)).order_by(in_order)
    if wanted.provider_id is not None:
        return found.where(Provider.id == wanted.provider_id)
    if wanted.provider_ids is not None:
        return found.where(Provider.id == func.any(array_of(wanted.provider_ids, Uuid)))
    return found if wanted.location_id is None else found.where(_is_there(viewer, wanted))


def _is_there(viewer: Viewer, wanted: Availability) -> ColumnElement[bool]:
    """Whether a provider has times at the location: otherwise a business would be gone through for a few of its providers.

    Where more times are found than are read for it, any few providers will do, and nobody is left out.
    """
    where = Availability(
        location_id=wanted.location_id, starts_from=wanted.starts_from, starts_until=wanted.starts_until
    )
    times = select(Appointment.provider_id).where(Appointment.business_id == viewer.business_id)
    there = search.narrow(times, where, viewer.business_id).limit(MOST_THERE + 1).cte("there")
    how_many = select(func.count()).select_from(there).scalar_subquery()
    return or_(how_many > MOST_THERE, Provider.id.in_(select(there.c.provider_id)))


def _times(viewer: Viewer, asked: Among) -> Select[Any]:
    """Select what one provider has that can be reserved until the window ends, or could be when it began."""
    wanted, business = asked.wanted, viewer.business_id
    claim = _claims(viewer, asked).cte("claim").prefix_with("MATERIALIZED")
    history = _history(claim)
    offered = available(business, wanted.service_id).subquery("offered")
    free = select(offered.c.id).where(offered.c.id == literal_column("appointments.id", Uuid)).limit(1).lateral("free")
    is_late = or_(
        Appointment.created_at > _BEGAN_AT,
        history.c.was_taken,
        (Appointment.starts_at - _BEGAN_AT > maximum_horizon()).is_(true()),
    )
    times = (
        with_policies(
            select(
                *columns(Appointment),
                Location.time_zone.label("zone"),
                history.c.taken_at,
                is_late.label("is_late"),
                free.c.id.is_not(None).label("is_free"),
            ),
            wanted.service_id,
        )
        .outerjoin(
            Location, and_(Location.business_id == Appointment.business_id, Location.id == Appointment.location_id)
        )
        .join(history, true())
        .outerjoin(free, true())
        .where(
            Appointment.business_id == business,
            Appointment.provider_id == _PROVIDER,
            Appointment.starts_at - _VALID_UNTIL >= lead_time(),
            or_(Appointment.withdrawn_at.is_(None), Appointment.withdrawn_at > _BEGAN_AT),
            Service.active.is_not(false()),
            or_(history.c.taken_at.is_not(None), free.c.id.is_not(None)),
        )
    )
    return (
        search.narrow(times.add_cte(claim, nest_here=True), wanted, business)
        .order_by("is_late", cast(func.md5(func.concat(_SEED, Appointment.id)), Uuid))
        .limit(MOST_TIMES)
    )


def _history(claim: CTE) -> Any:
    """Tell of an appointment whether its time was claimed when the window began, and since when it is."""
    is_seat = claim.c.session_id == Appointment.id
    overlaps = and_(
        claim.c.session_id != Appointment.id,
        claim.c.busy_from < Appointment.ends_at + func.coalesce(Service.buffer_after, _NOTHING),
        claim.c.busy_until > Appointment.starts_at - func.coalesce(Service.buffer_before, _NOTHING),
    )
    before = claim.c.scheduled_at <= _BEGAN_AT
    return (
        select(
            or_(
                func.count().filter(before, overlaps) > 0,
                func.count().filter(before, is_seat) >= Appointment.capacity,
            ).label("was_taken"),
            func.min(claim.c.scheduled_at)
            .filter(~before, or_(overlaps, claim.c.seats >= Appointment.capacity))
            .label("taken_at"),
        )
        .where(or_(is_seat, overlaps))
        .correlate(Appointment, Service)
        .lateral("history")
    )


def _claims(viewer: Viewer, asked: Among) -> Select[Any]:
    """Select the claims on a provider's time that stood when the window began, or have been made since.

    `seats` tells how many of its group were taken with each.
    """
    wanted, seat = asked.wanted, aliased(Reservation)
    seats = (
        select(func.count())
        .where(
            seat.business_id == Reservation.business_id,
            seat.appointment_id == Reservation.appointment_id,
            seat.scheduled_at <= Reservation.scheduled_at,
            _ended_at(seat) > Reservation.scheduled_at,
        )
        .scalar_subquery()
    )
    claims = select(
        Reservation.session_id,
        Reservation.busy_from,
        Reservation.busy_until,
        Reservation.scheduled_at,
        case((Reservation.capacity > 1, seats), else_=1).label("seats"),
    ).where(
        Reservation.business_id == viewer.business_id,
        Reservation.provider_id == _PROVIDER,
        _ended_at(Reservation) > _BEGAN_AT,
    )
    if wanted.starts_from is not None:
        claims = claims.where(Reservation.starts_at > wanted.starts_from - _AROUND)
    if wanted.starts_until is not None:
        claims = claims.where(Reservation.starts_at < wanted.starts_until + _AROUND)
    return claims


def _ended_at(reservation: Any) -> ColumnElement[datetime]:
    """Until when a reservation holds its time: for good, unless it was cancelled, or has lapsed or will."""
    lapses = case((reservation.confirmed_at.is_(None), reservation.expires_at))
    return func.coalesce(reservation.cancelled_at, lapses, literal_column("timestamptz 'infinity'"))
