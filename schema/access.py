"""Access: which roles may ask for a field. It is told in the contract, next to the field, and enforced here alone."""

from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLSchema, is_interface_type, is_object_type
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.schema_directive import Location

from models.viewer import Role, Viewer
from resolvers.recent import Recent

strawberry.enum(Role, description=Role.__doc__)


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.OBJECT, Location.INTERFACE],
    description="Which roles may ask for this field, or for the fields of this type; PUBLIC stands for everybody.",
)
class Allowed:
    roles: list[Role]


def allowed(*roles: Role) -> Allowed:
    return Allowed(roles=list(roles))


EVERYBODY = allowed(Role.PUBLIC)
MEMBERS = allowed(Role.ADMIN, Role.MANAGER, Role.FRONT_DESK, Role.PROVIDER, Role.CLIENT)
TEAM = allowed(Role.ADMIN, Role.MANAGER, Role.FRONT_DESK, Role.PROVIDER)
DESK = allowed(Role.ADMIN, Role.MANAGER, Role.FRONT_DESK)
DESK_OR_CLIENT = allowed(Role.ADMIN, Role.MANAGER, Role.FRONT_DESK, Role.CLIENT)
MANAGERS = allowed(Role.ADMIN, Role.MANAGER)
ADMINS = allowed(Role.ADMIN)
KEEPERS = allowed(Role.OPERATOR, Role.ADMIN)
MANAGERS_OR_OPERATOR = allowed(Role.OPERATOR, Role.ADMIN, Role.MANAGER)
OPERATORS = allowed(Role.OPERATOR)

Coordinate = tuple[str, str]
"""A type and a field of it."""


class Access:
    """The rules of a schema: for each field its own, or that of its type. A field without any is for nobody."""

    def __init__(self, contract: GraphQLSchema) -> None:
        self.roles = {
            (type_.name, name): _roles(field) or _roles(type_)
            for type_ in contract.type_map.values()
            if (is_object_type(type_) or is_interface_type(type_)) and not type_.name.startswith("__")
            for name, field in type_.fields.items()
        }
        self._found: Recent[tuple[frozenset[Coordinate], Role], list[Coordinate]] = Recent(1024)

    def refused(self, touched: frozenset[Coordinate], viewer: Viewer, *, writes: bool) -> GraphQLError | None:
        """Say which field of an operation a viewer may not ask for; nothing of it is then executed."""
        if writes and not viewer.is_writer:
            return _refusal("FORBIDDEN", "This key's scopes do not contain WRITE, which a mutation needs.")
        if touched and not writes and not viewer.is_reader:
            return _refusal("FORBIDDEN", "This key's scopes do not contain READ, which a query needs.")
        if touched and not viewer.is_admitted:
            return _refusal("UNAUTHENTICATED", "This business is not open to the public; send a token.")
        forbidden = self._found.found((touched, viewer.role), lambda: self._forbidden(touched, viewer.role))
        return self._told(forbidden[0], viewer.role) if forbidden else None

    def _forbidden(self, touched: frozenset[Coordinate], role: Role) -> list[Coordinate]:
        return sorted(each for each in touched if role not in self.roles.get(each, frozenset()))

    def _told(self, coordinate: Coordinate, role: Role) -> GraphQLError:
        field, allowed_to = ".".join(coordinate), [each for each in Role if each in self.roles[coordinate]]
        whom = " or ".join(filter(None, [", ".join(allowed_to[:-1]), *allowed_to[-1:]]))
        if role is Role.PUBLIC:
            return _refusal("UNAUTHENTICATED", f"{field} is only for {whom}; send a token.", field)
        return _refusal("FORBIDDEN", f"{field} is only for {whom}; you are {role}.", field)


def _roles(declared: Any) -> frozenset[Role]:
    definition = declared.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    for directive in getattr(definition, "directives", None) or ():
        if isinstance(directive, Allowed):
            return frozenset(Role) if Role.PUBLIC in directive.roles else frozenset(directive.roles)
    return frozenset()


def _refusal(code: str, sentence: str, field: str | None = None) -> GraphQLError:
    return GraphQLError(sentence, extensions={"code": code, **({"field": field} if field else {})})
