"""Signals: what a subscription hears, and what it reads of it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Row, Select

from models import Appointment, Reservation, concern, neighbour
from models.concern import MOST_READ, Known
from models.refusal import NotFound, Unavailable
from models.relation import rows, select_ones
from models.search import Availability
from models.signal import AvailabilityChange, Signal, some_free
from models.viewer import Viewer
from resolvers.context import Context
from resolvers.prepared import prepared
from resolvers.stream import Signals, Stream

T = TypeVar("T")


async def availability_changes(context: Context, wanted: Availability) -> Stream:
    """Hear of every time that a search may find free now, or no longer; of what has changed itself first."""

    def concerns(signal: Signal) -> bool:
        return any(change.may_concern(wanted) or _may_reach(change, wanted) for change in signal.changes)

    async def heed(signal: Signal) -> list[AvailabilityChange]:
        found = [change for change in signal.changes if await _is_concerned(context, wanted, change)]
        told = [replace(change, service_id=wanted.service_id) for change in found]
        for change in signal.changes:
            told += await _neighbours(context, wanted, change)
        return told

    return await _signals(context).follow(context.business, concerns, heed)


async def reservation_changes(context: Context, key: UUID) -> Stream:
    """Hear of every change of one reservation, as long as the viewer sees it."""

    async def seen() -> Row[Any]:
        row = await context.database.row(select_ones(Reservation, context.viewer, [key]))
        if row is None:
            raise NotFound("id", noun="reservation")
        return row

    async def heed(_: Signal) -> list[Row[Any]]:
        return [await seen()]

    # Followed before it is looked for: what happens between the two is heard.
    stream = await _signals(context).follow(context.business, lambda signal: signal.aggregate_id == key, heed)
    try:
        await seen()
    except BaseException:
        stream.close()
        raise
    return stream


async def is_free(context: Context, change: AvailabilityChange) -> bool:
    """Whether what has changed can be reserved now, at least some of it; looked up once for all who hear of it."""

    async def read() -> bool:
        statement = prepared(some_free, context.business, change.reservable)
        return await context.database.row(*statement) is not None

    return await _once(change, ("free", change.service_id), read)


async def appointment(context: Context, change: AvailabilityChange) -> Row[Any] | None:
    """Find the appointment that has changed; none, if they are several, or if it is no longer offered."""
    if change.appointment_id is None:
        return None
    statement = prepared(_appointment, context.viewer, change.appointment_id)
    row = await _once(change, "appointment", lambda: context.database.row(*statement))
    return None if row is None or row.withdrawn_at is not None else row


def _appointment(viewer: Viewer, key: UUID) -> Select[Any]:
    return rows(Appointment, viewer).where(Appointment.id == key)


async def _is_concerned(context: Context, wanted: Availability, change: AvailabilityChange) -> bool:
    if not change.may_concern(wanted) or not change.needs_rows(wanted):
        return change.may_concern(wanted)
    known = await _once(change, "known", lambda: _known(context, change))
    return known.concerns(wanted)


def _may_reach(change: AvailabilityChange, wanted: Availability) -> bool:
    return change.claim is not None and change.claim.may_reach(wanted)


async def _neighbours(context: Context, wanted: Availability, change: AvailabilityChange) -> list[AvailabilityChange]:
    """Find what else is free now, or no longer, of what a search could find; read once for all who want it for a service."""
    if not _may_reach(change, wanted):
        return []
    near = await _once(change, "near", lambda: _near(context, change))
    if not any(each.may_concern(wanted) for each in near):
        return []
    service = wanted.service_id
    found = await _once(change, ("neighbours", service), lambda: _changed(context, change, service, near))
    told = [each for each in found if await _is_concerned(context, wanted, each)]
    return told[: neighbour.MOST_TOLD]


async def _near(context: Context, change: AvailabilityChange) -> list[AvailabilityChange]:
    rows = await context.database.rows(*prepared(neighbour.near, context.business, change.claim))
    return [change.beside(row) for row in rows]


async def _changed(
    context: Context, change: AvailabilityChange, service: UUID | None, near: list[AvailabilityChange]
) -> list[AvailabilityChange]:
    """Find which of the appointments near by have changed for a service, and what every filter asks of them."""
    business, run, claim = context.business, context.database.rows, change.claim
    assert claim is not None
    ids = tuple(each.appointment_id for each in near)
    rows = await run(*prepared(neighbour.neighbours, business, service, claim, ids))
    if not rows:
        return []
    needed, skills = await _needed(context), defaultdict(set)
    for row in await run(*prepared(neighbour.skills, business, tuple({row.provider_id for row in rows}))):
        skills[row.provider_id].add(row.skill_id)
    told = []
    for row in rows:
        known = concern.known(row, service, skills[row.provider_id], needed)
        answers = {"appointment": row, "known": known, ("free", service): not claim.is_taken}
        found = {name: _found(value) for name, value in answers.items()}
        told.append(replace(change.beside(row), service_id=service, answers=found))
    return told


def _found(value: T) -> asyncio.Future[T]:
    """What need not be read any more."""
    found = asyncio.get_running_loop().create_future()
    found.set_result(value)
    return found


async def _known(context: Context, change: AvailabilityChange) -> Known:
    """Read what decides every filter: what they cost the database does not grow with how many they are."""
    business, provider, run = context.business, change.provider_id, context.database.rows
    found = await run(*prepared(concern.appointments, business, provider, *concern.span(change)))
    times = concern.gathered(found[:MOST_READ])
    places = dict.fromkeys(each.location_id for each in times)
    given = {place: await run(*prepared(concern.services, business, provider, place)) for place in places}
    needed = await _needed(context)
    had = await run(*prepared(concern.skills, business, provider))
    return Known(
        times,
        len(found) <= MOST_READ,
        frozenset(row.skill_id for row in had),
        {place: {row.id: row.duration for row in services} for place, services in given.items()},
        needed,
    )


async def _needed(context: Context) -> dict[UUID, frozenset[UUID]]:
    """Read which resources each service needs."""
    needed: dict[UUID, set[UUID]] = defaultdict(set)
    for row in await context.database.rows(*prepared(concern.requirements, context.business)):
        needed[row.service_id].add(row.resource_id)
    return {service: frozenset(resources) for service, resources in needed.items()}


async def _once(change: AvailabilityChange, name: Any, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Read what everybody may know of a change; whoever asks first does it for all, and a failure is not kept."""
    reading: asyncio.Future[T] | None = change.answers.get(name)
    if reading is None or (reading.done() and (reading.cancelled() or reading.exception() is not None)):
        reading = change.answers[name] = asyncio.ensure_future(read())
    return await asyncio.shield(reading)


def _signals(context: Context) -> Signals:
    if context.signals is None:  # nobody listens where no server runs
        raise Unavailable
    return context.signals
