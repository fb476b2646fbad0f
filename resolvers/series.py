"""What is done with series: holding the same time every so many weeks, as far as it can be had."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from models import Appointment, Reservation, ReservationSeries, series
from models.bundle import Booking, Terms
from models.idempotency_key import Key
from models.refusal import (
    AppointmentWithdrawn,
    Busy,
    InvalidInput,
    NotFound,
    NotOffered,
    Refusal,
    SeriesHeld,
    SeriesInConflict,
)
from models.relation import rows
from models.series import Conflict, Occasions, SeriesMode, SeriesWish
from models.viewer import Sight
from resolvers.bundles import LostError, held, refused
from resolvers.context import Context
from resolvers.idempotency import read_key, replayed
from resolvers.writes import Request

MOST_LOOKS = 10


@dataclass(frozen=True)
class Made:
    """What came of a series: its row, unless nothing was held, what could not be had, and why nothing was."""

    series_id: UUID | None
    reservations: Sequence[Row[Any]]
    conflicts: Sequence[Conflict]
    near: Mapping[UUID, Row[Any]]  # the alternatives to the conflicts
    refusal: Refusal | None = None


async def create_series(context: Context, request: Request) -> Made:
    """Look what is free and hold it; look again, if somebody was faster."""
    wish: SeriesWish = request.wanted
    if context.viewer.sight is Sight.CLIENT and wish.count > series.MOST_BY_CLIENT:
        raise InvalidInput(
            "count", problem=f"count must be from {series.FEWEST} to {series.MOST_BY_CLIENT} for a CLIENT."
        )
    key = read_key(context, "reservationSeriesCreate", wish, request.idempotency_key)
    lost: set[UUID] = set()
    for _ in range(MOST_LOOKS):
        made = await _replayed(context, key) or await _made(context, wish, key, lost)
        if made is not None:
            return made
    raise Busy


async def _replayed(context: Context, key: Key | None) -> Made | None:
    """Tell once more what came of a series, as things stand by now."""
    first = None if key is None else await replayed(context, context.database, key)
    if first is None:
        return None
    missing = [Conflict.from_json(each) for each in first.result]
    keys = [key for each in missing for key in each.alternatives]
    near = await context.database.rows(rows(Appointment, context.viewer).where(Appointment.id.in_(keys)))
    members = rows(Reservation, context.viewer).where(Reservation.series_id == first.result_id)
    held = await context.database.rows(members.order_by(Reservation.starts_at, Reservation.id))
    return Made(first.result_id, held, missing, {row.id: row for row in near})


async def _made(context: Context, wish: SeriesWish, key: Key | None, lost: set[UUID]) -> Made | None:
    """Hold what is free of a series; nothing, if it is worth another look."""
    first = await context.database.row(series.first(context.viewer, wish))
    if refusal := _misfit(first, wish):
        raise refusal
    assert first is not None
    if context.viewer.sight is Sight.CLIENT and first.held_series:
        raise SeriesHeld("clientId", limit=1)
    wanted = Occasions.read(wish, first)
    found = await context.database.rows(series.candidates(context.viewer, wanted))
    chosen = series.choose(found, lost)
    missing = series.conflicts(wanted, found, chosen, first)
    near = await _near(context, wanted, missing, [each.id for each in chosen.values()])
    missing = [replace(each, alternatives=tuple(row.id for row in near[each.index])) for each in missing]
    known = {row.id: row for each in near.values() for row in each}
    if not chosen or (missing and wish.mode is SeriesMode.ALL_OR_NOTHING):
        no = SeriesInConflict(wish.field, found=len(missing), count=wish.count, alternatives=near[missing[0].index])
        return Made(None, [], missing, known, no)
    try:
        done = await held(
            context, _booking(wish, wanted, chosen), key, orjson.dumps([each.to_json() for each in missing]).decode()
        )
    except LostError as error:
        lost.update(error.places)
        return None
    return Made(done[0].made_id, sorted(done, key=lambda row: row.starts_at), missing, known) if done else None


async def _near(
    context: Context, wanted: Occasions, missing: Sequence[Conflict], chosen: Sequence[UUID]
) -> Mapping[int, list[Row[Any]]]:
    """Find what is free near each conflict, in one statement."""
    near: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    if missing:
        for row in await context.database.rows(series.alternatives(context.viewer, wanted, missing, chosen)):
            near[row.turn].append(row)
    return near


def _misfit(first: Row[Any] | None, wish: SeriesWish) -> Refusal | None:
    """Tell what is wrong with a wish, whatever is free."""
    if first is None or not first.client_exists:
        return NotFound("clientId", noun="client")
    if wish.appointment_id is not None and first.appointment_id is None:
        return NotFound("appointmentId", noun="appointment")
    if first.withdrawn_at is not None:
        return AppointmentWithdrawn("appointmentId")
    if wish.location_id is not None and not first.location_exists:
        return NotFound("locationId", noun="location")
    if wish.provider_id is not None and first.who_id is None:
        return NotFound("providerId", noun="provider")
    return _no_such_service(first, wish) or refused(first)


def _no_such_service(first: Row[Any], wish: SeriesWish) -> Refusal | None:
    if wish.service_id is not None and first.published_for not in (None, wish.service_id):
        return InvalidInput("serviceId", problem="This appointment was published for another service.")
    if wish.service_id is not None and first.service_id is None:
        return NotFound("serviceId", noun="service")
    if first.active is False:
        return NotOffered("appointmentId" if wish.service_id is None else "serviceId")
    if wish.provider_id is not None and not first.is_given:
        return InvalidInput("providerId", problem="This provider does not give this service.")
    return None


def _booking(wish: SeriesWish, wanted: Occasions, chosen: dict[int, Any]) -> Booking:
    turns = sorted(chosen)
    appointments = tuple(chosen[turn].id for turn in turns)
    terms = Terms(wanted.provider_id, wanted.service_id, wish.every_weeks, wish.count)
    services = (wanted.service_id,) * len(turns)
    return Booking(ReservationSeries, wish.client_id, appointments, services, wish.note, terms)
