"""Reminders: when one is due, its event is written, once; it is told as every event is. Old words are forgotten."""

import asyncio

from resolvers.database import Database
from resolvers.notifications import REMINDED_AT_ONCE, prune, remind


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Write one lot of reminders after the other, until none is due."""
    reminded, last = 0, REMINDED_AT_ONCE
    while last >= REMINDED_AT_ONCE and not stopping.is_set():
        last = await remind(database)
        reminded += last
    return {"reminded": reminded, "pruned": await prune(database)}
