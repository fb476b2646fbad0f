"""A database that takes turns: each statement and each commit waits until it is told to go on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import AsyncRawCursor
from sqlalchemy import CTE, Executable, Row, Select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import visitors

from models.refusal import Unavailable
from resolvers.database import DEADLOCK, SERIALIZATION_FAILURE, Database, Filling, Statements, refusal
from resolvers.lane import Answer, Lanes, Statement, Values

T = TypeVar("T")
# Whether it holds locks, and how many rows this connection has written lately.
SO_FAR = """SELECT pg_current_xact_id_if_assigned() IS NOT NULL, sum(n_tup_ins + n_tup_upd + n_tup_del)
FROM pg_stat_xact_user_tables"""


class Turn:
    """Lets one operation go a step at a time, and keeps what its steps were."""

    def __init__(self) -> None:
        self.parked = False
        self.steps: list[str] = []
        self.settled, self.go = asyncio.Event(), asyncio.Event()

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


def _kind(statement: Executable) -> str:
    if _locks(statement):
        return "write"
    if not isinstance(statement, Select) or statement._for_update_arg is not None:
        return "write"
    writes = any(isinstance(source, CTE) and source.element.is_dml for source in statement.columns_clause_froms)
    return "write" if writes else "read"


def _locks(statement: Executable) -> bool:
    """Whether a function locks what it names."""
    return any(getattr(part, "name", "") == "lock_booking" for part in visitors.iterate(statement))  # type: ignore[arg-type]


class PacedStatements(Statements):
    """The statements of one transaction, each of them a step."""

    def __init__(self, connection: AsyncConnection, turn: Turn) -> None:
        super().__init__(connection)
        self.turn = turn

    async def rows(self, statement: Executable, filling: Filling = None) -> Sequence[Row[Any]]:
        await self.turn.take(_kind(statement))
        return await super().rows(statement, filling)

    async def text(self, statement: Statement, values: Values) -> bytes | None:
        """Run a compiled statement as a lane would: its very text, with values that have no types of their own."""
        await self.turn.take("compiled")
        driver: Any = (await self.connection.get_raw_connection()).driver_connection
        async with AsyncRawCursor(driver) as cursor:
            await cursor.execute(statement.sql, [None if value is None else value.decode() for value in values])
            return cursor.pgresult.get_value(0, 0) if cursor.pgresult and cursor.pgresult.ntuples else None


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
            async with self.connection.begin() as transaction:
                _, before = await self._so_far()
                answer = await work(PacedStatements(self.connection, self.turn))
                await self._before_commit(before)
                await (transaction.commit() if keep else transaction.rollback())
                return answer
        except psycopg.Error as error:  # of a lane, whose errors Database.text reads
            _need_not_be_tried_again(error)
            raise
        except DBAPIError as error:
            _need_not_be_tried_again(error.orig)
            raise refusal(error.orig, is_lost=error.connection_invalidated) from None

    async def _before_commit(self, before: int) -> None:
        """A commit is a step of its own when somebody may be waiting for it, even if it only lets go of locks."""
        holds, written = await self._so_far()
        if holds:
            await self.turn.take("commit" if written != before else "release")
            if self.fails:
                raise Unavailable

    async def _so_far(self) -> tuple[bool, int]:
        holds, written = (await self.connection.execute(text(SO_FAR))).one()
        return holds, written


def _need_not_be_tried_again(error: BaseException | None) -> None:
    if getattr(error, "sqlstate", None) in (DEADLOCK, SERIALIZATION_FAILURE):
        pytest.fail(f"it would have to be tried again: {error}")
