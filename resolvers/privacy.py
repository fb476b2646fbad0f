"""Privacy: telling a client, or whoever answers for the business, all that is kept about the client; and erasing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import (
    CalendarFeed,
    Proposal,
    ReservationSeries,
    Visit,
    WaitlistEntry,
    notification,
    notification_preference,
    privacy,
)
from models.idempotency_key import Key
from models.privacy import Erasure
from models.refusal import Forbidden, NotFound
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.idempotency import keep, read_key, replayed

Rows = Sequence[Row[Any]]
THINGS = {
    "proposals": Proposal,
    "waitlistEntries": WaitlistEntry,
    "visits": Visit,
    "reservationSeries": ReservationSeries,
    "calendarFeeds": CalendarFeed,
}
"""What else a client may have, by the name that it has in an export."""


@dataclass(frozen=True)
class Export:
    """All that is kept about a client."""

    client: Row[Any]
    reservations: Rows
    api_keys: Rows
    history: Rows
    notifications: Rows
    preferences: Rows
    things: dict[str, Rows]


async def export_client(context: Context, client_id: UUID) -> Export:
    """Read all that is kept about a client; that it was told stands on record in the same transaction."""
    if not context.viewer.is_reader:
        raise Forbidden(problem="This key's scopes do not contain READ, which an export needs.")

    async def work(statements: Statements) -> Export:
        viewer = context.viewer
        client = await statements.row(privacy.kept(viewer, client_id))
        if client is None:
            raise NotFound("clientId", noun="client")
        await statements.rows(privacy.exported(viewer, client_id, context.request_id))
        reservations = await statements.rows(privacy.reservations_of(viewer, client_id))
        api_keys = await statements.rows(privacy.keys_of(viewer, client_id))
        told = await statements.rows(notification.of_client(viewer, client_id))
        preferred = await statements.rows(notification_preference.of(viewer, client_id))
        things = {
            name: await statements.rows(privacy.things_of(record, viewer, client_id)) for name, record in THINGS.items()
        }
        ids = [client_id, *[row.id for row in chain(reservations, api_keys, *things.values())]]
        history = await statements.rows(privacy.history_of(viewer, ids))
        return Export(client, reservations, api_keys, history, told, preferred, things)

    return await context.database.transaction(work)


async def erase_client(context: Context, erasure: Erasure, idempotency_key: str | None) -> Row[Any]:
    """Forget a client, all in one transaction; a second time there is nothing left to forget."""
    key = read_key(context, "clientErase", erasure, idempotency_key)

    async def work(statements: Statements) -> tuple[Row[Any], Rows]:
        return await _erase(context, statements, erasure, key)

    client, ended = await context.database.transaction(work)
    context.loaders.forget()
    context.outdated.extend(row.id for row in ended)
    return client


async def _erase(context: Context, statements: Statements, erasure: Erasure, key: Key | None) -> tuple[Row[Any], Rows]:
    viewer = context.viewer
    client = await statements.row(privacy.lock_client(viewer, erasure, context.authored()))
    if client is None:
        raise NotFound("clientId", noun="client")
    if key is not None and await replayed(context, statements, key):
        return client, ()
    await statements.rows(privacy.lock_entries(viewer, erasure))
    await statements.rows(privacy.lock_reservations(viewer, erasure))
    await statements.rows(privacy.end_waiting(viewer, erasure))
    await statements.rows(privacy.forget_reservations(viewer, erasure))
    await statements.rows(privacy.forget_proposals(viewer, erasure))
    await statements.rows(notification.forget(viewer, erasure.client_id))
    await statements.rows(notification_preference.forget(viewer, erasure.client_id))
    await statements.rows(privacy.end_feeds(viewer, erasure))
    ended = await statements.rows(privacy.end_keys(viewer, erasure))
    erased = await statements.row(privacy.forget_person(viewer, erasure))
    if key is not None:
        await keep(context, statements, key, erasure.client_id)
    return erased or client, ended
