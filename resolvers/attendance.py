"""What is done with an appointment as a whole: it begins, is completed, or goes to another provider; and why not."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Provider, attendance
from models.attendance import EARLY, Attendance, Reassignment
from models.idempotency_key import Key
from models.refusal import (
    AppointmentWithdrawn,
    Forbidden,
    IllegalState,
    InvalidInput,
    NobodyAvailable,
    NobodyBooked,
    NotConfirmed,
    NotFound,
    NotOffered,
    Refusal,
    ResourceInUse,
    SlotUnavailable,
    TooEarly,
)
from models.relation import rows
from models.reservation import ReservationStatus
from models.viewer import Sight
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.idempotency import keep, read_key, replayed

Rows = Sequence[Row[Any]]
CONFIRMED, COMPLETED = ReservationStatus.CONFIRMED, ReservationStatus.COMPLETED
GIVEN_BACK = (ReservationStatus.CANCELLED, ReservationStatus.EXPIRED)
# Why a candidate that was free a moment ago is none any longer.
TAKEN = (SlotUnavailable, ResourceInUse, AppointmentWithdrawn, NotOffered, NobodyAvailable)


@dataclass(frozen=True)
class Attended:
    """An appointment, whoever has a seat of it, and to whom it could go."""

    appointment: Row[Any]
    reservations: Rows
    candidates: Rows = ()


Work = Callable[["Session"], Awaitable[Attended]]


@dataclass(frozen=True)
class Session:
    """A transaction in which an appointment is locked, with everybody who has it."""

    context: Context
    statements: Statements
    place: Row[Any]

    async def seats(self, appointment_id: UUID | None = None) -> Rows:
        wanted = self.place.id if appointment_id is None else appointment_id
        return await self.statements.rows(attendance.seats(self.context.viewer, wanted))

    def own(self) -> None:
        """Refuse a PROVIDER who would change what is another's."""
        viewer = self.context.viewer
        if viewer.sight is Sight.PROVIDER and self.place.provider_id != viewer.person_id:
            raise Forbidden("appointmentId", problem="This is another provider's appointment.")


async def start_appointment(context: Context, asked: Attendance, idempotency_key: str | None) -> Attended:
    """Begin an appointment, for all who have confirmed it; a second time, the same is answered."""
    key = read_key(context, "appointmentStart", asked, idempotency_key)
    return await _attended(context, [asked.appointment_id], key, _start)


async def complete_appointment(context: Context, asked: Attendance, idempotency_key: str | None) -> Attended:
    """Complete an appointment, for all who have confirmed it; a second time, the same is answered."""
    key = read_key(context, "appointmentComplete", asked, idempotency_key)
    return await _attended(context, [asked.appointment_id], key, _complete)


async def _attended(context: Context, appointments: list[UUID], key: Key | None, work: Work) -> Attended:
    """Do something with the first of these appointments, while nobody else does anything with any of them."""

    async def locked(statements: Statements) -> Attended:
        await statements.rows(attendance.lock(context.viewer, appointments, context.authored()))
        place = await statements.row(attendance.found(context.viewer, appointments[0]))
        if place is None:
            raise NotFound("appointmentId", noun="appointment")
        if key is not None and (first := await replayed(context, statements, key)):
            return await _again(context, statements, first)
        done = await work(Session(context, statements, place))
        if key is not None:
            told = [str(row.id) for row in done.reservations]
            await keep(context, statements, key, done.appointment.id, told)
        return done

    done = await context.database.transaction(locked)
    context.loaders.forget()
    return done


async def _again(context: Context, statements: Statements, first: Row[Any]) -> Attended:
    """Answer as things stand by now."""
    place = await statements.row(attendance.found(context.viewer, first.result_id))
    if place is None:
        raise NotFound("appointmentId", noun="appointment")
    told = set(first.result)
    seats = await statements.rows(attendance.seats(context.viewer, place.id))
    return Attended(place, [seat for seat in seats if str(seat.id) in told])


async def _start(session: Session) -> Attended:
    session.own()
    await session.statements.rows(attendance.start(session.context.viewer, session.place.id))
    seats = await session.seats()
    begun = [seat for seat in seats if seat.status == CONFIRMED and seat.started_at is not None]
    if not begun:
        raise _why_not(session, seats, session.place.starts_at - EARLY)
    return Attended(session.place, begun)


async def _complete(session: Session) -> Attended:
    session.own()
    await session.statements.rows(attendance.complete(session.context.viewer, session.place.id))
    seats = await session.seats()
    over = [seat for seat in seats if seat.status == COMPLETED]
    if not over:
        raise _why_not(session, seats, session.place.starts_at)
    return Attended(session.place, over)


def _why_not(session: Session, seats: Rows, possible_at: datetime) -> Refusal:
    """Tell whether it is too early, or whether nobody has confirmed the appointment, or all of it is over."""
    states = [seat.status for seat in seats if seat.status not in GIVEN_BACK]
    if not states:
        return NobodyBooked("appointmentId")
    if CONFIRMED in states and session.place.clock < possible_at:
        return TooEarly("appointmentId", state=CONFIRMED, possible_at=possible_at)
    return IllegalState("appointmentId", state=states[-1])


async def reassign_appointment(context: Context, asked: Reassignment, idempotency_key: str | None) -> Attended:
    """Move everybody who has an appointment to the best other provider: all of them, or none.

    Each candidate is a transaction of its own: whoever was free a moment ago may not be any longer.
    """
    key = read_key(context, "appointmentReassign", asked, idempotency_key)
    if key is not None and (first := await replayed(context, context.database, key)):
        return await context.database.transaction(lambda statements: _again(context, statements, first))
    found = await _candidates(context, asked)
    if asked.dry_run:
        return found
    for candidate in found.candidates:
        try:
            moved = await _attended(context, [asked.appointment_id, candidate.id], key, _moving(candidate))
        except TAKEN:
            continue
        return Attended(moved.appointment, moved.reservations, found.candidates)
    _movable(await context.database.rows(attendance.seats(context.viewer, asked.appointment_id)))  # if it still is
    raise NobodyAvailable("providerId" if asked.provider_id else "appointmentId", alternatives=[])


def _moving(candidate: Row[Any]) -> Work:
    async def move(session: Session) -> Attended:
        viewer = session.context.viewer
        _movable(await session.seats())
        moved = await session.statements.rows(attendance.reassign(viewer, session.place.id, candidate.id))
        left = [seat for seat in await session.seats() if seat.ahead]
        if left or not moved:
            raise NobodyAvailable("appointmentId", alternatives=[])
        told = {row.id for row in moved}
        place = await session.statements.row(attendance.found(viewer, candidate.id))
        assert place is not None
        return Attended(place, [seat for seat in await session.seats(candidate.id) if seat.id in told])

    return move


async def _candidates(context: Context, asked: Reassignment) -> Attended:
    """Find who could take an appointment over."""
    viewer, database = context.viewer, context.database
    place = await database.row(attendance.found(viewer, asked.appointment_id))
    if place is None:
        raise NotFound("appointmentId", noun="appointment")
    if asked.provider_id is not None:
        if await database.row(rows(Provider, viewer).where(Provider.id == asked.provider_id)) is None:
            raise NotFound("providerId", noun="provider")
        if asked.provider_id == place.provider_id:
            raise InvalidInput("providerId", problem="This provider has the appointment already.")
    seated = _movable(await database.rows(attendance.seats(viewer, place.id)))
    free = await database.rows(attendance.candidates(viewer, asked, place, seated))
    return Attended(place, seated, free)


def _movable(seats: Rows) -> Rows:
    """Check that an appointment can still go to another provider; those who have it."""
    there = [seat for seat in seats if seat.status not in GIVEN_BACK]
    if not there:
        raise NobodyBooked("appointmentId")
    for seat in there:
        if not seat.ahead:
            raise IllegalState("appointmentId", state=seat.status)
        if seat.is_offer:
            raise NotConfirmed("appointmentId", state=seat.status)
    return there
