"""Server-sent events: one operation a request, after the distinct connections mode of GraphQL over SSE."""

import asyncio
from collections import deque
from contextlib import suppress

import orjson
from starlette.types import Receive, Send

from models.viewer import Role, Viewer
from server.answer import GRAPHQL_RESPONSE, answered, name_of
from server.feeds import Errors, Feed
from server.gate import Admitted, Gate
from server.rate import address_of
from server.request import Asked, Headers
from server.seats import Seat

MEDIA_TYPE = "text/event-stream"
SILENCE = 12.0  # seconds, after which a comment says that we are still there
RECHECK = 60.0  # seconds, after which a token is looked at again
MOST_UNSENT, MOST_BYTES = 200, 2_000_000  # of answers that a client has not read yet
HEADERS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
)


def is_wanted(accept: str) -> bool:
    """Whether a client asks for events: named first, since some name them beside what they would rather have."""
    return accept.partition(",")[0].partition(";")[0].strip().lower() == MEDIA_TYPE


class Events:
    """The events of one operation. A stream that we end has no event `complete`, so its client comes again."""

    def __init__(self, asked: Asked, viewer: Viewer, headers: Headers, seat: Seat) -> None:
        self.asked, self.viewer, self.headers, self.seat = asked, viewer, headers, seat
        self.gate: Gate = asked.scope["app"].state.gate
        self.feed: Feed | None = None
        self.unsent: deque[str] = deque()
        self.bytes = 0
        self.news = asyncio.Event()
        self.is_complete = self.is_over = False

    def deliver(self, text: str) -> None:
        size = len(text.encode())
        if self.unsent and (len(self.unsent) >= MOST_UNSENT or self.bytes + size > MOST_BYTES):
            self.abort()
            return
        self.bytes += size
        self.unsent.append(f"event: next\ndata: {text}\n\n")
        self.news.set()

    def finish(self, errors: Errors) -> None:
        self.deliver(orjson.dumps({"errors": errors}).decode())
        self.complete()

    def complete(self) -> None:
        self.unsent.append("event: complete\ndata:\n\n")
        self.is_complete = True
        self.news.set()

    def end(self) -> None:
        """End it from our side: the server stops, or the token is no longer good."""
        self.is_over = True
        self.news.set()

    def abort(self) -> None:
        """Leave a client who reads too slowly: what is unsent would never be read."""
        self.end()
        self.unsent.clear()
        self.asked.scope["state"].get("abort", self.end)()

    async def send(self, send: Send) -> None:
        """Send what is delivered, until it is complete or somebody leaves."""
        self.asked.scope["state"]["ending"] = self.end
        await send({"type": "http.response.start", "status": 200, "headers": [*self.headers, *HEADERS]})
        watching = asyncio.create_task(self._watch(self.asked.receive))
        checking = asyncio.create_task(self._recheck())
        try:
            await self._send(send)
        finally:
            watching.cancel()
            checking.cancel()
            if self.feed is not None:
                self.feed.leave(self)
            self.seat.leave()
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})  # so that the head is sent
        while not self.is_over and not (self.is_complete and not self.unsent):
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE):
                    await self.news.wait()
            self.news.clear()
            text = "".join(self.unsent) or ":\n\n"
            self.unsent.clear()
            self.bytes = 0
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end()

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK)
            if not await self.gate.is_still(self.asked, self.viewer):
                self.end()


async def begun(asked: Asked, admitted: Admitted, until: float) -> Events:
    """Answer an operation by events; what it is refused for is told by an event, too, because browsers show no body else."""
    gate: Gate = asked.scope["app"].state.gate
    is_nameless = admitted.viewer.role is Role.PUBLIC
    seat = gate.seats.take(address_of(asked.scope) if is_nameless else None)
    try:
        return await _events(asked, admitted, seat, until)
    except BaseException:
        seat.leave()
        raise


async def _events(asked: Asked, admitted: Admitted, seat: Seat, until: float) -> Events:
    events = Events(asked, admitted.viewer, admitted.headers(), seat)
    if admitted.refused is not None or not admitted.prepared.is_subscription:
        answer = await answered(asked, admitted, GRAPHQL_RESPONSE, until)
        events.deliver(answer.body.decode())
        events.complete()
    else:
        asked.note(operation=name_of(admitted.prepared), stream=True)
        events.feed, errors = await asked.scope["app"].state.feeds.join(asked, admitted, events, until)
        if errors:
            asked.note(errors=[error["extensions"]["code"] for error in errors])
            events.finish(errors)
    return events
