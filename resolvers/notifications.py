"""Notifications: what people wish to be told, and what the worker needs to tell them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Client, Provider, Record, letter, notification, notification_preference, reminder
from models.idempotency_key import Key
from models.node_id import decode
from models.notification import Outcome
from models.notification_preference import Preference, Preferring, complete
from models.refusal import Forbidden, InvalidInput, NotFound
from models.relation import rows
from models.viewer import PERSON_OF, Sight
from resolvers.context import Context
from resolvers.database import Database, Statements
from resolvers.idempotency import keep, read_key, replayed

PERSONS: dict[str, type[Record]] = {"Client": Client, "Provider": Provider}
BATCH = 10  # each message may take long, and all of them must be done within the lease
PRUNED_AT_ONCE, REMINDED_AT_ONCE = 5_000, 1_000


def whose(context: Context, given: str | None) -> tuple[str, UUID]:
    """Read whose preferences are meant: those of the viewer, if nobody is named. A PROVIDER has only their own."""
    viewer = context.viewer
    if given is None:
        if viewer.person_id is None:
            raise InvalidInput("personId", problem="Say whose: the id of a client or of a provider.")
        return PERSON_OF[viewer.role], viewer.person_id
    type_name, key = decode(given, "personId")
    if type_name not in PERSONS:
        raise NotFound("personId", noun="person")
    if viewer.sight is Sight.PROVIDER and key != viewer.person_id:
        raise Forbidden("personId", problem="These are another person's preferences; a PROVIDER has their own.")
    if viewer.sight is Sight.CLIENT and (type_name, key) != ("Client", viewer.person_id):
        raise NotFound("personId", noun="person")
    return type_name, key


async def preferences(context: Context, given: str | None) -> Sequence[Preference]:
    """Read what somebody wishes to be told."""
    type_name, key = whose(context, given)
    record: Any = PERSONS[type_name]
    if await context.database.row(rows(record, context.viewer).where(record.id == key)) is None:
        raise NotFound("personId", noun="person")
    return complete(type_name, await context.database.rows(notification_preference.of(context.viewer, key)))


async def prefer(context: Context, wanted: Preferring, idempotency_key: str | None) -> Sequence[Preference]:
    """Write what somebody wishes to be told, all of it or nothing; saying it again changes nothing."""
    wanted.check()
    key = read_key(context, "notificationPreferencesSet", wanted, idempotency_key)

    async def work(statements: Statements) -> Sequence[Preference]:
        return await _prefer(context, statements, wanted, key)

    said = await context.database.transaction(work)
    context.loaders.forget()
    return said


async def _prefer(
    context: Context, statements: Statements, wanted: Preferring, key: Key | None
) -> Sequence[Preference]:
    viewer, record = context.viewer, PERSONS[wanted.type_name]
    lock = notification_preference.lock(record, viewer, wanted.person_id, context.authored())
    if await statements.row(lock) is None:
        raise NotFound("personId", noun="person")
    if key is None or not await replayed(context, statements, key):
        if wanted.preferences:
            await statements.rows(notification_preference.prefer(viewer, wanted))
        if wanted.locale is not None:
            await statements.rows(notification_preference.speak(record, viewer, wanted))
        if key is not None:
            await keep(context, statements, key, wanted.person_id)
    said = await statements.rows(notification_preference.of(viewer, wanted.person_id))
    return complete(wanted.type_name, said)


async def claimed(database: Database) -> dict[UUID, list[UUID]]:
    """Take some messages that are due in hand: which, by business."""
    found: dict[UUID, list[UUID]] = {}
    for row in await database.rows(notification.claim(BATCH)):
        found.setdefault(row.business_id, []).append(row.id)
    return found


async def details(database: Database, business: UUID, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Read all that messages are written from: a row for each reservation that each of them is about."""
    return await database.of(business).rows(letter.details(business, ids))


async def record(database: Database, business: UUID, row: Row[Any], outcome: Outcome) -> None:
    """Write down what came of a try."""
    await database.of(business).rows(notification.record(business, row, outcome))


async def remind(database: Database) -> int:
    """Write the events of reminders that are due, of every business; tells how many."""
    row = await database.row(reminder.remind(REMINDED_AT_ONCE))
    return 0 if row is None else int(row.reminded)


async def prune(database: Database) -> int:
    """Forget what old messages said; tells of how many."""
    pruned, last = 0, PRUNED_AT_ONCE
    while last == PRUNED_AT_ONCE:
        row = await database.row(notification.prune(PRUNED_AT_ONCE))
        last = 0 if row is None else int(row.pruned)
        pruned += last
    return pruned
