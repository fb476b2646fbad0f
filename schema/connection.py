"""Connections and links: how the fields that lead to other types are declared, from relations (Relay's conventions)."""

from typing import Annotated, Any, Generic, TypeVar

import strawberry

from models.node_id import term
from models.page import DEFAULT_SIZE, Page
from models.relation import Many, One
from models.wall import wall
from resolvers import connections
from resolvers.context import Zoned
from schema.access import EVERYBODY, Allowed
from schema.cost import Cost, ListSize
from schema.declaration import FirstOf, Info, InZone, Linked, Personal, Related, SameAs
from schema.scalars import LocalDateTime, TimeZone

__all__ = ["Info"]

T = TypeVar("T")

First = Annotated[int | None, strawberry.argument(description="The first so many, 1 to 100; 20 unless told.")]
After = Annotated[str | None, strawberry.argument(description="Only what comes after this cursor.")]
Last = Annotated[int | None, strawberry.argument(description="The last so many, 1 to 100, instead of the first.")]
Before = Annotated[str | None, strawberry.argument(description="Only what comes before this cursor.")]


def lazy(name: str) -> Any:
    """Name a type that is declared in the module of its noun, so that types may lead to each other."""
    return Annotated[name, strawberry.lazy(f"schema.{term(name)}")]


def maybe(name: str) -> Any:
    """Name such a type where there may be nothing."""
    return lazy(name) | None


def several(name: str) -> Any:
    """Name a plain list of such a type."""
    return list[lazy(name)]  # type: ignore[misc]


def page_of(name: str, *, optional: bool = False) -> Any:
    """Name the connection of such a type."""
    connection: Any = Connection[lazy(name)]  # type: ignore[misc]
    return connection | None if optional else connection


@strawberry.type(description="Where a page stands in its list.", directives=[EVERYBODY])
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether the list goes on after this page.")
    has_previous_page: bool = strawberry.field(description="Whether the list began before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first row.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last row.")


@strawberry.type(description="A row of a page.", directives=[EVERYBODY])
class Edge(Generic[T]):
    node: T = strawberry.field(description="The row itself.")
    cursor: str = strawberry.field(description="Its place in the list, for `after` and `before`.")


@strawberry.type(description="A page of a list.", directives=[EVERYBODY])
class Connection(Generic[T]):
    @strawberry.field(description="The rows with their cursors.")
    async def edges(root: strawberry.Parent[connections.Connection]) -> list[Edge[T]]:  # noqa: N805
        return await root.edges()  # type: ignore[return-value]

    @strawberry.field(description="The rows.")
    async def nodes(root: strawberry.Parent[connections.Connection]) -> list[T]:  # noqa: N805
        return await root.nodes()  # type: ignore[return-value]

    @strawberry.field(description="Where the page stands in the list.")
    async def page_info(root: strawberry.Parent[connections.Connection]) -> PageInfo:  # noqa: N805
        page = await root.slice()
        return PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=root.cursor(page.rows[0]) if page.rows else None,
            end_cursor=root.end(page),
        )

    @strawberry.field(
        description="How long the whole list is. Counted only when selected.", directives=[Cost(weight="100")]
    )
    async def total_count(root: strawberry.Parent[connections.Connection]) -> int:  # noqa: N805
        return await root.count()


PAGED = ListSize(assumed_size=DEFAULT_SIZE, slicing_arguments=["first", "last"], sized_fields=["edges", "nodes"])
NUMBERED = ListSize(
    assumed_size=DEFAULT_SIZE, slicing_arguments=["first", "last", "limit"], sized_fields=["edges", "nodes"]
)


def many(relation: Many, description: str, *rules: Allowed) -> Any:
    """Declare a list that a relation leads to."""

    def page(first: First = None, after: After = None, last: Last = None, before: Before = None) -> Any:
        return Page.read(relation.listed, first, after, last, before)

    return strawberry.field(
        resolver=page,
        graphql_type=page_of(relation.target.__name__),
        description=description,
        extensions=[Related(relation)],
        directives=[PAGED, *rules],
    )


def one(relation: One, description: str, *rules: Allowed, optional: bool = False) -> Any:
    """Declare a link to one row."""
    named = maybe if optional else lazy
    return strawberry.field(
        graphql_type=named(relation.target.__name__),
        description=description,
        extensions=[Linked(relation)],
        directives=rules,
    )


def first_of(relation: Many, description: str, *rules: Allowed) -> Any:
    """Declare a link to the first row of a list, where there is one."""
    return strawberry.field(
        graphql_type=maybe(relation.target.__name__),
        description=description,
        extensions=[FirstOf(relation)],
        directives=rules,
    )


def same_as(column: str, description: str) -> Any:
    """Declare another name of a column."""
    return strawberry.field(description=description, extensions=[SameAs(column)])


Zone = Annotated[
    TimeZone | None,
    strawberry.argument(description="The zone that is meant; else that of the header X-Time-Zone, else UTC."),
]


def in_zone(column: str, description: str) -> Any:
    """Declare an instant of a row as a clock shows it, in the zone that is asked for, or else the caller's."""

    def read(time_zone: Zone = None) -> Any:
        return Zoned(lambda callers: wall(time_zone or callers or "UTC"))

    return strawberry.field(
        resolver=read, graphql_type=LocalDateTime, description=description, extensions=[InZone(column)]
    )


def personal(column: str, description: str) -> Any:
    """Declare a column that tells something about a person: whoever reads it is on the audit log."""
    return strawberry.field(description=description, extensions=[Personal(column)], directives=[Cost(weight="2")])
