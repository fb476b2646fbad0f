"""What we are compared with: a hand-written Starlette endpoint that passes on the JSON that PostgreSQL builds."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncRawCursor
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SQL = os.environ["PLAIN_SQL"]
# The values of $1 to $n; null is where the provider goes.
VALUES = json.loads(os.environ["PLAIN_VALUES"])


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    options = {"autocommit": True, "options": "-c timezone=UTC -c jit=off", "cursor_factory": AsyncRawCursor}
    async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=8, kwargs=options) as pool:
        app.state.pool = pool
        yield


async def free(request: Request) -> Response:
    provider = request.path_params["provider"]
    values = [provider if value is None else value for value in VALUES]
    async with request.app.state.pool.connection() as connection:
        row = await (await connection.execute(SQL, values)).fetchone()
    return Response(row[0], media_type="application/json")


app = Starlette(routes=[Route("/free/{provider:uuid}", free)], lifespan=lifespan)
