"""Reserving: an appointment, or a service with any provider; and why not."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Reservation, any_provider, obstacle, reservation
from models.any_provider import AnyProvider
from models.business import minutes
from models.idempotency_key import Key
from models.obstacle import Taken
from models.refusal import (
    AppointmentWithdrawn,
    BeyondHorizon,
    Busy,
    InvalidInput,
    NobodyAvailable,
    NotFound,
    NotOffered,
    Refusal,
    ResourceInUse,
    SlotUnavailable,
    TooLate,
    TooManyHolds,
    TooManyRequests,
)
from models.reservation import Wish
from resolvers.context import Context
from resolvers.idempotency import once
from resolvers.prepared import prepared
from resolvers.writes import Write

MOST_LOOKS = 20


async def _why_not_held(context: Context, wish: Wish, _key: Key | None) -> Row[Any]:
    raise await _obstacle(context, wish)


async def _obstacle(context: Context, wish: Wish) -> Refusal:
    found = await context.database.row(*prepared(obstacle.why_not_held, context.viewer, wish))
    if found is None or not found.client_exists:
        return NotFound("clientId", noun="client")
    if problem := not_there(found) or _misfit(found, wish):
        return problem
    if is_too_long(found):
        return NotOffered("appointmentId")
    if found.active is False:
        return NotOffered("appointmentId" if wish.service_id is None else "serviceId")
    refused = too_soon_or_far(found, "appointmentId") or too_many_holds(found)
    return refused or await taken(context, found, wish.service_id)


def not_there(found: Row[Any]) -> Refusal | None:
    """Tell that an appointment is unknown, or no longer offered."""
    if found.appointment_id is None and not found.withdrawn:
        return NotFound("appointmentId", noun="appointment")
    if found.appointment_id is None or found.withdrawn_at is not None:
        return AppointmentWithdrawn("appointmentId")
    return None


def _misfit(found: Row[Any], wish: Wish) -> Refusal | None:
    """Tell why the appointment is not for the service that was chosen."""
    if wish.service_id is None or wish.service_id == found.published_for:
        return None
    if found.service_id is None:
        return NotFound("serviceId", noun="service")
    if found.published_for is not None:
        return InvalidInput("serviceId", problem="This appointment was published for another service.")
    if not found.given:
        return InvalidInput("serviceId", problem="The provider does not give this service there.")
    if not found.long_enough:
        takes, has = minutes(found.duration), minutes(found.ends_at - found.starts_at)
        return InvalidInput("serviceId", problem=f"The service takes {takes} minutes; this appointment has {has}.")
    return None


def is_too_long(found: Row[Any]) -> bool:
    """Tell whether the service has come to take longer than the appointment that was published for it."""
    return found.duration is not None and found.duration > found.ends_at - found.starts_at


def too_soon_or_far(found: Row[Any], field: str) -> Refusal | None:
    """Tell from when on, or until when, appointments are reserved."""
    if not found.ahead:
        earliest_start: datetime = found.clock + found.lead_time
        return TooLate(field, lead_time_minutes=minutes(found.lead_time), earliest_start=earliest_start)
    if not found.within_horizon:
        latest_start: datetime = found.clock + found.maximum_horizon
        return BeyondHorizon(field, latest_start=latest_start)
    return None


def too_many_holds(found: Row[Any]) -> Refusal | None:
    """Tell whether the client holds, or has requested, as much as the business allows."""
    if found.hold_limit is not None and found.live_holds >= found.hold_limit:
        return TooManyHolds("clientId", limit=found.hold_limit)
    if found.hold_limit is not None and found.live_requests >= found.hold_limit:
        return TooManyRequests("clientId", limit=found.hold_limit)
    return None


async def taken(context: Context, found: Row[Any], service_id: UUID | None, *, plain: bool = False) -> Refusal:
    """Show what is free near an appointment that is not."""
    taken = Taken(found.appointment_id, found.provider_id, found.starts_at, service_id, plain)
    alternatives = await context.database.rows(*prepared(obstacle.alternatives, context.viewer, taken))
    if found.free and found.missing_resource is not None:
        return ResourceInUse("appointmentId", resource=found.missing_resource, alternatives=alternatives)
    return SlotUnavailable("appointmentId", alternatives=alternatives)


async def _somebody_else(context: Context, wish: AnyProvider, key: Key | None) -> Row[Any]:
    """Look again, as long as somebody is free: whoever was chosen at the same moment as another's is not."""
    for _ in range(MOST_LOOKS):
        refused = await _nobody(context, wish)
        if refused is not None:
            raise refused
        row = await once(context, PATIENTLY.prepared(context, wish, key), key, Reservation)
        if row is not None:
            return row
    raise Busy


async def _nobody(context: Context, wish: AnyProvider) -> Refusal | None:
    found = await context.database.row(*prepared(obstacle.why_nobody, context.viewer, wish))
    if found is None or not found.client_exists:
        return NotFound("clientId", noun="client")
    if found.service_id is None:
        return NotFound("serviceId", noun="service")
    if wish.location_id is not None and not found.location_exists:
        return NotFound("locationId", noun="location")
    if not found.active:
        return NotOffered("serviceId")
    refused = too_soon_or_far(found, "startsAt") or too_many_holds(found)
    if refused is not None or found.free:
        return refused
    near = await context.database.rows(*prepared(any_provider.near, context.viewer, wish))
    return NobodyAvailable("startsAt", alternatives=near)


CREATE = Write("reservationCreate", Reservation, reservation.hold, _why_not_held)
PATIENTLY = Write("reservationCreateAnyProvider", Reservation, partial(any_provider.reserve, patient=True))
CREATE_ANY_PROVIDER = Write("reservationCreateAnyProvider", Reservation, any_provider.reserve, _somebody_else)
