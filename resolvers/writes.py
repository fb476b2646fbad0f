"""Writes: mutations that one statement makes; no row means no, and why is read only then."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select

from models import Record, event
from models.idempotency_key import Key
from models.node_id import term
from models.viewer import Viewer
from resolvers.context import Context
from resolvers.idempotency import once, read_key
from resolvers.prepared import Prepared, prepared


@dataclass(frozen=True)
class Write:
    """How a mutation writes a row of `record`, and what is answered or refused `otherwise`."""

    name: str
    record: type[Record]
    statement: Callable[[Viewer, Any, Key | None, ColumnElement[bool]], Select[Any]]
    otherwise: Callable[[Context, Any, Key | None], Awaitable[Row[Any]]] | None = None

    @property
    def noun(self) -> str:
        return term(self.record.__name__)

    def prepared(self, context: Context, wanted: Any, key: Key | None) -> Prepared:
        return prepared(self._build, context.viewer, wanted, key, context.request_id)

    def _build(self, viewer: Viewer, wanted: Any, key: Key | None, request_id: str) -> Select[Any]:
        return self.statement(viewer, wanted, key, event.authored(viewer.principal, request_id))


@dataclass(frozen=True)
class Request:
    """What a mutation is asked for, and the key it is asked under."""

    wanted: Any
    idempotency_key: str | None

    def key(self, context: Context, write: Write) -> Key | None:
        return read_key(context, write.name, self.wanted, self.idempotency_key)


async def written(context: Context, write: Write, request: Request) -> Row[Any] | None:
    """Write a row, or answer the one that was written when its key was first used."""
    key = request.key(context, write)
    row = await once(context, write.prepared(context, request.wanted, key), key, write.record)
    if row is None and write.otherwise is not None:
        return await write.otherwise(context, request.wanted, key)
    return row
