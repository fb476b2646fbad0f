"""A database that takes turns: each statement and each commit waits until it is told to go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import AsyncRawCursor
from sqlalchemy import CTE, Executable, Row, Select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.refusal import Unavailable
from resolvers.database import DEADLOCK, SERIALIZATION_FAILURE, Database, Filling, Statements, refusal
from resolvers.lane import Answer, Lanes, Statement, Values

T = TypeVar("T")
# Whether a transaction holds locks, and how many rows it has written: what was counted is put down when it ends.
FORGET = "SELECT pg_stat_force_next_flush()"
SO_FAR = f"""{FORGET}, pg_current_xact_id_if_assigned() IS NOT NULL, (
SELECT sum(pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid))
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)"""


class Turn:
    """Lets one operation go a step at a time, and keeps what its steps were."""

    def __init__(self) -> None:
        self.parked = self.is_done = False
        self.steps: list[str] = []
        self.opened: int | None = None  # the first step of the transaction at work
        self.openings: set[int] = set()
        self.lockless: set[int] = set()  # the steps of transactions that locked no row
        self.writing: set[int] = set()  # the steps that wrote rows
        self.settled, self.go = asyncio.Event(), asyncio.Event()

    @property
    def is_waiting(self) -> bool:
        """Whether it has begun a step that has not come to its end."""
        return not self.parked and not self.is_done

    @property
    def step(self) -> str:
        return self.steps[-1] if self.steps else ""

    async def take(self, step: str) -> None:
        """Wait, before a step, until it is ours; tell what it is."""
        self.parked = True
        self.steps.append(step)
        self.settled.set()
        await self.go.wait()
        self.go.clear()

    def give(self) -> None:
        self.parked = False
        self.settled.clear()
        self.go.set()

    def end(self) -> None:
        self.is_done = True
        self.settled.set()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.opened = len(self.steps)
        self.openings.add(self.opened)
        try:
            yield
        finally:
            self.opened = None


def _kind(statement: Executable) -> str:
    """What a statement says that it does; what a function of it locks is seen when it has run."""
    if not isinstance(statement, Select) or statement._for_update_arg is not None:
        return "write"
    writes = any(isinstance(source, CTE) and source.element.is_dml for source in statement.columns_clause_froms)
    return "write" if writes else "read"


class PacedStatements(Statements):
    """The statements of one transaction, each of them a step."""

    def __init__(self, connection: AsyncConnection, turn: Turn) -> None:
        super().__init__(connection)
        self.turn = turn
        self.holds, self.written = False, 0

    async def rows(self, statement: Executable, filling: Filling = None) -> Sequence[Row[Any]]:
        await self.turn.take(_kind(statement))
        found = await super().rows(statement, filling)
        await self._look()
        return found

    async def text(self, statement: Statement, values: Values) -> bytes | None:
        """Run a compiled statement as a lane would: its very text, with values that have no types of their own."""
        await self.turn.take("compiled")
        async with AsyncRawCursor(await driver(self.connection)) as cursor:
            await cursor.execute(statement.sql, [None if value is None else value.decode() for value in values])
            found = cursor.pgresult.get_value(0, 0) if cursor.pgresult and cursor.pgresult.ntuples else None
        await self._look()
        return found

    async def _look(self) -> None:
        """See what the statement has left behind."""
        written = self.written
        done = await (await driver(self.connection)).execute(SO_FAR)
        ((_, self.holds, self.written),) = await done.fetchall()
        if self.written > written:
            self.turn.writing.add(len(self.turn.steps) - 1)


async def driver(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """What SQLAlchemy talks through."""
    found: Any = (await connection.get_raw_connection()).driver_connection
    assert isinstance(found, psycopg.AsyncConnection)
    return found


class PacedLanes(Lanes):
    """Has the interface of Lanes, over the one connection of a paced database."""

    def __init__(self, database: "PacedDatabase") -> None:
        super().__init__("", 0)
        self.database = database

    def run(self, statement: Statement, values: Values, business: bytes = b"") -> Answer:  # noqa: ARG002
        return asyncio.ensure_future(
            self.database.transaction(lambda statements: statements.text(statement, values)),
        )


class PacedDatabase(Database):
    """A database of one connection, which takes turns at each statement and each commit."""

    def __init__(self, connection: AsyncConnection, turn: Turn, *, fails: bool) -> None:
        super().__init__(connection.engine, PacedLanes(self))
        self.connection, self.turn, self.fails = connection, turn, fails

    async def rows(self, statement: Executable, filling: Filling = None) -> Sequence[Row[Any]]:
        return await self.transaction(lambda statements: statements.rows(statement, filling))

    async def transaction(self, work: Callable[[PacedStatements], Awaitable[T]], *, keep: bool = True) -> T:
        try:
            with self.turn.transaction():
                return await self._transaction(work, keep=keep)
        except psycopg.Error as error:  # of a lane, whose errors Database.text reads
            _need_not_be_tried_again(error)
            raise
        except DBAPIError as error:
            _need_not_be_tried_again(error.orig)
            raise refusal(error.orig, is_lost=error.connection_invalidated) from None

    async def _transaction(self, work: Callable[[PacedStatements], Awaitable[T]], *, keep: bool) -> T:
        try:
            async with self.connection.begin() as transaction:
                statements = PacedStatements(self.connection, self.turn)
                answer = await work(statements)
                await self._before_commit(statements)
                await (transaction.commit() if keep else transaction.rollback())
                return answer
        except (psycopg.Error, DBAPIError):
            async with self.connection.begin():
                await self.connection.execute(text(FORGET))
            raise

    async def _before_commit(self, statements: PacedStatements) -> None:
        """A commit is a step of its own when somebody may be waiting for it, even if it only lets go of locks."""
        if statements.holds:
            await self.turn.take("commit" if statements.written else "release")
            if self.fails:
                raise Unavailable
        elif self.turn.opened is not None:
            self.turn.lockless.update(range(self.turn.opened, len(self.turn.steps)))


def _need_not_be_tried_again(error: BaseException | None) -> None:
    if getattr(error, "sqlstate", None) in (DEADLOCK, SERIALIZATION_FAILURE):
        pytest.fail(f"it would have to be tried again: {error}")
