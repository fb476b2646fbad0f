"""Answers: how a question that was admitted is answered, on either road, whatever it was asked over."""

import asyncio
from functools import partial
from typing import Any, NamedTuple

import orjson
from starlette.types import Send

from compiler.plan import Plans
from compiler.road import OrdinaryRoad
from resolvers.context import Context
from resolvers.database import Failing
from schema.execution import Prepared, answer, late, long, with_request
from schema.limits import Limits
from server.gate import Admitted, Gate
from server.request import Asked, Headers

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
# What a refused operation is worth to a client of the modern media type (GraphQL over HTTP, 6.4.2), if not 400.
STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403}
CHALLENGE = (b"www-authenticate", b'Bearer realm="holdfast"')  # without an error: nothing was sent (RFC 6750, 3.1)
RETRYABLE = {"BUSY", "TIMEOUT", "UNAVAILABLE"}
UNSTREAMED = {
    "message": "A subscription is answered over a WebSocket (graphql-transport-ws), or as text/event-stream where that "
    "is the first type in Accept.",
    "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"},
}


class Answer(NamedTuple):
    """Bytes, and how they are sent."""

    status: int
    media_type: str
    body: bytes
    headers: Headers = ()

    async def send(self, send: Send) -> None:
        kind = (b"content-type", f"{self.media_type}; charset=utf-8".encode())
        length = (b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length, kind]})
        await send({"type": "http.response.body", "body": self.body})


async def answered(asked: Asked, admitted: Admitted, media_type: str, until: float) -> Answer:
    """Answer a query or a mutation."""
    gate: Gate = asked.scope["app"].state.gate
    context = context_of(asked, admitted)
    asked.note(operation=name_of(admitted.prepared))
    refused = admitted.refused or (UNSTREAMED if admitted.prepared.is_subscription else None)
    if refused is not None:
        return _told(admitted, {"errors": [with_request(refused, context)]}, context, asked, media_type)
    try:
        async with asyncio.timeout_at(until):
            text = await _compiled(admitted, context, asked)
            if text is None:
                return _told(admitted, await _executed(admitted, context, gate.limits), context, asked, media_type)
    except TimeoutError:
        return _told(admitted, late(context), context, asked, media_type)
    finally:
        if context.outdated:
            gate.identity.forget()
    if admitted.prepared.is_query and (body := long(len(text), context, gate.limits)):
        return _told(admitted, body, context, asked, media_type)
    asked.note(road="compiled", errors=[])
    return Answer(200, media_type, b'%b,"extensions":{"cost":%b}}' % (text[:-1], admitted.told()), admitted.headers())


async def _compiled(admitted: Admitted, context: Context, asked: Asked) -> bytes | None:
    """The fast road: one statement for each root field, whose value is the answer's text. None, if it leads nowhere."""
    plans: Plans | None = asked.scope["app"].state.plans
    if plans is None:
        asked.note(road="ordinary", why="compiling is switched off")
        return None
    try:
        text = await plans.find(admitted.question, admitted.prepared).run(admitted.question.variables, context)
    except OrdinaryRoad as why:
        if why.failure is not None:
            context.database = Failing(context.database, why.failure)
        asked.note(road="ordinary" if admitted.prepared.operation else "refused", why=str(why))
        return None
    return text


async def _executed(admitted: Admitted, context: Context, limits: Limits) -> dict[str, Any]:
    """The ordinary road, which leads everywhere."""
    body = await answer(admitted.prepared, admitted.question, context)
    if not admitted.prepared.is_query or "data" not in body:
        return body
    return long(len(orjson.dumps(body)), context, limits) or body


def _told(admitted: Admitted, body: dict[str, Any], context: Context, asked: Asked, media_type: str) -> Answer:
    """Send what is not the compiled road's: with the status, and the hints, that its errors deserve."""
    errors = [*context.told, *(error["extensions"]["code"] for error in body.get("errors", ()))]
    asked.note(errors=errors)
    headers = admitted.headers()
    if RETRYABLE & set(errors):
        headers = (*headers, (b"retry-after", b"1"))
    body["extensions"] = {**context.extensions, "cost": orjson.Fragment(admitted.told())}
    status = STATUS.get(errors[0], 400) if "data" not in body and media_type == GRAPHQL_RESPONSE else 200
    if status == 401:
        headers = (*headers, CHALLENGE)
    return Answer(status, media_type, orjson.dumps(body), headers)


def name_of(prepared: Prepared) -> str | None:
    """The name that the document gives its operation: what a client sends beside it may say anything, of anybody."""
    named = prepared.operation and prepared.operation.name
    return named.value[:100] if named else None


def context_of(asked: Asked, admitted: Admitted) -> Context:
    """Make the context in which an operation is executed."""
    viewer, state = admitted.viewer, asked.scope["app"].state
    return Context(
        database=state.database.of(viewer.business_id),
        viewer=viewer,
        request_id=asked.request_id,
        idempotency_key=asked.header(b"idempotency-key", None),
        time_zone=admitted.time_zone,
        allowed_networks=state.gate.allowed_networks,
        public_url=state.gate.public_url,
        signals=state.signals,
        pay=partial(state.gate.takes, asked, viewer),
    )
