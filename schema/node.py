"""Node: everything that has an id (Relay's Global Object Identification)."""

from typing import Any

import strawberry
from graphql import GraphQLAbstractType, GraphQLResolveInfo

from models import relations
from models.page import Page
from schema.access import EVERYBODY, MANAGERS
from schema.audit_entry import AuditEntry
from schema.connection import PAGED, After, Before, Connection, First, Last
from schema.declaration import Identity, Related


@strawberry.interface(description="Something that can be found again by its id.", directives=[EVERYBODY])
class Node:
    id: strawberry.ID = strawberry.field(
        description="An opaque id, unique over all types.", extensions=[Identity()], directives=[EVERYBODY]
    )

    @strawberry.field(
        graphql_type=Connection[AuditEntry],
        description="What was done to it, and who read what is personal of it, the newest first. "
        "That appointments were published is told of their provider.",
        extensions=[Related(relations.NODE_HISTORY)],
        directives=[PAGED, MANAGERS],
    )
    def history(self, first: First = None, after: After = None, last: Last = None, before: Before = None) -> Any:
        return Page.read(relations.NODE_HISTORY.listed, first, after, last, before)

    @classmethod
    def resolve_type(cls, obj: Any, _info: GraphQLResolveInfo[Any], _type: GraphQLAbstractType) -> str:
        """Rows do not know their type; whoever answers a Node wraps them in something that does."""
        name: str = obj.type_name
        return name

    @classmethod
    def is_type_of(cls, _obj: Any, _info: GraphQLResolveInfo[Any]) -> bool:
        """A field of a concrete type answers rows of that type."""
        return True
