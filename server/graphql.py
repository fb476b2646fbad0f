"""The GraphQL endpoint, after the specification GraphQL over HTTP."""

from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from models.business import DEFAULT_BUSINESS
from resolvers.context import Context, Viewer
from schema.execution import Prepared, answer, prepare
from server.request import BadRequestError, read, refusal

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
PAGE = Path(__file__).parent / "graphiql" / "index.html"
PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)


async def graphql(request: Request) -> Response:
    """Answer a question; or, to a browser that asks none, show GraphiQL."""
    if request.method != "POST" and "query" not in request.query_params and _wants_html(request):
        return FileResponse(PAGE, headers={"content-security-policy": PAGE_POLICY, "x-content-type-options": "nosniff"})
    media_type = negotiate(request.headers.get("accept", ""))
    try:
        return await _answered(request, media_type)
    except BadRequestError as bad:
        request.state.log = {"errors": [bad.code]}
        return _response(refusal(request, bad.code, str(bad)), bad.status, media_type, bad.headers)


async def _answered(request: Request, media_type: str) -> Response:
    question = await read(request)
    prepared = prepare(question)
    if request.method != "POST" and prepared.operation and not prepared.is_query:
        raise BadRequestError(405, "METHOD_NOT_ALLOWED", "Send a mutation by POST.", {"allow": "POST"})
    context = _context(request)
    body = await answer(prepared, question, context)
    request.state.log = {
        "operation": _name(prepared),
        "errors": [*context.told, *(error["extensions"]["code"] for error in body.get("errors", ()))],
    }
    refused = "data" not in body
    return _response(body, 400 if refused and media_type == GRAPHQL_RESPONSE else 200, media_type)


def _name(prepared: Prepared) -> str | None:
    """The name that the document gives its operation: what a client sends beside it may say anything, of anybody."""
    named = prepared.operation and prepared.operation.name
    return named.value[:100] if named else None


def _context(request: Request) -> Context:
    return Context(
        database=request.app.state.database,
        viewer=Viewer(DEFAULT_BUSINESS, "anonymous"),
        request_id=request.state.request_id,
        idempotency_key=request.headers.get("idempotency-key"),
    )


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


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _response(body: Any, status: int, media_type: str, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, f"{media_type}; charset=utf-8")
