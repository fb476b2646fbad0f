"""Those who wait are offered what is free: times that were published since, and whatever was passed over when it was freed."""

import asyncio

from resolvers import waitlist
from resolvers.database import Database


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Go through the businesses where somebody waits; each offer is its own transaction, so that it may end at any moment."""
    done = {"ended": await waitlist.expire(database), "offered": 0}
    for business in await waitlist.waiting_businesses(database):
        if stopping.is_set():
            break
        done["offered"] += await waitlist.offer_all(database, business)
    return done
