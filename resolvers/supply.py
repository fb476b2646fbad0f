"""Supply: changing what a business offers, and publishing, in the same transaction, what follows from it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Record, edit
from models.business import new_id
from models.edit import Values
from models.idempotency_key import Key, complete, remember
from models.node_id import noun
from models.refusal import AlreadyExists, Busy, Forbidden, InUse, NotFound, VersionConflict
from models.relation import rows
from models.viewer import Sight
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.generation import Outcome, republish
from resolvers.idempotency import read_key, replayed
from resolvers.writes import Request


@dataclass(frozen=True)
class Written:
    """What a change has written, and whose future follows from it; only between two local dates, if they are told."""

    row: Row[Any] | None
    key: UUID
    providers: Sequence[UUID] = ()
    dates: tuple[date, date] | None = None


@dataclass(frozen=True)
class Supplied:
    """What came of a change: its row (none, if it was deleted), what was published for it, and what was proposed then."""

    row: Row[Any] | None
    key: UUID
    outcome: Outcome = field(default_factory=Outcome)
    proposals: tuple[UUID, ...] = ()
    without_proposal: int = 0


class Session:
    """One change under way: whatever a `Change` needs to look things up and to write them."""

    def __init__(self, context: Context, statements: Statements, made: UUID | None) -> None:
        self.context, self.statements, self.made = context, statements, made
        self.viewer = context.viewer

    async def create(self, record: type[Record], values: Values) -> Row[Any]:
        """Write a new thing; under the id that its idempotency key has on record, if it has one."""
        statement = edit.create(record, self.viewer, values, self.context.authored(), self.made)
        row = await self.statements.row(statement)
        assert row is not None
        return row

    async def change(self, record: type[Record], key: UUID, expected_version: int, values: Values) -> Row[Any]:
        """Change a thing, or say why not."""
        asked = (key, expected_version)
        row = await self.statements.row(edit.change(record, self.viewer, asked, values, self.context.authored()))
        return row if row is not None else await self._refuse(record, key, expected_version)

    async def remove(self, record: type[Record], key: UUID, expected_version: int | None) -> Row[Any]:
        """Delete a thing, or say why not."""
        asked = (key, expected_version)
        row = await self.statements.row(edit.remove(record, self.viewer, asked, self.context.authored()))
        return row if row is not None else await self._refuse(record, key, expected_version)

    async def need(self, record: type[Record], key: UUID | None, *path: str | int) -> Row[Any] | None:
        """Find a thing that is referred to, so that it stays; nothing, if nothing is."""
        if key is None:
            return None
        row = await self.statements.row(edit.pinned(record, self.viewer, key))
        if row is None:
            raise NotFound(*path, noun=noun(record.__name__))
        return row

    def own(self, provider_id: UUID, *path: str | int) -> None:
        """Refuse a PROVIDER who would change what is another's."""
        if self.viewer.sight is Sight.PROVIDER and provider_id != self.viewer.person_id:
            raise Forbidden(*path, problem="These are another provider's times; a PROVIDER changes their own.")

    async def _refuse(self, record: Any, key: UUID, expected_version: int | None) -> Row[Any]:
        found = await self.statements.row(rows(record, self.viewer).where(record.id == key))
        if found is None:
            raise NotFound("id", noun=noun(record.__name__))
        if expected_version is not None and found.version != expected_version:
            raise VersionConflict("expectedVersion", current_version=found.version)
        raise Busy


@dataclass(frozen=True)
class Change:
    """How a mutation changes what is supplied; `unique` is the field that no two of them have in common.

    A `wide` one decides about times of providers whom it does not name: nobody makes a rule meanwhile. What is done
    `after` it, once it stands, is done again when it is asked for again.
    """

    name: str
    record: type[Record]
    write: Callable[[Session, Any], Awaitable[Written]]
    unique: str = ""
    wide: bool = False
    after: Callable[[Context, Any, Supplied], Awaitable[Supplied]] | None = None

    @property
    def deletes(self) -> bool:
        return self.name.endswith("Delete")


async def supplied(context: Context, change: Change, request: Request) -> Supplied:
    """Change what is supplied and publish what follows, all of it or nothing; once for each idempotency key."""
    key = read_key(context, change.name, request.wanted, request.idempotency_key)

    async def work(statements: Statements) -> Supplied:
        return await _supplied(Session(context, statements, None), change, request.wanted, key)

    try:
        done = await context.database.transaction(work)
    except (NotFound, InUse) as refused:
        if change.deletes and not refused.field:  # a foreign key said so
            raise InUse("id") from None
        raise
    except AlreadyExists as refused:
        raise AlreadyExists(*(refused.field or filter(None, [change.unique]))) from None
    context.loaders.forget()
    return done if change.after is None else await change.after(context, request.wanted, done)


async def _supplied(session: Session, change: Change, wanted: Any, key: Key | None) -> Supplied:
    """The key comes first: of two twins at once, the later one waits there, and then changes nothing."""
    context, statements = session.context, session.statements
    await statements.rows(edit.take_turns(session.viewer, wide=change.wide))
    if key is not None:
        made = await statements.row(new_id())
        assert made is not None
        session.made = made.id
        if await statements.row(remember(key, made.id, None)) is None:
            return await _again(session, change, key)
    written = await change.write(session, wanted)
    outcome = await republish(context, statements, written.providers, written.dates)
    if key is not None:
        await statements.rows(complete(key, written.key, outcome.to_json()))
    return Supplied(written.row, written.key, outcome)


async def _again(session: Session, change: Change, key: Key) -> Supplied:
    first = await replayed(session.context, session.statements, key)
    if first is None:
        raise Busy
    record: Any = change.record
    row = await session.statements.row(rows(record, session.viewer).where(record.id == first.result_id))
    if row is None and not change.deletes:
        raise NotFound(noun=noun(record.__name__))
    return Supplied(row, first.result_id, Outcome.from_json(first.result))
