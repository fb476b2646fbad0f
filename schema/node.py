"""Node: everything that has an id (Relay's Global Object Identification)."""

from typing import Any

import strawberry
from graphql import GraphQLAbstractType, GraphQLResolveInfo

from models.node_id import encode
from schema.connection import Info


@strawberry.interface(description="Something that can be found again by its id.")
class Node:
    @strawberry.field(description="An opaque id, unique over all types.")
    def id(root: strawberry.Parent[Any], info: Info) -> strawberry.ID:  # noqa: N805
        return strawberry.ID(encode(info._raw_info.parent_type.name, root.id))  # noqa: SLF001

    @classmethod
    def resolve_type(cls, obj: Any, _info: GraphQLResolveInfo[Any], _type: GraphQLAbstractType) -> str:
        """Rows do not know their type; whoever answers a Node wraps them in something that does."""
        name: str = obj.type_name
        return name

    @classmethod
    def is_type_of(cls, _obj: Any, _info: GraphQLResolveInfo[Any]) -> bool:
        """A field of a concrete type answers rows of that type."""
        return True
