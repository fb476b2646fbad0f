"""API keys: making, listing, ending and recognising them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import ApiKey, api_key
from models.api_key import ApiKeyScope, NewKey, Token
from models.page import Listed, Page
from models.refusal import NotFound
from models.relations import NEWEST_FIRST
from models.viewer import PERSON_OF, Role, Viewer
from resolvers.connections import Connection, selected
from resolvers.context import Context
from resolvers.database import Database

API_KEYS = Listed("apiKeys", ApiKey, NEWEST_FIRST)


@dataclass(frozen=True)
class Created:
    """A key, and the token that is shown once."""

    row: Row[Any]
    token: str


async def create_key(context: Context, wanted: NewKey) -> Created:
    """Make a key; nobody makes one that may do more than they may themselves."""
    api_key.check(context.viewer, wanted)
    secret = api_key.secret()
    statement = api_key.create(context.viewer, wanted, api_key.hash_of(secret), context.authored())
    row = await context.database.row(statement)
    if row is None:
        raise NotFound("personId", noun=PERSON_OF[wanted.role].lower())
    context.loaders.forget()
    return Created(row, api_key.token(row.business_id, row.id, secret))


async def revoke_key(context: Context, key: UUID) -> Row[Any]:
    """End a key at once; one that has ended before is answered as it is."""
    row = await context.database.row(api_key.revoke(context.viewer, key, context.authored()))
    if row is None:
        row = await context.database.row(api_key.kept(context.viewer).where(ApiKey.id == key))
    if row is None:
        raise NotFound("apiKeyId", noun=api_key.NOUN)
    context.outdated.append(key)
    context.loaders.forget()
    return row


def list_keys(context: Context, page: Page) -> Connection:
    """List the keys that somebody may see and end."""
    return selected(context, api_key.kept(context.viewer), page)


@dataclass(frozen=True)
class Shown:
    """Whom a token names, and for how many seconds more."""

    viewer: Viewer
    seconds: float


async def find_viewer(database: Database, token: Token) -> Shown | None:
    """Find whom a token names; nobody, if its key is unknown, ended or expired."""
    row = await database.of(token.business_id).row(api_key.shown(token))
    if row is None or not api_key.is_same(row.secret_hash, token.secret_hash):
        return None
    reads, writes = (scope in row.scopes for scope in (ApiKeyScope.READ, ApiKeyScope.WRITE))
    viewer = Viewer(row.business_id, f"key:{row.id}", Role(row.role), row.person_id, is_reader=reads, is_writer=writes)
    return Shown(viewer, row.seconds)
