"""Root fields: how a list, a thing that is found by its id, and a mutation are declared."""

from typing import Annotated, Any

import strawberry

from models import Record
from models.relation import Listing
from resolvers.nodes import sought_one
from resolvers.writes import Write
from schema.access import Allowed
from schema.connection import PAGED, maybe, page_of
from schema.cost import Cost, ListSize
from schema.declaration import Found, Listed, Written
from schema.error import Refusing

KEY = "Sent again under the same key, a request is answered again (as things stand by then), not done again. Kept for 24 hours."
Search = Annotated[
    str | None,
    strawberry.argument(description="Looked for in names, and in email addresses by whoever may read them, as it is."),
]
Limit = Annotated[int | None, strawberry.argument(description="For numbered pages, instead of cursors: 1 to 100.")]
Offset = Annotated[int | None, strawberry.argument(description="For numbered pages: how many to pass over.")]


def listing(of: Listing, description: str, *rules: Allowed, size: ListSize = PAGED) -> Any:
    """Declare a list at the root; the function reads its arguments."""
    return strawberry.field(
        graphql_type=page_of(of.target.__name__),
        description=description,
        extensions=[Listed(of)],
        directives=[size, *rules],
    )


def found(record: type[Record], description: str, *rules: Allowed) -> Any:
    """Declare a thing that is found by its id."""

    def key(id: strawberry.ID) -> Any:  # noqa: A002
        return sought_one(record, id)

    return strawberry.field(
        resolver=key,
        graphql_type=maybe(record.__name__),
        description=description,
        extensions=[Found()],
        directives=rules,
    )


WRITES = Cost(weight="10")


def mutation(description: str, *rules: Allowed, cost: Cost = WRITES) -> Any:
    """Declare a mutation. Each has a Refusing of its own, which keeps the field whose payload it makes."""
    return strawberry.mutation(description=description, extensions=[Refusing()], directives=[cost, *rules])


def writing(write: Write, payload: type, description: str, *rules: Allowed) -> Any:
    """Declare a mutation that one statement makes; the function reads what is asked for."""
    return strawberry.mutation(
        graphql_type=payload,
        description=description,
        extensions=[Written(write), Refusing()],
        directives=[WRITES, *rules],
    )
