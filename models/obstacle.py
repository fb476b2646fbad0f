"""Obstacles: what stood in the way of a wish, read after its statement said no."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Select, and_, exists, func, select
from sqlalchemy.orm import aliased

from models.any_provider import AnyProvider, candidates
from models.appointment import (
    Appointment,
    is_ahead,
    is_given_then,
    is_long_enough,
    is_within_horizon,
    lead_time,
    maximum_horizon,
)
from models.availability import available, is_free, missing_resource, nearest
from models.business import Business
from models.client import Client
from models.event import Event
from models.life import kept_by
from models.location import Location
from models.record import bound
from models.reservation import Wish
from models.service import Service
from models.viewer import Viewer


def why_not_held(viewer: Viewer, wish: Wish) -> Select[Any]:
    """Read, after `hold` said no, what it was that stood in the way."""
    withdrawn = exists().where(
        Event.business_id == viewer.business_id,
        Event.aggregate_id == wish.appointment_id,
        Event.type == "scheduling.appointment.withdrawn.v1",
    )
    of_service: Any = Appointment.service_id if wish.service_id is None else wish.service_id
    return (
        select(
            *_asked_by(viewer, wish),
            withdrawn.label("withdrawn"),
            Appointment.id.label("appointment_id"),
            Appointment.provider_id,
            Appointment.starts_at,
            Appointment.ends_at,
            Appointment.withdrawn_at,
            Appointment.service_id.label("published_for"),
            Service.duration,
            *_fits(wish),
            is_ahead().label("ahead"),
            is_within_horizon().label("within_horizon"),
            is_free().label("free"),
            missing_resource().label("missing_resource"),
        )
        .select_from(Business)
        .outerjoin(Appointment, and_(Appointment.business_id == Business.id, Appointment.id == wish.appointment_id))
        .outerjoin(Service, and_(Service.business_id == Business.id, Service.id == of_service))
        .where(Business.id == viewer.business_id)
    )


def _fits(wish: Wish) -> list[ColumnElement[Any]]:
    """What is told of a service that was chosen: whether it can be had there and then."""
    if wish.service_id is None:
        return []
    return [is_long_enough().label("long_enough"), is_given_then(wish.service_id).label("given")]


@dataclass(frozen=True)
class Taken:
    """An appointment that is not free, and the service that was chosen for it; or that it has to be `plain`: for none."""

    fixed: ClassVar[tuple[str, ...]] = ("plain",)

    id: UUID
    provider_id: UUID
    starts_at: datetime
    service_id: UUID | None
    plain: bool = False


def alternatives(viewer: Viewer, taken: Taken) -> Select[Any]:
    """Select what else of the provider's is free near an appointment that is not."""
    free = available(viewer.business_id, taken.service_id).where(
        Appointment.provider_id == taken.provider_id, Appointment.id != taken.id
    )
    return nearest(free.where(Appointment.service_id.is_(None)) if taken.plain else free, taken.starts_at)


def why_nobody(viewer: Viewer, wish: AnyProvider) -> Select[Any]:
    """Read, after nobody was found for a wish, what it was that stood in the way; or whether somebody is free now."""
    starts_in = bound(wish.starts_at, DateTime(timezone=True)) - func.clock_timestamp()
    location = aliased(Location)
    return (
        select(
            *_asked_by(viewer, wish),
            exists()
            .where(location.business_id == viewer.business_id, location.id == wish.location_id)
            .label("location_exists"),
            (starts_in >= lead_time()).label("ahead"),
            (starts_in > maximum_horizon()).is_not(True).label("within_horizon"),
            candidates(viewer, wish).exists().label("free"),
        )
        .select_from(Business)
        .outerjoin(Service, and_(Service.business_id == Business.id, Service.id == wish.service_id))
        .where(Business.id == viewer.business_id)
    )


def _asked_by(viewer: Viewer, wish: Wish | AnyProvider) -> list[ColumnElement[Any]]:
    """What is told of the client, the service, and the policies that hold."""
    client = exists().where(Client.visible_to(viewer), Client.id == wish.client_id, Client.erased_at.is_(None))
    return [
        client.label("client_exists"),
        Service.id.label("service_id"),
        Service.active.label("active"),
        lead_time().label("lead_time"),
        maximum_horizon().label("maximum_horizon"),
        *holding(viewer, wish.client_id),
        func.clock_timestamp().label("clock"),
    ]


def holding(viewer: Viewer, client_id: UUID) -> list[ColumnElement[Any]]:
    """Tell how much a client may hold, what they hold at this moment, and how much of theirs waits for an approval."""
    return [Business.hold_limit.label("hold_limit"), *kept_by(viewer.business_id, client_id)]
