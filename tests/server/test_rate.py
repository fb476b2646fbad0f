"""The rate limit: what may be spent and how it is told, in one worker, and by two that share a real Redis."""

import asyncio
import json
import logging
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from valkey import Valkey

from server import rate
from server.logs import Line
from server.rate import MOST_KEPT, RETRY, SILENCE, Allowance, Rate, _Own, address_of, cost
from tests.ports import free_port
from tests.server.test_nginx import program

HOUR = 3600
PASSWORD = "open-sesame"


class Clock:
    """What the limits take for the time: it stands still."""

    def __init__(self) -> None:
        self.now = 120_000.0  # the beginning of a window of a minute

    def __call__(self) -> float:
        return self.now


class Store:
    """A Redis of its own, which can be killed and started anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self, *more: str) -> None:
        places = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command = [program("redis-server"), *places, "--save", "", "--appendonly", "no", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(500):
            if self.is_up():
                return
            time.sleep(0.01)
        raise AssertionError("the store did not start")

    def is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self) -> Any:
        return Valkey.from_url(self.address)


Make = Callable[..., Rate]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate, "monotonic", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.kill()


@pytest.fixture
async def worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Make what a worker has: its own Rate, with the common store, which a busy machine may keep waiting."""
    monkeypatch.setattr(rate, "PATIENCE", 10)
    async with AsyncExitStack() as running:

        def make(limit: int = 100, window: int = HOUR, address: str = store.address) -> Rate:
            made = Rate(limit, limit, window, address)
            running.push_async_callback(made.close)
            return made

        yield make


async def spend(spender: Rate, points: int, who: str = "ada") -> Allowance:
    return await spender.spend(who, points, is_anonymous=False)


async def spend_at_once(spenders: list[Rate], times: int) -> int:
    """Spend one point so many times with each, all at once; count what was granted."""
    told = await asyncio.gather(*(spend(spender, 1) for _ in range(times) for spender in spenders))
    return sum(each.is_within for each in told)


def told_by(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "holdfast.rate"]


def test_an_allowance_is_told_in_the_headers_of_the_draft() -> None:
    allowance = Allowance(is_within=True, limit=600, remaining=597, seconds=54, window=60)

    assert allowance.headers() == (
        (b"ratelimit", b'"default";r=597;t=54'),
        (b"ratelimit-policy", b'"default";q=600;w=60'),
    )


def test_a_refusal_says_when_to_come_back() -> None:
    allowance = Allowance(is_within=False, limit=600, remaining=0, seconds=12, window=60)

    assert allowance.headers() == (
        (b"ratelimit", b'"default";r=0;t=12'),
        (b"ratelimit-policy", b'"default";q=600;w=60'),
        (b"retry-after", b"12"),
    )


def test_a_cost_is_written_as_shopify_writes_it() -> None:
    allowance = Allowance(is_within=True, limit=600, remaining=597, seconds=54, window=60)
    status = {"maximumAvailable": 600, "currentlyAvailable": 597, "restoreRate": 10.0}

    text = cost(12, 3, allowance)

    assert text == (
        b'{"requestedQueryCost":12,"actualQueryCost":3,'
        b'"throttleStatus":{"maximumAvailable":600,"currentlyAvailable":597,"restoreRate":10.0}}'
    )
    assert json.loads(text)["throttleStatus"] == allowance.throttle_status() == status


def test_a_cost_without_a_limit_has_no_status_and_a_refused_one_is_null() -> None:
    assert cost(12, 3, None) == b'{"requestedQueryCost":12,"actualQueryCost":3}'
    assert cost(12, None, None) == b'{"requestedQueryCost":12,"actualQueryCost":null}'


async def test_everything_can_be_spent_and_not_one_point_more(clock: Clock) -> None:
    own = Rate(600, 60)

    told = [await spend(own, points) for points in (1, 599, 1, 1)]

    assert told == [
        Allowance(is_within=True, limit=600, remaining=599, seconds=60, window=60),
        Allowance(is_within=True, limit=600, remaining=0, seconds=60, window=60),
        Allowance(is_within=False, limit=600, remaining=0, seconds=61, window=60),
        Allowance(is_within=False, limit=600, remaining=0, seconds=61, window=60),
    ]


async def test_what_is_refused_is_not_spent(clock: Clock) -> None:
    own = Rate(600, 60)

    told = [await spend(own, points) for points in (590, 11, 10)]

    assert [(each.is_within, each.remaining) for each in told] == [(True, 10), (False, 10), (True, 0)]


async def test_points_come_back_little_by_little_in_the_next_window(clock: Clock) -> None:
    own = Rate(600, 60)
    await spend(own, 600)

    remaining = []
    for clock.now in (120_059.999, 120_060, 120_061, 120_090, 120_119, 120_120):
        remaining.append((await spend(own, 0)).remaining)

    assert remaining == [0, 0, 10, 300, 590, 600]


async def test_nothing_of_a_window_long_ago_is_remembered(clock: Clock) -> None:
    own = Rate(600, 60)
    await spend(own, 600)

    clock.now += 1000 * 60
    told = await spend(own, 600)

    assert (told.is_within, told.remaining) == (True, 0)


async def test_the_wait_that_is_told_is_long_enough_and_no_second_too_long(clock: Clock) -> None:
    chance, own, refused = Random(88), Rate(50, 50), 0

    for _ in range(5000):
        clock.now += chance.choice((0, 0, 0.123, 1, 7.001, 30, 59.999, 60))
        points = chance.randint(1, 50)
        told = await spend(own, points)
        if not told.is_within:
            refused += 1
            clock.now += told.seconds - 1
            assert not (await spend(own, points)).is_within
            clock.now += 1
            assert (await spend(own, points)).is_within

    assert refused > 1000


async def test_a_request_that_costs_more_than_the_limit_is_refused_and_spends_nothing(clock: Clock) -> None:
    own = Rate(600, 60)

    refused, granted = await spend(own, 601), await spend(own, 600)

    assert refused == Allowance(is_within=False, limit=600, remaining=600, seconds=60, window=60)
    assert granted.is_within


async def test_viewers_and_addresses_are_independent(clock: Clock) -> None:
    own = Rate(600, 60)
    await spend(own, 600, "ada")
    await own.spend("203.0.113.9", 60, is_anonymous=True)

    other = await spend(own, 1, "grace")
    same_name = await spend(own, 1, "203.0.113.9")
    address = await own.spend("203.0.113.9", 1, is_anonymous=True)
    other_address = await own.spend("203.0.113.10", 1, is_anonymous=True)

    assert (other.remaining, same_name.remaining, other_address.remaining) == (599, 599, 59)
    assert (address.is_within, address.limit, address.remaining) == (False, 60, 0)


async def test_a_name_that_is_no_text_has_its_allowance_too(clock: Clock) -> None:
    told = [await spend(Rate(600, 60), 1, who) for who in ("", "\ud800", "é" * 10_000)]

    assert [each.remaining for each in told] == [599, 599, 599]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("not:an:address", "not:an:address"),
        ("localhost", "localhost"),
    ],
)
def test_an_address_counts_as_what_its_owner_was_given(host: str, address: str) -> None:
    forged = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-real-ip", b"198.51.100.1"), (b"forwarded", b"for=1.1.1.1")]

    assert address_of({"client": (host, 50_000), "headers": forged}) == address


@pytest.mark.parametrize("scope", [{}, {"client": None}])
def test_who_comes_by_a_unix_socket_has_one_address(scope: dict[str, Any]) -> None:
    assert address_of(scope) == ""


async def test_a_crowd_of_addresses_fills_no_memory_and_has_no_viewer_forgotten(clock: Clock) -> None:
    own = Rate(1, 1)
    await spend(own, 1)

    for number in range(MOST_KEPT + 1):
        await own.spend(f"address {number}", 1, is_anonymous=True)
    kept = len(cast(Any, own._addresses[1].storage).current)
    forgotten = await own.spend("address 0", 1, is_anonymous=True)
    remembered = await own.spend(f"address {MOST_KEPT}", 1, is_anonymous=True)

    assert kept == MOST_KEPT // 2 + 1
    assert (forgotten.is_within, remembered.is_within) == (True, False)
    assert not (await spend(own, 1)).is_within


async def test_a_worker_keeps_for_the_library_what_every_storage_of_it_does(clock: Clock) -> None:
    storage = _Own(60)
    counts = [await storage.incr(name, 60, 3) for name in ("ada", "ada", "grace")]

    clock.now += 15
    kept = [await storage.get(name) for name in ("ada", "grace", "nobody")]
    left = await storage.get_expiry("ada") - time.time()
    await storage.clear_sliding_window("ada", 60)
    cleared = [await storage.get(name) for name in ("ada", "grace")]
    await storage.reset()

    assert (counts, kept, cleared) == ([3, 6, 3], [6, 3, 0], [0, 3])
    assert 40 < left <= 45
    assert await storage.get("grace") == 0
    assert await storage.check()


async def test_two_workers_grant_together_exactly_the_limit(worker: Make) -> None:
    workers = [worker(), worker()]

    granted = await spend_at_once(workers, 100)

    assert granted == 100
    assert [(await spend(each, 1)).is_within for each in workers] == [False, False]


async def test_two_workers_without_a_store_grant_the_limit_each(clock: Clock) -> None:
    workers = [Rate(100, 100), Rate(100, 100)]

    assert await spend_at_once(workers, 150) == 200


async def test_the_store_tells_the_same_as_a_worker(worker: Make) -> None:
    shared = worker(600)

    told = [await spend(shared, points) for points in (590, 11, 10, 601)]

    assert [(each.is_within, each.remaining) for each in told] == [(True, 10), (False, 10), (True, 0), (False, 0)]
    assert [each.seconds for each in (told[0], told[3])] == [HOUR, HOUR]
    assert 0 < told[1].seconds < 2 * HOUR


async def test_a_limit_that_was_changed_begins_anew(worker: Make) -> None:
    await spend(worker(100), 50)

    told = await spend(worker(10), 1)

    assert (told.is_within, told.limit, told.remaining) == (True, 10, 9)


async def test_points_come_back_in_the_store_and_the_wait_that_is_told_is_long_enough(
    store: Store, worker: Make
) -> None:
    shared = worker(600)
    await spend(shared, 600)
    with store.client() as client:
        (key,) = client.scan_iter()

        client.pexpire(key, HOUR * 1000 // 2 - 1)  # as if a window, and half of the next, were over
        half = await spend(shared, 0)
        refused = await spend(shared, 400)
        (key,) = client.scan_iter("*}/-1")
        left = client.pttl(key)
        client.pexpire(key, left - (refused.seconds - 10) * 1000)
        too_early = await spend(shared, 400)
        client.pexpire(key, left - refused.seconds * 1000)
        granted = await spend(shared, 400)

    assert (half.is_within, half.remaining) == (True, 301)
    assert (refused.is_within, refused.remaining) == (False, 301)
    assert (too_early.is_within, granted.is_within) == (False, True)


async def test_the_store_learns_no_name_and_forgets_after_two_windows(store: Store, worker: Make) -> None:
    shared = worker(600)

    await spend(shared, 1, "ada@example.com")
    await shared.spend("203.0.113.9", 1, is_anonymous=True)

    with store.client() as client:
        kept = {key: client.pttl(key) for key in client.scan_iter()}
    pattern = "holdfast:rate:{(address|viewer)/[0-9a-f]{32}/600/3600/second}"
    keys = [re.fullmatch(pattern, key.decode()) for key in sorted(kept)]
    assert [key and key[1] for key in keys] == ["address", "viewer"]
    assert all(2 * HOUR * 1000 - 60_000 < left <= 2 * HOUR * 1000 for left in kept.values())


async def test_a_store_that_dies_is_no_error_and_one_line_in_the_log(
    store: Store, worker: Make, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    shared = worker()
    await spend(shared, 40)

    store.kill()
    granted = await spend_at_once([shared], 150)
    clock.now += RETRY
    refused = await spend(shared, 1)

    assert granted == 100  # from the worker's own count, which knew of nothing
    assert not refused.is_within
    assert told_by(caplog) == ["The rate store is out of reach, so each worker counts for itself."]
    clock.now += SILENCE
    await spend(shared, 1)
    assert len(told_by(caplog)) == 2


async def test_a_store_that_is_back_is_shared_again(store: Store, worker: Make, clock: Clock) -> None:
    workers = [worker(), worker()]
    await spend_at_once(workers, 10)
    store.kill()
    lost = [(await spend(each, 1)).remaining for each in workers]
    store.start()

    clock.now += RETRY - 0.001
    alone = [(await spend(each, 1)).remaining for each in workers]
    clock.now += 0.001
    shared = [(await spend(each, 1)).remaining for each in workers]

    assert (lost, alone, shared) == ([99, 99], [98, 98], [99, 98])
    assert await spend_at_once(workers, 100) == 98


async def test_one_request_alone_finds_out_whether_the_store_is_back(store: Store, worker: Make, clock: Clock) -> None:
    shared = worker()
    store.kill()
    await spend(shared, 1)
    store.start()

    clock.now += RETRY
    told = await asyncio.gather(*(spend(shared, 1) for _ in range(10)))

    assert sorted(each.remaining for each in told) == [90, 91, 92, 93, 94, 95, 96, 97, 98, 99]
    assert (await spend(shared, 1)).remaining == 98


async def test_a_store_that_hangs_holds_nobody_up(
    store: Store, worker: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "PATIENCE", 0.1)
    shared = worker()
    store.process.send_signal(signal.SIGSTOP)

    began = time.perf_counter()
    granted = [await spend_at_once([shared], 50) for _ in range(4)]
    took = time.perf_counter() - began

    assert granted == [50, 50, 0, 0]
    assert took < 2  # 200 waits of a tenth of a second would take twenty


@pytest.mark.parametrize("more", [(), ("--requirepass", "another"), ("--maxmemory", "1")])
async def test_a_store_that_refuses_is_out_of_reach_and_no_password_is_told(
    store: Store, worker: Make, more: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    store.kill()
    if more:
        store.start(*more)
    secret = f":{PASSWORD}@" if "another" in more or not more else ""
    caplog.set_level(logging.DEBUG)

    told = await spend(worker(address=f"redis://{secret}127.0.0.1:{store.port}"), 1)

    assert (told.is_within, told.remaining) == (True, 99)
    (line,) = [json.loads(Line().format(record)) for record in caplog.records if record.name == "holdfast.rate"]
    assert line.keys() == {"event", "level", "logger", "timestamp", "problem"}
    expected = {(): "ConnectionError", "another": "AuthenticationError", "1": "OutOfMemoryError"}
    assert line["problem"] == expected[more[-1] if more else ()]
    assert not [record for record in caplog.records if PASSWORD in Line().format(record)]
