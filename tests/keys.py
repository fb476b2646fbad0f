"""Tokens for tests: keys of any role and any business, made as the command line makes them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2

from models.api_key import ApiKeyScope, NewKey, Token
from models.business import DEFAULT_BUSINESS
from models.viewer import Role, Viewer
from resolvers.api_keys import create_key
from resolvers.context import Context
from tests.conftest import Api

Sql = Callable[..., list[tuple[Any, ...]]]
Headers = dict[str, str]
EVERYTHING = tuple(ApiKeyScope)
OTHER = UUID("00000000-0000-7000-8000-0000000000b2")


async def token(
    api: Api,
    role: Role,
    *,
    person: str | None = None,
    business: UUID = DEFAULT_BUSINESS,
    scopes: tuple[ApiKeyScope, ...] = EVERYTHING,
) -> str:
    """Make a key; its token."""
    context = Context(api.database.of(business), Viewer(business, "a test", Role.OPERATOR), "a-test")
    return (await create_key(context, NewKey.read("a test", role, person, scopes, 1))).token


async def bearer(api: Api, role: Role, **more: Any) -> Headers:
    """Make a key; what a request by it carries."""
    return {"authorization": f"Bearer {await token(api, role, **more)}"}


async def send(api: Api, query: str, headers: Headers, **variables: Any) -> httpx2.Response:
    """The response, as a client of the modern media type gets it."""
    accepted = {"accept": "application/graphql-response+json", **headers}
    return await api.http.post("/graphql", json={"query": query, "variables": variables}, headers=accepted)


async def data(api: Api, query: str, headers: Headers, **variables: Any) -> Any:
    """The data of an answer that has no errors."""
    answer = await api.post(query, headers, **variables)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def another_business(sql: Sql) -> None:
    """A second business, past the API, with a provider and a client."""
    sql("INSERT INTO businesses (id, name) VALUES (%s, 'Elsewhere')", OTHER)
    sql("INSERT INTO providers (business_id, id, first_name, last_name) VALUES (%s, %s, 'No', 'One')", OTHER, OTHER)
    sql("INSERT INTO clients (business_id, id, first_name, last_name) VALUES (%s, %s, 'No', 'Body')", OTHER, OTHER)


def key_of(headers: Headers) -> UUID:
    """The key that a token names."""
    read = Token.read(headers["authorization"].removeprefix("Bearer "))
    assert read is not None
    return read.key_id
