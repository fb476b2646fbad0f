"""Tokens for tests that write past the API: keys of any role, as rows of the table; tests/keys.py makes them as we do."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from models import api_key
from models.business import DEFAULT_BUSINESS
from models.viewer import PERSON_OF, Role

Sql = Callable[..., list[tuple[Any, ...]]]
Headers = dict[str, str]


def token(
    sql: Sql,
    role: Role,
    person: UUID | None = None,
    *,
    business: UUID = DEFAULT_BUSINESS,
    scopes: tuple[str, ...] = ("READ", "WRITE"),
    name: str = "a key",
) -> str:
    """Insert a key, which lives for a day; its token."""
    secret = api_key.secret()
    ((key,),) = sql(
        "INSERT INTO api_keys (business_id, name, role, person_id, scopes, secret_hash, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + interval '1 day') RETURNING id",
        business,
        name,
        role.value,
        person,
        list(scopes),
        api_key.hash_of(secret),
    )
    return api_key.token(business, key, secret)


def bearers(sql: Sql, persons: Mapping[Role, UUID], **more: Any) -> dict[Role, Headers]:
    """Insert a key of every role; what a request of each role carries, which is nothing for the public."""
    named = {role: persons.get(role) if role in PERSON_OF else None for role in Role if role is not Role.PUBLIC}
    return {role: bearer(token(sql, role, person, **more)) for role, person in named.items()} | {Role.PUBLIC: {}}


def bearer(token: str) -> Headers:
    return {"authorization": f"Bearer {token}"}
