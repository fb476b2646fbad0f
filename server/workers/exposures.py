"""What was shown long ago is forgotten: nobody reports it any more."""

import asyncio

from resolvers.database import Database
from resolvers.exposures import prune


async def run_once(database: Database, _stopping: asyncio.Event) -> dict[str, int]:
    """Delete old exposures; each lot is its own transaction, so that it may end at any moment."""
    return {"pruned": await prune(database)}
