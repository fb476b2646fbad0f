"""Proposals whose time is over are marked as such, so that others hear of it; that they cannot be accepted depends on no worker."""

import asyncio

from resolvers import proposals
from resolvers.database import Database


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Mark one batch after the other until nothing is left."""
    ended = 0
    while not stopping.is_set() and (some := await proposals.expire(database)):
        ended += some
    return {"ended": ended}
