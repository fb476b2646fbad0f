"""The HTTP server: its routes, and whether it is alive and ready."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from compiler.plan import Plans
from models import outbox, webhook_queue
from models.refusal import Refusal
from resolvers.database import DatabaseFaultError
from schema.limits import Limits
from server import logs
from server.calendar import calendar
from server.database import connected, conninfo
from server.feeds import Feeds
from server.gate import Gate
from server.graphql import GraphQL
from server.listener import Listener
from server.metrics import Metrics
from server.request import refusal
from server.settings import Settings
from server.websocket import Sockets

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
GRAPHIQL = Path(__file__).parent / "graphiql"


async def home(_: Request) -> Response:
    return RedirectResponse("/graphql")


async def livez(_: Request) -> Response:
    """Whether the process answers at all."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Whether requests can be answered: the database is reachable and its migrations are current."""
    try:
        async with request.app.state.database.engine.connect() as connection:
            version = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except (SQLAlchemyError, OSError):
        return JSONResponse({"status": "unready", "problem": "The database is out of reach or empty."}, 503)
    if version != request.app.state.newest:
        return JSONResponse({"status": "unready", "problem": "The migrations are not current."}, 503)
    return JSONResponse({"status": "ready"})


async def metrics(request: Request) -> Response:
    """What all workers have done so far, and what waits to be told to others, for Prometheus."""
    try:
        waiting = [await request.app.state.database.row(each()) for each in (outbox.state, webhook_queue.state)]
    except (Refusal, DatabaseFaultError):  # out of reach, or not migrated: what the workers did is told all the same
        waiting = []
    told = request.app.state.metrics.text([number for row in waiting for number in row or ()])
    return Response(told, headers={"content-type": PROMETHEUS})


async def refused(request: Request, error: Exception) -> Response:
    """Say no in the one shape that clients know, whatever it is about."""
    known = error if isinstance(error, HTTPException) else HTTPException(500, "Internal error")
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(known.status_code, "INTERNAL")
    return JSONResponse(refusal(request.state.request_id, code, known.detail), known.status_code, known.headers)


class Shortcut:
    """Takes questions to their endpoint past the routes, which cost more than reading the question does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.graphql = GraphQL()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_question = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/graphql"
        await (self.graphql if is_question else self.app)(scope, receive, send)


def application(settings: Settings, folder: Path | None = None, limits: Limits | None = None) -> Starlette:
    """Make the application of one worker, which counts beside others in the same folder."""
    plans = Plans() if settings.compile else None
    counted = Metrics(plans, folder)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if settings.database_url is None:
            raise RuntimeError("The address of the database is not known.")
        app.state.database = connected(settings.database_url, settings.pool_size, settings.lanes)
        turn = app.state.feeds.turn
        app.state.signals = Listener(conninfo(settings.database_url), app.state.database, turn)
        _end_with_parent()
        yield
        await app.state.signals.close()
        await app.state.gate.close()
        await app.state.database.close()

    app = Starlette(
        routes=[
            Route("/graphql", GraphQL(), methods=["GET", "POST"]),
            WebSocketRoute("/graphql", Sockets()),
            Route("/", home),
            Mount("/graphiql", StaticFiles(directory=GRAPHIQL)),
            Route("/calendars/{secret}.ics", calendar),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ],
        middleware=[Middleware(logs.RequestLog, counted.count), Middleware(Shortcut)],
        exception_handlers={HTTPException: refused, Exception: refused},
        lifespan=lifespan,
    )
    app.state.plans, app.state.metrics, app.state.gate = plans, counted, Gate(settings, limits)
    app.state.gate.seats.count = counted.listening
    app.state.feeds, app.state.signals = Feeds(), None  # nobody listens before it begins
    return app


def _end_with_parent() -> None:
    """Stop when the supervising process was killed: an orphan would keep its port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop, sentinel = asyncio.get_running_loop(), parent.sentinel

        def end() -> None:
            loop.remove_reader(sentinel)
            signal.raise_signal(signal.SIGTERM)

        loop.add_reader(sentinel, end)


def worker() -> Starlette:
    """Make the application from the environment: how each worker process begins."""
    settings = Settings.read(os.environ)
    logs.configure(settings.log_level)
    app = application(settings, Path(os.environ["METRICS_FOLDER"]))
    app.state.newest = os.environ["NEWEST_MIGRATION"]
    return app
