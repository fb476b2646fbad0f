"""The background worker: a process that does what nobody asks for, loop by loop, until it is told to stop."""

import argparse
import asyncio
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from random import SystemRandom

from sqlalchemy import text

from models.refusal import Refusal, Unavailable
from resolvers.database import Database, DatabaseFaultError
from server.channels.nats import NatsError
from server.database import connected
from server.metrics import Worked
from server.migration import newest
from server.workers import (
    calendars,
    exposures,
    holds,
    nats,
    notifications,
    proposals,
    publication,
    relay,
    reminders,
    waitlist,
    webhooks,
)

log = logging.getLogger("holdfast.worker")
Done = dict[str, int]
Way = Callable[[], AbstractAsyncContextManager[Database]]

LOOPS: dict[str, Callable[[Database, asyncio.Event], Awaitable[Done]]] = {
    "publication": publication.run_once,
    "exposures": exposures.run_once,
    "old_webhooks": webhooks.prune,
    "lapsed": holds.run_all,
    "holds": holds.run_once,
    "reminders": reminders.run_once,
    "relay": relay.run_once,
    "for_webhooks": relay.to_webhooks,
    "for_recipients": relay.to_recipients,
    "passed_over": relay.make_good,
    "webhook_backlogs": webhooks.tidy,
    "webhooks": webhooks.run_once,
    "notifications": notifications.run_once,
    "nats": nats.run_once,
    "calendars": calendars.run_once,
    "waitlist": waitlist.run_once,
    "proposals": proposals.run_once,
}
# How many seconds lie between two passes: a change of very many providers waits for the next one.
EVERY = {
    "publication": 60.0,
    "exposures": 3600.0,
    "old_webhooks": 3600.0,
    "lapsed": 3600.0,
    "holds": 1.0,
    "reminders": 60.0,
    "relay": 0.2,
    "for_webhooks": 0.2,
    "for_recipients": 0.2,
    "passed_over": 60.0,
    "webhook_backlogs": 60.0,
    "webhooks": 0.5,
    "notifications": 2.0,
    "nats": 0.5,
    "calendars": 30.0,
    "waitlist": 30.0,
    "proposals": 30.0,
}
OFTEN = 10.0  # what is done as often as this keeps its connections, and is not told of in the log
FEW = 3  # connections for all that is done often: nobody holds one while talking to the outside
SECONDS_CURRENT = 60.0  # after which the migrations are looked at again
LONGEST_WAIT = 300.0  # between two tries of what fails; of what is done often:
LONGEST_WAIT_OFTEN = 5.0
LONGEST_LIFE, LONGEST_PAUSE = 30.0, 60.0  # of a child that does not live: how long, and before the next one
SECONDS_TO_FINISH = 8  # the batch in hand; what takes longer is taken back
OUTDATED = "The migrations of the database are not current: run `python -m server migrate` before the worker."


class WorkerError(Exception):
    """One sentence for why the worker does not work."""


EXPECTED = (Refusal, WorkerError, NatsError)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command is given."""
    parser.add_argument("--once", action="store_true", help="do all of it one time, and print how much it was")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)  # of a server, and counted with it


@contextmanager
def kept() -> Iterator[None]:
    """Keep a worker beside a server, from whose environment it learns of the database; a killed one comes back."""
    keeper = _Keeper()
    keeper.thread.start()
    try:
        yield
    finally:
        keeper.stop()


class _Keeper:
    """The thread that starts a worker as a child, again and again."""

    def __init__(self) -> None:
        self.guard, self.stopping = threading.Lock(), threading.Event()
        self.child: subprocess.Popen[bytes] | None = None
        self.thread = threading.Thread(target=self._keep, name="worker", daemon=True)

    def stop(self) -> None:
        for order, patience in ((signal.SIGTERM, SECONDS_TO_FINISH + 2), (signal.SIGKILL, 5)):
            with self.guard:
                self.stopping.set()
                if self.child:
                    self.child.send_signal(order)
            self.thread.join(patience)

    def _keep(self) -> None:
        failures = 0
        while (child := self._spawn()) is not None:
            began = time.monotonic()
            with child:
                code = child.wait()
            failures = failures + 1 if time.monotonic() < began + LONGEST_LIFE else 1
            if not self.stopping.is_set():
                log.warning("the background worker ended and is started again", extra={"code": code})
                self.stopping.wait(min(0.1 * 2**failures, LONGEST_PAUSE))

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self.guard:
            if self.stopping.is_set():
                return None
            # It ends when its input does, and so with us, however we end. A Ctrl-C in the terminal is ours to order.
            command = [sys.executable, "-m", "server", "worker", "--child"]
            self.child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            return self.child


async def work(url: str, counted: Worked, *, is_child: bool) -> None:
    """Run every loop, again and again, until SIGTERM or Ctrl-C; a child ends when whoever started it is gone, too."""
    logging.getLogger("holdfast.database").setLevel(logging.ERROR)  # what it warns of, we tell once
    stopping = _stopping(is_child=is_child)
    with suppress(Unavailable):  # as any loop will find out, and try again
        async with _current(url):
            pass
    kept = _Kept(url)
    ways: dict[bool, Way] = {False: lambda: _current(url), True: kept.current}
    loops = [
        asyncio.create_task(_again_and_again(ways[EVERY[name] <= OFTEN], name, stopping, counted)) for name in LOOPS
    ]
    await stopping.wait()
    _, late = await asyncio.wait(loops, timeout=SECONDS_TO_FINISH)
    for each in late:
        each.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    await kept.close()


async def once(url: str, counted: Worked) -> str:
    """Run every loop one time; tells how many of what. What the relay finds was written by those before it."""
    stopping, told, failed = _stopping(is_child=False), [], 0
    for name in LOOPS:
        try:
            done = await _pass(lambda: _current(url), name, stopping, counted)
        except (Refusal, DatabaseFaultError, NatsError) as problem:
            raise WorkerError(f"{name}: {problem}") from None
        told.append(f"{name}: {', '.join(f'{count} {what}' for what, count in done.items())}")
        failed += done.get("failed", 0)
    if failed:
        raise WorkerError("\n".join(told))
    return "\n".join(told)


def _stopping(*, is_child: bool) -> asyncio.Event:
    """Hear when it is time to stop: what is in hand is finished first."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, stopping.set)

    def end() -> None:
        loop.remove_reader(sys.stdin)
        stopping.set()

    if is_child:
        loop.add_reader(sys.stdin, end)  # nothing is ever written there: it ends with whoever could
    return stopping


async def _again_and_again(way: Way, name: str, stopping: asyncio.Event, counted: Worked) -> None:
    """Run a loop every so often; what fails is told once, and tried again ever more seldom."""
    failures = 0
    while not stopping.is_set():
        try:
            done = await _pass(way, name, stopping, counted)
        except Exception as problem:  # noqa: BLE001 -- whatever it is, the next pass may do better
            done = {"failed": 1}
            if not failures:
                _tell(name, problem)
        failures = failures + 1 if done.get("failed") else 0
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _pause(failures, EVERY[name]))


def _tell(name: str, problem: Exception) -> None:
    """Log a failure in one line; a fault of ours with its place in the code."""
    is_expected = isinstance(problem, EXPECTED)
    told = {"loop": name, "problem": str(problem) if is_expected else type(problem).__name__}
    log.error("a pass failed and is tried again", extra=told, exc_info=None if is_expected else problem)


def _pause(failures: int, every: float) -> float:
    """How many seconds to sleep: until the next full minute or hour, or after failures so much longer each time."""
    scattered = SystemRandom().random()
    is_often = every <= OFTEN
    if failures:
        return min(2.0**failures, LONGEST_WAIT_OFTEN if is_often else LONGEST_WAIT) * (0.5 + scattered / 2)
    if is_often:
        return every * (0.75 + scattered / 2)
    return every - time.time() % every + scattered * min(every / 2, 30.0)  # many workers do not all begin at once


async def _pass(way: Way, name: str, stopping: asyncio.Event, counted: Worked) -> Done:
    """Run a loop one time; what is done often is no news."""
    began = time.perf_counter()
    async with way() as database:
        done = await LOOPS[name](database, stopping)
    counted.count(done)
    if any(done.values()):
        level = logging.DEBUG if EVERY[name] <= OFTEN else logging.INFO
        log.log(level, "worked", extra={"loop": name, **done, "ms": round((time.perf_counter() - began) * 1000, 2)})
    return done


class _Kept:
    """The connections of all that is done often: they are kept until a pass fails."""

    def __init__(self, url: str) -> None:
        self.database = connected(url, pool_size=FEW, lanes=1)
        self.current_until = 0.0

    @asynccontextmanager
    async def current(self) -> AsyncIterator[Database]:
        """Lend them out, and look now and then whether the migrations are as new as this code."""
        try:
            if time.monotonic() > self.current_until:
                await _check(self.database)
                self.current_until = time.monotonic() + SECONDS_CURRENT
            yield self.database
        except Exception:
            self.current_until = 0.0
            raise

    async def close(self) -> None:
        await self.database.close()


@asynccontextmanager
async def _current(url: str) -> AsyncIterator[Database]:
    """Connect to a database whose migrations are as new as this code, for one pass: nobody holds it while it sleeps."""
    database = connected(url, pool_size=1, lanes=1)
    try:
        await _check(database)
        yield database
    finally:
        await database.close()


async def _check(database: Database) -> None:
    try:
        row = await database.row(text("SELECT version_num FROM alembic_version"))
    except DatabaseFaultError:  # an empty one
        row = None
    if row is None or row.version_num != newest():
        raise WorkerError(OUTDATED)
