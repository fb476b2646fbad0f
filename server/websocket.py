"""WebSockets: many operations on one connection, after the protocol graphql-transport-ws."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.types import Receive, Scope, Send

from models.viewer import Role, Viewer
from resolvers.database import DatabaseFaultError
from schema.execution import MASKED
from server import logs
from server.answer import JSON, answered, name_of
from server.feeds import Errors, Feed, Feeds
from server.gate import Admitted, Gate
from server.rate import address_of
from server.request import Asked, BadRequestError, parsed, question, refusal
from server.seats import Seat

log = logging.getLogger("holdfast.websocket")
PROTOCOL = "graphql-transport-ws"
SECONDS_TO_BEGIN = 10.0  # from the upgrade to connection_init
RECHECK = 60.0  # seconds, after which a token is looked at again
MOST_OPERATIONS = 20  # under way on one connection
MOST_UNSENT, MOST_BYTES = 200, 2_000_000  # of messages that a client has not read yet
SECONDS_OF_REST, SECONDS_OF_REST_NAMELESS = 600.0, 60.0  # without any operation under way
COST_OF_A_CONNECTION = 10
SECONDS_TO_CLOSE = 5.0  # for a client who reads too slowly
LONGEST_ID = 100
TOLD = ("authorization", "x-business", "x-time-zone")  # what connection_init may tell instead of a header
INVALID, UNAUTHORIZED, FORBIDDEN, UNKNOWN_PROTOCOL, LATE = 4400, 4401, 4403, 4406, 4408
TAKEN, SLOW, BEGUN_TWICE, TRY_AGAIN = 4409, 4413, 4429, 1013


class ClosedError(Exception):
    """Why a connection is closed: a code of the protocol, and a sentence of at most 123 bytes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(eq=False)
class Operation:
    """One operation that a client has begun, and is told of under the id that it chose."""

    id: str
    socket: "Socket"
    feed: Feed | None = None
    is_over: bool = False

    def deliver(self, text: str) -> None:
        self.socket.tell(self, f'{{"id":{_quoted(self.id)},"type":"next","payload":{text}}}')

    def finish(self, errors: Errors) -> None:
        self._end("error", f',"payload":{orjson.dumps(errors).decode()}')

    def complete(self) -> None:
        self._end("complete")

    def _end(self, kind: str, more: str = "") -> None:
        self.socket.tell(self, f'{{"id":{_quoted(self.id)},"type":"{kind}"{more}}}')
        if self.socket.operations.get(self.id) is self:
            del self.socket.operations[self.id]
            self.socket.rest()

    def leave(self) -> None:
        """Tell no more of it. What is being answered, a mutation perhaps, is not broken off."""
        self.is_over = True
        if self.feed is not None:
            self.feed.leave(self)


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


class Socket:
    """One connection."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, seat: Seat) -> None:
        self.scope, self.receive, self.send, self.seat = scope, receive, send, seat
        self.gate: Gate = scope["app"].state.gate
        self.feeds: Feeds = scope["app"].state.feeds
        self.operations: dict[str, Operation] = {}
        self.answering: dict[Operation, asyncio.Task[None]] = {}
        self.unsent: deque[tuple[Operation | None, str]] = deque()
        self.bytes = 0
        self.sending: asyncio.Task[None] | None = None
        self.checking: asyncio.Task[None] | None = None
        self.resting: asyncio.TimerHandle | None = None
        self.closing: asyncio.Future[ClosedError] = asyncio.get_running_loop().create_future()
        self.viewer: Viewer | None = None
        self.headers = [pair for pair in scope["headers"] if pair[0] != b"idempotency-key"]  # it would be that of all

    async def serve(self) -> int:
        """Serve it until somebody closes it; tells the code."""
        timer = asyncio.get_running_loop().call_later(SECONDS_TO_BEGIN, self._late)
        reading = asyncio.create_task(self._read())
        try:
            ends: tuple[asyncio.Future[Any], ...] = reading, self.closing
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not self.closing.done() and (problem := reading.exception()):
                raise problem
            if not self.closing.done():
                return reading.result()
            closed = self.closing.result()
            await self._close(closed)
            return closed.code
        finally:
            timer.cancel()
            self._stop(reading)

    def close(self, code: int, reason: str) -> None:
        if not self.closing.done():
            self.closing.set_result(ClosedError(code, reason))

    def tell(self, operation: Operation | None, text: str) -> None:
        """Send a message as soon as the client reads; if too many wait for that, leave them."""
        size = len(text.encode())
        if self.unsent and (len(self.unsent) >= MOST_UNSENT or self.bytes + size > MOST_BYTES):
            self.close(SLOW, "You read too slowly; connect again, and read what you have missed.")
            return
        self.unsent.append((operation, text))
        self.bytes += size
        if self.sending is None or self.sending.done():
            self.sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        with suppress(OSError):  # uvicorn's way to say that the client is gone
            while self.unsent:
                operation, text = self.unsent.popleft()
                self.bytes -= len(text.encode())
                if operation is None or not operation.is_over:
                    await self.send({"type": "websocket.send", "text": text})

    async def _close(self, closed: ClosedError) -> None:
        self.unsent.clear()
        if closed.code != SLOW and self.sending is not None:
            await asyncio.wait([self.sending], timeout=SECONDS_TO_CLOSE)
        try:
            async with asyncio.timeout(SECONDS_TO_CLOSE):
                await self.send({"type": "websocket.close", "code": closed.code, "reason": closed.reason})
        except (TimeoutError, OSError):
            self.scope["state"].get("abort", bool)()

    def _stop(self, reading: asyncio.Task[int]) -> None:
        for operation in tuple(self.operations.values()):
            operation.leave()
        for task in (reading, self.sending, self.checking, self.resting):
            if task is not None:
                task.cancel()
        self.resting = None

    def _late(self) -> None:
        if self.viewer is None:
            self.close(LATE, "Connection initialisation timeout")

    def rest(self) -> None:
        """Begin to wait for another operation anew; in vain, if there is none for so long."""
        if self.resting is not None:
            self.resting.cancel()
            self.resting = asyncio.get_running_loop().call_later(self.patience, self._rested)

    def _rested(self) -> None:
        if not self.operations and not self.answering:
            self.close(LATE, f"No operation was under way for {self.patience:g} seconds; connect again.")

    @property
    def patience(self) -> float:
        return SECONDS_OF_REST_NAMELESS if self.seat.address is not None else SECONDS_OF_REST

    async def _read(self) -> int:
        """Read message after message; tells the code with which the client leaves."""
        while (message := await self.receive())["type"] == "websocket.receive":
            try:
                await self._take(_message(message.get("text")))
            except ClosedError as closed:
                self.close(closed.code, closed.reason)
                break
        return int(message.get("code") or 1005)

    async def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "connection_init":
                await self._begin(message.get("payload"))
            case "ping":
                payload = f',"payload":{orjson.dumps(message["payload"]).decode()}' if "payload" in message else ""
                self.tell(None, f'{{"type":"pong"{payload}}}')
            case "pong":
                pass
            case "subscribe":
                self._subscribe(message)
            case "complete":
                if operation := self.operations.pop(_id(message), None):
                    operation.leave()
                    self.rest()
            case _:
                raise ClosedError(INVALID, "Invalid message: its type is none that a client may send.")

    async def _begin(self, payload: Any) -> None:
        if self.viewer is not None:
            raise ClosedError(BEGUN_TWICE, "Too many initialisation requests")
        if not isinstance(payload or {}, dict):
            raise ClosedError(INVALID, "Invalid message: payload must be an object.")
        told = {name.lower().encode(): value for name, value in (payload or {}).items() if name.lower() in TOLD}
        if not all(isinstance(value, str) and value.isascii() for value in told.values()):
            raise ClosedError(INVALID, "Invalid message: what stands for a header must be a text of one.")
        self.headers = [pair for pair in self.headers if pair[0] not in told]
        self.headers += [(name, value.encode()) for name, value in told.items()]
        self.viewer = await self._viewer()
        if self.viewer.role is not Role.PUBLIC:
            self.seat.name()
        self.resting = asyncio.get_running_loop().call_later(self.patience, self._rested)
        self.tell(None, '{"type":"connection_ack"}')
        self.checking = asyncio.create_task(self._recheck())

    async def _viewer(self) -> Viewer:
        until = asyncio.get_running_loop().time() + self.gate.deadline
        try:
            viewer = await self.gate.viewer(self._asked(), until)
            await self.gate.spend(self.scope, viewer, COST_OF_A_CONNECTION)
        except BadRequestError as refused:
            code = TRY_AGAIN if refused.status in (429, 503) else UNAUTHORIZED
            raise ClosedError(code, str(refused)[:120]) from None
        except DatabaseFaultError:
            raise ClosedError(TRY_AGAIN, "Who you are cannot be found out for a moment; try again.") from None
        return viewer

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK)
            if self.viewer and not await self.gate.is_still(self._asked(), self.viewer):
                self.close(FORBIDDEN, "Forbidden: you are no longer who you were; connect again.")

    def _asked(self) -> Asked:
        """Ask one thing as if it were a request of its own."""
        state = {"request_id": logs.request_id({"headers": ()})}
        scope = {**self.scope, "type": "http", "method": "POST", "headers": self.headers, "state": state}
        return Asked(scope, self.receive)

    def _subscribe(self, message: Mapping[str, Any]) -> None:
        if self.viewer is None:
            raise ClosedError(UNAUTHORIZED, "Unauthorized")
        identity, payload = _id(message), message.get("payload")
        if not isinstance(payload, dict):
            raise ClosedError(INVALID, "Invalid message: payload must be an object.")
        if identity in self.operations:
            raise ClosedError(
                TAKEN, f"Subscriber for {identity[:40]} already exists".encode("ascii", "replace").decode()
            )
        operation, asked = Operation(identity, self), self._asked()
        if len({*self.operations.values(), *self.answering}) >= MOST_OPERATIONS:
            sentence = f"{MOST_OPERATIONS} operations are under way on this connection; complete one first."
            operation.finish(refusal(asked.request_id, "TOO_MANY_SUBSCRIPTIONS", sentence)["errors"])
            return
        self.operations[identity] = operation
        self.answering[operation] = asyncio.create_task(self._answer(operation, asked, payload))

    async def _answer(self, operation: Operation, asked: Asked, payload: dict[str, Any]) -> None:
        began = time.perf_counter()
        try:
            await self._answered(operation, asked, payload)
        except BadRequestError as bad:
            asked.note(errors=[bad.code])
            operation.finish(refusal(asked.request_id, bad.code, str(bad))["errors"])
        except Exception as fault:
            log.error("an operation failed", exc_info=fault, extra={"request_id": asked.request_id})  # noqa: TRY400
            extensions = {**MASKED["extensions"], "requestId": asked.request_id}  # type: ignore[dict-item]
            operation.finish([{**MASKED, "extensions": extensions}])
        finally:
            del self.answering[operation]
            self.rest()
        line = {"request_id": asked.request_id, "method": "WEBSOCKET", "path": self.scope["path"]}
        logs.write(
            {**line, "ms": round((time.perf_counter() - began) * 1000, 2), **asked.scope["state"].get("log", {})}
        )

    async def _answered(self, operation: Operation, asked: Asked, payload: dict[str, Any]) -> None:
        """Answer an operation on the roads that a request would take; one that is refused is told so by an error."""
        until = asyncio.get_running_loop().time() + self.gate.deadline
        asks = question(payload, self.gate.persisted, self.gate.limits.bytes)
        admitted = await self.gate.admit(asked, asks, until)
        if admitted.prepared.is_subscription and admitted.refused is None:
            await self._listen(operation, asked, admitted, until)
            return
        text = (await answered(asked, admitted, JSON, until)).body
        if text.startswith(b'{"errors"'):
            operation.finish(orjson.loads(text)["errors"])
            return
        operation.deliver(text.decode())
        operation.complete()

    async def _listen(self, operation: Operation, asked: Asked, admitted: Admitted, until: float) -> None:
        asked.note(operation=name_of(admitted.prepared), stream=True)
        feed, errors = await self.feeds.join(asked, admitted, operation, until)
        operation.feed = feed
        if operation.is_over:
            operation.leave()
        if errors:
            asked.note(errors=[error["extensions"]["code"] for error in errors])
            operation.finish(errors)


def _message(text: str | None) -> dict[str, Any]:
    if text is None:
        raise ClosedError(INVALID, "Invalid message: send text, not bytes.")
    try:
        message = parsed(text.encode(), "The message")
    except (BadRequestError, UnicodeEncodeError):
        raise ClosedError(INVALID, "Invalid message: it is not JSON.") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ClosedError(INVALID, "Invalid message: it must be an object with a type.")
    return message


def _id(message: Mapping[str, Any]) -> str:
    identity = message.get("id")
    if not isinstance(identity, str) or not 0 < len(identity) <= LONGEST_ID:
        raise ClosedError(INVALID, f"Invalid message: id must be a text of 1 to {LONGEST_ID} characters.")
    return identity


class Sockets:
    """Takes the connections of one process; from other sites only those that are allowed to."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        gate: Gate = scope["app"].state.gate
        if not is_at_home(dict(scope["headers"]), gate.allowed_origins):
            await _refuse(send)
            return
        if PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            reason = f"Subprotocol not acceptable: {PROTOCOL} is spoken."
            await send({"type": "websocket.close", "code": UNKNOWN_PROTOCOL, "reason": reason})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        try:
            seat = gate.seats.take(address_of(scope))
        except BadRequestError as full:
            await send({"type": "websocket.close", "code": TRY_AGAIN, "reason": str(full)})
            return
        began, code = time.perf_counter(), 1006
        try:
            code = await Socket(scope, receive, send, seat).serve()
        finally:
            seat.leave()
            seconds = round(time.perf_counter() - began, 1)
            logs.write({"method": "WEBSOCKET", "path": scope["path"], "seconds": seconds, "code": code})


def is_at_home(headers: Mapping[bytes, bytes], allowed: frozenset[str]) -> bool:
    """Whether a connection comes from our own pages, from a site that is allowed to, or from no page at all."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    told, host = origin.decode("latin-1").lower(), headers.get(b"host", b"").decode("latin-1").lower()
    with suppress(ValueError):  # of what is no address, such as http://[
        return told in allowed or (bool(host) and urlsplit(told).netloc == host)
    return False


async def _refuse(send: Send) -> None:
    body = orjson.dumps(refusal("", "FORBIDDEN", "Pages of this origin may not connect."))
    headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
