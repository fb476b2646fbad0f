"""A receiver of webhooks: a real HTTP server on loopback, which answers as a test wants and keeps what it was sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from resolvers.database import Database
from server.settings import current
from server.workers import relay
from tests.conftest import Api, serving

LOOPBACK = "127.0.0.0/8"
Answer = int | tuple[int, Mapping[str, str]]


@dataclass
class Message:
    """What was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """What has arrived; `answer` says what each message is answered, with 200 unless told."""

    port: int = 0
    messages: list[Message] = field(default_factory=list)
    answer: Callable[[Message], Answer | Awaitable[Answer]] = lambda _: 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            named = dict(line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in named.items()}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            message = Message(head[0].split()[1], headers, body)
            self.messages.append(message)
            answer = self.answer(message)
            answer = answer if isinstance(answer, (int, tuple)) else await answer
            status, more = answer if isinstance(answer, tuple) else (answer, {})
            told = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 2\r\n{told}\r\nok".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def relayed(database: Database) -> None:
    """Relay what is committed, and hand it to those who send it on, as a worker does."""
    stopping = asyncio.Event()
    for step in (relay.run_once, relay.to_webhooks, relay.to_recipients):
        await step(database, stopping)


@asynccontextmanager
async def receiving(answer: Callable[[Message], Answer | Awaitable[Answer]] | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    if answer is not None:
        receiver.answer = answer
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@pytest.fixture(autouse=True)
def reachable() -> Iterator[None]:
    """The worker reaches receivers on loopback, and so may the API name them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLOWED_NETWORKS", LOOPBACK)
        current.cache_clear()
        yield
    current.cache_clear()


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, ALLOWED_NETWORKS=LOOPBACK) as client:
        yield client


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made
