"""Publication goes on: rules become appointments as far ahead as each business wants them, and by today's time zones."""

import asyncio
import logging
from collections import Counter
from uuid import UUID

from models.refusal import Refusal, Unavailable
from resolvers.database import Database, DatabaseFaultError
from resolvers.generation import due_businesses, extend

log = logging.getLogger("holdfast.worker")


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Publish whoever is due, one lot after the other, until nobody is whom no other worker has in hand.

    What cannot be published of one business keeps nobody else waiting.
    """
    done: Counter[str] = Counter(published=0, removed=0, affected=0, failed=0)
    seen: set[UUID] = set()
    while fresh := [business for business in await due_businesses(database) if business not in seen]:
        for business in fresh:
            if stopping.is_set():
                return dict(done)
            seen.add(business)
            try:
                await _extend(database, business, done, stopping)
            except Unavailable:
                raise
            except (Refusal, DatabaseFaultError) as problem:
                done["failed"] += 1
                log.error("a business is not published", extra={"business": business, "problem": str(problem)})  # noqa: TRY400 -- its sentence says it all
    return dict(done)


async def _extend(database: Database, business: UUID, done: Counter[str], stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        outcome = await extend(database, business)
        if not outcome.providers:
            return
        affected = len(outcome.affected)
        done.update(published=outcome.created, removed=outcome.removed, affected=affected, failed=outcome.failed)
        if affected:
            log.warning("reservations no longer fit", extra={"business": business, "reservations": affected})
