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
from contextlib import asynccontextmanager, contextmanager, suppress
from random import SystemRandom

from sqlalchemy import text

from models.refusal import Refusal, Unavailable
from resolvers.database import Database, DatabaseFaultError
from server.database import connected
from server.metrics import Worked
from server.migration import newest
from server.workers import exposures, publication

log = logging.getLogger("holdfast.worker")
Done = dict[str, int]

LOOPS: dict[str, Callable[[Database, asyncio.Event], Awaitable[Done]]] = {
    "publication": publication.run_once,
    "exposures": exposures.run_once,
}
# How many seconds lie between two passes: a change of very many providers waits for the next one.
EVERY = {"publication": 60.0, "exposures": 3600.0}
LONGEST_WAIT = 300.0  # between two tries of what fails
LONGEST_LIFE, LONGEST_PAUSE = 30.0, 60.0  # of a child that does not live: how long, and before the next one
SECONDS_TO_FINISH = 8  # the batch in hand; what takes longer is taken back
OUTDATED = "The migrations of the database are not current: run `python -m server migrate` before the worker."


class WorkerError(Exception):
    """One sentence for why the worker does not work."""


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
    loops = [asyncio.create_task(_again_and_again(url, name, stopping, counted)) for name in LOOPS]
    await stopping.wait()
    _, late = await asyncio.wait(loops, timeout=SECONDS_TO_FINISH)
    for each in late:
        each.cancel()
    await asyncio.gather(*loops, return_exceptions=True)


async def once(url: str, counted: Worked) -> str:
    """Run every loop one time; tells how many of what."""
    stopping, told, failed = _stopping(is_child=False), [], 0
    for name in LOOPS:
        try:
            done = await _pass(url, name, stopping, counted)
        except (Refusal, DatabaseFaultError) as problem:
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


async def _again_and_again(url: str, name: str, stopping: asyncio.Event, counted: Worked) -> None:
    """Run a loop every so often; what fails is told once, and tried again ever more seldom."""
    failures = 0
    while not stopping.is_set():
        try:
            done = await _pass(url, name, stopping, counted)
        except Exception as problem:  # noqa: BLE001 -- whatever it is, the next pass may do better
            done = {"failed": 1}
            if not failures:
                _tell(name, problem)
        failures = failures + 1 if done.get("failed") else 0
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _pause(failures, EVERY[name]))


def _tell(name: str, problem: Exception) -> None:
    """Log a failure in one line; a fault of ours with its place in the code."""
    is_expected = isinstance(problem, (Refusal, WorkerError))
    told = {"loop": name, "problem": str(problem) if is_expected else type(problem).__name__}
    log.error("a pass failed and is tried again", extra=told, exc_info=None if is_expected else problem)


def _pause(failures: int, every: float) -> float:
    """How many seconds to sleep: until the next full minute or hour, or after failures so much longer each time."""
    scattered = SystemRandom().random()
    if failures:
        return min(2.0**failures, LONGEST_WAIT) * (0.5 + scattered / 2)
    return every - time.time() % every + scattered * min(every / 2, 30.0)  # many workers do not all begin at once


async def _pass(url: str, name: str, stopping: asyncio.Event, counted: Worked) -> Done:
    """Run a loop one time, on connections of its own, which nobody holds while it sleeps."""
    began = time.perf_counter()
    async with _current(url) as database:
        done = await LOOPS[name](database, stopping)
    counted.count(done)
    if any(done.values()):
        log.info("worked", extra={"loop": name, **done, "ms": round((time.perf_counter() - began) * 1000, 2)})
    return done


@asynccontextmanager
async def _current(url: str) -> AsyncIterator[Database]:
    """Connect to a database whose migrations are as new as this code."""
    database = connected(url, pool_size=1, lanes=1)
    try:
        try:
            row = await database.row(text("SELECT version_num FROM alembic_version"))
        except DatabaseFaultError:  # an empty one
            row = None
        if row is None or row.version_num != newest():
            raise WorkerError(OUTDATED)
        yield database
    finally:
        await database.close()
