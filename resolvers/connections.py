"""Connections: a list whose page, count and cursors are read only when the document asks for them."""

from asyncio import Future, ensure_future
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select

from models.page import Listed, Page, Slice, cursor, cut, select_page
from models.relation import Asked, Listing, Many, Tally, count
from resolvers.context import Context


@dataclass(frozen=True)
class Edge:
    """A row and where it stands in the list."""

    node: Row[Any]
    cursor: str


class Connection:
    """A page of a list. The page is read once, whichever of its fields are selected."""

    def __init__(self, of: Listed, page: Callable[[], Awaitable[Slice]], count: Callable[[], Awaitable[int]]) -> None:
        self.of = of
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
        return cursor(row, self.of)

    def end(self, page: Slice) -> str | None:
        return self.cursor(page.rows[-1]) if page.rows else None


def related(context: Context, relation: Many, parent: UUID, page: Page) -> Connection:
    """The list that a relation leads to from one row; all rows of a page share its statement."""
    return Connection(
        page.of,
        lambda: context.loaders.many(relation, page, parent),
        lambda: context.loaders.count(relation, parent),
    )


def listed(context: Context, listing: Listing, asked: Asked) -> Connection:
    """The page of a list at the root."""
    return selected(context, listing.select(context.viewer, asked.wanted), asked.page)


async def tallied(context: Context, tally: Tally, wanted: Any) -> Sequence[Row[Any]]:
    """What is counted at the root, in its order."""
    counted = tally.select(context.viewer, wanted)
    return await context.database.rows(counted.order_by(counted.selected_columns[tally.order]))


def selected(context: Context, statement: Select[Any], page: Page) -> Connection:
    """The page of whatever a statement selects."""

    async def load() -> Slice:
        return cut(await context.database.rows(select_page(statement, page)), page)

    async def total() -> int:
        row = await context.database.row(count(statement))
        return 0 if row is None else int(row.total)

    return Connection(page.of, load, total)
