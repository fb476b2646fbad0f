"""Calendars of providers that others keep are read again, and their busy times become time off."""

import asyncio
import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from models.calendar_claim import Claim, read_for
from models.calendar_import import LARGEST
from models.foreign_event import UnreadableError
from models.refusal import Refusal
from resolvers.calendars import claim_imports, claimed, note_failure, occupy
from resolvers.database import Database, DatabaseFaultError
from server.calendar_reader import read
from server.channels.outbound import BlockedError, Outbound, Reply, UnreachableError
from server.settings import current

AT_ONCE, READERS = 4, 2
SECONDS = 30.0
ACCEPTED = "text/calendar, */*;q=0.1"
FAILURES = (BlockedError, UnreachableError, UnreadableError)  # of whoever keeps the calendar
FAULTS = (Refusal, DatabaseFaultError)
log = logging.getLogger("holdfast.worker")

Spans = list[tuple[datetime, datetime]]
Answer = tuple[dict[str, Any], Spans | None, float]
"""What is known of a calendar for the next time, when its owner is busy, and how many seconds it took to read that.

No spans, if that is as it was.
"""


@dataclass(frozen=True)
class Way:
    """How calendars are asked for, and a turn for each that is read: of a few at once, so that the others wait."""

    outbound: Outbound
    turns: asyncio.Semaphore


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Read whatever is due, some at a time, until nothing is that no other worker has in hand."""
    done: Counter[str] = Counter(fetched=0, changed=0, unreadable=0)  # `failed` only where something did: see Worked
    way = Way(Outbound(current().allowed_networks), asyncio.Semaphore(READERS))
    while not stopping.is_set() and (claims := await claim_imports(database, AT_ONCE)):
        # Fetched while nothing is locked and no transaction open; written one after the other.
        answers = await asyncio.gather(*(_asked(database, way, claim) for claim in claims))
        for claim, answer in zip(claims, answers, strict=True):
            done.update(await _kept(database, claim, answer))
    return dict(done)


async def _asked(database: Database, way: Way, claim: Claim) -> Answer | Exception | None:
    """Ask for a calendar; nothing, if it was deleted meanwhile."""
    try:
        asked = await claimed(database, claim)
        return None if asked is None else await _fetched(way, asked)
    except (*FAILURES, *FAULTS) as problem:
        return problem


async def _kept(database: Database, claim: Claim, answer: Answer | Exception | None) -> Counter[str]:
    """Write what came of it; what fails of one keeps no other waiting."""
    try:
        if isinstance(answer, FAILURES):
            await note_failure(database, claim, str(answer), getattr(answer, "seconds", 0.0))
            return Counter(unreadable=1)
        if isinstance(answer, Exception):
            raise answer
        return Counter(fetched=1, changed=int(await occupy(database, claim, *answer))) if answer else Counter()
    except FAULTS as problem:
        told = {"loop": "calendars", "business": claim.business_id, "import": claim.id, "problem": str(problem)}
        log.error("an import failed and is tried again", extra=told)  # noqa: TRY400 -- told in one line
        return Counter(failed=1)


async def _fetched(way: Way, asked: Row[Any]) -> Answer:
    """Ask for a calendar; no spans, if it says what it said the last time."""
    wanted = read_for(asked.today, asked.zone)
    is_known = asked.content_hash is not None and asked.read_for == wanted
    headers = {"accept": ACCEPTED}
    if is_known and asked.etag:
        headers["if-none-match"] = asked.etag
    if is_known and asked.last_modified:
        headers["if-modified-since"] = asked.last_modified
    reply = await way.outbound.request("GET", asked.url, headers=headers, seconds=SECONDS, largest=LARGEST)
    if reply.status == 304 and is_known:
        return {}, None, 0.0
    _check(reply)
    content_hash = hashlib.sha256(reply.body).digest()
    known = {
        "etag": _header(reply, "etag"),
        "last_modified": _header(reply, "last-modified"),
        "content_hash": content_hash,
        "read_for": wanted,
    }
    if is_known and content_hash == asked.content_hash:
        return known, None, 0.0
    async with way.turns:
        return known, *await read(reply.body, asked.today, asked.zone)


def _check(reply: Reply) -> None:
    """Refuse what is no calendar before anything of it is read."""
    if reply.status != 200:
        raise UnreadableError(f"The server of the calendar answered with the status {reply.status}.")
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnreadableError("The server of the calendar sent it packed, which was not asked for.")
    if not reply.is_whole:
        raise UnreadableError(f"The calendar is larger than {LARGEST // 1_000_000} MB.")


def _header(reply: Reply, name: str) -> str | None:
    """Keep what a server says of its answer, unless that is too long, or no header that can be sent back."""
    value = reply.headers.get(name, "")
    return value if 0 < len(value) <= 200 and value.isascii() and value.isprintable() else None
