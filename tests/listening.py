"""Listening: clients of graphql-transport-ws and of server-sent events for tests, and a relay that never rests."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Api

PROTOCOL = "graphql-transport-ws"
WITHIN = 30.0  # seconds: many tests share a machine
AVAILABILITY = """subscription ($filter: AvailabilityFilter) { availabilityChanged(filter: $filter) {
  reason available startsAt endsAt occurredAt provider { id } appointment { id } } }"""
RESERVATION = "subscription ($id: ID!) { reservationChanged(id: $id) { id status version startsAt } }"


@contextmanager
def relaying(database: str) -> Iterator[None]:
    """Relay what is committed and sweep what lapses, as a worker does, again and again; across restarts of the database."""
    stopping = threading.Event()

    def relay() -> None:
        while not stopping.is_set():
            with suppress(psycopg.Error), psycopg.connect(database, autocommit=True) as connection:
                while not stopping.wait(0.02):
                    connection.execute("SELECT sweep_lapsed_holds(100, '1 day'), relay_events(100)")
            stopping.wait(0.1)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@dataclass
class Socket:
    """One connection, as a client that does what the protocol says."""

    connection: ClientConnection
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, kind: str, **more: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **more}))

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(WITHIN):
            text = await self.connection.recv()
        assert isinstance(text, str)
        message: dict[str, Any] = json.loads(text)
        return message

    async def begin(self, **payload: Any) -> None:
        await self.say("connection_init", payload=payload)
        assert await self.hear() == {"type": "connection_ack"}

    async def ask(self, query: str, name: str = "1", /, **variables: Any) -> None:
        await self.say("subscribe", id=name, payload={"query": query, "variables": variables})

    async def listen(self, query: str, name: str = "1", /, **variables: Any) -> None:
        """Subscribe, and wait until that is done, of which the protocol says nothing: longer, where answers are slow."""
        began = time.monotonic()
        await self.ask(query, name, **variables)
        await self.ask("{ serverTime }", "a query")
        assert (await self.hear())["type"] == "next"
        assert (await self.hear())["type"] == "complete"
        await asyncio.sleep(max(0.2, 3 * (time.monotonic() - began)))

    async def news(self, name: str = "1") -> Any:
        """The data of the next thing that is heard of."""
        message = await self.hear()
        assert (message["type"], message["id"]) == ("next", name), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    async def silence(self, seconds: float = 0.5) -> None:
        """Nothing is heard."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                raise AssertionError(await self.connection.recv())

    async def closed(self) -> tuple[int, str]:
        """The code and the reason with which the server closes the connection, whatever it says before."""
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code or 0, self.connection.close_reason or ""


@asynccontextmanager
async def dialled(url: str, **options: Any) -> AsyncIterator[Socket]:
    """A connection to a server that has not been told anything yet."""
    options = {"subprotocols": [PROTOCOL], "proxy": None, **options}
    async with connect(f"{url.replace('http', 'ws', 1)}/graphql", **options) as connection:
        yield Socket(connection)


@asynccontextmanager
async def socket(url: str, **payload: Any) -> AsyncIterator[Socket]:
    """A connection that has begun."""
    async with dialled(url) as one:
        await one.begin(**payload)
        yield one


async def subscribed(app: Any) -> None:
    """Wait until all that somebody of this process has subscribed to is under way."""
    async with asyncio.timeout(WITHIN):
        while not app.state.feeds.open or not all(feed.running for feed in app.state.feeds.open.values()):  # noqa: ASYNC110 -- the other side is the server itself
            await asyncio.sleep(0.01)


class Line:
    """A connection in this process, to a client who reads only when a test says so."""

    def __init__(self, api: Api, headers: dict[str, str] | None = None) -> None:
        app = api.http._transport.app  # type: ignore[attr-defined]
        told = [(name.encode(), value.encode()) for name, value in {"host": "localhost", **(headers or {})}.items()]
        self.sent: list[dict[str, Any]] = []
        self.heard = 1  # that the connection was accepted
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reads, self.aborted = asyncio.Event(), False
        self.reads.set()
        scope = {
            "type": "websocket",
            "path": "/graphql",
            "headers": told,
            "subprotocols": [PROTOCOL],
            "client": ("127.0.0.1", 1),
            "query_string": b"",
            "root_path": "",
            "state": {"abort": self._abort},
            "extensions": {"websocket.http.response": {}},
        }
        self.queue.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(scope, self.queue.get, self._send))

    def _abort(self) -> None:
        self.aborted = True

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.sent.append(message)

    def say(self, kind: str, **more: Any) -> None:
        self.queue.put_nowait({"type": "websocket.receive", "text": json.dumps({"type": kind, **more})})

    async def begin(self) -> None:
        self.say("connection_init")
        assert await self.hear() == {"type": "connection_ack"}

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(WITHIN):
            while len(self.sent) <= self.heard:  # noqa: ASYNC110 -- the other side is the server itself
                await asyncio.sleep(0.01)
        self.heard += 1
        message: dict[str, Any] = json.loads(self.sent[self.heard - 1]["text"])
        return message

    async def closed(self) -> tuple[int, str]:
        async with asyncio.timeout(WITHIN):
            await self.task
        last = self.sent[-1]
        return last.get("code", 0), last.get("reason", "")
