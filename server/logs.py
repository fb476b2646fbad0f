"""Logs: one JSON line a request, with the id that its answer carries; one line for what went wrong."""

import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from random import getrandbits
from typing import Any
from urllib.parse import quote

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
SECRET = re.compile(r"/+calendars/", re.IGNORECASE)
ORDINARY = {*vars(logging.makeLogRecord({})), "message", "asctime"}  # what every record has
log = logging.getLogger("holdfast.http")


class Line(logging.Formatter):
    """Writes a log record as one line of JSON, with whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        told = {name: value for name, value in vars(record).items() if name not in ORDINARY}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)  # places in the code, and no locals
        return _line(record.getMessage(), record.levelname.lower(), record.name, told).decode()


def _line(event: str, level: str, logger: str, told: dict[str, Any]) -> bytes:
    line = {"event": event, "level": level, "logger": logger, "timestamp": datetime.now(UTC), **told}
    return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z)


def configure(level: str) -> None:
    """Send every log line of the process to standard error, as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn.access").disabled = True
    for chatty in ("alembic", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def request_id(scope: Scope) -> str:
    """The id of a request: the one that the proxy gave it, if it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return f"{getrandbits(128):032x}"


def write(told: dict[str, Any]) -> None:
    """Write the line of a request at once, in one piece: by way of a log record it would cost ten times as much."""
    if log.isEnabledFor(logging.INFO):
        with suppress(OSError):  # a full disk is no reason to fail
            sys.stderr.buffer.write(_line("request", "info", log.name, told) + b"\n")
            sys.stderr.buffer.flush()


def _shown(path: str) -> str:
    """Tell what was asked for, but no secret: what comes after /calendars/ is one. Some letters end a line for some readers."""
    if SECRET.match(path):
        return "/calendars/..."
    return path if path.isascii() else quote(path)


class RequestLog:
    """Gives each request its id, answers it in a header, writes the request's line, and has a question counted."""

    def __init__(self, app: ASGIApp, count: Callable[[str, float], None]) -> None:
        self.app = app
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["request_id"] = identity = request_id(scope)
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        finally:
            path: str = scope["path"]
            seconds, told = time.perf_counter() - began, state.get("log", {})
            if "road" in told:
                self.count(told["road"], seconds)
            line = {
                "request_id": identity,
                "method": scope["method"],
                "path": _shown(path),
                "status": status,
                "ms": round(seconds * 1000, 2),
            }
            write(line | told)
