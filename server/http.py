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
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from resolvers.database import Database
from server import logs
from server.database import engine
from server.graphql import graphql
from server.migration import newest
from server.request import refusal
from server.settings import Settings

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


async def refused(request: Request, error: Exception) -> Response:
    """Say no in the one shape that clients know, whatever it is about."""
    known = error if isinstance(error, HTTPException) else HTTPException(500, "Internal error")
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(known.status_code, "INTERNAL")
    return JSONResponse(refusal(request, code, known.detail), known.status_code, known.headers)


def application(settings: Settings) -> Starlette:
    """Make the application of one worker."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if settings.database_url is None:
            raise RuntimeError("The address of the database is not known.")
        app.state.newest = newest()
        app.state.database = Database(engine(settings.database_url, settings.pool_size))
        _end_with_parent()
        yield
        await app.state.database.engine.dispose()

    return Starlette(
        routes=[
            Route("/", home),
            Route("/graphql", graphql, methods=["GET", "POST"]),
            Mount("/graphiql", StaticFiles(directory=GRAPHIQL)),
            Route("/livez", livez),
            Route("/readyz", readyz),
        ],
        middleware=[Middleware(logs.RequestLog)],
        exception_handlers={HTTPException: refused, Exception: refused},
        lifespan=lifespan,
    )


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
    return application(settings)
