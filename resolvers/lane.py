"""Lanes: connections in libpq's pipeline mode, on which single statements of many requests travel without waiting."""

import asyncio
import logging
import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, QueryCanceled, error_from_result
from psycopg.pq.abc import PGconn, PGresult

from resolvers.waiting import Queue

log = logging.getLogger("holdfast.lane")
ROWS, FAILED = pq.ExecStatus.TUPLES_OK, pq.ExecStatus.FATAL_ERROR
SYNC, SKIPPED = pq.ExecStatus.PIPELINE_SYNC, pq.ExecStatus.PIPELINE_ABORTED
CONNECTED = pq.ConnStatus.OK
SQLSTATE, CANCELED = pq.DiagnosticField.SQLSTATE, b"57014"
MOST_PREPARED = 512_000  # bytes of SQL: PostgreSQL keeps a hundred times as many for their plans
MOST_SENT = 16  # statements under way on a lane: enough to keep it busy, and no more to wait behind
SECONDS_TO_REST = 1
SECONDS_TO_LOOK = 0.5
SECONDS_TO_FINISH = 0.01  # for a statement that nobody waits for: most are done before a cancellation would arrive
SECONDS_TO_CANCEL = 2
MOST_HITS = 3
# Its Parse had failed for another request, or a migration has changed the type of what it answers.
STALE = (InvalidSqlStatementName, FeatureNotSupported)


@dataclass(frozen=True)
class Statement:
    """A statement to prepare: parameters are `$1`, types come from the casts in its text, and its name is its alone."""

    name: bytes
    sql: bytes


Values = Sequence[bytes | None]
Answer = asyncio.Future[bytes | None]
BUSINESS = Statement(b"business", b"SELECT set_config('holdfast.business_id', $1, false)")


class Request(NamedTuple):
    """A statement to run for a business, or, with nobody to answer, the change to that business."""

    answer: Answer | None
    statement: Statement
    values: Values
    business: bytes
    prepares: bool = False
    hits: int = 0  # cancellations that were meant for another


class Lane:
    """One connection. Each statement has its own sync, and so is its own transaction and fails alone.

    A change of the business has its own sync, too: in the statement's it would be taken back with it. If it fails, what
    stands behind it still runs, for the business before. So a statement names its business as well: it finds nothing
    there, the policies refuse what it writes, and what it answers is thrown away with the connection.
    """

    def __init__(self, conninfo: str, queue: Queue[Request] | None = None, most_prepared: int = MOST_PREPARED) -> None:
        self.waiting: deque[Request] = deque()
        self.handicap = 0  # counts as so many waiting requests
        self.business = b""  # what the last statement that was sent runs for
        self._conninfo = conninfo
        self._queue = Queue[Request]() if queue is None else queue
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
        self._minding: asyncio.TimerHandle | None = None
        self._cancelling: asyncio.Task[None] | None = None
        self._endangered: set[Answer | None] = set()  # what a cancellation may hit by mistake
        self._shots = 0  # cancellations that have hit nothing yet

    def run(self, statement: Statement, values: Values, business: bytes = b"") -> Answer:
        """Send one statement, or let it wait for room; the answer is the first column of its first row, or None."""
        for value in values:
            if value is not None and b"\0" in value:
                raise ValueError("A value holds the character NUL, and libpq would cut it there.")
        answer: Answer = asyncio.get_running_loop().create_future()
        request = Request(answer, statement, values, business)
        if len(self.waiting) < MOST_SENT and not self._queue.waiting and self._cancelling is None:
            self._send(request)
        else:
            self._queue.put(answer, request)
            self._fill()
        return answer

    def mind(self) -> None:
        """Cancel the statement at work, if nobody waits for it and it does not end by itself."""
        if self._pg is None or not self.waiting or self._minding is not None or self._cancelling is not None:
            return
        head = self.waiting[0]
        if head.answer is not None and head.answer.cancelled():
            self._minding = asyncio.get_running_loop().call_later(SECONDS_TO_FINISH, self._cancel, head)

    async def close(self) -> None:
        """Let go of the connection, and of whoever waits. The next run would connect again."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
            self._opening = None
        if self._resting is not None:
            self._resting.cancel()
        cancelling = self._cancelling
        self._lose(psycopg.OperationalError("the lane was closed"))
        self._queue.clear("the lane was closed")
        if cancelling is not None:
            await asyncio.wait([cancelling])

    def _fill(self) -> None:
        """Take from the queue what there is room for."""
        while self._queue.waiting and len(self.waiting) < MOST_SENT and self._cancelling is None:
            self._send(self._queue.take())

    def _send(self, request: Request) -> None:
        pg = self._pg
        if pg is None:
            self.waiting.append(request)
            if self._opening is None:
                self._queue.takers.add(self)
                self._opening = asyncio.create_task(self._open())
            return
        try:
            if request.business != self.business:
                self._put(pg, Request(None, BUSINESS, (request.business,), request.business))
                self.business = request.business
            self._put(pg, request)
            if not self._is_writing and pg.flush():
                self._is_writing = True
                asyncio.get_running_loop().add_writer(self._socket, self._write)
        except psycopg.Error as error:
            self._lose(error)

    def _put(self, pg: PGconn, request: Request) -> None:
        statement = request.statement
        if statement.name in self._prepared:
            self.waiting.append(request)
            self._prepared.move_to_end(statement.name)
        else:
            self.waiting.append(request._replace(prepares=True))
            self._prepare(pg, statement)
        pg.send_query_prepared(statement.name, request.values)
        pg.pipeline_sync()

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
        if self._queue.waiting:
            self._fill()
        if waiting:
            self.mind()

    def _answer(self, sent: Request) -> None:
        answer, result = sent.answer, self._result
        self._result = None
        if answer is None:
            if result is None or result.status != ROWS:
                raise psycopg.OperationalError("the business of a lane could not be changed")
            return
        if answer.done():  # whoever asked has gone away
            if self._endangered and result is not None and result.error_field(SQLSTATE) == CANCELED:
                self._was_hit()
            return
        if result is None:
            answer.set_exception(psycopg.OperationalError("the statement was not answered"))
            return
        if result.status == ROWS:
            answer.set_result(result.get_value(0, 0) if result.ntuples else None)
        elif result.status == FAILED:
            self._refuse(sent, answer, error_from_result(result))
        else:
            answer.set_result(None)

    def _refuse(self, sent: Request, answer: Answer, error: psycopg.Error) -> None:
        if isinstance(error, STALE) and not sent.prepares:
            self._forget(sent.statement)
            self._send(sent)
        elif isinstance(error, QueryCanceled) and answer in self._endangered and sent.hits < MOST_HITS:
            self._was_hit()
            self._send(sent._replace(prepares=False, hits=sent.hits + 1))  # all of it was taken back
        else:
            answer.set_exception(error)

    def _cancel(self, sent: Request) -> None:
        self._minding = None
        if self._connection is None or not self.waiting or self.waiting[0] is not sent:
            self.mind()
            return
        waiting = {each.answer for each in self.waiting}
        self._shots = 1 if self._endangered.isdisjoint(waiting) else self._shots + 1
        self._endangered = waiting
        self._cancelling = asyncio.create_task(self._cancelled(self._connection))

    def _was_hit(self) -> None:
        """Count a cancellation that has found a statement: it does not hit another one."""
        self._shots -= 1
        if not self._shots:
            self._endangered.clear()

    async def _cancelled(self, connection: AsyncConnection) -> None:
        """Have the database cancel what is at work. Nothing is sent meanwhile, so nothing else is in danger."""
        try:
            await connection.cancel_safe(timeout=SECONDS_TO_CANCEL)
        except (psycopg.Error, OSError) as error:
            log.warning("a statement could not be cancelled", extra={"fault": type(error).__name__})
        self._cancelling = None
        self._fill()
        self.mind()

    def _forget(self, statement: Statement) -> None:
        self._prepared_bytes -= self._prepared.pop(statement.name, 0)

    async def _open(self) -> None:
        try:
            self._connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
            self._begin(self._connection.pgconn)
        except (psycopg.Error, OSError, ValueError) as error:
            self._opening = None
            self._rest()
            self._lose(error)
        else:
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
        for request in requests:
            if request.answer is not None and not request.answer.done():
                self._send(request)
        self._fill()

    def _rest(self) -> None:
        """Be chosen last for a while: a lane that cannot connect looks the least busy, and would fail the most."""
        self.handicap = 1000
        self._resting = asyncio.get_running_loop().call_later(SECONDS_TO_REST, self._rested)

    def _rested(self) -> None:
        self.handicap = 0
        self._fill()

    def _lose(self, error: Exception) -> None:
        """Give up the connection: nobody can know what became of the statements under way."""
        was_connected = self._pg is not None
        self._disconnect()
        while self.waiting:
            answer = self.waiting.popleft().answer
            if answer is not None and not answer.done():
                answer.set_exception(psycopg.OperationalError(str(error)))
        self._queue.takers.discard(self)
        if was_connected:
            asyncio.get_running_loop().call_soon(self._fill)
        elif not self._queue.takers:
            self._queue.clear(str(error))

    def _disconnect(self) -> None:
        if self._pg is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
        for doing in (self._looking, self._minding, self._cancelling):
            if doing is not None:
                doing.cancel()
        if self._connection is not None:
            self._connection.pgconn.finish()
        self._connection = self._pg = self._result = self._minding = self._cancelling = None
        self._is_writing = False
        self._prepared.clear()
        self._prepared_bytes = 0
        self._endangered.clear()
        self.business = b""


class Lanes:
    """Some lanes, each opened when it is first needed, and one queue for what none of them has room for."""

    def __init__(self, conninfo: str, count: int, queue: Queue[Request] | None = None) -> None:
        self._queue = Queue[Request]() if queue is None else queue
        self._lanes = [Lane(conninfo, self._queue) for _ in range(count)]

    def run(self, statement: Statement, values: Values, business: bytes = b"") -> Answer:
        """Run one statement for a business where the fewest wait, and best where it would change nothing."""
        least, best = sys.maxsize, self._lanes[0]
        for lane in self._lanes:
            burden = 2 * (len(lane.waiting) + lane.handicap) + (lane.business != business)
            if burden < least:
                least, best = burden, lane
        return best.run(statement, values, business)

    def abandon(self, answer: Answer) -> None:
        """Nobody waits for it any more: what was not sent is forgotten, and what is at work is cancelled."""
        if not self._queue.drop(answer):
            for lane in self._lanes:
                lane.mind()

    async def close(self) -> None:
        for lane in self._lanes:
            await lane.close()
