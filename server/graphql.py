"""The GraphQL endpoint, after the specification GraphQL over HTTP."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import orjson
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from compiler.plan import Plans
from compiler.road import OrdinaryRoad
from models.business import DEFAULT_BUSINESS
from resolvers.context import Context, Viewer
from resolvers.database import Failing
from schema.execution import Prepared, Question, answer, prepare
from server.request import Asked, BadRequestError, Headers, read, refusal

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
PAGE = Path(__file__).parent / "graphiql" / "index.html"
PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)
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
        if not asked.is_post and "text/html" in accept and "query" not in asked.parameters():
            await FileResponse(PAGE, headers=PAGE_HEADERS)(scope, receive, send)
            return
        media_type = negotiate(accept)
        try:
            answered = await _answered(asked, media_type)
        except BadRequestError as bad:
            asked.note(road="refused", errors=[bad.code])
            body = orjson.dumps(refusal(asked.request_id, bad.code, str(bad)))
            answered = Answer(bad.status, media_type, body, bad.headers)
        await answered.send(send)


async def _answered(asked: Asked, media_type: str) -> Answer:
    question = await read(asked)
    prepared = prepare(question)
    if not asked.is_post and prepared.operation and not prepared.is_query:
        raise BadRequestError(405, "METHOD_NOT_ALLOWED", "Send a mutation by POST.", ((b"allow", b"POST"),))
    # What limits and permits a document belongs here, in front of both roads.
    context = _context(asked)
    try:
        body = await _compiled(prepared, question, context, asked)
    except OrdinaryRoad as why:
        if why.failure is not None:
            context.database = Failing(context.database, why.failure)
        asked.note(road="ordinary" if prepared.operation else "refused", why=str(why))
    else:
        asked.note(road="compiled", operation=_name(prepared), errors=[])
        return Answer(200, media_type, body)
    return await _executed(prepared, question, context, asked, media_type)


async def _compiled(prepared: Prepared, question: Question, context: Context, asked: Asked) -> bytes:
    """The fast road: one statement for each root field, whose value is the answer's text."""
    plans: Plans | None = asked.scope["app"].state.plans
    if plans is None:
        raise OrdinaryRoad("compiling is switched off")
    return await plans.find(question, prepared).run(question.variables, context)


async def _executed(prepared: Prepared, question: Question, context: Context, asked: Asked, media_type: str) -> Answer:
    """The ordinary road, which leads everywhere."""
    body = await answer(prepared, question, context)
    errors = [*context.told, *(error["extensions"]["code"] for error in body.get("errors", ()))]
    asked.note(operation=_name(prepared), errors=errors)
    refused = "data" not in body
    return Answer(400 if refused and media_type == GRAPHQL_RESPONSE else 200, media_type, orjson.dumps(body))


def _name(prepared: Prepared) -> str | None:
    """The name that the document gives its operation: what a client sends beside it may say anything, of anybody."""
    named = prepared.operation and prepared.operation.name
    return named.value[:100] if named else None


def _context(asked: Asked) -> Context:
    return Context(
        database=asked.scope["app"].state.database,
        viewer=Viewer(DEFAULT_BUSINESS, "anonymous"),
        request_id=asked.request_id,
        idempotency_key=asked.header(b"idempotency-key", None),
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
