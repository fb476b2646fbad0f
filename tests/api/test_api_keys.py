"""API keys: what they may do, whom they act for, and that nobody learns a token twice or why one is refused."""

import asyncio
import base64
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLObjectType
from psycopg import connect

from models.api_key import ApiKeyScope
from models.node_id import decode, encode
from models.viewer import Role
from schema.execution import CONTRACT
from tests.conftest import PUBLISH, Api
from tests.keys import OTHER, Headers, Sql, another_business, bearer, data, key_of, send

KEY = "id name role personId scopes expiresAt revokedAt createdAt version"
ERRORS = "userErrors { __typename code field message retryable }"
CREATE = (
    f"mutation ($input: ApiKeyCreateInput!) {{ apiKeyCreate(input: $input) {{ token apiKey {{ {KEY} }} {ERRORS} }} }}"
)
REVOKE = f"mutation ($input: ApiKeyRevokeInput!) {{ apiKeyRevoke(input: $input) {{ apiKey {{ {KEY} }} {ERRORS} }} }}"
LIST = f"query ($first: Int, $after: String) {{ apiKeys(first: $first, after: $after) {{ totalCount nodes {{ {KEY} }} pageInfo {{ endCursor hasNextPage }} }} }}"
WHO = "{ viewer { principal role business { id } } }"
CLIENT = (
    'mutation { clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { id } userErrors { code } } }'
)
WANTED = '{name: "till", role: FRONT_DESK}'
UNKNOWN = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")
REFUSED = {
    "message": "The token cannot be used; send another one, or none.",
    "extensions": {"code": "UNAUTHENTICATED"},
}


async def create(api: Api, headers: Headers | None = None, **wanted: Any) -> Any:
    """The payload of apiKeyCreate."""
    return (await data(api, CREATE, headers or {}, input={"name": "till", **wanted}))["apiKeyCreate"]


async def revoke(api: Api, key: str, headers: Headers | None = None) -> Any:
    """The payload of apiKeyRevoke."""
    return (await data(api, REVOKE, headers or {}, input={"apiKeyId": key}))["apiKeyRevoke"]


def by(created: Any) -> Headers:
    return {"authorization": f"Bearer {created['token']}"}


def refusals(payload: Any) -> list[tuple[str, list[str] | None]]:
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


async def test_a_key_acts_in_its_role_and_its_token_is_shown_once(api: Api) -> None:
    created = await create(api, role="MANAGER", scopes=["WRITE", "READ", "WRITE"], expiresInDays=366)

    seen = await data(api, WHO, by(created))
    listed = await api(LIST)
    raw = (await send(api, LIST, {})).text
    assert created["userErrors"] == []
    assert created["apiKey"] | {"id": "", "expiresAt": "", "createdAt": ""} == {
        "id": "",
        "name": "till",
        "role": "MANAGER",
        "personId": None,
        "scopes": ["WRITE", "READ"],
        "expiresAt": "",
        "revokedAt": None,
        "createdAt": "",
        "version": 1,
    }
    principal = base64.b64decode(created["apiKey"]["id"]).decode().replace("ApiKey:", "key:")
    assert seen["viewer"]["principal"] == principal
    assert seen["viewer"]["role"] == "MANAGER"
    assert listed["apiKeys"]["nodes"] == [created["apiKey"]]
    assert created["token"] not in raw


def test_no_field_of_the_contract_shows_a_token_twice() -> None:
    key = CONTRACT.type_map["ApiKey"]
    assert isinstance(key, GraphQLObjectType)

    owners = [
        type_.name
        for type_ in CONTRACT.type_map.values()
        if isinstance(type_, GraphQLObjectType) and {"token", "secret", "secretHash"} & type_.fields.keys()
    ]

    assert sorted(owners) == ["ApiKeyCreatePayload", "WebhookEndpointCreatePayload", "WebhookSecretRotatePayload"]
    assert sorted(key.fields) == sorted(KEY.split())


async def test_what_is_not_said_of_a_key_is_ninety_days_and_everything(api: Api) -> None:
    said_nothing = (await create(api, role="ADMIN"))["apiKey"]
    said_null = (await create(api, role="ADMIN", scopes=None, expiresInDays=None, personId=None))["apiKey"]

    for key in (said_nothing, said_null):
        life = datetime.fromisoformat(key["expiresAt"]) - datetime.fromisoformat(key["createdAt"])
        assert key["scopes"] == ["READ", "WRITE"]
        assert abs(life - timedelta(days=90)) < timedelta(seconds=2)


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"role": "ADMIN", "name": ""}, "INVALID_INPUT", "name"),
        ({"role": "ADMIN", "name": "x" * 201}, "INVALID_INPUT", "name"),
        ({"role": "ADMIN", "name": "a\nb"}, "INVALID_INPUT", "name"),
        ({"role": "PUBLIC"}, "INVALID_INPUT", "role"),
        ({"role": "OPERATOR"}, "FORBIDDEN", "role"),
        ({"role": "PROVIDER"}, "INVALID_INPUT", "personId"),
        ({"role": "CLIENT"}, "INVALID_INPUT", "personId"),
        ({"role": "ADMIN", "personId": encode("Client", UNKNOWN)}, "INVALID_INPUT", "personId"),
        ({"role": "CLIENT", "personId": "a"}, "INVALID_INPUT", "personId"),
        ({"role": "CLIENT", "personId": encode("Client", UNKNOWN)}, "NOT_FOUND", "personId"),
        ({"role": "CLIENT", "personId": encode("Provider", UNKNOWN)}, "NOT_FOUND", "personId"),
        ({"role": "PROVIDER", "personId": encode("Provider", UNKNOWN)}, "NOT_FOUND", "personId"),
        ({"role": "ADMIN", "scopes": []}, "INVALID_INPUT", "scopes"),
        ({"role": "ADMIN", "expiresInDays": 0}, "INVALID_INPUT", "expiresInDays"),
        ({"role": "ADMIN", "expiresInDays": 367}, "INVALID_INPUT", "expiresInDays"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], code: str, field: str
) -> None:
    refused = await create(api, **wanted)

    assert refusals(refused) == [(code, [field])]
    assert (refused["token"], refused["apiKey"]) == (None, None)
    assert sql("SELECT count(*) FROM api_keys") == [(0,)]


@pytest.mark.parametrize("kind", ["Provider", "Client"])
async def test_the_person_of_another_business_is_as_unknown_as_one_that_never_was(
    api: Api, sql: Sql, kind: str
) -> None:
    another_business(sql)

    foreign, unknown = [await create(api, role=kind.upper(), personId=encode(kind, key)) for key in (OTHER, UNKNOWN)]

    assert foreign == unknown
    assert foreign["userErrors"][0]["message"] == f"No {kind.lower()} has this id."
    assert sql("SELECT count(*) FROM api_keys") == [(0,)]


async def test_the_key_of_a_client_acts_for_that_client(api: Api) -> None:
    own, other = await api.client("Mary", "Shelley"), await api.client()

    created = await create(api, role="CLIENT", personId=own)

    query = "query ($id: ID!) { client(id: $id) { lastName } }"
    seen = await api.post(query, by(created), id=own)
    unseen = await api.post(query, by(created), id=other)
    assert created["apiKey"]["personId"] == own
    assert seen == {"data": {"client": {"lastName": "Shelley"}}}
    assert unseen["data"] == {"client": None}
    assert [error["extensions"]["code"] for error in unseen["errors"]] == ["NOT_FOUND"]


async def test_the_key_of_a_provider_publishes_their_own_times_and_nobody_elses(api: Api, sql: Sql) -> None:
    own, other = await api.provider(), await api.provider("Grace", "Hopper")
    headers = by(created := await create(api, role="PROVIDER", personId=own))
    window = {"startTime": "2027-05-03T07:00:00Z", "endTime": "2027-05-03T08:00:00Z"}

    done = await data(api, PUBLISH, headers, input={"providerId": own, **window})
    refused = await data(api, PUBLISH, headers, input={"providerId": other, **window})

    assert created["apiKey"]["personId"] == own
    assert done["appointmentBulkCreate"]["created"] == 4
    assert refusals(refused["appointmentBulkCreate"]) == [("FORBIDDEN", ["providerId"])]
    assert sql("SELECT count(*), count(DISTINCT provider_id) FROM appointments") == [(4, 1)]


@pytest.mark.parametrize("role", [Role.MANAGER, Role.FRONT_DESK])
async def test_who_does_not_keep_keys_neither_sees_makes_nor_ends_one(api: Api, sql: Sql, role: Role) -> None:
    headers = await bearer(api, role)
    key = encode("ApiKey", key_of(headers))

    answers = [
        await api.post(f"mutation {{ apiKeyCreate(input: {WANTED}) {{ __typename }} }}", headers),
        await api.post(f'mutation {{ apiKeyRevoke(input: {{apiKeyId: "{key}"}}) {{ __typename }} }}', headers),
        await api.post("{ apiKeys { totalCount } }", headers),
    ]

    fields = ["Mutation.apiKeyCreate", "Mutation.apiKeyRevoke", "Query.apiKeys"]
    assert [answer["errors"][0]["extensions"]["code"] for answer in answers] == ["FORBIDDEN"] * 3
    assert [answer["errors"][0]["message"].split()[0] for answer in answers] == fields
    assert all(answer.get("data") is None for answer in answers)
    assert sql("SELECT count(*), count(revoked_at) FROM api_keys") == [(1, 0)]


async def test_an_admin_neither_sees_nor_ends_the_key_of_an_operator(api: Api, sql: Sql) -> None:
    admin, operator = await bearer(api, Role.ADMIN), await bearer(api, Role.OPERATOR)
    key = encode("ApiKey", key_of(operator))

    seen_by_admin = (await data(api, LIST, admin))["apiKeys"]
    seen_by_operator = (await data(api, LIST, operator))["apiKeys"]
    refused = await revoke(api, key, admin)

    assert [node["role"] for node in seen_by_admin["nodes"]] == ["ADMIN"]
    assert [node["role"] for node in seen_by_operator["nodes"]] == ["OPERATOR", "ADMIN"]
    assert (seen_by_admin["totalCount"], seen_by_operator["totalCount"]) == (1, 2)
    assert refusals(refused) == [("NOT_FOUND", ["apiKeyId"])]
    assert sql("SELECT count(revoked_at) FROM api_keys") == [(0,)]


async def test_an_operator_makes_and_ends_keys_of_operators(api: Api) -> None:
    operator = await bearer(api, Role.OPERATOR)

    created = await create(api, operator, role="OPERATOR")
    ended = await revoke(api, created["apiKey"]["id"], operator)

    assert (created["apiKey"]["role"], created["userErrors"]) == ("OPERATOR", [])
    assert (ended["apiKey"]["revokedAt"] is not None, ended["userErrors"]) == (True, [])


async def test_a_revoked_key_is_refused_at_once_and_revoked_only_once(api: Api, sql: Sql) -> None:
    created = await create(api, role="ADMIN")
    key = created["apiKey"]["id"]
    used = await send(api, WHO, by(created))

    first, second = await revoke(api, key), await revoke(api, key)

    refused = await send(api, WHO, by(created))
    assert (used.status_code, refused.status_code) == (200, 401)
    assert first["apiKey"] == created["apiKey"] | {"revokedAt": first["apiKey"]["revokedAt"], "version": 2}
    assert first["apiKey"]["revokedAt"] > created["apiKey"]["createdAt"]
    assert second == first
    assert sql("SELECT type, actor FROM events WHERE type LIKE '%%api_key%%' ORDER BY seq") == [
        ("scheduling.api_key.created.v1", "anonymous"),
        ("scheduling.api_key.updated.v1", "anonymous"),
    ]


async def test_a_key_that_is_not_there_is_not_revoked(api: Api, sql: Sql) -> None:
    another_business(sql)
    foreign = encode("ApiKey", key_of(await bearer(api, Role.ADMIN, business=OTHER)))
    provider = await api.provider()

    found = [await revoke(api, key) for key in (encode("ApiKey", UNKNOWN), foreign, provider)]
    nonsense = await revoke(api, "nonsense")

    assert found[0] == found[1] == found[2]
    assert refusals(found[0]) == [("NOT_FOUND", ["apiKeyId"])]
    assert found[0]["userErrors"][0]["message"] == "No API key has this id."
    assert refusals(nonsense) == [("INVALID_INPUT", ["apiKeyId"])]
    assert sql("SELECT count(revoked_at) FROM api_keys") == [(0,)]


async def test_a_key_is_no_node(api: Api) -> None:
    key = (await create(api, role="ADMIN"))["apiKey"]["id"]

    answer = await api.post("query ($id: ID!) { node(id: $id) { id } }", id=key)

    assert answer["data"] == {"node": None}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["NOT_FOUND"]


async def test_a_key_without_the_scope_to_write_is_refused_a_mutation(api: Api, sql: Sql) -> None:
    headers = await bearer(api, Role.ADMIN, scopes=(ApiKeyScope.READ,))

    read = await data(api, WHO, headers)
    refused = await send(api, CLIENT, headers)

    assert read["viewer"]["role"] == "ADMIN"
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert "data" not in refused.json()
    assert sql("SELECT count(*) FROM clients") == [(0,)]


async def test_nobody_learns_why_a_token_is_refused(api: Api, sql: Sql) -> None:
    revoked, expired, valid = [await bearer(api, Role.ADMIN) for _ in range(3)]
    await revoke(api, encode("ApiKey", key_of(revoked)))
    sql("UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = %s", key_of(expired))
    shown = valid["authorization"]
    last = "A" if shown[-5] != "A" else "B"
    wrong = {
        "revoked": revoked["authorization"],
        "expired": expired["authorization"],
        "wrong secret": f"{shown[:-5]}{last}{shown[-4:]}",
        "unknown": f"Bearer hf_{'A' * 86}",
        "cut off": shown[:-1],
        "no base64": f"Bearer hf_{'!' * 86}",
        "garbage": "Bearer garbage",
        "no bearer": "Basic YTpi",
        "empty": "Bearer",
    }

    answers = {name: await send(api, WHO, {"authorization": value}) for name, value in wrong.items()}

    assert (await send(api, WHO, valid)).status_code == 200
    for name, answer in answers.items():
        body = answer.json()
        identity = body["errors"][0]["extensions"].pop("requestId", None)
        assert answer.status_code == 401, name
        assert identity == answer.headers["x-request-id"], name
        assert body == {"errors": [REFUSED]}, name
        assert answer.headers["www-authenticate"] == 'Bearer realm="holdfast", error="invalid_token"', name


async def test_the_key_of_another_business_sees_that_business(api: Api, sql: Sql) -> None:
    another_business(sql)
    headers = await bearer(api, Role.ADMIN, business=OTHER)
    ours = await api.client()

    query = "{ viewer { business { id name } } clients { nodes { id } } apiKeys { totalCount } }"
    theirs = await data(api, query, {**headers, "x-business": encode("Business", UUID(int=1))})
    seen = await api(query)

    assert theirs == {
        "viewer": {"business": {"id": encode("Business", OTHER), "name": "Elsewhere"}},
        "clients": {"nodes": [{"id": encode("Client", OTHER)}]},
        "apiKeys": {"totalCount": 1},
    }
    assert (seen["clients"]["nodes"], seen["apiKeys"]["totalCount"]) == ([{"id": ours}], 0)


async def test_events_name_the_key_that_made_them(api: Api, sql: Sql) -> None:
    headers = await bearer(api, Role.ADMIN)

    await data(api, CLIENT, headers)
    await create(api, headers, role="FRONT_DESK")

    actor = f"key:{key_of(headers)}"
    assert sql("SELECT type, actor FROM events WHERE actor IS NOT NULL ORDER BY seq") == [
        ("scheduling.api_key.created.v1", "a test"),
        ("scheduling.client.created.v1", actor),
        ("scheduling.api_key.created.v1", actor),
    ]


async def test_keys_are_listed_by_pages_the_newest_first(api: Api) -> None:
    made = [(await create(api, role="ADMIN", name=f"key {n}"))["apiKey"] for n in range(3)]

    first = (await api(LIST, first=2))["apiKeys"]
    rest = (await api(LIST, first=2, after=first["pageInfo"]["endCursor"]))["apiKeys"]

    assert first["nodes"] == [made[2], made[1]]
    assert rest["nodes"] == [made[0]]
    assert (first["totalCount"], rest["totalCount"]) == (3, 3)
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)


async def test_an_input_that_names_an_idempotency_key_is_refused(api: Api, sql: Sql) -> None:
    answer = await api.post(CREATE, input={"name": "till", "role": "ADMIN", "idempotencyKey": "once"})

    assert answer.get("data") is None
    assert sql("SELECT count(*) FROM api_keys") == [(0,)]


async def test_the_table_keeps_the_hash_of_a_secret_and_not_the_secret(api: Api, sql: Sql) -> None:
    created = await create(api, role="ADMIN")

    carried = base64.urlsafe_b64decode(created["token"].removeprefix("hf_") + "==")
    secret = carried[32:]
    ((row, kept),) = sql("SELECT api_keys::text, secret_hash FROM api_keys")
    assert len(secret) == 32
    assert bytes(kept) != secret
    for shape in (secret.hex(), base64.b64encode(secret).decode()[:40], created["token"][-40:]):
        assert shape not in row


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("is_erased", [True, False])
async def test_who_makes_a_key_for_a_client_waits_for_an_erasure_under_way(
    api: Api, sql: Sql, database: str, *, is_erased: bool
) -> None:
    client = await api.client()
    key = decode(client)[1]
    with connect(database) as erasing:
        erasing.execute("SELECT FROM clients WHERE id = %s FOR UPDATE", [key])
        erasing.execute("UPDATE clients SET erased_at = clock_timestamp() WHERE id = %s", [key])

        making = asyncio.create_task(create(api, role="CLIENT", personId=client))
        while sql(WAITING) == [(0,)]:  # noqa: ASYNC110 -- it is PostgreSQL that we wait for
            await asyncio.sleep(0.01)
        (erasing.commit if is_erased else erasing.rollback)()
        made = await making

    assert refusals(made) == ([("NOT_FOUND", ["personId"])] if is_erased else [])
    assert (made["token"] is None) is is_erased
    assert sql("SELECT count(*) FROM api_keys") == [(0 if is_erased else 1,)]


async def test_a_key_that_is_made_while_a_client_is_erased_ends_with_them(api: Api, sql: Sql, database: str) -> None:
    client = await api.client()
    erase = "mutation ($id: ID!) { clientErase(input: {clientId: $id}) { userErrors { code } } }"
    insert = (
        "INSERT INTO api_keys (business_id, name, role, person_id, scopes, secret_hash, expires_at)"
        " SELECT business_id, 'late', 'CLIENT', id, '{READ}', sha256(''), '2099-01-01Z' FROM clients WHERE id = %s"
        " FOR KEY SHARE"
    )
    with connect(database) as making:
        making.execute(insert, [decode(client)[1]])

        erasing = asyncio.create_task(api(erase, id=client))
        while sql(WAITING) == [(0,)]:  # noqa: ASYNC110 -- it is PostgreSQL that we wait for
            await asyncio.sleep(0.01)
        making.commit()
        done = await erasing

    assert done == {"clientErase": {"userErrors": []}}
    assert sql("SELECT name, revoked_at IS NOT NULL FROM api_keys") == [("Erased client", True)]


async def test_nobody_makes_a_key_for_an_erased_client(api: Api, sql: Sql) -> None:
    client = await api.client()
    sql("UPDATE clients SET erased_at = clock_timestamp()")

    refused = await create(api, role="CLIENT", personId=client)

    assert (refusals(refused), refused["token"]) == ([("NOT_FOUND", ["personId"])], None)
    assert sql("SELECT count(*) FROM api_keys") == [(0,)]
