"""What we are compared with: a hand-written Starlette endpoint that passes on the JSON that PostgreSQL builds."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SQL = Path(os.environ["PLAIN_SQL"]).read_text()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    options = {"autocommit": True, "options": "-c timezone=UTC -c jit=off"}
    async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=8, kwargs=options) as pool:
        app.state.pool = pool
        yield


async def free(request: Request) -> Response:
    async with request.app.state.pool.connection() as connection:
        row = await (await connection.execute(SQL, {"provider": request.path_params["provider"]})).fetchone()
    return Response(str(row[0]), media_type="application/json")


app = Starlette(routes=[Route("/free/{provider:uuid}", free)], lifespan=lifespan)
