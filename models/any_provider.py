"""Any provider: reserving a service at an instant with whichever provider has the least to do."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Interval,
    Select,
    Text,
    Uuid,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased

from models.appointment import Appointment
from models.availability import available, nearest
from models.client import Client
from models.idempotency_key import Key, is_new
from models.record import bound
from models.reservation import Reservation, claimed, is_claim
from models.viewer import Viewer

HALF_A_WINDOW = literal_column("interval '84:00:00'", Interval)
"""What is booked so long before and after the wanted instant counts: seven days, half open."""

NOTHING = literal_column("interval '0'", Interval)


@dataclass(frozen=True)
class AnyProvider:
    """What a client asks for: a service at an instant, with anybody who gives it."""

    fixed: ClassVar[tuple[str, ...]] = ()

    client_id: UUID
    service_id: UUID
    starts_at: datetime
    location_id: UUID | None = None
    note: str | None = None


def is_booked(booking: type[Reservation]) -> ColumnElement[bool]:
    """Whether a reservation takes, or took, its provider's time."""
    return or_(
        is_claim(booking), booking.stored_status.in_([literal_column(f"'{s}'") for s in ("COMPLETED", "NO_SHOW")])
    )


def load(starts_at: ColumnElement[datetime]) -> ColumnElement[timedelta]:
    """How long the provider is booked in the window around an instant; the seats of a group count once."""
    booking = aliased(Reservation)
    session = (
        select(booking.session_id, (booking.ends_at - booking.starts_at).label("length"))
        .where(
            booking.business_id == Appointment.business_id,
            booking.provider_id == Appointment.provider_id,
            booking.starts_at >= starts_at - HALF_A_WINDOW,
            booking.starts_at < starts_at + HALF_A_WINDOW,
            is_booked(booking),
        )
        .distinct()
        .correlate(Appointment)
        .subquery("session")
    )
    return select(func.coalesce(func.sum(session.c.length), NOTHING)).scalar_subquery()


def idle_since(starts_at: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """When the provider's last booking before an instant ends; null, if there is none."""
    booking = aliased(Reservation)
    return (
        select(booking.ends_at)
        .where(
            booking.business_id == Appointment.business_id,
            booking.provider_id == Appointment.provider_id,
            booking.starts_at < starts_at,
            is_booked(booking),
        )
        .order_by(booking.starts_at.desc())
        .limit(literal_column("1"))
        .correlate(Appointment)
        .scalar_subquery()
    )


def free(viewer: Viewer, wish: AnyProvider) -> Select[Any]:
    """Select the free appointments, whenever they are, that serve what is wanted."""
    serving = available(viewer.business_id, wish.service_id)
    return serving if wish.location_id is None else serving.where(Appointment.location_id == wish.location_id)


def candidates(viewer: Viewer, wish: AnyProvider) -> Select[Any]:
    """Select those that begin at the wanted instant, each of a provider of its own."""
    return free(viewer, wish).where(Appointment.starts_at == wish.starts_at)


def near(viewer: Viewer, wish: AnyProvider) -> Select[Any]:
    """Select, of those that serve what is wanted, the three that lie nearest to the wanted instant."""
    return nearest(free(viewer, wish), wish.starts_at)


def reserve(
    viewer: Viewer, wish: AnyProvider, key: Key | None, authored: ColumnElement[bool], *, patient: bool = False
) -> Select[Any]:
    """Reserve with the provider who is booked the least around that time, then is idle the longest; no row means no.

    The client is locked before the appointment, as wherever both are. What others are reserving at this moment is passed
    over: wishes that come together take different providers. Only a `patient` one waits for what becomes of theirs.
    """
    asking = (
        select(Client.business_id, Client.id)
        .where(
            Client.visible_to(viewer), Client.id == wish.client_id, Client.erased_at.is_(None), is_new(key), authored
        )
        .with_for_update(key_share=True)
        .cte("asking")
    )
    starts_at = bound(wish.starts_at, DateTime(timezone=True))
    chosen = (
        candidates(viewer, wish)
        .with_only_columns(
            Appointment.business_id,
            asking.c.id.label("client_id"),
            Appointment.id,
            bound(wish.note, Text).label("note"),
            bound(wish.service_id, Uuid).label("service_id"),
            maintain_column_froms=True,
        )
        .join(asking, true())
        .order_by(load(starts_at), idle_since(starts_at).asc().nulls_first(), Appointment.provider_id)
        .limit(literal_column("1"))
        .with_for_update(of=Appointment, skip_locked=not patient)
        .cte("chosen")
    )
    return claimed(select(*chosen.c), key)
