"""The queue of those who wait for room: in order of arrival, not too many, and nobody for long."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import psycopg

T = TypeVar("T")
MOST_WAITING = 500
SECONDS_TO_WAIT = 2.0
TOLD_AT_ONCE = 8  # whoever is told has more to do than this queue, and all others wait for it


class Queue(Generic[T]):
    """What waits, each with the future of whoever asked. One timer serves all: the first has always waited longest."""

    def __init__(
        self, most: int = MOST_WAITING, seconds: float = SECONDS_TO_WAIT, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.waiting: OrderedDict[asyncio.Future[Any], tuple[float, T]] = OrderedDict()
        self.takers: set[object] = set()  # those who will come for what waits
        self._most = most
        self._seconds = seconds
        self._now = now
        self._timer: asyncio.TimerHandle | None = None

    def put(self, answer: asyncio.Future[Any], wanted: T) -> None:
        """Wait behind all others, unless they are too many."""
        if len(self.waiting) >= self._most:
            raise psycopg.OperationalError("too many statements are waiting")
        self.waiting[answer] = self._now(), wanted
        if self._timer is None:
            self._wake(self._seconds)

    def take(self) -> T:
        """Take what has waited longest."""
        _, (_, wanted) = self.waiting.popitem(last=False)
        return wanted

    def drop(self, answer: asyncio.Future[Any]) -> bool:
        """Forget what nobody wants any more, if it waits here."""
        return self.waiting.pop(answer, None) is not None

    def turn_away(self) -> None:
        """Tell whoever has waited too long."""
        now = self._now()
        for _ in range(TOLD_AT_ONCE):
            if not self.waiting:
                break
            answer, (since, _wanted) = next(iter(self.waiting.items()))
            if since + self._seconds > now:
                self._wake(since + self._seconds - now)
                return
            self._fail(answer, "no lane had room in time")
        if self.waiting:
            self._wake(0)
        else:
            self._sleep()

    def clear(self, reason: str) -> None:
        """Tell everybody that nobody will come for them."""
        while self.waiting:
            self._fail(next(iter(self.waiting)), reason)
        self._sleep()

    def _fail(self, answer: asyncio.Future[Any], reason: str) -> None:
        del self.waiting[answer]
        if not answer.done():
            answer.set_exception(psycopg.OperationalError(reason))

    def _wake(self, seconds: float) -> None:
        self._sleep()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.turn_away)

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
