"""Connections: a list whose page, count and cursors are read only when the document asks for them."""

from asyncio import Future, ensure_future
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select

from models.page import Order, Page, Slice, cursor, cut, select_page
from models.relation import Many
from resolvers.context import Context


@dataclass(frozen=True)
class Edge:
    """A row and where it stands in the list."""

    node: Row[Any]
    cursor: str


class Connection:
    """A page of a list. The page is read once, whichever of its fields are selected."""

    def __init__(
        self, name: str, order: Order, page: Callable[[], Awaitable[Slice]], count: Callable[[], Awaitable[int]]
    ) -> None:
        self.name = name
        self.order = order
        self.count = count
        self._page = page
        self._slice: Future[Slice] | None = None

    async def slice(self) -> Slice:
        if self._slice is None:
            self._slice = ensure_future(self._page())
        return await self._slice

    async def nodes(self) -> Sequence[Row[Any]]:
        return (await self.slice()).rows

    async def edges(self) -> list[Edge]:
        return [Edge(row, self.cursor(row)) for row in await self.nodes()]

    def cursor(self, row: Row[Any]) -> str:
        return cursor(row, self.order, self.name)


def related(context: Context, relation: Many, parent: UUID, page: Page) -> Connection:
    """The list that a relation leads to from one row; all rows of a page share its statement."""
    return Connection(
        relation.name,
        relation.order,
        lambda: context.loaders.many(relation, page, parent),
        lambda: context.loaders.count(relation, parent),
    )


@dataclass(frozen=True)
class Listing:
    """A list at the root: its name, what it selects and in which order."""

    name: str
    target: Any
    statement: Select[Any]
    order: Order


def listed(context: Context, listing: Listing, page: Page) -> Connection:
    """The page of a list at the root."""
    statement = select_page(listing.statement, listing.target, listing.order, page, listing.name)

    async def load() -> Slice:
        return cut(await context.database.rows(statement), page)

    async def count() -> int:
        row = await context.database.row(select(func.count().label("total")).select_from(listing.statement.subquery()))
        return 0 if row is None else int(row.total)

    return Connection(listing.name, listing.order, load, count)
