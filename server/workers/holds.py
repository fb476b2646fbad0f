"""Holds that lapsed are flipped early, so that others hear of it; that they are free depends on no worker."""

import asyncio
from datetime import timedelta

from models import outbox
from models.refusal import Timeout
from resolvers.database import Database

LATELY = timedelta(minutes=10)
EVER = timedelta(days=36_500)


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Flip the holds that lapsed lately, which are found at once."""
    return await _swept(database, stopping, LATELY)


async def run_all(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Flip every hold that has lapsed: also those that did while no worker ran."""
    return await _swept(database, stopping, EVER)


async def _swept(database: Database, stopping: asyncio.Event, within: timedelta) -> dict[str, int]:
    expired, most = 0, outbox.SWEPT
    while not stopping.is_set():
        try:
            row = await database.row(outbox.sweep(within, most))
        except Timeout:
            if most == 1:
                raise
            most //= 2  # fewer take less long
            continue
        if row is None or not row.swept:
            break
        expired += row.swept
    return {"expired": expired}
