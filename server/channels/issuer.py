"""What the issuer of tokens publishes, fetched over HTTP."""

import socket
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

import orjson

from server.address import is_trustworthy

LARGEST = 1_000_000
PATIENCE = 5.0


class FetchError(Exception):
    """Why nothing was fetched, for the log."""


def fetched(address: str, seconds: float = PATIENCE) -> dict[str, Any]:
    """Fetch a JSON object, in good time and of a good size, from this address and from no other that it names."""
    if not is_trustworthy(address):
        raise FetchError("its address is neither of https nor of this machine")
    try:
        found = orjson.loads(_body(address, seconds))
    except (OSError, HTTPException, ValueError) as problem:
        raise FetchError(f"{type(problem).__name__}: {problem}") from problem
    if not isinstance(found, dict):
        raise FetchError("it answers no JSON object")
    return found


def _body(address: str, seconds: float) -> bytes:
    """The body of an answer; who sends it byte by byte is cut off when the time is over."""
    parts = urlsplit(address)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=seconds)) as connection:
        connection.connect()
        watch = Timer(seconds, _cut, [connection.sock])
        watch.daemon = True
        watch.start()
        try:
            return _answered(connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        finally:
            watch.cancel()


def _answered(connection: HTTPConnection, target: str) -> bytes:
    connection.request("GET", target, headers={"accept": "application/json"})
    with connection.getresponse() as response:
        if response.status != 200:
            raise FetchError(f"it answers {response.status}")
        body = response.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise FetchError(f"it answers more than {LARGEST} bytes")
    return body


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)
