"""Rates: how many points a viewer, or an address, may spend in a window, what is left, and how a client is told.

The library `limits` grants and counts: what was spent in the window before counts less the more of this one is over.
"""

import asyncio
import logging
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address
from itertools import islice
from time import monotonic, time
from typing import Any, cast

import orjson
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage, SlidingWindowCounterSupport, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import Scope
from valkey.asyncio import ConnectionPool
from valkey.exceptions import ValkeyError

from server.request import Headers

MOST_KEPT = 100_000  # viewers, and as many addresses, in each of two windows
PATIENCE = 0.25  # seconds that a request waits for the store: less, and a busy worker would take it for dead
RETRY = 5.0  # seconds that a store which did not answer is left alone
SILENCE = 30.0  # seconds between two log lines about it
CONVERSATIONS = 16  # with the store at once

log = logging.getLogger("holdfast.rate")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one may still spend; `seconds` is how long until all, or after a refusal enough, is there again."""

    is_within: bool
    limit: int
    remaining: int
    seconds: int
    window: int

    def headers(self) -> Headers:
        """Tell it after draft-ietf-httpapi-ratelimit-headers."""
        told = (
            (b"ratelimit", f'"default";r={self.remaining};t={self.seconds}'.encode()),
            (b"ratelimit-policy", f'"default";q={self.limit};w={self.window}'.encode()),
        )
        return told if self.is_within else (*told, (b"retry-after", str(self.seconds).encode()))

    def throttle_status(self) -> dict[str, Any]:
        """Tell it as Shopify does; the rate is how many points a second come back on average."""
        rate = self.limit / self.window
        return {"maximumAvailable": self.limit, "currentlyAvailable": self.remaining, "restoreRate": rate}


def cost(requested: int, actual: int | None, allowance: Allowance | None) -> bytes:
    """Write the answer's `extensions.cost`: a request that was refused cost nothing, without a limit none is told."""
    told: dict[str, Any] = {"requestedQueryCost": requested, "actualQueryCost": actual}
    if allowance is not None:
        told["throttleStatus"] = allowance.throttle_status()
    return orjson.dumps(told)


def address_of(scope: Scope) -> str:
    """Whom an address stands for: of IPv6 the first half, because the other half is free for everyone to choose."""
    host = str((scope.get("client") or ("",))[0])
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    return str(address.ipv4_mapped or f"{IPv6Address(int(address) >> 64 << 64)}/64")


class Rate:
    """What may be spent in each window of seconds: by a viewer `limit` points, from an address without one `anonymous`.

    Each worker counts for itself, or all together in a store. The limit is not divided by the workers: a client whose
    connection stays with one of them would be refused long before it has spent what its headers promise.
    While the store is out of reach each worker counts for itself, since to refuse everyone would do more harm.
    """

    def __init__(self, limit: int, anonymous: int, window: int = 60, store: str = "memory://") -> None:
        # Two storages, so that no crowd of addresses has a viewer forgotten.
        self._viewers = RateLimitItemPerSecond(limit, window, "viewer"), _Counter(_Own(window))
        self._addresses = RateLimitItemPerSecond(anonymous, window, "address"), _Counter(_Own(window))
        self._shared = None if store.startswith("memory:") else _Shared(store)

    async def spend(self, who: str, points: int, *, is_anonymous: bool) -> Allowance:
        """Spend all the points, or none."""
        # The store learns no name, and the memory that one takes has a bound.
        key = blake2b(who.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        item, own = self._addresses if is_anonymous else self._viewers
        told = await self._shared.try_to_spend(item, key, points) if self._shared else None
        return told or await own.spend(item, key, points)

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.pool.disconnect()


class _Counter(SlidingWindowCounterRateLimiter):
    """The library's strategy, which also says what is left."""

    async def spend(self, item: RateLimitItem, key: str, points: int) -> Allowance:
        is_within = await self.hit(item, key, cost=points)
        limit, window = item.amount, item.get_expiry()
        # Its own window stats say when the first point comes back, which is seldom enough.
        storage = cast(SlidingWindowCounterSupport, self.storage)
        previous, _, current, end = await storage.get_sliding_window(item.key_for(key), window)
        span, rest = window * 1000, round(end * 1000) - window * 1000
        remaining = max(0, limit - previous * rest // span - current)
        seconds = min(window, _seconds(previous, current, rest, span, 0))
        if not is_within:  # more than the limit is never granted, but some wait has to be told
            seconds = window if points > limit else max(1, _seconds(previous, current, rest, span, limit - points))
        return Allowance(is_within, limit, remaining, seconds, window)


def _seconds(previous: int, current: int, rest: int, span: int, room: int) -> int:
    """Count the seconds until no more than `room` is still spent, with `rest` milliseconds left of a window's `span`."""
    if current > room:  # this window has to count less, once it is the window before
        previous, current, rest = current, 0, rest + span
    if not previous:
        return 0
    enough = ((room - current + 1) * span - 1) // previous  # the library drops the fraction of a point
    return max(0, -((enough - rest) // 1000))


class _Own(Storage, SlidingWindowCounterSupport):
    """What is spent in one worker: the library's own memory has no bound, and searches all that it keeps at each hit."""

    base_exceptions = ()

    def __init__(self, window: int) -> None:
        super().__init__()
        self.span, self.number = window * 1000, 0
        self.previous, self.current = dict[str, int](), dict[str, int]()

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        rest = self._rest()
        if self.previous.get(key, 0) * rest // self.span + self.current.get(key, 0) + amount > limit:
            return False
        await self.incr(key, expiry, amount)
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        rest = self._rest() / 1000
        return self.previous.get(key, 0), rest, self.current.get(key, 0), rest + expiry

    async def clear_sliding_window(self, key: str, _expiry: int) -> None:
        await self.clear(key)

    async def incr(self, key: str, _expiry: int, amount: int = 1) -> int:
        self._rest()
        if len(self.current) >= MOST_KEPT and key not in self.current:
            self.current = dict(islice(self.current.items(), MOST_KEPT // 2, None))  # the older half is forgotten
        self.current[key] = count = self.current.get(key, 0) + amount
        return count

    async def get(self, key: str) -> int:
        self._rest()
        return self.current.get(key, 0)

    async def get_expiry(self, _key: str) -> float:
        return time() + self._rest() / 1000

    async def check(self) -> bool:
        return True

    async def reset(self) -> None:
        self.previous, self.current = {}, {}

    async def clear(self, key: str) -> None:
        self.previous.pop(key, None)
        self.current.pop(key, None)

    def _rest(self) -> int:
        """Forget a whole window at once, when it is over; count the milliseconds that are left of this one."""
        number, elapsed = divmod(int(monotonic() * 1000), self.span)
        if number != self.number:
            self.previous = self.current if number == self.number + 1 else {}
            self.number, self.current = number, {}
        return self.span - elapsed


class _Shared(_Counter):
    """What all workers have spent, in a Valkey or a Redis."""

    def __init__(self, store: str) -> None:
        self.pool = ConnectionPool.from_url(store, socket_connect_timeout=PATIENCE)
        options: Any = {"connection_pool": self.pool}  # which the library's manual knows, and its types do not
        super().__init__(RedisStorage("async+valkey://", key_prefix="holdfast:rate", **options))
        self.turn = asyncio.Semaphore(CONVERSATIONS)
        self.away_until = 0.0
        self.silent_until = 0.0

    async def try_to_spend(self, item: RateLimitItem, key: str, points: int) -> Allowance | None:
        """Spend, unless the store is out of reach."""
        async with self.turn:
            now = monotonic()
            if now < self.away_until:
                return None
            if self.away_until:
                self.away_until = now + RETRY  # one request finds out whether it is back, and the others do not wait
            try:
                async with asyncio.timeout(PATIENCE):
                    told = await self.spend(item, key, points)
            except (ValkeyError, OSError) as lost:
                self._lose(type(lost).__name__)
                return None
            self.away_until = 0.0
            return told

    def _lose(self, problem: str) -> None:
        """Tell no more than the kind of problem: what a client library says may quote an address with its password."""
        now = monotonic()
        self.away_until = now + RETRY
        if now >= self.silent_until:
            self.silent_until = now + SILENCE
            log.warning("The rate store is out of reach, so each worker counts for itself.", extra={"problem": problem})
