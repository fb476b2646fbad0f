"""What happened is sent to webhook endpoints: many at a time, a few of each, and nothing is locked meanwhile."""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models.refusal import Refusal, Unavailable
from models.webhook_message import body, headers, pause_after, variables
from resolvers import webhooks
from resolvers.context import Context
from resolvers.database import Database, DatabaseFaultError
from schema.audit_entry import type_of
from schema.execution import CONTRACT
from schema.stored_document import answered, reader
from server.channels.outbound import BlockedError, Outbound, Reply, UnreachableError
from server.settings import current

log = logging.getLogger("holdfast.worker")
MOST, MOST_OF_BUSINESS, MOST_EACH = 64, 8, 4  # at a time, the last of an endpoint: who is slow holds up nobody else
SECONDS_TO_ANSWER = 15.0
SECONDS_FOR_A_DOCUMENT = 5.0
SECONDS_FOR_A_TURN = 10.0  # to answer one, in which others go first; all in all much less than a lease
DOCUMENTS = 2  # answered at a time, one of a business: the connections are those of other loops, too
SECONDS_UNTIL_LATER = 30.0  # until what could not be begun is due again
UNREADABLE = {"UNAVAILABLE", "BUSY"}  # another time it can be read
SECONDS_TO_LOOK_AGAIN = 0.5  # whether there is more to do, while something is being sent
SECONDS_TO_GATHER = 0.01  # others that end with it, so that what follows them is claimed at once
LARGEST_ANSWER = 4_000  # of which nothing but the status matters
GONE = 410
RETRY_LATER = (429, 503)  # whose Retry-After is heard


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Send all that is due; who is told to stop finishes what was begun."""
    sending = Sending(database)
    try:
        while (await sending.begin() if not stopping.is_set() else False) or sending.tasks:
            if sending.tasks:
                await sending.wait()
    finally:
        await sending.close()
    return dict(sending.done)


async def prune(database: Database, _stopping: asyncio.Event) -> dict[str, int]:
    """Forget what was sent long ago."""
    return {"deliveries": await webhooks.prune(database)}


async def tidy(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Switch off endpoints that too much waits for, and let what waits for those that are off have failed."""
    failed = 0
    while not stopping.is_set() and (lot := await webhooks.tidy(database)):
        failed += lot
    return {"deliveries": failed}


class Sending:
    """One pass: what is being sent, and how it went."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.outbound = Outbound(current().allowed_networks)
        self.tasks: dict[asyncio.Task[None], UUID] = {}
        self.answering = asyncio.Semaphore(DOCUMENTS)
        self.answering_for: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.done: Counter[str] = Counter(delivered=0, repeated=0, abandoned=0)

    async def begin(self) -> bool:
        """Claim what can be begun now, and begin it; tells whether there was anything."""
        if (room := MOST - len(self.tasks)) <= 0:
            return False
        bounds = (room, MOST_EACH, MOST_OF_BUSINESS)
        claimed = await webhooks.claim(self.database, bounds, list(self.tasks.values()))
        of_business: dict[UUID, list[UUID]] = defaultdict(list)
        for row in claimed:
            of_business[row.business_id].append(row.delivery_id)
        for business, deliveries in of_business.items():
            for delivery, secrets in await webhooks.claimed(self.database, business, deliveries):
                self.tasks[asyncio.create_task(self._send(delivery, secrets))] = delivery.endpoint_id
        return bool(claimed)

    async def wait(self) -> None:
        """Wait until something was sent, or for a moment."""
        await asyncio.wait(self.tasks, timeout=SECONDS_TO_LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(SECONDS_TO_GATHER)
        for task in [each for each in self.tasks if each.done()]:
            del self.tasks[task]

    async def close(self) -> None:
        """Let go of what is not finished: when its lease is over, it is sent again."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _send(self, delivery: Row[Any], secrets: list[str]) -> None:
        """Send one, and write down what came of it; whatever that is, no other one fares worse for it."""
        began = time.perf_counter()
        try:
            told = await self._told(delivery, secrets)
            told["milliseconds"] = round((time.perf_counter() - began) * 1000)
            came = await webhooks.settle(self.database, delivery, told)
        except (Refusal, DatabaseFaultError) as problem:  # it is due again when the lease is over
            extra = {"delivery": delivery.id, "problem": str(problem)}
            log.error("what came of a webhook is not on record", extra=extra)  # noqa: TRY400 -- its sentence says it all
            return
        except Exception:
            log.exception("what came of a webhook is not on record", extra={"delivery": delivery.id})
            return
        self.done[COUNTED.get(came, "abandoned")] += 1
        if came == "DISABLED":
            log.warning("a webhook endpoint is switched off", extra={"endpoint": delivery.endpoint_id})

    async def _told(self, delivery: Row[Any], secrets: list[str]) -> dict[str, Any]:
        """Say what comes of an attempt; what could not be begun has all its attempts still."""
        attempt = delivery.attempts - delivery.attempts_before
        try:
            text = await self._written(delivery)
            return judged(attempt, await self._asked(delivery, text, secrets))
        except (Refusal, DatabaseFaultError):
            return {"outcome": "LATER", "pause": SECONDS_UNTIL_LATER}
        except Exception:  # a fault of ours: it is tried as often as what the receiver refuses
            log.exception("a webhook could not be sent", extra={"delivery": delivery.id})
            return judged(attempt, "It could not be sent, by a fault of this server.")

    async def _written(self, delivery: Row[Any]) -> str:
        event = event_of(delivery)
        if delivery.document is None:
            return body(event, None)
        try:
            async with self._turn(delivery.business_id):
                told = await self._answered(delivery, variables(event, type_of(event.type)))
        except TimeoutError:
            raise Unavailable from None
        if UNREADABLE & {error["extensions"]["code"] for error in told.get("errors", ())}:
            raise Unavailable
        return body(event, told)

    @asynccontextmanager
    async def _turn(self, business: UUID) -> AsyncIterator[None]:
        """Wait for one's turn to have a document answered, for so long as a lease bears."""
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(SECONDS_FOR_A_TURN):
                await stack.enter_async_context(self.answering_for[business])
                await stack.enter_async_context(self.answering)
            yield

    async def _answered(self, delivery: Row[Any], asked: dict[str, Any]) -> dict[str, Any]:
        viewer = reader(delivery.business_id, delivery.endpoint_id)
        context = Context(self.database.of(delivery.business_id), viewer, str(delivery.id))
        try:
            async with asyncio.timeout(SECONDS_FOR_A_DOCUMENT):
                return await answered(CONTRACT, delivery.document, asked, context)
        except TimeoutError:
            return {"errors": [{"message": "The document took too long.", "extensions": {"code": "TIMEOUT"}}]}

    async def _asked(self, delivery: Row[Any], text: str, secrets: list[str]) -> Reply | str:
        """Send it once; tells what was answered, or why nothing was."""
        told = headers(event_of(delivery), delivery.now, text, secrets)
        bounds: Any = {"seconds": SECONDS_TO_ANSWER, "largest": LARGEST_ANSWER}
        try:
            return await self.outbound.request("POST", delivery.url, headers=told, content=text.encode(), **bounds)
        except (BlockedError, UnreachableError) as problem:
            return str(problem)


COUNTED = {"DELIVERED": "delivered", "AGAIN": "repeated", "LATER": "repeated"}


def event_of(delivery: Row[Any]) -> Any:
    """The event of a delivery, as it is told outside."""
    named = ("id", "type", "aggregate_id", "occurred_at", "correlation_id", "data")
    told = {name: getattr(delivery, f"event_{name}") for name in named}
    return SimpleNamespace(business_id=delivery.business_id, **told)


def judged(attempt: int, reply: Reply | str) -> dict[str, Any]:
    """Say what comes of an attempt, the so-manieth: it is delivered, tried again, given up, or wanted no longer."""
    if isinstance(reply, str):
        return _again(attempt, {"status": None, "error": reply[:500]})
    if 200 <= reply.status < 300:
        return {"outcome": "DELIVERED", "status": reply.status, "error": None}
    told = {"status": reply.status, "error": _sentence(reply.status)}
    if reply.status == GONE:
        return {"outcome": "GONE", **told}
    return _again(attempt, told, reply.headers.get("retry-after") if reply.status in RETRY_LATER else None)


def _again(attempt: int, told: dict[str, Any], retry_after: str | None = None) -> dict[str, Any]:
    pause = pause_after(attempt, SystemRandom().random(), retry_after)
    if pause is None:
        return {"outcome": "FAILED", **told}
    return {"outcome": "AGAIN", "pause": pause.total_seconds(), **told}


def _sentence(status: int) -> str:
    if 300 <= status < 400:
        return f"It answered {status}, a redirect, which is not followed."
    if status == GONE:
        return "It answered 410: it wants nothing any more."
    return f"It answered {status}."
