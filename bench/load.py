"""A load generator: keep-alive connections that each send the next request when the last is answered."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson


@dataclass
class Figures:
    """What a run measured."""

    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0
    postgres_us: float = 0.0

    @classmethod
    def of(cls, seconds: list[float], took: float) -> "Figures":
        in_order = sorted(seconds)
        middle, high = in_order[len(in_order) // 2], in_order[int(len(in_order) * 0.99)]
        return cls(round(len(seconds) / took, 1), round(middle * 1000, 3), round(high * 1000, 3))


def post(path: str, body: object) -> bytes:
    """The bytes of a JSON request."""
    content = orjson.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def get(path: str) -> bytes:
    """The bytes of a request without a body."""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, requests: Iterator[bytes], check: Callable[[bytes], None], until: float) -> None:
        self.requests, self.check, self.until = requests, check, until
        self.done = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self.requests, None)
        if request is None or time.perf_counter() > self.until:
            self.done.set_result(None)
            self.transport.close()
            return
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self.seconds.append(time.perf_counter() - self.began)
        self.check(body)
        self.buffer = b""
        self._next()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("The server hung up."))


def measure(
    port: int, requests: Iterator[bytes], *, check: Callable[[bytes], None], connections: int = 16, seconds: float = 6
) -> Figures:
    """Load a server, and measure each request from its first byte out to its last byte in."""

    async def run() -> Figures:
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        opened = [
            (await loop.create_connection(lambda: Connection(requests, check, began + seconds), "127.0.0.1", port))[1]
            for _ in range(connections)
        ]
        async with asyncio.timeout(seconds + 20):
            await asyncio.gather(*(connection.done for connection in opened))
        took = time.perf_counter() - began
        return Figures.of([each for connection in opened for each in connection.seconds], took)

    return asyncio.run(run())
