"""Requests: from bytes to a question (GraphQL over HTTP), strict about both, and how a bad one is answered."""

import json
from typing import Any

import orjson
from starlette.requests import Request

from schema.execution import Question

LARGEST_BODY = 2_000_000


class BadRequestError(Exception):
    """What is not a GraphQL request: an HTTP status, a code, and one sentence."""

    def __init__(self, status: int, code: str, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.headers = headers or {}


def refusal(request: Request, code: str, sentence: str) -> dict[str, Any]:
    """Shape what is refused before anything was executed, as GraphQL shapes errors."""
    return {"errors": [{"message": sentence, "extensions": {"code": code, "requestId": request.state.request_id}}]}


async def read(request: Request) -> Question:
    """Read the question that a GET or a POST asks."""
    if request.method != "POST":
        asked: Any = dict(request.query_params)
        for name in ("variables", "extensions"):
            if asked.get(name):
                asked[name] = _json(asked[name].encode(), name)
        return _question(asked)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequestError(415, "UNSUPPORTED_MEDIA_TYPE", "Send the request as application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequestError(415, "UNSUPPORTED_MEDIA_TYPE", "Send the request without compression.")
    return _question(_json(await _body(request)))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BadRequestError(413, "BODY_TOO_LARGE", f"The body is larger than {LARGEST_BODY} bytes.")
    return bytes(body)


def _json(text: bytes, name: str = "The body") -> Any:
    """Read JSON (RFC 8259) with no NaN, no broken text, no nesting without end, and no name twice in one object."""
    try:
        value = orjson.loads(text)
        json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as bad:
        problem = f"{name} {bad if isinstance(bad, _TwiceError) else 'is not valid JSON.'}"
        raise BadRequestError(400, "BAD_JSON", problem) from None
    return value


class _TwiceError(ValueError):
    """A name that stands twice in one object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError("has an object in which a name stands twice.")
    return found


def _question(asked: Any) -> Question:
    if not isinstance(asked, dict):
        raise BadRequestError(400, "BAD_REQUEST", "Send one request, as a JSON object.")
    document = asked.get("query")
    if not isinstance(document, str) or not document.strip():
        raise BadRequestError(400, "BAD_REQUEST", "query must be the text of a GraphQL document.")
    for name in ("variables", "extensions"):
        if not isinstance(asked.get(name) or {}, dict) or asked.get(name) in ([], "", 0, False):
            raise BadRequestError(400, "BAD_REQUEST", f"{name} must be a JSON object.")
    operation = asked.get("operationName")
    if operation is not None and not isinstance(operation, str):
        raise BadRequestError(400, "BAD_REQUEST", "operationName must be a text.")
    return Question(document, asked.get("variables") or {}, operation or None)
