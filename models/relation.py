"""Relations: how one type leads to another, declared as data, so that every executor reads the same declaration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
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

from models.page import Order, Page, select_page
from models.record import Record, columns

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
    base: Callable[[UUID], Select[Any]] | None = None

    def select(self, business: UUID) -> Select[Any]:
        """Select every row of the business that the list could contain."""
        return self.base(business) if self.base else rows(self.target, business)


def rows(target: Any, business: UUID) -> Select[Any]:
    """Select the rows of a table that belong to a business."""
    return select(*columns(target)).where(target.business_id == business)


def select_ones(target: Any, business: UUID, ids: Sequence[UUID]) -> Select[Any]:
    """Select the rows of a table that have these ids, in one statement."""
    return rows(target, business).where(target.id == func.any(_array(ids)))


def select_manys(relation: Many, business: UUID, ids: Sequence[UUID], page: Page) -> Select[Any]:
    """Select the page of each list of a whole page of parents, in one statement; `parent_id` tells whose a row is."""
    parent = _parents(ids)
    child = select_page(
        relation.select(business).where(relation.on(PARENT)), relation.target, relation.order, page, relation.name
    ).lateral("child")
    return select(parent.c.id.label("parent_id"), *child.c).join_from(parent, child, true())


def count_manys(relation: Many, business: UUID, ids: Sequence[UUID]) -> Select[Any]:
    """Count each list of a whole page of parents, in one statement."""
    parent = _parents(ids)
    child = relation.select(business).where(relation.on(PARENT)).with_only_columns(func.count().label("total"))
    counted = child.lateral("counted")
    return select(parent.c.id.label("parent_id"), counted.c.total).join_from(parent, counted, true())


def _parents(ids: Sequence[UUID]) -> TableValuedAlias:
    return func.unnest(_array(ids)).table_valued(column("id", Uuid)).render_derived(name="parent")


def _array(ids: Sequence[UUID]) -> ColumnElement[Any]:
    return bindparam("ids", list(ids), type_=ARRAY(Uuid))
