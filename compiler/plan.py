"""Plans: an operation that is compiled once, and then runs with the values of each request."""

import asyncio
import logging
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import UUID

import orjson
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, OperationType
from graphql.execution.values import VariableValues
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from compiler.arguments import Site, Variables
from compiler.json import MISSING
from compiler.road import OrdinaryRoad
from compiler.root import asked, statement
from compiler.selection import Selected, Selecting, Selection, conditions
from compiler.shape import hollow, text
from models.refusal import Refusal
from models.shape import shape
from models.viewer import Sight
from resolvers.context import Context
from resolvers.database import DatabaseFaultError, RaceLostError
from resolvers.idempotency import NO
from resolvers.lane import Statement, Values
from resolvers.recent import Recent
from schema.error import is_alone
from schema.execution import DOCUMENTS_KEPT, LARGEST_DOCUMENT_KEPT, Prepared, Question

# What all plans of a worker keep: trees of so many characters of documents (some 30 MB), and so many bytes of SQL.
CHARACTERS_KEPT, SQL_KEPT = 400_000, 2_000_000
LARGEST_STATEMENT = 32_000
ASKED_KEPT, LONGEST_QUESTION_KEPT = 8_000_000, 1_000  # bytes, as if each question had its statements for itself
log = logging.getLogger("holdfast.compiler")
LOST: tuple[type[Exception], ...] = (*NO, RaceLostError)
MISSING_BYTE = MISSING.encode()


@lru_cache
def _key(key: UUID) -> bytes:
    return str(key).encode()


Why = str  # an operation is not compiled: remembered like what was
TOLD: dict[str, Callable[[Context], bytes | None]] = {
    "business": lambda context: _key(context.business),
    "person": lambda context: None if context.viewer.person_id is None else _key(context.viewer.person_id),
    "role": lambda context: context.viewer.role.encode(),
    "principal": lambda context: context.viewer.principal.encode(),
    "request": lambda context: context.request_id.encode(),
}
NUMBERS = count()
HOLE = re.compile(r"v\d+")
DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Compiled:
    """The statement of one root field, or the text that it always is.

    A parameter's value is asked for (a number: the how many-th), told by the request (its name), or always the same.
    """

    prefix: bytes
    constant: bytes = b""
    statement: Statement | None = None
    parameters: tuple[int | str | bytes | None, ...] = ()

    @property
    def size(self) -> int:
        return len(self.statement.sql) if self.statement else 0

    def values(self, asked_with: Values, context: Context) -> Values:
        return [
            asked_with[source]
            if isinstance(source, int)
            else TOLD[source](context)
            if isinstance(source, str)
            else source
            for source in self.parameters
        ]


@dataclass(eq=False)
class Tree:
    """The selection of an operation for one outcome of its conditions."""

    selection: Selection
    sites: list[Site]
    characters: int  # of the document, whose every token is kept with any node of it
    number: int = field(default_factory=lambda: next(NUMBERS))

    def read(self, variables: VariableValues, context: Context) -> list[Any]:
        """Read what every site asks for."""
        values = [context.located(site.read(variables)) for site in self.sites]
        for root in self.selection:
            if root.site is not None:
                values[root.site] = asked(root, values[root.site], context)
        return values

    def compiled(self, values: list[Any], sight: Sight) -> "list[Compiled] | Why":
        """Make the statements for all values of this shape, and all viewers who see as much."""
        holes: list[Any] = []
        try:
            hollowed = [hollow(value, holes) for value in values]
            return [_compiled(n, root, statement(root, hollowed, sight)) for n, root in enumerate(self.selection)]
        except OrdinaryRoad as why:
            return str(why)


Ready = tuple[list[Compiled], Values]


class Memory:
    """What the plans of a worker keep together: a tree for each outcome, and statements for each shape of values.

    The keys are numbers: a plan, or a tree, would be kept alive by what it has made.
    """

    def __init__(self) -> None:
        self.trees: Recent[tuple[int, Hashable], Tree | Why] = Recent(
            CHARACTERS_KEPT, lambda tree: 100 if isinstance(tree, Why) else tree.characters
        )
        self.statements: Recent[tuple[int, Sight, Hashable], list[Compiled] | Why] = Recent(
            SQL_KEPT, lambda made: 100 if isinstance(made, Why) else sum(100 + one.size for one in made)
        )
        self.asked: Recent[tuple[int, Sight, str | None, bytes], Ready] = Recent(
            ASKED_KEPT, lambda ready: LONGEST_QUESTION_KEPT + sum(one.size for one in ready[0])
        )


class Plan:
    """An operation, compiled as far as it was needed so far."""

    def __init__(
        self, document: DocumentNode, operation: OperationDefinitionNode, memory: Memory | None = None
    ) -> None:
        self.document = document
        self.operation = operation
        self.memory = memory or Memory()
        self.number = next(NUMBERS)
        self.writes = operation.operation is OperationType.MUTATION
        self.variables = Variables(operation)
        self.conditions = conditions(document)

    async def run(self, given: dict[str, Any], context: Context) -> bytes:
        """Answer a request: the text of the whole answer, which has no errors."""
        compiled, asked_with = self.ready(given, context)
        texts = iter(_whole(await _texts(compiled, asked_with, context), written=self.writes))
        parts = b"".join([one.prefix + (next(texts) if one.statement else one.constant) for one in compiled])
        return b'{"data":{%b}}' % parts

    def ready(self, given: dict[str, Any], context: Context) -> Ready:
        """Find the statements for a request, and the values that it asks with, as text.

        A query that was asked before with the same variables, in the same zone, asks for the same: they are not read again.
        """
        if self.writes:
            return self._ready(given, context)
        try:
            sent = orjson.dumps(given)
        except TypeError:
            raise OrdinaryRoad("its variables are refused") from None
        if len(sent) > LONGEST_QUESTION_KEPT:
            return self._ready(given, context)
        key = (self.number, context.viewer.sight, context.time_zone, sent)
        return self.memory.asked.found(key, lambda: self._ready(given, context))

    def _ready(self, given: dict[str, Any], context: Context) -> Ready:
        variables = self.variables.read(given)
        outcome = tuple([variables.coerced.get(name) for name in self.conditions])
        try:
            tree = self.memory.trees.found((self.number, outcome), lambda: self._selected(variables))
            if isinstance(tree, Why):
                raise OrdinaryRoad(tree)
            values = tree.read(variables, context)
        except (Refusal, GraphQLError) as refused:
            raise OrdinaryRoad("its arguments are refused") from refused
        asked_with: list[Any] = []
        sight = context.viewer.sight
        key = tuple([shape(value, asked_with) for value in values])
        compiled = self.memory.statements.found((tree.number, sight, key), lambda: tree.compiled(values, sight))
        if isinstance(compiled, Why):
            raise OrdinaryRoad(compiled)
        try:
            return compiled, [text(value) for value in asked_with]
        except ValueError:
            raise OrdinaryRoad("a value that no text can carry") from None

    def _selected(self, variables: VariableValues) -> Tree | Why:
        if self.writes and not is_alone(self.operation):
            return "several mutations are written one after the other"
        selecting = Selecting(self.document, variables)
        try:
            selection = selecting.root(self.operation)
        except OrdinaryRoad as why:
            return str(why)
        return Tree(selection, selecting.sites, _length(self.document))


class Plans:
    """The plans of the documents that were asked last."""

    def __init__(self) -> None:
        self.kept: Recent[tuple[str, str | None], Plan] = Recent(DOCUMENTS_KEPT)
        self.memory = Memory()

    @property
    def found(self) -> int:
        return self.kept.hits

    @property
    def made(self) -> int:
        return self.kept.misses

    def find(self, question: Question, prepared: Prepared) -> Plan:
        """Find the plan of a valid document, or make it."""
        document, operation = prepared.document, prepared.operation
        if document is None or operation is None:
            raise OrdinaryRoad("the document is refused")
        if len(question.document) > LARGEST_DOCUMENT_KEPT:
            raise OrdinaryRoad(f"it is longer than {LARGEST_DOCUMENT_KEPT:,} characters")
        key = (question.document, question.operation_name)
        return self.kept.found(key, lambda: Plan(document, operation, self.memory))


async def _texts(compiled: list[Compiled], asked_with: Values, context: Context) -> list[bytes | None]:
    try:
        calls = [(one.statement, one.values(asked_with, context)) for one in compiled if one.statement]
        running = [context.database.text(statement, values) for statement, values in calls]
        return [await running[0]] if len(running) == 1 else await asyncio.gather(*running)
    except ValueError:
        raise OrdinaryRoad("a value that no text can carry") from None
    except LOST:
        raise OrdinaryRoad("the rules say no, or somebody was faster") from None
    except Refusal as refused:
        raise OrdinaryRoad("the database did not answer", refused) from None
    except DatabaseFaultError as fault:
        log.warning("a compiled statement failed", extra={"request_id": context.request_id, "fault": str(fault)})
        raise OrdinaryRoad("its statement failed") from None


def _whole(texts: list[bytes | None], *, written: bool) -> list[bytes]:
    """Make sure that nothing is missing in an answer; a row that was written is not written again for that."""
    whole = [found for found in texts if found is not None and MISSING_BYTE not in found]
    if len(whole) < len(texts):
        lacks = written and texts != [None]
        fault = DatabaseFaultError("a row that was written lacks what must not be null") if lacks else None
        raise OrdinaryRoad("there is nothing to answer, or something is missing in it", fault)
    return whole


def _length(document: DocumentNode) -> int:
    return len(document.loc.source.body) if document.loc else 0


def _compiled(n: int, root: Selected, select: Select[Any] | None) -> Compiled:
    prefix = f'{"," if n else ""}"{root.key}":'.encode()
    if select is None:
        return Compiled(prefix, f'"{root.parent}"'.encode())
    compiled = select.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
    sql = compiled.string.encode()
    if len(sql) > LARGEST_STATEMENT:
        raise OrdinaryRoad(f"a root field needs more than {LARGEST_STATEMENT:,} bytes of SQL")
    parameters = tuple(_source(name, compiled.params[name]) for name in compiled.positiontup or ())
    name = sha256(sql).hexdigest()[:32].encode()
    return Compiled(prefix, statement=Statement(name, sql), parameters=parameters)


def _source(name: str, value: Any) -> int | str | bytes | None:
    if name in TOLD:
        return name
    return int(name[1:]) if HOLE.fullmatch(name) else text(value)
