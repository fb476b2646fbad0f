"""The listener: one connection of a server process that hears what the relay tells, and hands it to whoever follows it.

Nothing is missed when that connection breaks: what was told meanwhile is read again, by its position.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Self
from uuid import UUID

import psycopg

from models.refusal import Refusal, SignalsMissed
from models.signal import CHANNEL, Signal, after, newest, whole
from resolvers.database import Database, DatabaseFaultError
from resolvers.stream import Concerns, Heed

log = logging.getLogger("holdfast.listener")
MOST_BEHIND = 1000  # signals that a follower has not come to yet, or that were told while nobody listened
HEARTBEAT = 15.0  # seconds of silence, after which the connection is tried, or given back if nobody follows
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before the next try to connect
SECONDS_TO_READ = 30.0  # what was told meanwhile
PAUSE = 1.0  # seconds before the next try to find out what a signal means, while the database is away


@dataclass(eq=False)
class Audience:
    """Those who follow one business. What is told up to `floor` was told before the first of them came."""

    followers: set["Following"] = field(default_factory=set)
    floor: int | None = None
    heard: int = 0

    def hear(self, signal: Signal) -> None:
        """Pass a signal on, once."""
        if signal.position > self.heard:
            self.heard = signal.position
            for each in self.followers:
                each.hear(signal)


class Following:
    """What one follower hears, one thing after the other."""

    def __init__(self, audience: Audience, turn: asyncio.Semaphore, concerns: Concerns, heed: Heed) -> None:
        self.audience, self.turn, self.concerns, self.heed = audience, turn, concerns, heed
        self.signals: deque[Signal] = deque()
        self.ready: deque[Any] = deque()
        self.news = asyncio.Event()
        self.is_lost = False
        audience.followers.add(self)

    def hear(self, signal: Signal) -> None:
        if not self.is_lost and self._is_concerned(signal):
            self.signals.append(signal)
            self.news.set()
            if len(self.signals) > MOST_BEHIND:
                self.lose()

    def _is_concerned(self, signal: Signal) -> bool:
        try:
            return self.concerns(signal)
        except (ValueError, TypeError, KeyError):
            log.exception("an event has not the form that it should have", extra={"type": signal.type})
            return False

    def lose(self) -> None:
        """Say that something was missed: whoever follows has to begin again."""
        self.is_lost = True
        self.signals.clear()
        self.news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self.ready:
            await self.news.wait()
            if self.is_lost:
                raise SignalsMissed
            self.ready.extend(await self._heeded(self.signals.popleft()))
            if not self.signals and not self.is_lost:
                self.news.clear()
        return self.ready.popleft()

    async def _heeded(self, signal: Signal) -> Sequence[Any]:
        """Find out what a signal means, in turn with others, and for as long as it takes until the database answers."""
        while not self.is_lost:
            try:
                async with self.turn:
                    found = await self.heed(signal)
                    await asyncio.sleep(0)  # whoever asks for something else waits for one follower, not for all
                    return found
            except Refusal as refusal:
                if not refusal.retryable:
                    raise
            await asyncio.sleep(PAUSE)
        return ()

    def close(self) -> None:
        self.audience.followers.discard(self)


class Listener:
    """Hears the signals of those businesses that somebody follows."""

    def __init__(self, conninfo: str, database: Database, turn: asyncio.Semaphore) -> None:
        self.conninfo, self.database, self.turn = conninfo, database, turn
        self.audiences: dict[UUID, Audience] = {}
        self.is_listening = asyncio.Event()
        self.waiting = 0
        self.task: asyncio.Task[None] | None = None

    async def follow(self, business: UUID, concerns: Concerns, heed: Heed) -> Following:
        """Hear, from now on, what `heed` makes of those signals of a business that `concerns` lets through."""
        self.waiting += 1
        try:
            if self.task is None:
                self.task = asyncio.create_task(self._run(), name="listener")
            await self.is_listening.wait()
        finally:
            self.waiting -= 1
        audience = self.audiences.setdefault(business, Audience())
        following = Following(audience, self.turn, concerns, heed)
        try:
            if audience.floor is None:
                audience.floor = max(await self._newest(business), audience.floor or 0)
        except BaseException:
            following.close()
            raise
        return following

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def _run(self) -> None:
        """Listen for as long as anybody follows; come back from whatever breaks the connection."""
        pause = SHORTEST_PAUSE
        while self.task is not None:
            try:
                async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as connection:
                    await self._begin(connection)
                    pause = SHORTEST_PAUSE
                    await self._listen(connection)
            except (psycopg.Error, OSError, Refusal, DatabaseFaultError, TimeoutError) as problem:
                if pause == SHORTEST_PAUSE:
                    log.warning("listening was interrupted", extra={"problem": type(problem).__name__})
                await asyncio.sleep(pause * (0.5 + SystemRandom().random()))
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _begin(self, connection: psycopg.AsyncConnection) -> None:
        """Listen first, then read what was told before: so that nothing is between the two."""
        await connection.execute(f"LISTEN {CHANNEL}")
        async with asyncio.timeout(SECONDS_TO_READ):
            for business in list(self.audiences):
                await self._catch_up(business)

    async def _listen(self, connection: psycopg.AsyncConnection) -> None:
        self.is_listening.set()
        try:
            while self._is_followed():
                async for notice in connection.notifies(timeout=HEARTBEAT):
                    await self._tell(notice.payload)
                await connection.execute("SELECT")
            self.task = None  # at once, so that whoever comes now begins anew
        finally:
            self.is_listening.clear()

    def _is_followed(self) -> bool:
        """Forget the businesses that nobody follows any more."""
        self.audiences = {key: each for key, each in self.audiences.items() if each.followers}
        return bool(self.audiences or self.waiting)

    async def _tell(self, payload: str) -> None:
        try:
            signal = Signal.read(payload)
        except (ValueError, TypeError, KeyError):  # anybody at the database can say anything
            log.warning("a signal cannot be read")
            return
        audience = self.audiences.get(signal.business_id)
        if audience is None or not audience.followers:
            return
        if signal.data is None:
            row = await self.database.of(signal.business_id).row(whole(signal))
            signal = signal if row is None else Signal.of(row)
        audience.hear(signal)
        await asyncio.sleep(0)  # many may have been told at once

    async def _catch_up(self, business: UUID) -> None:
        """Read what was told of a business while nobody listened; if that is too much, its followers begin again."""
        audience = self.audiences[business]
        if audience.floor is None and not audience.heard:  # nobody has begun: the first one is still finding out where
            audience.floor = await self._newest(business)
            return
        last = max(audience.heard, audience.floor or 0)
        rows: Sequence[Any] = await self.database.of(business).rows(after(business, last, MOST_BEHIND + 1))
        if len(rows) > MOST_BEHIND:
            for each in audience.followers:
                each.lose()
            audience.heard = max(await self._newest(business), last)
            return
        for row in rows:
            audience.hear(Signal.of(row))

    async def _newest(self, business: UUID) -> int:
        row = await self.database.of(business).row(newest(business))
        return row.position if row else 0
