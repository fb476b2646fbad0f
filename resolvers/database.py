"""The only way to PostgreSQL: one autocommitted statement, or a short transaction; its errors become refusals."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from models.refusal import REFUSAL_OF_CONSTRAINT, Busy, Refusal, Timeout, Unavailable

T = TypeVar("T")
TRIES = 3
DEADLOCK, SERIALIZATION_FAILURE = "40P01", "40001"
LOCK_TIMEOUT, QUERY_CANCELED = "55P03", "57014"
UNAVAILABLE = ("08", "57P", "53")  # connection lost, server shutting down, no resources


class KeyTakenError(Exception):
    """A twin of this request was faster under the same idempotency key."""


class Statements:
    """Runs statements on one connection, inside its transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        return (await self.connection.execute(statement)).all()

    async def row(self, statement: Executable) -> Row[Any] | None:
        return (await self.connection.execute(statement)).first()

    async def run(self, statement: Executable) -> None:
        await self.connection.execute(statement)


class Database:
    """Runs statements on a pool of autocommitting connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """Run one statement, which is its own transaction."""

        async def run() -> Sequence[Row[Any]]:
            async with self.engine.connect() as connection:
                return await Statements(connection).rows(statement)

        return await _tried(run)

    async def row(self, statement: Executable) -> Row[Any] | None:
        return next(iter(await self.rows(statement)), None)

    async def transaction(self, work: Callable[[Statements], Awaitable[T]], *, keep: bool = True) -> T:
        """Run several statements as one; unless `keep`, everything they wrote is taken back."""

        async def run() -> T:
            async with self.engine.connect() as pooled:
                connection = await pooled.execution_options(isolation_level="READ COMMITTED")
                async with connection.begin() as transaction:
                    answer = await work(Statements(connection))
                    await (transaction.commit() if keep else transaction.rollback())
                    return answer

        return await _tried(run)


async def _tried(run: Callable[[], Awaitable[T]]) -> T:
    """Try again what lost to a deadlock: the database has taken all of it back."""
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            return await run()
        except PoolTimeoutError:
            raise Unavailable from None
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if last or state not in (DEADLOCK, SERIALIZATION_FAILURE):
                raise (_refusal(error, state) or error) from None
    raise Unavailable


def _refusal(error: DBAPIError, state: str | None) -> Exception | None:
    """Find the rule that a database error speaks of; none when the error is our own fault."""
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint == "idempotency_keys_pkey":
        return KeyTakenError()
    known: type[Refusal] | None = REFUSAL_OF_CONSTRAINT.get(constraint or "")
    if state == LOCK_TIMEOUT:
        known = Busy
    elif state == QUERY_CANCELED:
        known = Timeout
    elif error.connection_invalidated or (state or "08").startswith((DEADLOCK, SERIALIZATION_FAILURE, *UNAVAILABLE)):
        known = Unavailable
    return known() if known else None
