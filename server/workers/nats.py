"""Events are taken to NATS, in the order of their positions, where it is configured."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlalchemy import Row

from models import outbox
from models.event import envelope
from resolvers.database import Database
from server.channels.nats import Message, NatsError, Stream, stream
from server.settings import current

OUTLET = "nats"
BATCH = 200
LEASE = timedelta(seconds=3)  # of whoever is at it; who dies is followed by another when it is over


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Publish one batch after the other until nothing is left, unless another worker is at it."""
    url, name = current().nats_url, current().nats_stream
    claimant = uuid4()
    if url is None or not await _claimed(database, claimant):
        return {"told": 0}
    try:
        async with stream(url, name) as opened:
            return {"told": await _told(database, opened, claimant, stopping)}
    finally:
        await database.row(outbox.release(OUTLET, claimant))


async def _claimed(database: Database, claimant: UUID) -> bool:
    row = await database.row(outbox.claim(OUTLET, claimant, LEASE))
    return row is not None and row.position is not None


async def _told(database: Database, opened: Stream, claimant: UUID, stopping: asyncio.Event) -> int:
    told = 0
    while not stopping.is_set():
        events = await database.rows(outbox.waiting(OUTLET, claimant, BATCH))
        if not events:
            break
        done = await opened.publish([_message(event) for event in events])
        told += done.stored
        if done.stored:
            reached = events[done.stored - 1].position
            row = await database.row(outbox.advance(OUTLET, claimant, reached, LEASE))
            if row is None or not row.kept:
                break  # another worker goes on
        if done.stored < len(events):
            raise NatsError(f"NATS did not take an event: {done.problem}.")
    return told


def _message(event: Row[Any]) -> Message:
    return Message(str(event.id), f"holdfast.{event.business_id}.{event.type}", orjson.dumps(envelope(event)))
