"""Calendars: the file of a reservation, the feeds of providers and clients, and the calendars that are imported."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import CalendarFeed, CalendarImport, calendar_claim, calendar_feed, calendar_file, calendar_import, edit
from models.calendar_claim import Claim
from models.calendar_feed import NewFeed
from models.calendar_file import Entry
from models.calendar_import import NewImport
from models.given import Deletion
from models.node_id import noun
from models.refusal import Forbidden, InvalidInput, NotFound
from models.relation import rows
from models.viewer import Role, Sight, Viewer
from resolvers.context import Context
from resolvers.database import Database, Statements
from resolvers.generation import WORKER, republish
from resolvers.schedules import turn, turn_of
from resolvers.supply import Change, Session, Written

# The file of one reservation


async def file_of(context: Context, reservation: UUID) -> str | None:
    """Write a reservation as a file that every calendar program takes; it names the provider, and no client."""
    row = await context.loaders.told("calendarFile", calendar_feed.told, reservation)
    return None if row is None else calendar_file.invitation(_entry(row, row.provider, " with "))


def _entry(row: Row[Any], whom: str, between: str) -> Entry:
    summary = calendar_file.summary(row.service, whom, between=between)
    return Entry.of(row, summary, calendar_file.place(row.location, row.address))


# Feeds


@dataclass(frozen=True)
class Created:
    """A feed, and its address, which is shown once."""

    row: Row[Any]
    url: str


async def create_feed(context: Context, wanted: NewFeed) -> Created:
    """Make a feed; a PROVIDER and a CLIENT make their own."""
    secret = calendar_feed.secret()
    row = await context.database.transaction(lambda statements: _create(context, statements, wanted, secret))
    context.loaders.forget()
    return Created(row, calendar_feed.address(context.public_url, secret))


async def _create(context: Context, statements: Statements, wanted: NewFeed, secret: str) -> Row[Any]:
    record, _, field = wanted.person
    viewer, authored = context.viewer, context.authored()
    if await statements.row(calendar_feed.lock_person(viewer, wanted, authored)) is None:
        raise NotFound(field, noun=noun(record.__name__))
    own = {Sight.PROVIDER: wanted.provider_id, Sight.CLIENT: wanted.client_id}
    if viewer.sight in own and own[viewer.sight] != viewer.person_id:
        raise Forbidden(field, problem=f"This is another person's calendar; a {viewer.role} makes feeds of their own.")
    counted = await statements.row(calendar_feed.alive(viewer, wanted))
    if counted is not None and counted.total >= calendar_feed.MOST_FEEDS:
        problem = f"There are {calendar_feed.MOST_FEEDS} feeds of this {noun(record.__name__)}; revoke one first."
        raise InvalidInput(field, problem=problem)
    values = {**wanted.columns(), "secret_hash": calendar_feed.hash_of(secret)}
    row = await statements.row(edit.create(CalendarFeed, viewer, values, authored))
    assert row is not None
    return row


async def revoke_feed(context: Context, key: UUID) -> Row[Any]:
    """End a feed at once; one that has ended before is answered as it is."""
    row = await context.database.row(calendar_feed.revoke(context.viewer, key, context.authored()))
    if row is None:
        row = await context.database.row(rows(CalendarFeed, context.viewer).where(CalendarFeed.id == key))
    if row is None:
        raise NotFound("calendarFeedId", noun="calendar feed")
    context.loaders.forget()
    return row


async def feed_shown(database: Database, secret: str) -> str | None:
    """Write the calendar that a secret leads to; nothing, if it leads nowhere, or no longer."""
    found = await database.row(calendar_feed.shown(calendar_feed.hash_of(secret)))
    if found is None:
        return None
    whose = found.business_id, found.provider_id
    view = database.of(found.business_id)
    named = await view.row(calendar_feed.named(*whose))
    shown = await view.rows(calendar_feed.entries(*whose, found.client_id))
    is_providers = found.provider_id is not None
    entries = [_entry(row, row.client, ": ") if is_providers else _entry(row, row.provider, " with ") for row in shown]
    return calendar_file.feed(named.name if named else "", entries)


# Imports


async def _create_import(session: Session, wanted: NewImport) -> Written:
    provider = await turn(session, wanted.provider_id)
    counted = await session.statements.row(calendar_import.count(session.viewer, provider.id))
    if counted is not None and counted.total >= calendar_import.MOST_IMPORTS:
        problem = f"The provider has {calendar_import.MOST_IMPORTS} imported calendars; delete one first."
        raise InvalidInput("providerId", problem=problem)
    row = await session.create(CalendarImport, wanted.columns())
    return Written(row, row.id)  # nothing is known of it yet: the worker reads it in a moment


async def _delete_import(session: Session, wanted: Deletion) -> Written:
    """Delete an import with its busy times: the rules hold again."""
    provider_id = await turn_of(session, CalendarImport, wanted.key)
    freed = await session.statements.rows(calendar_import.free(session.viewer, wanted.key))
    await session.remove(CalendarImport, wanted.key, wanted.expected_version)
    return Written(None, wanted.key, [provider_id] if freed else ())


CREATE_IMPORT = Change("calendarImportCreate", CalendarImport, _create_import, unique="url")
DELETE_IMPORT = Change("calendarImportDelete", CalendarImport, _delete_import)


# What a worker does for imports: it acts as nobody of the business, and may do all of this


async def claim_imports(database: Database, most: int) -> list[Claim]:
    """Take some of what is due; nobody else has it in hand until the lease is over."""
    return [
        Claim(row.business_id, row.id, row.claimed_until) for row in await database.rows(calendar_claim.claim(most))
    ]


async def claimed(database: Database, claim: Claim) -> Row[Any] | None:
    """Read what a claim is about; nothing, if it was deleted meanwhile."""
    return await database.of(claim.business_id).row(calendar_claim.claimed(_worker(claim), claim))


async def occupy(
    database: Database,
    claim: Claim,
    known: dict[str, Any],
    spans: list[tuple[datetime, datetime]] | None,
    seconds: float = 0.0,
) -> bool:
    """Make the busy times of an import what they are now, and publish what follows; tells whether they were others.

    Without spans they are as they were. What took many seconds to be read is due again later than others. Whoever deletes it meanwhile, or takes it over, comes first.
    """
    context = Context(database.of(claim.business_id), _worker(claim), "")

    async def work(statements: Statements) -> bool:
        await statements.rows(edit.take_turns(context.viewer, wide=False))
        is_other = spans is not None and await _occupy(context, statements, claim, spans)
        await statements.rows(calendar_claim.fetched(context.viewer, claim, known, seconds))
        return is_other

    return await context.database.transaction(work)


async def _occupy(
    context: Context, statements: Statements, claim: Claim, spans: list[tuple[datetime, datetime]]
) -> bool:
    viewer, authored = context.viewer, context.authored()
    row = await statements.row(calendar_claim.claimed(viewer, claim))
    if row is None:
        return False
    await turn(Session(context, statements, None), row.provider_id)
    if await statements.row(calendar_claim.kept(viewer, claim)) is None:
        return False
    done = await statements.row(calendar_claim.apply(viewer, claim, row.provider_id, spans))
    assert done is not None
    if not done.added and not done.removed:
        return False
    await statements.rows(calendar_claim.changed(viewer, claim, done.busy, authored))
    await republish(context, statements, [row.provider_id])
    return True


async def note_failure(database: Database, claim: Claim, problem: str, seconds: float = 0.0) -> None:
    """Say why a calendar could not be read, which took so many seconds."""
    await database.of(claim.business_id).rows(calendar_claim.failed(_worker(claim), claim, problem, seconds))


def _worker(claim: Claim) -> Viewer:
    return Viewer(claim.business_id, WORKER, Role.ADMIN)
