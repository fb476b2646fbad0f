"""The report of exposure: of whose times how many were shown, and how many of theirs were reserved."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select

from models.appointment import Appointment
from models.exposure import Exposure
from models.provider import Provider
from models.record import columns
from models.refusal import InvalidInput
from models.reservation import Reservation
from models.search import LONGEST_SPAN
from models.viewer import Viewer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Ids are made in the order of creation, but for what a clock was set back in between.
MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Span:
    """What a report is about: instants, half open, and maybe one location."""

    first: datetime
    end: datetime
    location_id: UUID | None = None

    @classmethod
    def read(cls, first: datetime, end: datetime, location_id: UUID | None) -> "Span":
        """Check a range of instants."""
        if first > end:
            raise InvalidInput("until", problem="until must not lie before from.")
        if end - first > LONGEST_SPAN:
            raise InvalidInput("until", problem="A range is at most 366 days long.")
        return cls(first, end, location_id)


def report(viewer: Viewer, span: Span) -> Select[Any]:
    """Select the providers of whose times any was shown or reserved in a span, with how many were."""
    exposed, claimed = _shown(viewer, span).subquery("exposed"), _held(viewer, span).subquery("claimed")
    counts = (exposed.c.shown, claimed.c.held, claimed.c.confirmed)
    return (
        select(*columns(Provider), *(func.coalesce(count, 0).label(count.name) for count in counts))
        .outerjoin(exposed, exposed.c.provider_id == Provider.id)
        .outerjoin(claimed, claimed.c.provider_id == Provider.id)
        .where(Provider.visible_to(viewer), or_(exposed.c.shown > 0, claimed.c.held > 0))
    )


def _shown(viewer: Viewer, span: Span) -> Select[*tuple[Any, ...]]:
    shown = (
        select(Exposure.provider_id, func.count().label("shown"))
        .where(Exposure.visible_to(viewer), Exposure.shown_at >= span.first, Exposure.shown_at < span.end)
        .group_by(Exposure.provider_id)
    )
    return shown if span.location_id is None else shown.where(Exposure.location_id == span.location_id)


def _held(viewer: Viewer, span: Span) -> Select[*tuple[Any, ...]]:
    held = (
        select(
            Reservation.provider_id,
            func.count().label("held"),
            func.count(Reservation.confirmed_at).label("confirmed"),
        )
        .where(
            Reservation.business_id == viewer.business_id,
            Reservation.id >= _earliest_id(span.first - MARGIN),
            Reservation.id < _earliest_id(span.end + MARGIN),
            Reservation.created_at >= span.first,
            Reservation.created_at < span.end,
        )
        .group_by(Reservation.provider_id)
    )
    if span.location_id is None:
        return held
    where = and_(Appointment.business_id == Reservation.business_id, Appointment.id == Reservation.appointment_id)
    return held.join(Appointment, where).where(Appointment.location_id == span.location_id)


def _earliest_id(instant: datetime) -> UUID:
    """The least id that can be made at an instant (RFC 9562, version 7, begins with its milliseconds)."""
    return UUID(int=((instant - EPOCH) // timedelta(milliseconds=1)) << 80)
