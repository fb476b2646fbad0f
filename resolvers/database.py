"""The only way to PostgreSQL: one autocommitted statement, or a short transaction; its errors become refusals."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from models.refusal import REFUSAL_OF_CONSTRAINT, Busy, Refusal, Timeout, Unavailable
from resolvers.lane import Lanes, Statement, Values

log = logging.getLogger("holdfast.database")
T = TypeVar("T")
TRIES = 3
DEADLOCK, SERIALIZATION_FAILURE = "40P01", "40001"
LOCK_TIMEOUT, QUERY_CANCELED = "55P03", "57014"
RACES = ("idempotency_keys_pkey", "appointment_is_new")  # somebody was faster; a second look shows what they did
UNAVAILABLE = ("08", "57P", "53")  # connection lost, server shutting down, no resources


class DatabaseFaultError(Exception):
    """A fault of ours, told by its SQLSTATE alone: what the database says of it may quote a row."""


class RaceLostError(Exception):
    """Somebody was faster; a second look shows what they did."""


class Runner(ABC):
    """Whatever runs statements: the database, or one transaction of it."""

    @abstractmethod
    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """Run one statement, and read all of its rows."""

    async def row(self, statement: Executable) -> Row[Any] | None:
        """Run one statement, and read its first row, if it has one."""
        return next(iter(await self.rows(statement)), None)


class Statements(Runner):
    """Runs statements on one connection, inside its transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        done = await self.connection.execute(statement)
        return done.all() if done.returns_rows else []


class Database(Runner):
    """Runs statements on a pool of autocommitting connections, and those that answer one value on lanes."""

    def __init__(self, engine: AsyncEngine, lanes: Lanes) -> None:
        self.engine = engine
        self.lanes = lanes

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """Run one statement, which is its own transaction."""

        async def run() -> Sequence[Row[Any]]:
            async with self.engine.connect() as connection:
                return await Statements(connection).rows(statement)

        return await _tried(run)

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

    async def text(self, statement: Statement, values: Values) -> bytes | None:
        """Run one statement whose one value is the answer. Unlike the others it is not tried again."""
        try:
            return await self.lanes.run(statement, values)
        except psycopg.Error as error:
            raise (RaceLostError() if is_race(error) else refusal(error)) from None

    async def close(self) -> None:
        """Close every connection."""
        await self.lanes.close()
        await self.engine.dispose()


class Failing(Database):
    """A database that did not answer: whatever is asked of it, it tells that again."""

    def __init__(self, database: Database, failure: Exception) -> None:
        super().__init__(database.engine, database.lanes)
        self.failure = failure

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:  # noqa: ARG002
        raise self.failure

    async def transaction(self, *_: Any, **__: Any) -> Any:
        raise self.failure


async def _tried(run: Callable[[], Awaitable[T]]) -> T:
    """Try again what lost to a deadlock or a race: the database has taken all of it back."""
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            return await run()
        except PoolTimeoutError:
            log.warning("no connection was free")
            raise Unavailable from None
        except DBAPIError as error:
            if last or not is_race(error.orig):
                raise refusal(error.orig, is_lost=error.connection_invalidated) from None
    raise Unavailable


def _told(error: BaseException | None) -> tuple[str | None, str | None]:
    diagnosis = getattr(error, "diag", None)
    return getattr(error, "sqlstate", None), getattr(diagnosis, "constraint_name", None)


def is_race(error: BaseException | None) -> bool:
    """Whether the same may succeed a moment later, as the driver tells it."""
    state, constraint = _told(error)
    return state in (DEADLOCK, SERIALIZATION_FAILURE) or constraint in RACES


def refusal(error: BaseException | None, *, is_lost: bool = False) -> Exception:
    """Find the rule that an error of the driver speaks of; else the fault is ours."""
    state, constraint = _told(error)
    known: type[Refusal] | None = REFUSAL_OF_CONSTRAINT.get(constraint or "")
    if state == LOCK_TIMEOUT or constraint in RACES:
        known = Busy
    elif state == QUERY_CANCELED:
        known = Timeout
    elif is_lost or _is_out_of_reach(error, state):
        known = Unavailable
    if known is None:
        return DatabaseFaultError(f"{type(error).__name__} {state} {constraint or ''}".strip())
    if known.retryable:
        log.warning("the database did not answer", extra={"sqlstate": state, "refusal": known.code})
    return known()


def _is_out_of_reach(error: BaseException | None, state: str | None) -> bool:
    lost = state is None and isinstance(error, psycopg.OperationalError)
    return lost or (state or "").startswith((DEADLOCK, SERIALIZATION_FAILURE, *UNAVAILABLE))
