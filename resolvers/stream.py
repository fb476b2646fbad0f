"""Streams: what a subscription hears of, one thing after the other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, Self
from uuid import UUID

from models.signal import Signal

Concerns = Callable[[Signal], bool]
Heed = Callable[[Signal], Awaitable[Sequence[Any]]]


class Stream(Protocol):
    """What is heard, one thing after the other, until it is closed."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Any: ...

    def close(self) -> None:
        """Hear no more."""


class Signals(Protocol):
    """Whoever hears the signals of all businesses."""

    async def follow(self, business: UUID, concerns: Concerns, heed: Heed) -> Stream:
        """Hear, from now on, what `heed` makes of those signals of a business that `concerns` lets through."""
