"""Node: everything that has an id (Relay's Global Object Identification)."""

from typing import Any

import strawberry
from graphql import GraphQLAbstractType, GraphQLResolveInfo

from schema.declaration import Identity


@strawberry.interface(description="Something that can be found again by its id.")
class Node:
    id: strawberry.ID = strawberry.field(description="An opaque id, unique over all types.", extensions=[Identity()])

    @classmethod
    def resolve_type(cls, obj: Any, _info: GraphQLResolveInfo[Any], _type: GraphQLAbstractType) -> str:
        """Rows do not know their type; whoever answers a Node wraps them in something that does."""
        name: str = obj.type_name
        return name

    @classmethod
    def is_type_of(cls, _obj: Any, _info: GraphQLResolveInfo[Any]) -> bool:
        """A field of a concrete type answers rows of that type."""
        return True
