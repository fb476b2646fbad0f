"""Resources: the inputs and the payloads of their mutations."""

from typing import Any

import strawberry

from models.resource import FIELDS
from resolvers.writes import Request
from schema.access import EVERYBODY
from schema.connection import maybe
from schema.edit_input import NAME, CreateInput, DeleteInput, UpdateInput, creation, deletion, edition, unchanged
from schema.error import thing
from schema.resource import ResourceKind
from schema.supply import DeletePayload, SupplyPayload

QUANTITY = "How many there are, 1 to 1000."
LOCATION = "Where it is; null for wherever it is needed."


@strawberry.input(description="A new resource.")
class ResourceCreateInput(CreateInput):
    name: str = strawberry.field(description=NAME)
    kind: ResourceKind = ResourceKind.ROOM
    quantity: int = strawberry.field(default=1, description=QUANTITY)
    location_id: strawberry.ID | None = strawberry.field(default=None, description=LOCATION)

    def wanted(self) -> Request:
        return creation(self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class ResourceCreatePayload(SupplyPayload):
    resource: Any = thing(maybe("Resource"))


@strawberry.input(description="What is to change of a resource. What is left out stays as it is.")
class ResourceUpdateInput(UpdateInput):
    name: str | None = unchanged(NAME)
    kind: ResourceKind | None = unchanged()
    quantity: int | None = unchanged(QUANTITY)
    location_id: strawberry.ID | None = unchanged(LOCATION)

    def wanted(self) -> Request:
        return edition("Resource", self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class ResourceUpdatePayload(SupplyPayload):
    resource: Any = thing(maybe("Resource"))


@strawberry.input(description="A resource that no service needs and no reservation ever used.")
class ResourceDeleteInput(DeleteInput):
    def wanted(self) -> Request:
        return deletion("Resource", self)


@strawberry.type(directives=[EVERYBODY])
class ResourceDeletePayload(DeletePayload):
    pass
