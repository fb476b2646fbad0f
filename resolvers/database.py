"""The only way to PostgreSQL: one autocommitted statement, or a short transaction; its errors become refusals."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from typing import Any, Self, TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from models.refusal import REFUSAL_OF_CONSTRAINT, Busy, Refusal, Timeout, Unavailable
from resolvers.lane import BUSINESS, Lanes, Statement, Values
from resolvers.waiting import MOST_WAITING

log = logging.getLogger("holdfast.database")
T = TypeVar("T")
Filling = Mapping[str, Any] | None  # the values of a statement that was built without them
TRIES = 3
DEADLOCK, SERIALIZATION_FAILURE = "40P01", "40001"
LOCK_TIMEOUT, QUERY_CANCELED = "55P03", "57014"
RACES = ("idempotency_keys_pkey", "appointment_is_new")  # somebody was faster; a second look shows what they did
SETTING = "business"  # what is remembered with a connection of the pool, and forgotten with it
CHANGE = BUSINESS.sql.replace(b"$1", b"%s")
UNAVAILABLE = ("08", "57P", "53")  # connection lost, server shutting down, no resources


class DatabaseFaultError(Exception):
    """A fault of ours, told by its SQLSTATE alone: what the database says of it may quote a row."""


class RaceLostError(Exception):
    """Somebody was faster; a second look shows what they did."""


class Runner(ABC):
    """Whatever runs statements: the database, or one transaction of it."""

    @abstractmethod
    async def rows(self, statement: Executable, filling: Filling = None) -> Sequence[Row[Any]]:
        """Run one statement, and read all of its rows."""

    async def row(self, statement: Executable, filling: Filling = None) -> Row[Any] | None:
        """Run one statement, and read its first row, if it has one."""
        return next(iter(await self.rows(statement, filling)), None)


class Statements(Runner):
    """Runs statements on one connection, inside its transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def rows(self, statement: Executable, filling: Filling = None) -> Sequence[Row[Any]]:
        done = await self.connection.execute(statement, filling)
        return done.all() if done.returns_rows else []


class Pool:
    """The connections of an engine, each of which is for one business until another one needs it."""

    def __init__(self, engine: AsyncEngine, most_waiting: int = MOST_WAITING) -> None:
        self.engine = engine
        self.waiting = 0
        self._most_waiting = most_waiting

    @asynccontextmanager
    async def connection(self, business: bytes) -> AsyncIterator[AsyncConnection]:
        """Take one connection for a business, unless too many wait for one."""
        async with AsyncExitStack() as stack:
            if self.waiting >= self._most_waiting:
                log.warning("too many wait for a connection")
                raise Unavailable
            self.waiting += 1
            try:
                connection = await stack.enter_async_context(self.engine.connect())
            finally:
                self.waiting -= 1
            if connection.info.get(SETTING, b"") != business:
                await _turned(connection, business)
            yield connection


async def _turned(connection: AsyncConnection, business: bytes) -> None:
    """Change whom a connection is for, before any transaction that could take it back.

    One that has died while it was idle is replaced: nothing has run on it yet.
    """
    for is_last in (False, True):
        try:
            raw = await connection.get_raw_connection()
            raw.info[SETTING] = None  # nobody's, until it is done
            await raw.driver_connection.execute(CHANGE, [business.decode()])  # type: ignore[union-attr]
        except psycopg.Error as error:
            await connection.invalidate()
            if is_last:
                raise refusal(error, is_lost=True) from None
        except BaseException:
            await connection.invalidate()
            raise
        else:
            raw.info[SETTING] = business
            return


class Database(Runner):
    """Runs statements on a pool of autocommitting connections, and those that answer one value on lanes."""

    def __init__(self, engine: AsyncEngine, lanes: Lanes) -> None:
        self.engine = engine
        self.lanes = lanes
        self.business = b""
        self.pool = Pool(engine)

    def of(self, business: UUID) -> Self:
        """See the same database as one business does: what is not its own is not there."""
        view = copy(self)
        view.business = str(business).encode()
        return view

    async def rows(self, statement: Executable, filling: Filling = None) -> Sequence[Row[Any]]:
        """Run one statement, which is its own transaction."""

        async def run() -> Sequence[Row[Any]]:
            async with self.pool.connection(self.business) as connection:
                return await Statements(connection).rows(statement, filling)

        return await _tried(run)

    async def transaction(self, work: Callable[[Statements], Awaitable[T]], *, keep: bool = True) -> T:
        """Run several statements as one; unless `keep`, everything they wrote is taken back."""

        async def run() -> T:
            async with self.pool.connection(self.business) as pooled:
                connection = await pooled.execution_options(isolation_level="READ COMMITTED")
                async with connection.begin() as transaction:
                    answer = await work(Statements(connection))
                    await (transaction.commit() if keep else transaction.rollback())
                    return answer

        return await _tried(run)

    async def text(self, statement: Statement, values: Values) -> bytes | None:
        """Run one statement whose one value is the answer. Unlike the others it is not tried again."""
        try:
            answer = self.lanes.run(statement, values, self.business)
            try:
                return await answer
            except asyncio.CancelledError:
                self.lanes.abandon(answer)
                raise
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
        self.business, self.pool = database.business, database.pool
        self.failure = failure

    async def rows(self, statement: Executable, filling: Filling = None) -> Sequence[Row[Any]]:  # noqa: ARG002
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
