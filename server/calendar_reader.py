"""Reading a foreign calendar in a process of its own, which may take so much time and memory, and no more.

What is read may be made to hurt: a rule that never comes true is looked for through all years. And what one calendar says
about time zones is remembered by the library, and must not be by whoever reads the next.
"""

import asyncio
import multiprocessing
import resource
import time
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection
from zoneinfo import ZoneInfo

import orjson

from models.foreign_calendar import busy_times
from models.foreign_event import Reading, Span, UnreadableError

SECONDS, MEMORY = 10, 1024**3
TOO_MUCH = "The calendar takes too long to be read."
# A process that has loaded all that is needed, and forks: a new one would take a second to begin.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["models.foreign_calendar"])


async def read(content: bytes, today: date, zone: str) -> tuple[list[Span], float]:
    """Read when somebody is busy, and tell how many seconds of a processor that took; raises `UnreadableError`."""
    told, seconds = orjson.loads(await asyncio.to_thread(_asked, content, today, zone))
    if isinstance(told, str):
        raise _unreadable(told, seconds)
    return [(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)) for start, end in told], seconds


def _unreadable(problem: str, seconds: float) -> UnreadableError:
    error = UnreadableError(problem)
    error.seconds = seconds
    return error


def _asked(content: bytes, today: date, zone: str) -> bytes:
    """Have a process read it, and wait for its answer."""
    ours, theirs = _processes.Pipe()
    child = _processes.Process(target=_answer, args=(theirs, today, zone, SECONDS), daemon=True)
    child.start()
    theirs.close()
    try:
        ours.send_bytes(content)
        if not ours.poll(3 * SECONDS):
            raise _unreadable(TOO_MUCH, SECONDS)
        return ours.recv_bytes()
    except (EOFError, OSError):  # it took too much, and was ended
        raise _unreadable(TOO_MUCH, SECONDS) from None
    finally:
        child.kill()
        child.join()
        ours.close()


def _answer(pipe: Connection, today: date, zone: str, seconds: int) -> None:
    """Read a calendar, and tell its busy times, or why there are none, and how long that took."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    told: str | list[tuple[int, int]]
    try:
        spans = busy_times(pipe.recv_bytes(), Reading.on(today, ZoneInfo(zone)))
        told = [(int(start.timestamp()), int(end.timestamp())) for start, end in spans]
    except UnreadableError as problem:
        told = str(problem)
    pipe.send_bytes(orjson.dumps((told, time.process_time())))
