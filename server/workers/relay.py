"""Committed events get their positions, and then, each in its own step, are handed to those who send them on."""

import asyncio
import logging

from models import outbox
from resolvers.database import Database

log = logging.getLogger("holdfast.worker")


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Give positions, one batch after the other, until nothing is left, or another worker is at it."""
    relayed = 0
    while not stopping.is_set():
        row = await database.row(outbox.relay())
        if row is None or not row.relayed:
            break
        relayed += row.relayed
    return {"relayed": relayed}


async def to_webhooks(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Write down what is to be sent to webhook endpoints."""
    return await _handed(database, stopping, "webhooks")


async def to_recipients(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Write down what clients and providers are to be told."""
    return await _handed(database, stopping, "recipients")


async def make_good(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Try again what was passed over."""
    done = 0
    while not stopping.is_set():
        row = await database.row(outbox.hand_over_again())
        if row is None or row.done is None:
            break
        done += row.done
    return {"made_good": done}


async def _handed(database: Database, stopping: asyncio.Event, consumer: str) -> dict[str, int]:
    """Hand over lot after lot; half of one that fails, until it is one event, which holds up nobody any longer."""
    handed, passed_over, problem, most = 0, 0, None, outbox.HANDED
    while not stopping.is_set():
        row = await database.row(outbox.hand_over(consumer, most))
        if row is None or not (row.handed or row.problem):
            break
        handed += row.handed
        if row.problem is None:
            most = min(most * 2, outbox.HANDED)
        elif row.handed:
            passed_over, problem = passed_over + row.handed, row.problem
        else:
            most = max(most // 2, 1)
    if passed_over:
        extra = {"consumer": consumer, "events": passed_over, "sqlstate": problem}
        log.error("events could not be handed over and are passed over for now", extra=extra)
    return {"handed": handed - passed_over, "passed_over": passed_over}
