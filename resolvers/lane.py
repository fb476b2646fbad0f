"""Lanes: connections in libpq's pipeline mode, on which single statements of many requests travel without waiting."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq.abc import PGconn, PGresult

ROWS, FAILED = pq.ExecStatus.TUPLES_OK, pq.ExecStatus.FATAL_ERROR
SYNC, SKIPPED = pq.ExecStatus.PIPELINE_SYNC, pq.ExecStatus.PIPELINE_ABORTED
CONNECTED = pq.ConnStatus.OK
MOST_PREPARED = 512_000  # bytes of SQL: PostgreSQL keeps a hundred times as many for their plans
MOST_WAITING = 500
SECONDS_TO_REST = 1
SECONDS_TO_LOOK = 0.5
# Its Parse had failed for another request, or a migration has changed the type of what it answers.
STALE = (InvalidSqlStatementName, FeatureNotSupported)


@dataclass(frozen=True)
class Statement:
    """A statement to prepare: parameters are `$1`, types come from the casts in its text, and its name is its alone."""

    name: bytes
    sql: bytes


Values = Sequence[bytes | None]
Answer = asyncio.Future[bytes | None]


class Sent(NamedTuple):
    """A statement under way."""

    answer: Answer
    statement: Statement
    values: Values
    prepares: bool


class Lane:
    """One connection. Each statement has its own sync, and so is its own transaction and fails alone."""

    def __init__(self, conninfo: str, most_prepared: int = MOST_PREPARED) -> None:
        self.waiting: deque[Sent] = deque()
        self.handicap = 0  # counts as so many waiting requests
        self._conninfo = conninfo
        self._most_prepared = most_prepared
        self._prepared: OrderedDict[bytes, int] = OrderedDict()
        self._prepared_bytes = 0
        self._connection: AsyncConnection | None = None
        self._pg: PGconn | None = None
        self._socket = -1  # libpq forgets the number of a connection that is lost
        self._is_writing = False
        self._result: PGresult | None = None
        self._opening: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    def run(self, statement: Statement, values: Values) -> Answer:
        """Send one statement; the answer is the first column of its first row, or None."""
        for value in values:
            if value is not None and b"\0" in value:
                raise ValueError("A value holds the character NUL, and libpq would cut it there.")
        answer: Answer = asyncio.get_running_loop().create_future()
        self._send(answer, statement, values)
        return answer

    async def close(self) -> None:
        """Let go of the connection, and of whoever waits. The next run would connect again."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
            self._opening = None
        if self._resting is not None:
            self._resting.cancel()
        self._lose(psycopg.OperationalError("the lane was closed"))

    def _send(self, answer: Answer, statement: Statement, values: Values) -> None:
        pg = self._pg
        if pg is None:
            self.waiting.append(Sent(answer, statement, values, prepares=False))
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
            return
        is_new = statement.name not in self._prepared
        self.waiting.append(Sent(answer, statement, values, is_new))
        try:
            if is_new:
                self._prepare(pg, statement)
            else:
                self._prepared.move_to_end(statement.name)
            pg.send_query_prepared(statement.name, values)
            pg.pipeline_sync()
            if not self._is_writing and pg.flush():
                self._is_writing = True
                asyncio.get_running_loop().add_writer(self._socket, self._write)
        except psycopg.Error as error:
            self._lose(error)

    def _prepare(self, pg: PGconn, statement: Statement) -> None:
        """Prepare it in front of its first run, in the same write. The least used gives way."""
        self._prepared_bytes += len(statement.sql)
        while self._prepared and self._prepared_bytes > self._most_prepared:
            oldest, size = self._prepared.popitem(last=False)
            self._prepared_bytes -= size
            pg.send_close_prepared(oldest)
        pg.send_close_prepared(statement.name)  # one that has gone stale is still there, and no error if not
        pg.send_prepare(statement.name, statement.sql)
        self._prepared[statement.name] = len(statement.sql)

    def _write(self) -> None:
        pg = self._pg
        assert pg is not None
        try:
            if not pg.flush():
                self._is_writing = False
                asyncio.get_running_loop().remove_writer(self._socket)
            self._take(pg)  # a flush that would block reads instead, and no reader is called for that
        except psycopg.Error as error:
            self._lose(error)

    def _read(self) -> None:
        pg = self._pg
        assert pg is not None
        try:
            pg.consume_input()
            self._take(pg)
        except psycopg.Error as error:
            self._lose(error)

    def _look(self) -> None:
        """Read what no event told of: uvloop tells of a broken socket once, with data before the end still unread."""
        self._looking = asyncio.get_running_loop().call_later(SECONDS_TO_LOOK, self._look)
        if self.waiting:
            self._read()

    def _take(self, pg: PGconn) -> None:
        """Give every answer that has arrived to the request that waits for it."""
        waiting = self.waiting
        while waiting and not pg.is_busy():
            result = pg.get_result()
            if result is None:  # the end of one statement's results, or of all
                if pg.status != CONNECTED:
                    raise psycopg.OperationalError("the connection is lost")
            elif (status := result.status) == SYNC:
                self._answer(waiting.popleft())
            elif status == SKIPPED:  # what stood in front of it failed: its Parse
                self._forget(waiting[0].statement)
            else:
                self._result = result

    def _answer(self, sent: Sent) -> None:
        answer, result = sent.answer, self._result
        self._result = None
        if answer.done():  # whoever asked has gone away
            return
        if result is None:
            answer.set_exception(psycopg.OperationalError("the statement was not answered"))
            return
        if result.status == ROWS:
            answer.set_result(result.get_value(0, 0) if result.ntuples else None)
        elif result.status == FAILED:
            self._refuse(sent, error_from_result(result))
        else:
            answer.set_result(None)

    def _refuse(self, sent: Sent, error: psycopg.Error) -> None:
        if isinstance(error, STALE) and not sent.prepares:
            self._forget(sent.statement)
            self._send(sent.answer, sent.statement, sent.values)
        else:
            sent.answer.set_exception(error)

    def _forget(self, statement: Statement) -> None:
        self._prepared_bytes -= self._prepared.pop(statement.name, 0)

    async def _open(self) -> None:
        try:
            self._connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
            self._begin(self._connection.pgconn)
        except (psycopg.Error, OSError, ValueError) as error:
            self._rest()
            self._lose(error)
        finally:
            self._opening = None
        self._send_again()

    def _begin(self, pg: PGconn) -> None:
        pg.nonblocking = 1
        pg.enter_pipeline_mode()
        self._pg, self._socket = pg, pg.socket
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._read)
        self._looking = loop.call_later(SECONDS_TO_LOOK, self._look)

    def _send_again(self) -> None:
        """Send what was waiting for the connection, unless whoever asked has gone away."""
        requests = list(self.waiting)
        self.waiting.clear()
        for answer, statement, values, _ in requests:
            if not answer.done():
                self._send(answer, statement, values)

    def _rest(self) -> None:
        """Be chosen last for a while: a lane that cannot connect looks the least busy, and would fail the most."""
        self.handicap = 1000
        self._resting = asyncio.get_running_loop().call_later(SECONDS_TO_REST, self._rested)

    def _rested(self) -> None:
        self.handicap = 0

    def _lose(self, error: Exception) -> None:
        """Give up the connection: nobody can know what became of the statements under way."""
        if self._pg is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
        if self._looking is not None:
            self._looking.cancel()
        if self._connection is not None:
            self._connection.pgconn.finish()
        self._connection = self._pg = self._result = None
        self._is_writing = False
        self._prepared.clear()
        self._prepared_bytes = 0
        while self.waiting:
            answer = self.waiting.popleft().answer
            if not answer.done():
                answer.set_exception(psycopg.OperationalError(str(error)))


class Lanes:
    """Some lanes, each opened when it is first needed."""

    def __init__(self, conninfo: str, count: int) -> None:
        self._lanes = [Lane(conninfo) for _ in range(count)]

    def run(self, statement: Statement, values: Values) -> Answer:
        """Run one statement where the fewest wait."""
        lane = min(self._lanes, key=_burden)
        if len(lane.waiting) >= MOST_WAITING:
            raise psycopg.OperationalError("too many statements are waiting")
        return lane.run(statement, values)

    async def close(self) -> None:
        for lane in self._lanes:
            await lane.close()


def _burden(lane: Lane) -> int:
    return len(lane.waiting) + lane.handicap
