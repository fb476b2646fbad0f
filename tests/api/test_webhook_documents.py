"""What a webhook sends is what a stored document asks for; what cannot be stored is refused, wherever it came from."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from models.node_id import encode
from models.viewer import Role
from schema.stored_document import SAMPLE
from tests.api.test_webhooks import CREATE, TRY, UPDATE, due, endpoint, log, work
from tests.conftest import GENEROUS, Api, serving
from tests.keys import bearer
from tests.receiver import Receiver, api, reachable, receiver
from tests.rules.test_outbound import FORBIDDEN

__all__ = ["api", "reachable", "receiver"]  # fixtures

Sql = Callable[..., list[tuple[Any, ...]]]

CLIENT = "query ($id: ID!) { client(id: $id) { id firstName email } __typename }"
BOTH = """query Told($id: ID!, $eventId: String!, $occurredAt: DateTime!) {
  client(id: $id) { id ...Named } webhookDeliveries(filter: {eventId: $eventId}) { totalCount }
  reservations(filter: {startsAt: {from: $occurredAt}}) { totalCount }
} fragment Named on Client { firstName lastName }"""


async def test_the_answer_to_a_document_is_sent_as_the_data(api: Api, receiver: Receiver, sql: Sql) -> None:
    key, secret = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"], document=CLIENT)
    client = await api.client("Charles")
    sql("UPDATE clients SET email = 'c@example.com'")

    await work(api)

    message = receiver.messages[0]
    told = Webhook(secret).verify(message.body, message.headers)
    assert told["data"] == {
        "client": {"id": client, "firstName": "Charles", "email": "c@example.com"},
        "__typename": "Query",
    }
    assert "errors" not in told
    assert told["type"] == "scheduling.client.created.v1"
    # Whoever reads what is personal is on the audit, an endpoint too.
    actor, fields = sql("SELECT actor, data -> 'fields' FROM events WHERE type = 'audit.client.read.v1'")[0]
    assert actor.startswith("webhook:")
    assert encode("WebhookEndpoint", actor.removeprefix("webhook:")) == key
    assert fields == ["email"]


async def test_a_document_is_told_all_of_its_variables(api: Api, receiver: Receiver) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"], document=BOTH)
    client = await api.client("Charles", "Babbage")

    await work(api)

    assert receiver.messages[0].json["data"] == {
        "client": {"id": client, "firstName": "Charles", "lastName": "Babbage"},
        "webhookDeliveries": {"totalCount": 1},
        "reservations": {"totalCount": 0},
    }


async def test_a_document_that_fails_leaves_the_data_as_it_is(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.skill.*"], document=CLIENT)
    await api('mutation { skillCreate(input: {name: "x"}) { skill { id } } }')

    assert await work(api) == {"delivered": 1, "repeated": 0, "abandoned": 0}

    told = receiver.messages[0].json
    assert told["data"]["version"] == 1
    assert told["errors"] == [{"message": "No client has this id.", "extensions": {"code": "NOT_FOUND"}}]


async def test_a_document_is_answered_anew_at_each_attempt(api: Api, receiver: Receiver, sql: Sql) -> None:
    receiver.answer = lambda _: 500 if len(receiver.messages) == 1 else 200
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"], document=CLIENT)
    await api.client("Charles")
    await work(api)
    sql("UPDATE clients SET first_name = 'Carlo'")

    due(sql)
    await work(api)

    assert [message.json["data"]["client"]["firstName"] for message in receiver.messages[:2]] == ["Charles", "Carlo"]


DOCUMENTS = [
    ("", "A document has 1 to 8000 characters."),
    (" " * 10, "A document has 1 to 8000 characters."),
    ("{ serverTime }" + " " * 8000, "A document has 1 to 8000 characters."),
    ("{ serverTime } \0", "A document has 1 to 8000 characters."),
    ("{ serverTime", "Syntax Error: Expected Name, found <EOF>."),
    ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
    ("{ serverTime } { viewer { role } }", "A stored document has one operation, a query."),
    ("mutation { clientErase(input: {clientId: 1}) { client { id } } }", "A stored document has one operation, a query."),
    ("fragment F on Client { id }", "A stored document has one operation, a query."),
    ("{ __schema { types { name } } }", "A stored document does not ask for the schema."),
    ("{ auditEntries { nodes { id } } }", "Query.auditEntries is only for ADMIN; you are MANAGER."),
    ("{ apiKeys { nodes { id } } }", "ApiKey.id is only for OPERATOR or ADMIN; you are MANAGER."),
    ("query ($x: ID!) { client(id: $x) { id } }", "A stored document has the variables $id, $eventId, $type, $occurredAt."),
    ("query ($type: Int!) { clients(first: $type) { totalCount } }", "A stored document has the variables"),
    ("{" + "".join(f" a{n}: serverTime" for n in range(31)) + "}", "The document has 31 aliases; 30 are allowed."),
    (
        "{ clients(first: 100) { nodes { reservations(first: 100) { nodes { client { reservations(first: 100) { nodes { id } } } } } } } }",
        "The operation costs",
    ),
]  # fmt: skip


async def test_a_bad_document_is_refused_when_it_is_stored(api: Api, receiver: Receiver, sql: Sql) -> None:
    key, _ = await endpoint(api, receiver.url)

    for document, sentence in DOCUMENTS:
        created = await api(CREATE, input={"url": receiver.url, "document": document})
        updated = await api(UPDATE, input={"id": key, "expectedVersion": 1, "document": document})
        tried = await api(TRY, input={"type": "scheduling.business.created.v1", "document": document})

        for refused in (created, updated, tried):
            (error,) = next(iter(refused.values()))["userErrors"]
            assert sentence in error["message"]
            assert (error["code"], error["field"]) == ("INVALID_INPUT", ["document"])
    assert sql("SELECT count(*) FROM webhook_endpoints WHERE document IS NOT NULL") == [(0,)]


def test_the_sample_is_such_as_a_document_is_answered_with() -> None:
    assert SAMPLE["id"] == encode("Reservation", "0190ffff-ffff-7fff-8fff-ffffffffffff")  # type: ignore[arg-type]


async def test_what_everybody_cannot_reach_is_no_address_of_an_endpoint(database: str) -> None:
    async with serving(database) as api:
        for url in FORBIDDEN:
            refused = (await api(CREATE, input={"url": url}))["webhookEndpointCreate"]

            assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("INVALID_INPUT", ["url"])]
            assert refused["webhookEndpoint"] is None
            assert refused["secret"] is None


async def test_what_everybody_can_reach_is_one(database: str) -> None:
    async with serving(database) as api:
        for given, kept in (
            ("https://Hooks.Example.com", "https://hooks.example.com/"),
            ("https://hooks.example.com:8443/A?b=C", "https://hooks.example.com:8443/A?b=C"),
            ("https://xn--bcher-kva.example/x", "https://xn--bcher-kva.example/x"),
        ):
            made = (await api(CREATE, input={"url": given}))["webhookEndpointCreate"]
            assert made["userErrors"] == []
            assert made["webhookEndpoint"]["url"] == kept


BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"eventTypes": []}, ["eventTypes"]),
    ({"eventTypes": ["x.v1"] * 101}, ["eventTypes"]),
    ({"eventTypes": ["scheduling.client.created.v1", "Scheduling.*"]}, ["eventTypes", "1"]),
    ({"eventTypes": ["scheduling.*.created.v1"]}, ["eventTypes", "0"]),
    ({"eventTypes": ["scheduling%"]}, ["eventTypes", "0"]),
    ({"eventTypes": ["a" * 200 + ".v1"]}, ["eventTypes", "0"]),
    ({"description": ""}, ["description"]),
    ({"description": "x" * 201}, ["description"]),
    ({"description": "a\0b"}, ["description"]),
    ({"idempotencyKey": ""}, ["idempotencyKey"]),
]


async def test_a_bad_value_is_refused_with_its_field(api: Api, receiver: Receiver) -> None:
    for given, field in BAD:
        refused = (await api(CREATE, input={"url": receiver.url, **given}))["webhookEndpointCreate"]

        assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("INVALID_INPUT", field)]


async def test_an_update_from_another_version_or_of_nothing_is_refused(api: Api, receiver: Receiver) -> None:
    key, _ = await endpoint(api, receiver.url, description="mine", eventTypes=["*"])

    stale = (await api(UPDATE, input={"id": key, "expectedVersion": 2, "enabled": False}))["webhookEndpointUpdate"]
    empty = (await api(UPDATE, input={"id": key, "expectedVersion": 1}))["webhookEndpointUpdate"]
    null = (await api(UPDATE, input={"id": key, "expectedVersion": 1, "url": None}))["webhookEndpointUpdate"]
    done = await api(UPDATE, input={"id": key, "expectedVersion": 1, "eventTypes": None, "enabled": False})

    assert stale["userErrors"][0]["code"] == "VERSION_CONFLICT"
    assert empty["userErrors"][0]["code"] == "INVALID_INPUT"
    assert null["userErrors"][0]["field"] == ["url"]
    assert done["webhookEndpointUpdate"]["webhookEndpoint"] == {
        "id": key,
        "url": receiver.url,
        "eventTypes": None,
        "enabled": False,
        "disabledReason": "ASKED",
        "version": 2,
    }


async def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(api: Api, receiver: Receiver) -> None:
    key, secret = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"], document=CLIENT)
    client = await api.client("Charles")
    await work(api)
    (sent,) = receiver.messages

    shown = (await api(TRY, input={"endpointId": key, "eventId": sent.id}))["webhookDryRun"]
    newest = (await api(TRY, input={"endpointId": key, "type": "scheduling.client.created.v1"}))["webhookDryRun"]
    plain = (await api(TRY, input={"eventId": sent.id}))["webhookDryRun"]
    other = await api(TRY, input={"eventId": sent.id, "document": "query ($id: ID!) { node(id: $id) { id } }"})

    headers = {each["name"]: each["value"] for each in shown["headers"]}
    assert shown["url"] == receiver.url
    assert shown["body"].encode() == sent.body
    assert Webhook(secret).verify(shown["body"], headers) == sent.json
    assert headers["webhook-id"] == sent.id
    assert newest["body"] == shown["body"]
    assert (plain["url"], [each["name"] for each in plain["headers"]]) == (
        None,
        ["content-type", "webhook-id", "webhook-timestamp"],
    )
    assert json.loads(plain["body"])["data"].keys() == {"id", "version"}
    assert json.loads(other["webhookDryRun"]["body"])["data"] == {"node": {"id": client}}
    assert len(receiver.messages) == 1
    assert len(await log(api)) == 1


NOTHING: list[tuple[dict[str, Any], str, list[str]]] = [
    ({}, "INVALID_INPUT", ["eventId"]),
    ({"eventId": str(uuid4()), "type": "x"}, "INVALID_INPUT", ["eventId"]),
    ({"eventId": "x"}, "INVALID_INPUT", ["eventId"]),
    ({"eventId": "1 OR 1=1"}, "INVALID_INPUT", ["eventId"]),
    ({"eventId": str(uuid4())}, "NOT_FOUND", ["eventId"]),
    ({"type": "scheduling.nothing.v1"}, "NOT_FOUND", ["type"]),
    ({"type": "audit.client.read.v1"}, "NOT_FOUND", ["type"]),
    ({"type": "a\0b"}, "INVALID_INPUT", ["type"]),
    ({"type": "scheduling.business.created.v1", "endpointId": "x"}, "INVALID_INPUT", ["endpointId"]),
]


async def test_a_dry_run_of_nothing_is_refused(api: Api) -> None:
    for given, code, field in NOTHING:
        refused = (await api(TRY, input=given))["webhookDryRun"]

        assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [(code, field)]
        assert refused["body"] is None


async def test_a_business_has_at_most_a_hundred_endpoints(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url)
    sql(
        "INSERT INTO webhook_endpoints (business_id, url) SELECT business_id, url FROM webhook_endpoints, generate_series(1, 99)"
    )

    refused = (await api(CREATE, input={"url": receiver.url}))["webhookEndpointCreate"]

    (error,) = refused["userErrors"]
    assert (error["code"], error["message"]) == (
        "INVALID_INPUT",
        "A business has at most 100 webhook endpoints; delete one first.",
    )


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.FRONT_DESK])
async def test_only_managers_know_of_webhooks(database: str, role: Role) -> None:
    async with serving(database, API_KEYS="on") as api:
        headers = await bearer(api, role)
        asked = await api.post("{ webhookEndpoints { nodes { url } } }", headers)
        changed = await api.post(CREATE, headers, input={"url": "https://hooks.example.com"})

    for refused in (asked, changed):
        assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_both_roads_list_the_same(api: Api, database: str, receiver: Receiver) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*", "x.*"], description='a "b"', document=CLIENT)
    await api.client()
    await work(api)
    fields = """id url description eventTypes document enabled disabledReason failingSince rotatedAt createdAt version
      deliveries { totalCount nodes { id eventId eventType status attempts nextAttemptAt lastStatus lastError deliveredAt
      createdAt endpoint { id } log { nodes { id number attemptedAt status error milliseconds } } } }"""
    query = f"{{ webhookEndpoints(filter: {{enabled: true}}) {{ totalCount nodes {{ {fields} }} }} }}"

    async with serving(database, limits=GENEROUS, compile=False) as ordinary:
        one = await ordinary(query)
    async with serving(database, limits=GENEROUS) as compiled:
        both = await compiled(query)

    assert compiled.on_lanes
    assert both == one
    assert both["webhookEndpoints"]["nodes"][0]["deliveries"]["totalCount"] == 1
