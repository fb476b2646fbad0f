"""Requests: from bytes to a question (GraphQL over HTTP), strict about both, and how a bad one is answered."""

import json
import re
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from schema.execution import Question
from schema.limits import LIMITS

T = TypeVar("T")
LARGEST_BODY, LARGEST_QUERY = 2_000_000, 50_000
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?')  # one that does not end would be looked for again at each quote
MOST_BRACKETS = 12_000  # of lists and objects; 10,000 windows fit
Headers = tuple[tuple[bytes, bytes], ...]


class BadRequestError(Exception):
    """What is not a GraphQL request: an HTTP status, a code, and one sentence."""

    def __init__(self, status: int, code: str, sentence: str, headers: Headers = ()) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.headers = headers


class UnknownDocumentError(BadRequestError):
    """A document that a client names and nobody registered: the words are Apollo's, to whose clients they mean to."""

    def __init__(self) -> None:
        # An answer that is about to change must not be kept by anybody on the way.
        uncached = (b"cache-control", b"private, no-cache, must-revalidate")
        super().__init__(400, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound", (uncached,))


class Persisted(Protocol):
    """Documents that need not be sent, or that are the only ones."""

    def find(self, identifier: str | None, text: str | None) -> tuple[str, str | None]:
        """Find the document that is asked by what was sent, and the hash under which to keep it if it is valid."""

    def keep(self, question: Question) -> None:
        """Register the document of a question, which is valid."""


class Asked:
    """An HTTP request, as far as a question is concerned; of a header that was sent twice, the first counts."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))

    @property
    def is_post(self) -> bool:
        return bool(self.scope["method"] == "POST")

    @property
    def request_id(self) -> str:
        return str(self.scope["state"]["request_id"])

    def header(self, name: bytes, default: T) -> str | T:
        value = self._headers.get(name)
        return default if value is None else value.decode("latin-1")

    def parameters(self) -> dict[str, Any]:
        return dict(QueryParams(self.scope["query_string"]))

    def note(self, **told: Any) -> None:
        """Have the log line of this request say more."""
        self.scope["state"].setdefault("log", {}).update(told)


def refusal(request_id: str, code: str, sentence: str) -> dict[str, Any]:
    """Shape what is refused before anything was executed, as GraphQL shapes errors."""
    return {"errors": [{"message": sentence, "extensions": {"code": code, "requestId": request_id}}]}


async def read(asked: Asked, persisted: Persisted, largest: int = LIMITS.bytes) -> Question:
    """Read the question that a GET or a POST asks."""
    if not asked.is_post:
        parameters = asked.parameters()
        for name in ("variables", "extensions"):
            if parameters.get(name):
                parameters[name] = parsed(parameters[name].encode(), name)
        return question(parameters, persisted, largest)
    kind = asked.header(b"content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequestError(415, "UNSUPPORTED_MEDIA_TYPE", "Send the request as application/json.")
    if asked.header(b"content-encoding", "identity").lower() != "identity":
        raise BadRequestError(415, "UNSUPPORTED_MEDIA_TYPE", "Send the request without compression.")
    body = await _body(asked.receive)
    return replace(question(parsed(body), persisted, largest), size=len(body))


async def _body(receive: Receive) -> bytearray:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise BadRequestError(413, "BODY_TOO_LARGE", f"The body is larger than {LARGEST_BODY} bytes.")
        more = message.get("more_body", False)
    return body


def parsed(text: bytes | bytearray, name: str = "The body") -> Any:
    """Read JSON (RFC 8259) with no NaN, no broken text, no nesting without end, and no name twice in one object."""
    if _brackets(text) > MOST_BRACKETS and _brackets(TEXT.sub(b"", text)) > MOST_BRACKETS:  # each takes a hundred bytes
        raise BadRequestError(400, "BAD_JSON", f"{name} has more than {MOST_BRACKETS} lists and objects.")
    try:
        value = orjson.loads(text)
        if not _is_canonical(text, value):
            json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as bad:
        problem = f"{name} {bad if isinstance(bad, _TwiceError) else 'is not valid JSON.'}"
        raise BadRequestError(400, "BAD_JSON", problem) from None
    return value


def _brackets(text: bytes | bytearray) -> int:
    return text.count(b"{") + text.count(b"[")


def _is_canonical(text: bytes | bytearray, value: Any) -> bool:
    """Whether a value's text is the one that orjson writes, as most clients do: in that no name stands twice."""
    try:
        return orjson.dumps(value) == text
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return False


class _TwiceError(ValueError):
    """A name that stands twice in one object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError("has an object in which a name stands twice.")
    return found


def question(asked: Any, persisted: Persisted, largest: int) -> Question:
    """Read the question that a JSON object asks."""
    if not isinstance(asked, dict):
        raise BadRequestError(400, "BAD_REQUEST", "Send one request, as a JSON object.")
    text, identifier = asked.get("query"), _identifier(asked)
    if text is not None or identifier is None:
        if not isinstance(text, str) or not text.strip():
            raise BadRequestError(400, "BAD_REQUEST", "query must be the text of a GraphQL document.")
        measure(text, largest)
    for name in ("variables", "extensions"):
        if not isinstance(asked.get(name) or {}, dict) or asked.get(name) in ([], "", 0, False):
            raise BadRequestError(400, "BAD_REQUEST", f"{name} must be a JSON object.")
    operation = asked.get("operationName")
    if operation is not None and not isinstance(operation, str):
        raise BadRequestError(400, "BAD_REQUEST", "operationName must be a text.")
    document, sha256 = persisted.find(identifier, text)
    return Question(document, asked.get("variables") or {}, operation or None, sha256)


def measure(text: str, largest: int) -> None:
    """Refuse a document that is too long before anything parses it."""
    size = len(text) if text.isascii() else len(text.encode())
    if size > largest:
        raise BadRequestError(413, "DOCUMENT_TOO_LARGE", f"The document has {size} bytes; {largest} are allowed.")


def _identifier(asked: dict[str, Any]) -> str | None:
    """Read what a request calls its document, as GraphQL over HTTP does (documentId) or as Apollo does."""
    identifier, extensions = asked.get("documentId"), asked.get("extensions")
    if identifier is not None:
        if not isinstance(identifier, str):
            raise BadRequestError(400, "BAD_REQUEST", "documentId must be a text.")
        identifier = bare(identifier)
    if not isinstance(extensions, dict) or (named := extensions.get("persistedQuery")) is None:
        return identifier
    # True is no version, although Python takes it for 1.
    if not isinstance(named, dict) or named.get("version") is True or named.get("version") != 1:
        raise BadRequestError(400, "BAD_REQUEST", "extensions.persistedQuery must be a JSON object of version 1.")
    digest = named.get("sha256Hash")
    if not isinstance(digest, str):
        raise BadRequestError(400, "BAD_REQUEST", "extensions.persistedQuery.sha256Hash must be a text.")
    if identifier not in (None, digest):
        raise BadRequestError(400, "BAD_REQUEST", "documentId and extensions.persistedQuery name two documents.")
    return digest


def bare(identifier: str) -> str:
    """Take away the prefix with which GraphQL over HTTP says that an identifier is a hash."""
    return identifier.removeprefix("sha256:")
