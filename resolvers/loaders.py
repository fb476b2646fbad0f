"""Data loaders: one for each relation and page, made from the relation's declaration; one statement for all parents."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select
from strawberry.dataloader import DataLoader

from models.page import Page, Slice, cut
from models.record import Record
from models.relation import Many, count_manys, select_manys, select_ones
from models.viewer import Viewer
from resolvers.database import Database

Batch = Callable[[list[UUID]], Coroutine[Any, Any, Sequence[Any]]]


class Loaders:
    """The loaders of one request; what they load is seen by that request only."""

    def __init__(self, database: Database, viewer: Viewer) -> None:
        self.database = database
        self.viewer = viewer
        self.made: dict[Any, DataLoader[UUID, Any]] = {}

    def one(self, target: type[Record], key: UUID) -> Awaitable[Row[Any] | None]:
        """Load a row by its id. All links to a table share its loader."""

        async def batch(ids: list[UUID]) -> Sequence[Any]:
            rows = await self.database.rows(select_ones(target, self.viewer, ids))
            found = {row.id: row for row in rows}
            return [found.get(key) for key in ids]

        return self._loader(target, batch).load(key)

    def told(
        self, name: str, select: Callable[[Viewer, Sequence[UUID]], Select[Any]], key: UUID
    ) -> Awaitable[Row[Any] | None]:
        """Load what is told of a row beside its own columns; `name` tells it from all else that is."""

        async def batch(ids: list[UUID]) -> Sequence[Any]:
            found = {row.id: row for row in await self.database.rows(select(self.viewer, ids))}
            return [found.get(key) for key in ids]

        return self._loader(name, batch).load(key)

    async def many(self, relation: Many, page: Page, parent: UUID) -> Slice:
        """Load a page of the list that a link leads to."""

        async def batch(ids: list[UUID]) -> Sequence[Slice]:
            children: defaultdict[UUID, list[Row[Any]]] = defaultdict(list)
            for row in await self.database.rows(select_manys(relation, self.viewer, ids, page)):
                children[row.parent_id].append(row)
            return [cut(children[key], page) for key in ids]

        slice_: Slice = await self._loader((relation.name, page), batch).load(parent)
        return slice_

    async def count(self, relation: Many, parent: UUID) -> int:
        """Count the whole list that a link leads to."""

        async def batch(ids: list[UUID]) -> Sequence[int]:
            rows = await self.database.rows(count_manys(relation, self.viewer, ids))
            totals = {row.parent_id: row.total for row in rows}
            return [totals[key] for key in ids]

        total: int = await self._loader((relation.name, "count"), batch).load(parent)
        return total

    def forget(self) -> None:
        """Drop what was loaded: a mutation has changed the world."""
        self.made.clear()

    def _loader(self, name: Any, batch: Batch) -> DataLoader[UUID, Any]:
        return self.made.setdefault(name, DataLoader(load_fn=batch))
