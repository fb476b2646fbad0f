"""Doing a thing once: a request sent again under its idempotency key is answered again."""

import hashlib
from dataclasses import asdict
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from models import text
from models.idempotency_key import Key, recall, remember
from models.refusal import REFUSAL_OF_CONSTRAINT, IdempotencyKeyReused, NotFound
from models.relation import rows
from resolvers.context import Context
from resolvers.database import Runner
from resolvers.prepared import Prepared

# What a rule says to a write: no. Why is read afterwards, so that it is told in the same way wherever it was noticed.
NO: tuple[type[Exception], ...] = tuple(set(REFUSAL_OF_CONSTRAINT.values()))


def read_key(context: Context, mutation: str, request: Any, given: str | None) -> Key | None:
    """Read the key of a request from its input or from the header, which mean the same."""
    key = text.key(context.idempotency_key if given is None else given, "idempotencyKey")
    if key is None:
        return None
    if given is None and context.mutation is not None:
        key = hashlib.sha256(f"{key}/{context.mutation}".encode()).hexdigest()  # this mutation's share of the header
    asked = orjson.dumps([mutation, asdict(request)], default=str, option=orjson.OPT_SORT_KEYS)
    return Key(context.business, context.viewer.principal, key, hashlib.sha256(asked).digest())


async def once(context: Context, write: Prepared, key: Key | None, record: Any) -> Row[Any] | None:
    """Run a writing statement; answer its row, or the row it wrote when its key was first used, or none for no."""
    try:
        row = await context.database.row(*write)
    except NO:
        row = None
    context.loaders.forget()
    if row is None and key is not None and (first := await replayed(context, context.database, key)):
        row = await context.database.row(rows(record, context.viewer).where(record.id == first.result_id))
        if row is None:
            raise NotFound(noun=record.__name__.lower())
    return row


async def replayed(context: Context, database: Runner, key: Key) -> Row[Any] | None:
    """Read what came of the request that first used this key, and mark the answer as a replay."""
    first = await database.row(recall(key))
    if first is None:
        return None
    if not first.same_request:
        raise IdempotencyKeyReused("idempotencyKey")
    context.extensions["idempotentReplay"] = True
    return first


async def keep(context: Context, database: Runner, key: Key, result_id: UUID, result: Any = None) -> None:
    """Keep the key of what was just done or answered; of two different requests at once, the later one is refused."""
    if await database.row(remember(key, result_id, result)) is None:
        await replayed(context, database, key)
