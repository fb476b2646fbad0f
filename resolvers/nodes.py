"""Finding anything by its opaque id."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Row, func, select

from models import (
    Appointment,
    AvailabilityException,
    AvailabilityRule,
    Business,
    Client,
    Holiday,
    Location,
    Offering,
    Proposal,
    Provider,
    Record,
    Requirement,
    Reservation,
    ReservationSeries,
    Resource,
    Service,
    Skill,
    TimeOff,
    Visit,
    WaitlistEntry,
    WebhookEndpoint,
)
from models.node_id import decode, key_of, noun
from models.page import LARGEST_SIZE
from models.refusal import InvalidInput, NotFound
from resolvers.context import Context

FOUND_BY_ID: dict[str, type[Record]] = {
    record.__name__: record
    for record in (
        *(Appointment, Business, Client, Location, Provider, Reservation, Service, Skill, Resource, Requirement),
        *(Offering, AvailabilityRule, AvailabilityException, Holiday, TimeOff, WebhookEndpoint),
        *(Visit, ReservationSeries, WaitlistEntry, Proposal),
    )
}


@dataclass(frozen=True)
class Node:
    """A row that knows its type."""

    type_name: str
    row: Row[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)


@dataclass(frozen=True)
class Sought:
    """What an id names; `noun` is what is missing if nothing has it."""

    fixed: ClassVar[tuple[str, ...]] = ("type_name", "noun", "field")

    type_name: str
    key: UUID
    noun: str
    field: tuple[str | int, ...] = ("id",)


def sought(value: str, *field: str | int) -> Sought:
    """Read the id of anything."""
    type_name, key = decode(value, *field)
    if type_name not in FOUND_BY_ID:
        raise NotFound(*field, noun="node")
    return Sought(type_name, key, "node", field)


def sought_one(record: type[Record], value: str) -> Sought:
    """Read the id of a thing of one type."""
    name = record.__name__
    return Sought(name, key_of(name, value, "id"), noun(name))


async def find(context: Context, wanted: Sought) -> Node:
    """Find whatever has this id; what belongs to another business is not there."""
    row = await context.loaders.one(FOUND_BY_ID[wanted.type_name], wanted.key)
    if row is None:
        raise NotFound(*wanted.field, noun=wanted.noun)
    return Node(wanted.type_name, row)


def at_most(values: Sequence[str]) -> Sequence[str]:
    """Check how many ids are given."""
    if len(values) > LARGEST_SIZE:
        raise InvalidInput("ids", problem=f"{len(values)} ids are too many; {LARGEST_SIZE} are allowed.")
    return values


def sought_all(values: Sequence[str]) -> list[Sought]:
    """Read several ids."""
    return [sought(value, "ids", n) for n, value in enumerate(values)]


def find_all(context: Context, values: Sequence[str]) -> list[Awaitable[Node]]:
    """Find whatever has these ids: each alone, so that one that is not there spoils no other."""
    return [_find_one_of(context, value, n) for n, value in enumerate(values)]


async def _find_one_of(context: Context, value: str, n: int) -> Node:
    return await find(context, sought(value, "ids", n))


async def clock(context: Context) -> datetime:
    """Read the clock that all time rules go by."""
    (row,) = await context.database.rows(select(func.clock_timestamp()))
    now: datetime = row[0]
    return now
