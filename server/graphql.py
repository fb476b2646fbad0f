"""The GraphQL endpoint, after the specification GraphQL over HTTP."""

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from compiler.plan import Plans
from compiler.road import OrdinaryRoad
from models.viewer import Viewer
from resolvers.context import Context
from resolvers.database import Failing
from schema.execution import Prepared, answer, late, long, with_request
from schema.limits import Limits
from server.gate import Admitted, Gate
from server.request import Asked, BadRequestError, Headers, UnknownDocumentError, read, refusal

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
LONGEST_ACCEPT = 1000
ASKING = {"query", "documentId", "extensions"}
PAGE = Path(__file__).parent / "graphiql" / "index.html"
PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)
# What a refused operation is worth to a client of the modern media type (GraphQL over HTTP, 6.4.2), if not 400.
STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403}
CHALLENGE = (b"www-authenticate", b'Bearer realm="holdfast"')  # without an error: nothing was sent (RFC 6750, 3.1)
RETRYABLE = {"BUSY", "TIMEOUT", "UNAVAILABLE"}
PAGE_HEADERS = {"content-security-policy": PAGE_POLICY, "x-content-type-options": "nosniff"}


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


class GraphQL:
    """Answers a question; or, to a browser that asks none, shows GraphiQL.

    It speaks ASGI, because Starlette's requests and responses would cost as much as a question that is answered fast.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(scope, receive)
        accept = asked.header(b"accept", "")
        if not asked.is_post and "text/html" in accept and not ASKING & asked.parameters().keys():
            await HTMLResponse(_page(scope["app"].state.gate), headers=PAGE_HEADERS)(scope, receive, send)
            return
        media_type = negotiate(accept[:LONGEST_ACCEPT])
        try:
            answered = await _answered(asked, media_type)
        except BadRequestError as bad:
            asked.note(road="refused", errors=[bad.code])
            body = orjson.dumps(refusal(asked.request_id, bad.code, str(bad)))
            # To a client of the older media type a status other than 200 would say that a proxy answered.
            is_told_gently = media_type == JSON and isinstance(bad, UnknownDocumentError)
            answered = Answer(200 if is_told_gently else bad.status, media_type, body, bad.headers)
        await answered.send(send)


def _page(gate: Gate) -> str:
    """GraphiQL, told which mode it is shown in."""
    mode = "development" if gate.identity.is_development else "production"
    return PAGE.read_text(encoding="utf-8").replace('<html lang="en"', f'<html lang="en" data-mode="{mode}"', 1)


async def _answered(asked: Asked, media_type: str) -> Answer:
    gate: Gate = asked.scope["app"].state.gate
    question = await read(asked, gate.persisted, gate.limits.bytes)
    until = asyncio.get_running_loop().time() + gate.deadline
    admitted = await gate.admit(asked, question, until)
    context = _context(asked, admitted.viewer, admitted.time_zone)
    asked.note(operation=_name(admitted.prepared))
    if admitted.refused is not None:
        return _told(admitted, {"errors": [with_request(admitted.refused, context)]}, context, asked, media_type)
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


def _name(prepared: Prepared) -> str | None:
    """The name that the document gives its operation: what a client sends beside it may say anything, of anybody."""
    named = prepared.operation and prepared.operation.name
    return named.value[:100] if named else None


def _context(asked: Asked, viewer: Viewer, time_zone: str | None) -> Context:
    return Context(
        database=asked.scope["app"].state.database.of(viewer.business_id),
        viewer=viewer,
        request_id=asked.request_id,
        idempotency_key=asked.header(b"idempotency-key", None),
        time_zone=time_zone,
    )


@lru_cache
def negotiate(accept: str) -> str:
    """Choose the media type of the answer: the one of the two that the client likes best (RFC 9110, 12.5.1)."""
    ranked = []
    for position, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        if name in (JSON, GRAPHQL_RESPONSE) and (weight := _number(quality)) > 0:
            ranked.append((-weight, position, name))
    return min(ranked)[2] if ranked else JSON


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
