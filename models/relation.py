"""Relations: how one type leads to another, declared as data, so that both executors read the same declaration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    TableValuedAlias,
    Uuid,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from models.page import Listed, Order, Page, select_page
from models.record import Record, columns
from models.viewer import Viewer

# In words: SQLAlchemy would read the column's table once more inside an EXISTS, and match the children of all parents.
PARENT: ColumnElement[UUID] = literal_column("parent.id", Uuid)


@dataclass(frozen=True)
class One:
    """A link to one row of `target`, whose id stands in the column `key` of the row it starts from."""

    name: str
    target: type[Record]
    key: str


@dataclass(frozen=True)
class Many:
    """A link to a list: the rows of `base` (else of `target`) that are `on` the row it starts from, in `order`."""

    name: str
    target: type[Record]
    on: Callable[[ColumnElement[UUID]], ColumnElement[bool]]
    order: Order
    base: Callable[[Viewer], Select[Any]] | None = None

    @property
    def listed(self) -> Listed:
        return Listed(self.name, self.target, self.order)

    def select(self, viewer: Viewer) -> Select[Any]:
        """Select every row that the list could contain for a viewer."""
        return self.base(viewer) if self.base else rows(self.target, viewer)


@dataclass(frozen=True)
class Listing:
    """A list at the root: the rows of `target` that `select` finds for a viewer and what is wanted."""

    name: str
    target: type[Record]
    select: Callable[[Viewer, Any], Select[Any]]

    def listed(self, order: Order) -> Listed:
        return Listed(self.name, self.target, order)


@dataclass(frozen=True)
class Tally:
    """A short list at the root of what no table has: what `select` counts for a viewer and what is wanted, by `order`."""

    name: str
    order: str
    select: Callable[[Viewer, Any], Select[Any]]


@dataclass(frozen=True)
class Asked:
    """What a document asks of a listing: what it is narrowed to, and which page of it."""

    fixed: ClassVar[tuple[str, ...]] = ()

    wanted: Any
    page: Page


def rows(target: Any, viewer: Viewer) -> Select[Any]:
    """Select the rows of a table that a viewer sees: what is not selected by this is not theirs."""
    return select(*columns(target)).where(target.visible_to(viewer))


def select_ones(target: Any, viewer: Viewer, ids: Sequence[UUID]) -> Select[Any]:
    """Select the rows of a table that have these ids, in one statement."""
    return rows(target, viewer).where(target.id == func.any(_array(ids)))


def select_manys(relation: Many, viewer: Viewer, ids: Sequence[UUID], page: Page) -> Select[Any]:
    """Select the page of each list of a whole page of parents, in one statement; `parent_id` tells whose a row is."""
    parent = _parents(ids)
    child = select_page(relation.select(viewer).where(relation.on(PARENT)), page).lateral("child")
    return select(parent.c.id.label("parent_id"), *child.c).join_from(parent, child, true())


def count_manys(relation: Many, viewer: Viewer, ids: Sequence[UUID]) -> Select[Any]:
    """Count each list of a whole page of parents, in one statement."""
    parent = _parents(ids)
    counted = count(relation.select(viewer).where(relation.on(PARENT))).lateral("counted")
    return select(parent.c.id.label("parent_id"), counted.c.total).join_from(parent, counted, true())


def count(selection: Select[Any]) -> Select[Any]:
    """Count a whole list."""
    return selection.with_only_columns(func.count().label("total"), maintain_column_froms=True)


def _parents(ids: Sequence[UUID]) -> TableValuedAlias:
    return func.unnest(_array(ids)).table_valued(column("id", Uuid)).render_derived(name="parent")


def _array(ids: Sequence[UUID]) -> ColumnElement[Any]:
    return bindparam("ids", list(ids), type_=ARRAY(Uuid))
