"""The GraphQL endpoint, after the specification GraphQL over HTTP."""

import asyncio
from functools import lru_cache
from pathlib import Path

import orjson
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from server import sse
from server.answer import GRAPHQL_RESPONSE, JSON, Answer, answered
from server.gate import Gate
from server.request import Asked, BadRequestError, UnknownDocumentError, read, refusal

LONGEST_ACCEPT = 1000
ASKING = {"query", "documentId", "extensions"}
PAGE = Path(__file__).parent / "graphiql" / "index.html"
PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"content-security-policy": PAGE_POLICY, "x-content-type-options": "nosniff"}


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
            answer = await _asked(asked, media_type, is_stream=sse.is_wanted(accept))
        except BadRequestError as bad:
            asked.note(road="refused", errors=[bad.code])
            body = orjson.dumps(refusal(asked.request_id, bad.code, str(bad)))
            # To a client of the older media type a status other than 200 would say that a proxy answered.
            is_told_gently = media_type == JSON and isinstance(bad, UnknownDocumentError)
            answer = Answer(200 if is_told_gently else bad.status, media_type, body, bad.headers)
        await answer.send(send)


async def _asked(asked: Asked, media_type: str, *, is_stream: bool) -> "Answer | sse.Events":
    gate: Gate = asked.scope["app"].state.gate
    question = await read(asked, gate.persisted, gate.limits.bytes)
    until = asyncio.get_running_loop().time() + gate.deadline
    admitted = await gate.admit(asked, question, until)
    if is_stream:
        return await sse.begun(asked, admitted, until)
    return await answered(asked, admitted, media_type, until)


def _page(gate: Gate) -> str:
    """GraphiQL, told which mode it is shown in."""
    mode = "development" if gate.identity.is_development else "production"
    return PAGE.read_text(encoding="utf-8").replace('<html lang="en"', f'<html lang="en" data-mode="{mode}"', 1)


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
