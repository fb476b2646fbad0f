"""The waiting list: who is put on it and taken off it; and what a worker offers to those who wait."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from models import event, life, waitlist_entry
from models.idempotency_key import Key
from models.refusal import Busy, InvalidInput, NotFound, NotWaiting, Refusal, TooManyEntries
from models.relation import rows
from models.reservation import EXPIRED, HELD, Reservation
from models.viewer import Role, Viewer
from models.waitlist_entry import MOST_ENTRIES, Waiting, WaitlistEntry, WaitlistEntryStatus
from resolvers.context import Context
from resolvers.database import Database, Statements
from resolvers.idempotency import keep, read_key, replayed
from resolvers.writes import Write

WORKER = "worker"
MOST_TRIES = 5
BUSINESSES_AT_ONCE = 1000
MOST_TIMES = 100  # that are looked at for one wish, in one pass
MOST_ENDED = 1000


@dataclass(frozen=True)
class Ending:
    """An entry that is to be taken off the list."""

    entry_id: UUID


async def _why_not(context: Context, wish: Waiting, _key: Key | None) -> Row[Any]:
    raise await _obstacle(context, wish)


async def _obstacle(context: Context, wish: Waiting) -> Refusal:
    found = await context.database.row(waitlist_entry.why_not(context.viewer, wish))
    if found is None or not found.client_exists:
        return NotFound("clientId", noun="client")
    for name in ("service", "provider", "location"):
        if not getattr(found, f"{name}_id_exists", True):
            return NotFound(f"{name}Id", noun=name)
    if not found.is_ahead:
        return InvalidInput("startsUntil", problem="startsUntil lies in the past.")
    return TooManyEntries("clientId", limit=MOST_ENTRIES)


ENTER = Write("waitlistEntryCreate", WaitlistEntry, waitlist_entry.enter, _why_not)


async def leave(context: Context, entry_id: UUID, idempotency_key: str | None) -> Row[Any]:
    """Take an entry off the list, and give back the hold that is offered, which is then offered to the next."""
    key = read_key(context, "waitlistEntryCancel", Ending(entry_id), idempotency_key)

    async def work(statements: Statements) -> Row[Any] | None:
        return await _leave(context, statements, entry_id, key)

    for _ in range(MOST_TRIES):
        if row := await context.database.transaction(work):
            context.loaders.forget()
            return row
    raise Busy


async def _leave(context: Context, statements: Statements, entry_id: UUID, key: Key | None) -> Row[Any] | None:
    """Do so, unless it is offered something meanwhile: then there is one more thing to be given back."""
    if key is not None:
        await replayed(context, statements, key)
    mine = rows(WaitlistEntry, context.viewer).where(WaitlistEntry.id == entry_id)
    stored = WaitlistEntry.stored_status.label("stored_status"), WaitlistEntry.reservation_id.label("reservation_id")
    row = await statements.row(mine.add_columns(*stored))
    if row is None:
        raise NotFound("entryId", noun="waitlist entry")
    if row.status != WaitlistEntryStatus.CANCELLED:
        if row.status not in (WaitlistEntryStatus.WAITING, WaitlistEntryStatus.OFFERED):
            raise NotWaiting("entryId")
        if row.stored_status == WaitlistEntryStatus.OFFERED:  # the hold is locked before the entry, as when it lapses
            await _give_back(context, statements, row.reservation_id)
        ended = waitlist_entry.end(context.viewer, entry_id, context.authored())
        if not await statements.rows(ended.returning(WaitlistEntry.id)):
            return None
        row = await statements.row(mine)
    if key is not None and row is not None:
        await keep(context, statements, key, row.id)
    return row


async def _give_back(context: Context, statements: Statements, hold_id: UUID) -> None:
    held = Reservation.id == hold_id, Reservation.stored_status == HELD, Reservation.business_id == context.business
    given_back = life.given_back(context.viewer, None).where(*held, life.is_ahead(), context.authored())
    if not await statements.rows(given_back.returning(Reservation.id)):
        lapsed = life.given_back(context.viewer, None).values(stored_status=EXPIRED, cancelled_by=None)
        await statements.rows(lapsed.where(*held, ~life.is_ahead()).returning(Reservation.id))


# What a worker does


async def waiting_businesses(database: Database) -> list[UUID]:
    """Find the businesses where somebody waits."""
    asked = text("SELECT id FROM businesses_with_waitlist(:most) AS b (id)").bindparams(most=BUSINESSES_AT_ONCE)
    return [row.id for row in await database.rows(asked)]


async def expire(database: Database) -> int:
    """Note of those who wait too late for anything that they wait no more."""
    asked = text("SELECT expire_waitlist(:most) AS ended").bindparams(most=MOST_ENDED)
    row = await database.row(asked)
    return 0 if row is None else int(row.ended)


async def offer_all(database: Database, business: UUID) -> int:
    """Offer what is free to those who wait for it: times that were published since, or that nobody had to wait for."""
    viewer, view = Viewer(business, WORKER, Role.ADMIN), database.of(business)
    authored, offered = event.authored(WORKER, ""), 0
    for wish in await view.rows(waitlist_entry.wishes(viewer)):
        for place in await view.rows(waitlist_entry.fitting(viewer, wish, MOST_TIMES)):
            with suppress(Busy):  # whoever is in the way offers it, or the next pass does
                row = await view.row(waitlist_entry.offer(viewer, place.id, authored))
                offered += row is not None and row.reservation_id is not None
    return offered
