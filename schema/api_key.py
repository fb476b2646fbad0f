"""API keys: the type ApiKey, and the inputs and payloads of the mutations that make and end keys."""

from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import Row

from models.api_key import ApiKeyScope, NewKey
from models.node_id import encode
from models.viewer import PERSON_OF, Role
from schema.access import EVERYBODY, KEEPERS
from schema.declaration import Identity
from schema.error import UserError, thing, user_errors

strawberry.enum(ApiKeyScope, description=ApiKeyScope.__doc__)


@strawberry.type(
    description="What a program names itself with. Its token was shown once, and is nowhere to be read.",
    directives=[KEEPERS],
)
class ApiKey:
    id: strawberry.ID = strawberry.field(
        description="An opaque id, by which the key is revoked.", extensions=[Identity()]
    )
    name: str = strawberry.field(description="What it is for.")
    role: Role = strawberry.field(description="In which role it acts.")
    scopes: list[ApiKeyScope] = strawberry.field(description="What it may be used for.")
    expires_at: datetime = strawberry.field(description="From this instant on it is refused.")
    revoked_at: datetime | None = strawberry.field(
        description="Since when it is refused; null while nobody revoked it."
    )
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")

    @strawberry.field(description="The provider or client it acts for; null in the other roles.")
    def person_id(root: strawberry.Parent[Row[Any]]) -> strawberry.ID | None:  # noqa: N805
        kind = PERSON_OF.get(Role(root.role))
        return None if kind is None else strawberry.ID(encode(kind, root.person_id))


@strawberry.input(description="A new API key.")
class ApiKeyCreateInput:
    name: str = strawberry.field(description="What it is for, 1 to 200 characters.")
    role: Role = strawberry.field(description="In which role it acts; not PUBLIC, and OPERATOR only for an OPERATOR.")
    person_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whom it acts for: the Provider of a PROVIDER, the Client of a CLIENT, else nobody."
    )
    scopes: list[ApiKeyScope] | None = strawberry.field(
        default_factory=lambda: [ApiKeyScope.READ, ApiKeyScope.WRITE],
        description="What it may be used for, at least one.",
    )
    expires_in_days: int | None = strawberry.field(default=90, description="How long it can be used, 1 to 366.")

    def wanted(self) -> NewKey:
        scopes = list(ApiKeyScope) if self.scopes is None else self.scopes
        days = 90 if self.expires_in_days is None else self.expires_in_days
        return NewKey.read(self.name, self.role, self.person_id, scopes, days)


@strawberry.type(directives=[EVERYBODY])
class ApiKeyCreatePayload:
    api_key: Any = thing(ApiKey | None)
    token: str | None = strawberry.field(
        default=None,
        description="What the program sends as its bearer token. Shown now and never again: keep it secret.",
    )
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="An API key to be revoked.")
class ApiKeyRevokeInput:
    api_key_id: strawberry.ID


@strawberry.type(directives=[EVERYBODY])
class ApiKeyRevokePayload:
    api_key: Any = thing(ApiKey | None)
    user_errors: list[UserError] = user_errors()
