"""Privacy: telling a client, or whoever answers for the business, all that is kept about the client; and erasing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import privacy
from models.idempotency_key import Key
from models.privacy import Erasure
from models.refusal import Forbidden, NotFound
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.idempotency import keep, read_key, replayed

Rows = Sequence[Row[Any]]


@dataclass(frozen=True)
class Export:
    """All that is kept about a client."""

    client: Row[Any]
    reservations: Rows
    api_keys: Rows
    history: Rows


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
        things = [client_id, *[row.id for row in (*reservations, *api_keys)]]
        return Export(client, reservations, api_keys, await statements.rows(privacy.history_of(viewer, things)))

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
    await statements.rows(privacy.lock_reservations(viewer, erasure))
    await statements.rows(privacy.forget_reservations(viewer, erasure))
    ended = await statements.rows(privacy.end_keys(viewer, erasure))
    erased = await statements.row(privacy.forget_person(viewer, erasure))
    if key is not None:
        await keep(context, statements, key, erasure.client_id)
    return erased or client, ended
