"""A load generator in a process of its own: keep-alive connections that each send the next request when one is answered.

It shares the cores with what it measures, so it does as little as it can: requests are bytes before the clock starts,
and of an answer it looks for what must be there and what must not. Every 200th is read whole.
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import orjson

from bench.balance import connections

ROOT = Path(__file__).parent.parent
LARGEST_ANSWER = 1 << 20
ERRORS = b'"errors":['
EDGE = 400  # errors stand first or last; to look for them in all of an answer would cost as much as to receive it
READ_WHOLE = 200
PATIENCE = 20


@dataclass
class Figures:
    """What a run measured: of the clock, and microseconds of CPU for each request."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    server_us: float = 0.0
    postgres_us: float = 0.0
    generator_us: float = 0.0

    @classmethod
    def of(cls, seconds: list[float], took: float) -> "Figures":
        in_order = sorted(seconds)
        middle, high = in_order[len(in_order) // 2], in_order[int(len(in_order) * 0.99)]
        return cls(len(seconds), round(len(seconds) / took, 1), round(middle * 1000, 3), round(high * 1000, 3))


@dataclass(frozen=True)
class Work:
    """What is done. `needs` is a text that every good answer contains, best near its beginning."""

    seconds: float
    needs: str
    again: bool
    """Whether the requests may be sent more than once."""
    token: str = ""
    """What they are authorized by."""


@dataclass(frozen=True)
class Job:
    """The work, and who it is for. No process of the server gets more than its share of the connections."""

    work: Work
    port: int
    connections: int
    share: int
    processes: list[int]


@dataclass(frozen=True)
class Request:
    """What is sent: JSON by POST, or nothing by GET."""

    path: str
    body: bytes = b""

    def line(self) -> bytes:
        return self.path.encode() + b"\t" + self.body + b"\n"


def post(body: object, path: str = "/graphql") -> Request:
    return Request(path, orjson.dumps(body))


def measure(job: Job, requests: Iterable[Request]) -> Figures:
    """Load a server from a process that is pinned like the one that asks."""
    lines = b"".join([request.line() for request in requests])
    command = [sys.executable, "-m", "bench.load"]
    told = json.dumps(asdict(job)).encode() + b"\n" + lines
    done = subprocess.run(
        command, cwd=ROOT, input=told, capture_output=True, timeout=job.work.seconds + 60, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:1000])
    return Figures(**json.loads(done.stdout))


def http(line: bytes, token: str) -> bytes:
    """The bytes of a request."""
    path, _, body = line.partition(b"\t")
    named = b"host: localhost\r\n" + (b"authorization: Bearer %b\r\n" % token.encode() if token else b"")
    if not body:
        return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, named)
    head = b"POST %b HTTP/1.1\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (path, named, len(body)) + body


def load(job: Job, requests: list[bytes]) -> Figures:
    """Measure each request from its first byte out to its last byte in."""
    running = _Load(job, cycle(requests) if job.work.again else iter(requests))
    clock = time.perf_counter
    used, began = time.process_time(), clock()
    seconds = running.run(began + job.work.seconds)
    took, used = clock() - began, time.process_time() - used
    figures = Figures.of(seconds, took)
    figures.generator_us = round(used / len(seconds) * 1e6, 2)
    return figures


class _Load:
    """The connections of one run, and what is under way on each: by its file number, for speed."""

    def __init__(self, job: Job, requests: Iterator[bytes]) -> None:
        self.job, self.needs, self.requests = job, job.work.needs.encode(), requests
        self.until = 0.0
        self.buffer = bytearray(LARGEST_ANSWER)
        self.sockets: dict[int, socket.socket] = {}
        self.began: dict[int, float] = {}
        self.parts: dict[int, bytes] = {}
        self.seconds: list[float] = []
        self.poll = select.epoll()
        for each in connections(job.port, job.connections, job.share, job.processes):
            each.setblocking(False)
            self.sockets[each.fileno()] = each
            self.poll.register(each, select.EPOLLIN)

    def run(self, until: float) -> list[float]:
        """Send and receive until the time is over and every answer is in."""
        self.until = until
        for number in list(self.sockets):
            self._next(number)
        while self.sockets:
            ready = self.poll.poll(PATIENCE)
            if not ready:
                raise TimeoutError(f"The server left {len(self.sockets)} requests without an answer.")
            for number, _ in ready:
                self._receive(number)
        self.poll.close()
        return self.seconds

    def _next(self, number: int) -> None:
        now = time.perf_counter()
        request = next(self.requests, None) if now < self.until else None
        if request is None:
            self.poll.unregister(number)
            self.sockets.pop(number).close()
            return
        self.began[number] = now
        if self.sockets[number].send(request) < len(request):
            raise BufferError("A request is larger than what the kernel takes at once.")

    def _receive(self, number: int) -> None:
        buffer, size = self.buffer, 0
        if number in self.parts:
            earlier = self.parts.pop(number)
            size = len(earlier)
            buffer[:size] = earlier
        received = self.sockets[number].recv_into(memoryview(buffer)[size:] if size else buffer)
        if not received:
            raise ConnectionError(f"The server hung up after {len(self.seconds)} answers.")
        size += received
        head = buffer.find(b"\r\n\r\n", 0, size)
        if head < 0 or size < head + 4 + _length(buffer, head):
            self.parts[number] = bytes(buffer[:size])
            return
        self.seconds.append(time.perf_counter() - self.began[number])
        self._check(head + 4, size)
        self._next(number)

    def _check(self, start: int, end: int) -> None:
        """An answer that is not what was asked for would be measured for nothing."""
        body = self.buffer
        good = (
            body.find(self.needs, start, end) >= 0
            and body.find(ERRORS, start, start + EDGE) < 0
            and body.find(ERRORS, max(start, end - EDGE), end) < 0
        )
        if good and not len(self.seconds) % READ_WHOLE:
            good = _is_whole(bytes(body[start:end]))
        if not good:
            raise ValueError(f"A bad answer: {bytes(body[:start])!r} {bytes(body[start : min(end, start + 600)])!r}")


def _is_whole(body: bytes) -> bool:
    with contextlib.suppress(ValueError):
        return "errors" not in orjson.loads(body)
    return False


def _length(buffer: bytearray, head: int) -> int:
    found = buffer.find(b"content-length: ", 0, head)
    if found < 0:
        found = buffer.lower().find(b"content-length: ", 0, head)
    if found < 0:
        raise ValueError(f"An answer whose length is not told: {bytes(buffer[:head])!r}")
    return int(buffer[found + 16 : buffer.find(b"\r", found, head + 1)])


def main() -> None:
    job: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    job["work"] = work = Work(**job["work"])
    requests = [http(line, work.token) for line in sys.stdin.buffer.read().splitlines()]
    print(json.dumps(asdict(load(Job(**job), requests))))


if __name__ == "__main__":
    main()
