"""Finding anything by its opaque id."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from models import Appointment, Business, Client, Location, Provider, Record, Reservation, Service
from models.node_id import decode, key_of
from models.page import LARGEST_SIZE
from models.record import columns
from models.refusal import InvalidInput, NotFound
from resolvers.context import Context

FOUND_BY_ID: dict[str, type[Record]] = {
    record.__name__: record for record in (Appointment, Client, Location, Provider, Reservation, Service)
}


@dataclass(frozen=True)
class Node:
    """A row that knows its type."""

    type_name: str
    row: Row[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)


async def find(context: Context, value: str, *field: str | int) -> Node:
    """Find whatever has this id; what belongs to another business is not there."""
    type_name, key = decode(value, *field)
    record = FOUND_BY_ID.get(type_name)
    row = await context.loaders.one(record, key) if record else None
    if row is None:
        raise NotFound(*field, noun="node")
    return Node(type_name, row)


def find_all(context: Context, values: Sequence[str]) -> list[Awaitable[Node]]:
    """Find whatever has these ids: each alone, so that one that is not there spoils no other."""
    if len(values) > LARGEST_SIZE:
        raise InvalidInput("ids", problem=f"{len(values)} ids are too many; {LARGEST_SIZE} are allowed.")
    return [find(context, value, "ids", n) for n, value in enumerate(values)]


async def find_one(context: Context, record: Any, value: str) -> Row[Any]:
    """Find a thing of one type by its id."""
    noun = record.__name__
    row = await context.loaders.one(record, key_of(noun, value, "id"))
    if row is None:
        raise NotFound("id", noun=noun.lower())
    return row


async def find_business(context: Context) -> Row[Any] | None:
    """Find the business of the viewer."""
    return await context.database.row(select(*columns(Business)).where(Business.id == context.business))


async def clock(context: Context) -> datetime:
    """Read the clock that all time rules go by."""
    (row,) = await context.database.rows(select(func.clock_timestamp()))
    now: datetime = row[0]
    return now
