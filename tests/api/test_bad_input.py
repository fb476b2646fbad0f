"""Questions that cannot be answered: each gets its code and its field, and writes nothing; or is stored as it was sent.

The ids of the cases begin with the row of the table of bad inputs that they come from.
"""

import base64
import json
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from sqlalchemy.engine import make_url

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from tests.conftest import ERRORS, Api, serving

Sql = Callable[..., list[tuple[Any, ...]]]
Fields = dict[str, Any]
case = pytest.param

NEVER_SAID = re.compile(r"psycopg|sqlalchemy|traceback|select |internal", re.IGNORECASE)
TABLES = ("providers", "clients", "appointments", "reservations", "idempotency_keys")
COUNT = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
UNKNOWN = UUID("019e0000-0000-7000-8000-000000000009")
NINE, TEN = "2027-05-03T09:00:00Z", "2027-05-03T10:00:00Z"
PARSE, VALIDATION, INVALID = "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "INVALID_INPUT"
FORMS = pytest.mark.parametrize("form", ["literal", "variable"])


class Name(str):
    """The name of an enum's value, which a document writes without quotes."""

    __slots__ = ()


class Said(Counter[tuple[str, str | None]]):
    """The codes and the fields of the refusals of an answer."""

    @classmethod
    def by(cls, answer: Fields) -> "Said":
        said = cls((e["extensions"]["code"], e["extensions"].get("field")) for e in answer.get("errors", ()))
        payloads = [payload for payload in (answer.get("data") or {}).values() if isinstance(payload, dict)]
        for payload in payloads:
            for error in payload.get("userErrors", ()):
                said[error["code"], ".".join(error["field"]) if error["field"] else None] += 1
        return said


@dataclass
class World:
    """A business with a provider and a client, another one of strangers, and the API and the database of both."""

    api: Api
    sql: Sql
    provider: str = ""
    client: str = ""
    free: list[str] = field(default_factory=list)
    strangers: dict[str, str] = field(default_factory=dict)
    cost: Any = None

    async def ask(self, document: str, name: str | None = None, **variables: Any) -> Fields:
        """Everything that is answered, but for its cost; it never tells how the server is made."""
        body = json.dumps({"query": document, "variables": variables, "operationName": name})
        response = await self.api.http.post("/graphql", content=body, headers={"content-type": "application/json"})
        answer: Fields = response.json()
        self.cost = answer.get("extensions", {}).pop("cost", None)
        if answer.get("extensions") == {}:
            del answer["extensions"]
        assert not NEVER_SAID.search(response.text), response.text
        for error in answer.get("errors", ()):
            assert error["extensions"]["requestId"] == response.headers["x-request-id"]
            assert error["message"]
        return answer

    async def refuse(self, document: str, **variables: Any) -> Fields:
        """An answer that says no, and that nothing was written for."""
        before = self.sql(COUNT)

        answer = await self.ask(document, **variables)

        assert Said.by(answer), answer
        assert self.sql(COUNT) == before
        return answer

    async def send(self, mutation: str, form: str = "variable", errors: str = ERRORS, **change: Any) -> Fields:
        """Ask for a mutation whose input is sound but for one change."""
        document, variables = written(mutation, {**self.sound(mutation), **change}, form, errors)
        return await self.ask(document, **variables)

    async def object(self, mutation: str, form: str = "variable", **change: Any) -> Fields:
        """A mutation that is refused."""
        document, variables = written(mutation, {**self.sound(mutation), **change}, form, ERRORS)
        return await self.refuse(document, **variables)

    def sound(self, mutation: str) -> Fields:
        person = {"firstName": "Mary", "lastName": "Shelley"}
        reservation = {"reservationId": encode("Reservation", UNKNOWN)}
        return {
            "providerCreate": person,
            "clientCreate": person,
            "appointmentBulkCreate": {"providerId": self.provider, "startTime": NINE, "endTime": TEN},
            "reservationCreate": {"clientId": self.client, "appointmentId": self.free[0]},
            "reservationConfirm": reservation,
            "reservationCancel": reservation,
        }[mutation]

    async def held(self) -> tuple[str, str]:
        """A new provider's appointment, held: the ids of the appointment and the reservation."""
        (appointment,) = await self.api.publish(await self.api.provider(), NINE, TEN, slotMinutes=60)
        return appointment, (await self.api.reserve(self.client, appointment))["reservation"]["id"]


THING = {"providerCreate": "provider { id }", "clientCreate": "client { id }", "appointmentBulkCreate": "created kept"}
UNSENT = object()


def written(mutation: str, fields: Fields, form: str, errors: str) -> tuple[str, Fields]:
    """A document that asks for a mutation, and its variables."""
    fields = {name: value for name, value in fields.items() if value is not UNSENT}
    selected = f"{THING.get(mutation, 'reservation { id status }')} {errors}"
    if form == "literal":
        return f"mutation {{ {mutation}(input: {literal(fields)}) {{ {selected} }} }}", {}
    input_type = f"{mutation[0].upper()}{mutation[1:]}Input!"
    return f"mutation ($input: {input_type}) {{ {mutation}(input: $input) {{ {selected} }} }}", {"input": fields}


def literal(value: Any) -> str:
    """A value as a document writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(each) for each in value) + "]"
    return value if isinstance(value, Name) else json.dumps(value)


@pytest.fixture(scope="module")
def shared(cluster: str, migrated: str) -> Iterator[str]:
    """The address of a migrated database of this module."""
    name = f"holdfast_test_{uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {make_url(migrated).database} STRATEGY file_copy")
        yield make_url(cluster).set(database=name).render_as_string(hide_password=False)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def world(shared: str) -> AsyncIterator[World]:
    with psycopg.connect(shared, autocommit=True) as connection:

        def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []

        async with serving(shared, pool_size=2) as api:
            made = World(api, sql, await api.provider(), await api.client(), strangers=strangers(sql))
            made.free = await api.publish(made.provider, "2027-05-05T09:00:00Z", "2027-05-05T10:00:00Z")
            yield made


def strangers(sql: Sql) -> dict[str, str]:
    """Another business, with one thing of each type; their ids by type."""
    ((business,),) = sql("INSERT INTO businesses (name) VALUES ('Strangers') RETURNING id")
    person = "INSERT INTO {} (business_id, first_name, last_name) VALUES (%s, 'Eve', 'Stranger') RETURNING id"
    ((provider,),), ((client,),) = (sql(person.format(table), business) for table in ("providers", "clients"))
    ((service,),) = sql("INSERT INTO services (business_id, name) VALUES (%s, 'Visit') RETURNING id", business)
    ((location,),) = sql(
        "INSERT INTO locations (business_id, name, time_zone) VALUES (%s, 'There', 'UTC') RETURNING id", business
    )
    appointment = place(sql, provider, "120 hours", business)
    ((reservation,),) = sql(
        "INSERT INTO reservations (business_id, client_id, appointment_id) VALUES (%s, %s, %s) RETURNING id",
        *(business, client, appointment),
    )
    keys = {"Provider": provider, "Client": client, "Service": service, "Location": location}
    keys |= {"Appointment": appointment, "Reservation": reservation}
    return {name: encode(name, key) for name, key in keys.items()}


def place(sql: Sql, provider: UUID, ahead: str, business: UUID = DEFAULT_BUSINESS) -> UUID:
    """Publish an appointment, past the API, so far ahead of the database's clock."""
    ((key,),) = sql(
        """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
           VALUES (%s, %s, clock_timestamp() + %s::interval, clock_timestamp() + %s::interval + '1 hour') RETURNING id""",
        *(business, provider, ahead, ahead),
    )
    identity: UUID = key
    return identity


def key_of(node_id: str) -> UUID:
    return UUID(base64.b64decode(node_id).decode().partition(":")[2])


@pytest.mark.parametrize(
    ("document", "name", "code", "message"),
    [
        case("{ providers( }", None, PARSE, "Expected Name", id="18 an argument without a name"),
        case("{ serverTime", None, PARSE, "<EOF>", id="18 cut off"),
        case("{ serverTime \0 }", None, PARSE, "U+0000", id="18 a control character"),
        case("{ providers { totalCont } }", None, VALIDATION, "Did you mean 'totalCount'?", id="19 a misspelt field"),
        case("{ providers { zzz } }", None, VALIDATION, "Cannot query field 'zzz'", id="19 an unknown field"),
        case("{ provider { id } }", None, VALIDATION, "of type 'ID!' is required", id="34 an argument left out"),
        case("{ ...a } fragment a on Query { ...a }", None, VALIDATION, "spread fragment 'a'", id="20 onto itself"),
        case(
            "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
            *(None, VALIDATION, "via 'b'"),
            id="20 onto each other",
        ),
        case("query a { serverTime } query b { serverTime }", None, VALIDATION, "operationName", id="31 none named"),
        case("query a { serverTime } query b { serverTime }", "c", VALIDATION, "'c'", id="31 wrong name"),
        case("{ serverTime }", "c", VALIDATION, "'c'", id="31 a name for the nameless"),
        case("fragment a on Query { serverTime }", None, VALIDATION, "", id="31 no operation"),
        case(
            "subscription { availabilityChanged { reason } }",
            None,
            VALIDATION,
            "text/event-stream",
            id="32 a subscription",
        ),
    ],
)
async def test_a_document_that_is_wrong_is_refused_where_it_is_wrong(
    world: World, document: str, name: str | None, code: str, message: str
) -> None:
    answer = await world.ask(document, name)

    assert "data" not in answer
    assert {error["extensions"]["code"] for error in answer["errors"]} == {code}
    assert message in answer["errors"][0]["message"]
    if code == PARSE:
        assert answer["errors"][0]["locations"][0].keys() == {"line", "column"}


def window(start: Any = NINE, end: Any = TEN) -> Fields:
    return {"startTime": start, "endTime": end}


def windows(*bad: Any) -> Fields:
    return {
        "startTime": UNSENT,
        "endTime": UNSENT,
        "windows": [window("2027-06-01T09:00:00Z", "2027-06-01T10:00:00Z"), *bad],
    }


@FORMS
@pytest.mark.parametrize(
    ("mutation", "change", "code", "blamed"),
    [
        case("appointmentBulkCreate", {"slotMinutes": 99999999999999}, INVALID, "slotMinutes", id="33 too large"),
        case("appointmentBulkCreate", {"slotMinutes": "15"}, INVALID, "slotMinutes", id="33 text"),
        case("appointmentBulkCreate", {"slotMinutes": 15.5}, INVALID, "slotMinutes", id="33 a fraction"),
        case("appointmentBulkCreate", {"slotMinutes": True}, INVALID, "slotMinutes", id="33 true"),
        case("appointmentBulkCreate", {"dryRun": "true"}, INVALID, "dryRun", id="33 text for true"),
        case("appointmentBulkCreate", {"capacity": [1, 2]}, INVALID, "capacity", id="33 a list"),
        case("providerCreate", {"firstName": 5}, INVALID, "firstName", id="33 a number for text"),
        case("providerCreate", {"firstName": {"a": 1}}, INVALID, "firstName", id="33 an object for text"),
        case("providerCreate", {"firstName": UNSENT}, VALIDATION, "firstName", id="34 left out"),
        case("providerCreate", {"firstName": None}, VALIDATION, "firstName", id="34 null"),
        case("providerCreate", {"middleName": "B."}, VALIDATION, "middleName", id="34 one too many"),
        case("appointmentBulkCreate", windows({"startTime": NINE}), VALIDATION, "windows.1.endTime", id="34 inside"),
        case("appointmentBulkCreate", windows(window(end=None)), VALIDATION, "windows.1.endTime", id="34 null inside"),
        case("appointmentBulkCreate", windows(None), VALIDATION, "windows.1", id="34 null for an object"),
        case("appointmentBulkCreate", windows(5), VALIDATION, "windows.1", id="34 a number for an object"),
        case("appointmentBulkCreate", {"mode": Name("add")}, INVALID, "mode", id="35 lower case"),
        case("appointmentBulkCreate", {"mode": Name("REPLACE")}, INVALID, "mode", id="35 half a name"),
        case("appointmentBulkCreate", {"mode": 1}, INVALID, "mode", id="35 a number"),
        case("appointmentBulkCreate", {"endTime": "2027-05-03T10:00:00"}, INVALID, "endTime", id="48 no offset"),
        *(
            case("appointmentBulkCreate", {"startTime": instant}, INVALID, "startTime", id=f"{row} {instant!r}")
            for row, instants in {
                48: ("2027-05-03", "2027-05-03T09:00:00 Europe/Berlin", "2027-05-03T09:00:00z[UTC]", ""),
                49: ("2027-02-29T09:00:00Z", "2027-13-01T09:00:00Z", "2027-05-03T24:61:00Z", "2027-05-03T23:59:60Z"),
                50: ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "infinity", "now"),
            }.items()
            for instant in instants
        ),
        case(
            "appointmentBulkCreate",
            windows(window("2027-05-03 09:00Z")),
            INVALID,
            "windows.1.startTime",
            id="48 inside",
        ),
        case("appointmentBulkCreate", {"startTime": "1999-12-31T23:59:59Z"}, INVALID, "startTime", id="50 1999"),
        case("appointmentBulkCreate", {"endTime": "2200-01-01T00:00:01Z"}, INVALID, "endTime", id="50 2200"),
        case("appointmentBulkCreate", {"endTime": "0001-01-01T00:00:00+14:00"}, INVALID, "endTime", id="50 year 0"),
        case("appointmentBulkCreate", {"endTime": 1809334800}, INVALID, "endTime", id="50 epoch"),
        case("appointmentBulkCreate", {"endTime": "1809334800"}, INVALID, "endTime", id="50 epoch as text"),
        case("appointmentBulkCreate", {"endTime": "٢٠٢٧-05-03T10:00:00Z"}, INVALID, "endTime", id="50 other digits"),
        case("appointmentBulkCreate", {"endTime": "2027-05-03T10:00:00+25:00"}, INVALID, "endTime", id="50 offset"),
        *(
            case("clientCreate", {"timeZone": zone}, "UNKNOWN_TIME_ZONE", "timeZone", id=f"{row} {str(zone)[:20]!r}")
            for row, zones in {
                54: ("im so wrong",),
                55: (
                    *("", "XXX5", "+25", "+02:00", "Europe/berlin", "Europe", "../../etc/passwd", "UTC\0", "z" * 300),
                    *("localtime", "right/UTC", "posix/UTC", "posixrules", "Factory", " UTC", "/etc/localtime", 1),
                ),
            }.items()
            for zone in zones
        ),
    ],
)
async def test_a_value_that_does_not_fit_its_type_is_refused_at_its_field(
    world: World, form: str, mutation: str, change: Fields, code: str, blamed: str
) -> None:
    answer = await world.object(mutation, form, **change)

    assert "data" not in answer
    assert Said.by(answer) == {(code, blamed): 1}
    (error,) = answer["errors"]
    assert error["message"].count("\n") == 0
    assert len(error["message"]) <= 500


@FORMS
@pytest.mark.parametrize(
    ("mutation", "change", "message"),
    [
        case("appointmentBulkCreate", {"mode": Name("add")}, "mode must be one of ADD, REPLACE_WINDOW.", id="35"),
        case("appointmentBulkCreate", {"startTime": "2027-05-03T09:00:00"}, "add Z or an offset", id="48"),
        case("clientCreate", {"timeZone": "Europe/berlin"}, "'Europe/berlin' is not a time zone", id="55"),
        case("clientCreate", {"firstName": UNSENT}, "firstName is required.", id="34 left out"),
        case("clientCreate", {"firstName": None}, "firstName must not be null.", id="34 null"),
        case(
            "clientCreate", {"fistName": "M"}, "ClientCreateInput has no field fistName. Did you mean", id="34 misspelt"
        ),
    ],
)
async def test_the_sentence_tells_the_way_out(
    world: World, form: str, mutation: str, change: Fields, message: str
) -> None:
    answer = await world.object(mutation, form, **change)

    assert message in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        case("im so wrong", None, id="54 zone 'im so wrong'"),
        case("Europe/berlin", "Europe/Berlin", id="55 lower case"),
        case("Kathmandu", "Asia/Kathmandu", id="55 a city"),
        case("America/New York", "America/New_York", id="55 a space"),
    ],
)
async def test_an_unknown_zone_is_answered_with_up_to_three_near_names(
    world: World, zone: str, near: str | None
) -> None:
    answer = await world.object("providerCreate", timeZone=zone)

    (error,) = answer["errors"]
    suggestions = error["extensions"]["suggestions"]
    assert len(suggestions) <= 3
    assert suggestions[:1] == ([near] if near else suggestions[:1])


NOT_IDS = [
    case("abc", id="36 abc"),
    case("", id="36 empty"),
    case("A" * 5_000, id="36 5 000 characters"),
    case("1 OR 1=1", id="36 1 OR 1=1"),
    case(5, id="36 a number"),
    case("019e0000-0000-7000-8000-000000000009", id="36 a bare uuid"),
    *(
        case(base64.b64encode(inside.encode()).decode(), id=f"36 {inside!r}")
        for inside in (
            *(
                f"Client:{uuid}"
                for uuid in (f"{{{UNKNOWN}}}", f"urn:uuid:{UNKNOWN}", UNKNOWN.hex, str(UNKNOWN).upper())
            ),
            *("Client:1", "Client:", "client:" + str(UNKNOWN), f"Client:{UNKNOWN}\n", f"Client:{UNKNOWN}' OR '1'='1"),
        )
    ),
    case(encode("Client", UNKNOWN) + "\0", id="36 with a zero"),
    case(encode("Client", UNKNOWN).rstrip("=") + "\n", id="36 unpadded"),
]


@FORMS
@pytest.mark.parametrize("identity", NOT_IDS)
async def test_what_is_no_id_is_refused_before_the_database_sees_it(world: World, form: str, identity: Any) -> None:
    world.api.statements.clear()

    for mutation, blamed in (("reservationCreate", "clientId"), ("reservationConfirm", "reservationId")):
        answer = await world.send(mutation, form, **{blamed: identity})

        assert Said.by(answer) == {(INVALID, blamed): 1}
        assert answer["data"][mutation]["reservation"] is None
    for question, blamed in (
        ("client(id: %s) { id }", "id"),
        ("node(id: %s) { id }", "id"),
        ("nodes(ids: [%s]) { id }", "ids.0"),
    ):
        answer = await world.ask("{ asked: " + question % literal(identity) + " }")

        assert Said.by({"errors": answer["errors"]}) == {(INVALID, blamed): 1}

    assert world.api.statements == []


@pytest.mark.parametrize("found", ["unknown", "strangers", "other type"])
@pytest.mark.parametrize(
    ("type_name", "document", "blamed"),
    [
        *(
            case(name, f"query ($id: ID!) {{ asked: {name.lower()}(id: $id) {{ id }} }}", "id", id=name.lower())
            for name in ("Provider", "Client", "Appointment", "Reservation")
        ),
        *(
            case(name, "query ($id: ID!) { node(id: $id) { id } }", "id", id=f"node, {name.lower()}")
            for name in ("Provider", "Client", "Appointment", "Reservation", "Service", "Location")
        ),
        case("Provider", "query ($id: ID!) { nodes(ids: [$id]) { id } }", "ids.0", id="nodes"),
        *(
            case(
                name,
                f"mutation ($id: ID!) {{ {mutation}(input: {{{fields}}}) {{ {THING.get(mutation, 'reservation { id }')}"
                " userErrors { message code field retryable } } }",
                fields.partition(":")[0],
                id=f"{mutation}, {fields.partition(':')[0]}",
            )
            for mutation, name, fields in (
                ("reservationCreate", "Client", "clientId: $id, appointmentId: APPOINTMENT"),
                ("reservationCreate", "Appointment", "appointmentId: $id, clientId: CLIENT"),
                ("reservationConfirm", "Reservation", "reservationId: $id"),
                ("reservationCancel", "Reservation", "reservationId: $id"),
                ("appointmentBulkCreate", "Provider", "providerId: $id, startTime: START, endTime: END"),
                (
                    "appointmentBulkCreate",
                    "Service",
                    "serviceId: $id, providerId: PROVIDER, startTime: START, endTime: END",
                ),
                (
                    "appointmentBulkCreate",
                    "Location",
                    "locationId: $id, providerId: PROVIDER, startTime: START, endTime: END",
                ),
            )
        ),
    ],
)
async def test_of_what_is_not_ours_nothing_can_be_told(
    world: World, found: str, type_name: str, document: str, blamed: str
) -> None:
    """Rows 37, 38, 39 and 74: unknown, another business's and another type's are one and the same answer."""
    ours = {"APPOINTMENT": world.free[0], "CLIENT": world.client, "PROVIDER": world.provider, "START": NINE, "END": TEN}
    for name, value in ours.items():
        document = document.replace(name, literal(value))
    other = world.provider if type_name != "Provider" else world.client
    ((entry,),) = world.sql("SELECT id FROM events WHERE business_id = %s LIMIT 1", DEFAULT_BUSINESS)
    asked = {
        "unknown": encode(type_name, UNKNOWN),
        "strangers": world.strangers[type_name],
        "other type": encode("AuditEntry", entry) if "node" in document else other,
    }

    expected = await world.refuse(document, id=encode(type_name, uuid4()))
    answer = await world.refuse(document, id=asked[found])

    assert Said.by(answer) == {("NOT_FOUND", blamed): 1}
    assert nameless(answer) == nameless(expected)


def nameless(answer: Fields) -> bytes:
    """The bytes of an answer, but for the id of its request."""
    return re.sub(rb'"requestId":"\w+"', b"", orjson.dumps(answer))


@pytest.mark.parametrize(
    ("type_name", "document"),
    [
        case("Provider", "query ($id: ID!) { availableAppointments(filter: {providerIds: [$id]}) { totalCount nodes { id } } }", id="38 free"),
        case("Provider", "query ($id: ID!) { appointments(filter: {providerIds: [$id]}) { totalCount nodes { id } } }", id="38 published"),
        case("Location", "query ($id: ID!) { appointments(filter: {locationId: $id}) { totalCount nodes { id } } }", id="38 there"),
        case("Client", "query ($id: ID!) { reservations(filter: {clientId: $id}) { totalCount nodes { id } } }", id="38 of a client"),
        case("Provider", "query ($id: ID!) { reservations(filter: {providerId: $id}) { totalCount nodes { id } } }", id="38 with"),
    ],
)  # fmt: skip
async def test_a_list_that_is_narrowed_to_a_stranger_is_empty(world: World, type_name: str, document: str) -> None:
    answer = await world.ask(document, id=world.strangers[type_name])

    assert nameless(answer) == nameless(await world.ask(document, id=encode(type_name, UNKNOWN)))
    assert [each["totalCount"] for each in answer["data"].values()] == [0]


@FORMS
@pytest.mark.parametrize(
    ("mutation", "change", "blamed"),
    [
        case("providerCreate", {"firstName": "Mary\0"}, "firstName", id="40 a zero in a name"),
        case("providerCreate", {"email": "mary\0@example.com"}, "email", id="40 a zero in an address"),
        case("reservationCreate", {"note": "a\0b"}, "note", id="40 a zero in a note"),
        case("reservationCancel", {"reason": "\0"}, "reason", id="40 a zero in a reason"),
        *(
            case("clientCreate", {"lastName": f"a{mark}b"}, "lastName", id=f"42 {mark!r} in a name")
            for mark in ("\a", "\x1b", "\x7f", "\x85", "\n", "\t")
        ),
        case("reservationCreate", {"note": "\x1b[31mred"}, "note", id="42 an escape in a note"),
        case("clientCreate", {"firstName": "a" * 19_000}, "firstName", id="45 19 000 characters"),
        case("clientCreate", {"firstName": "a" * 201}, "firstName", id="45 201 characters"),
        case("clientCreate", {"firstName": ""}, "firstName", id="45 empty"),
        case("clientCreate", {"firstName": "   "}, "firstName", id="45 spaces"),
        case("clientCreate", {"firstName": "\u200b\u2060\u00a0"}, "firstName", id="45 nothing to be seen"),
        case("reservationCreate", {"note": "a" * 2_001}, "note", id="45 a note of 2 001 characters"),
        case("clientCreate", {"email": "mary"}, "email", id="45 no address"),
        case("clientCreate", {"email": "a" * 250 + "@b.co"}, "email", id="45 255 characters"),
        case("appointmentBulkCreate", window(TEN, NINE), "endTime", id="51 reversed"),
        case("appointmentBulkCreate", window(NINE, NINE), "endTime", id="51 zero length"),
        case("appointmentBulkCreate", {"slotMinutes": 1441}, "slotMinutes", id="52 longer than a day"),
        case("appointmentBulkCreate", {"slotMinutes": 0}, "slotMinutes", id="52 zero"),
        case("appointmentBulkCreate", {"slotMinutes": -15}, "slotMinutes", id="52 negative"),
        case("appointmentBulkCreate", {"endTime": "2027-05-03T09:00:00.000001Z"}, "endTime", id="52 1 microsecond"),
        case("appointmentBulkCreate", {"endTime": "2027-05-03T09:14:59.999Z"}, "endTime", id="52 shorter than a slot"),
        case("appointmentBulkCreate", {"endTime": "2028-05-04T09:00:01Z"}, "endTime", id="52 a window of 367 days"),
        case("appointmentBulkCreate", {"capacity": 0}, "capacity", id="52 for nobody"),
        case("appointmentBulkCreate", {"capacity": 1001}, "capacity", id="52 for too many"),
        case("appointmentBulkCreate", {"startTime": UNSENT}, "startTime", id="51 without a start"),
        case("appointmentBulkCreate", {"windows": [window()]}, "windows", id="58 one window and many"),
        case("appointmentBulkCreate", {**windows(), "windows": []}, "windows", id="58 an empty list"),
        case(
            "appointmentBulkCreate", window("2025-05-03T09:00:00Z", "2025-05-03T10:00:00Z"), "startTime", id="63 past"
        ),
        case(
            "appointmentBulkCreate",
            windows(window("2025-05-03T09:00:00Z", "2025-05-03T10:00:00Z")),
            "windows.1.startTime",
            id="63 one of two",
        ),
        *(
            case(mutation, {"idempotencyKey": key}, "idempotencyKey", id=f"82 {mutation}, {key[:5]!r}")
            for mutation in ("clientCreate", "appointmentBulkCreate", "reservationCreate", "reservationConfirm")
            for key in ("", "k" * 256, "a\0b", "a\nb", "a\x7fb", "\u200b")
        ),
    ],
)
async def test_a_value_that_breaks_a_rule_is_refused_at_its_field(
    world: World, form: str, mutation: str, change: Fields, blamed: str
) -> None:
    answer = await world.object(mutation, form, **change)

    assert Said.by(answer) == {(INVALID, blamed): 1}
    (error,) = answer["data"][mutation]["userErrors"]
    assert error["retryable"] is False
    assert len(error["message"]) <= 200


@pytest.mark.parametrize(
    ("form", "said"), [("literal", ("DOCUMENT_TOO_LARGE", None)), ("variable", (INVALID, "firstName"))]
)
async def test_a_name_of_a_megabyte_is_refused_wherever_it_stands(
    world: World, form: str, said: tuple[str, str | None]
) -> None:
    """Row 45: a document may not be as long as a variable."""
    answer = await world.object("clientCreate", form, firstName="a" * 1_000_000)

    assert Said.by(answer) == {said: 1}


@pytest.mark.parametrize("place", ["firstName", "email", "idempotencyKey"])
async def test_half_of_a_surrogate_pair_is_no_text(world: World, place: str) -> None:
    """Row 41: a document must not contain it, nor may JSON."""
    sent = "a" + chr(0xD800)

    in_document = await world.object("providerCreate", "literal", **{place: sent})
    in_json = await world.object("providerCreate", "variable", **{place: sent})

    assert Said.by(in_document) == {(PARSE, None): 1}
    assert Said.by(in_json) == {("BAD_JSON", None): 1}


@pytest.mark.parametrize("header", [case("k" * 256, id="82 256 characters"), case("", id="82 empty")])
async def test_a_key_in_the_header_is_checked_as_one_in_the_input(world: World, header: str) -> None:
    document, variables = written("clientCreate", world.sound("clientCreate"), "variable", ERRORS)
    before = world.sql(COUNT)

    answer = await world.api.post(document, {"idempotency-key": header}, **variables)

    assert Said.by(answer) == {(INVALID, "idempotencyKey"): 1}
    assert world.sql(COUNT) == before


@FORMS
@pytest.mark.parametrize(
    "name",
    [
        case("\u202eada\u202c", id="42 right to left"),
        case("A\u200bd\u200da", id="42 zero width"),
        case("👩‍👩‍👧‍👦", id="42 emoji"),
        case("Zoë", id="42 NFC"),
        case(unicodedata.normalize("NFD", "Zoë"), id="42 its twin, NFD"),
        case("أحمد", id="42 Arabic"),
        case("'; DROP TABLE reservations; --", id="43 SQL"),
        case("%s %(name)s {0} :name", id="43 placeholders"),
        case("\\\"'\\u0000", id="43 quotes and backslashes"),
        case("a" * 200, id="45 200 characters"),
        case("<script>alert(1)</script>", id="46 a script"),
    ],
)
async def test_a_name_is_stored_as_it_is_written(world: World, form: str, name: str) -> None:
    answer = await world.send("providerCreate", form, firstName=name)

    identity = answer["data"]["providerCreate"]["provider"]["id"]
    stored = unicodedata.normalize("NFC", name)
    assert world.sql("SELECT first_name FROM providers WHERE id = %s", key_of(identity)) == [(stored,)]
    read = await world.ask("query ($id: ID!) { provider(id: $id) { firstName } }", id=identity)
    assert read["data"] == {"provider": {"firstName": stored}}


@FORMS
@pytest.mark.parametrize(
    "note",
    [
        case("<script>alert(1)</script>", id="46 a script"),
        case("one\r\ntwo\n\tthree", id="47 lines"),
        case("", id="47 nothing"),
        case("'; DROP TABLE reservations; --", id="43 SQL"),
    ],
)
async def test_a_note_is_stored_as_it_is_written(world: World, form: str, note: str) -> None:
    (appointment,) = await world.api.publish(await world.api.provider(), NINE, TEN, slotMinutes=60)

    answer = await world.send("reservationCreate", form, appointmentId=appointment, note=note)

    identity = answer["data"]["reservationCreate"]["reservation"]["id"]
    assert world.sql("SELECT note FROM reservations WHERE id = %s", key_of(identity)) == [(note,)]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        case("'; DROP TABLE reservations; --", [], id="43 SQL"),
        case("%", ["100% Wool"], id="44 percent"),
        case("_", ["snake_case"], id="44 underscore"),
        case("\\", ["back\\slash"], id="44 backslash"),
        case("/", [], id="44 slash"),
        case("100_ W", [], id="44 underscore for a letter"),
        case("WOOL", ["100% Wool"], id="44 another case"),
    ],
)
async def test_a_search_is_taken_literally(world: World, search: str, found: list[str]) -> None:
    names = ["100% Wool", "snake_case", "back\\slash"]
    if not world.sql("SELECT 1 FROM clients WHERE first_name = %s", names[0]):
        for name in names:
            await world.api.client(name, "Searched")

    answer = await world.api("query ($s: String) { clients(search: $s) { totalCount nodes { firstName } } }", s=search)

    assert [node["firstName"] for node in answer["clients"]["nodes"]] == found
    assert answer["clients"]["totalCount"] == len(found)
    assert world.sql("SELECT to_regclass('reservations')::text") == [("reservations",)]


def cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


BY_START, BY_NAME = "appointments+starts_at+id", "providers+last_name+first_name+id"


@pytest.mark.parametrize(
    ("question", "code", "blamed"),
    [
        *(
            case(f"{name}({argument}: {value}) {{ nodes {{ id }} }}", INVALID, argument, id=f"56 {name} {argument} {value}")
            for name, argument in (
                *(("providers", argument) for argument in ("limit", "first", "last")),
                *((name, "first") for name in ("clients", "appointments", "availableAppointments", "reservations")),
            )
            for value in (0, -1, 101, 9_000)
        ),
        *(
            case(f"{name}(first: 1000000000) {{ nodes {{ id }} }}", "TOO_COSTLY", None, id=f"56 {name} first 1000000000")
            for name in ("providers", "clients", "appointments", "availableAppointments", "reservations", "auditEntries", "apiKeys")
        ),
        *(
            case(f"providers(offset: {value}) {{ nodes {{ id }} }}", INVALID, "offset", id=f"56 offset {value}")
            for value in (-1, 10_001, 2_147_483_647)
        ),
        *(
            case(f"{name}({side}: {literal(value)}) {{ nodes {{ id }} }}", INVALID, side, id=f"56 {side} {value[:6]!r} {n}")
            for side in ("after", "before")
            for n, (name, value) in enumerate(
                (
                    *(("appointments", value) for value in ("abc", "", "é", "A" * 5_000, "a\0", "' OR 1=1 --")),
                    *(("appointments", cursor(*place)) for place in ((), ("x",), (BY_START,), (BY_START, NINE))),
                    ("appointments", cursor(BY_START, "infinity", str(UNKNOWN))),
                    ("appointments", cursor(BY_START, NINE, "1")),
                    ("appointments", cursor(BY_START, NINE, 1)),
                    ("appointments", cursor(BY_START, NINE, [str(UNKNOWN)])),
                    ("appointments", cursor(BY_NAME, "a", "b", str(UNKNOWN))),
                    ("appointments", base64.b64encode(b"[" * 1_400).decode()),
                    ("availableAppointments", cursor(BY_START, NINE, str(UNKNOWN))),
                    ("providers", cursor(BY_NAME, "a\0", "b", str(UNKNOWN))),
                    ("reservations", cursor(BY_START, NINE, str(UNKNOWN))),
                )
            )
        ),
        case(
            f"appointments(orderBy: {{field: CREATED_AT}}, after: {literal(cursor(BY_START, NINE, str(UNKNOWN)))}) {{ nodes {{ id }} }}",
            *(INVALID, "after"),
            id="56 a cursor of another order",
        ),
        case("providers(first: 1, last: 1) { nodes { id } }", INVALID, "last", id="56 both ends"),
        case('providers(offset: 1, after: "a") { nodes { id } }', INVALID, "offset", id="56 both ways"),
        case("appointments { nodes { reservations(first: 0) { nodes { id } } } }", INVALID, "first", id="56 inside"),
        case("providers(orderBy: [{field: LAST_NAME}, {field: LAST_NAME, direction: DESC}]) { nodes { id } }", INVALID, "orderBy", id="57 twice"),
        case("providers(orderBy: {field: SALARY}) { nodes { id } }", INVALID, "orderBy.field", id="57 unknown"),
        case("providers(orderBy: [{field: SALARY}]) { nodes { id } }", INVALID, "orderBy.0.field", id="57 unknown in a list"),
        case("providers(orderBy: {field: last_name}) { nodes { id } }", INVALID, "orderBy.field", id="35 wrong case"),
        case('providers(orderBy: {field: "\'; DROP TABLE reservations; --"}) { nodes { id } }', INVALID, "orderBy.field", id="43 SQL in orderBy"),
        case('providers(search: "a\\u0000") { nodes { id } }', INVALID, "search", id="40 a zero in a search"),
        case(f'providers(search: "{"a" * 201}") {{ nodes {{ id }} }}', INVALID, "search", id="45 a long search"),
        *(
            case(f"{name}(filter: {{startsAt: {{from: {literal(start)}, until: {literal(end)}}}}}) {{ nodes {{ id }} }}", INVALID, "startsAt.until", id=f"53 {name} {what}")
            for name in ("appointments", "availableAppointments", "reservations")
            for what, start, end in (
                ("reversed", TEN, NINE),
                ("longer than 366 days", "2027-05-03T09:00:00Z", "2028-05-03T09:00:00.000001Z"),
            )
        ),
        case('appointments(filter: {startsAt: {from: "soon"}}) { nodes { id } }', INVALID, "startsAt.from", id="49 a filter"),
        case('appointments(filter: {date: "2027-02-29", timeZone: "UTC"}) { nodes { id } }', INVALID, "date", id="49 a date"),
        case('appointments(filter: {date: "9999-12-31", timeZone: "UTC"}) { nodes { id } }', INVALID, "date", id="50 a date"),
        case('appointments(filter: {date: 20270503, timeZone: "UTC"}) { nodes { id } }', INVALID, "date", id="50 a number"),
        case('appointments(filter: {date: "2027-05-03"}) { nodes { id } }', INVALID, "timeZone", id="53 a date without a zone"),
        case('appointments(filter: {timeZone: "im so wrong"}) { nodes { id } }', "UNKNOWN_TIME_ZONE", "timeZone", id="54 a filter"),
        case("appointments(filter: {minimumMinutes: 0}) { nodes { id } }", INVALID, "minimumMinutes", id="52 zero minutes"),
        case("appointments(filter: {minimumMinutes: 1441}) { nodes { id } }", INVALID, "minimumMinutes", id="52 over a day"),
        case('appointments(filter: {providerIds: ["abc"]}) { nodes { id } }', INVALID, "providerIds.0", id="36 a filter"),
        case("reservations(filter: {status: [HELD, held]}) { nodes { id } }", INVALID, "status.1", id="35 a filter"),
    ],
)  # fmt: skip
async def test_a_list_cannot_be_asked_for_like_this(world: World, question: str, code: str, blamed: str | None) -> None:
    answer = await world.refuse(f"{{ {question} }}")

    assert set(Said.by(answer)) == {(code, blamed)}


async def test_a_field_is_named_alike_whatever_its_variable_is_called(world: World) -> None:
    document = "query ($wanted: AvailabilityFilter) { appointments(filter: $wanted) { nodes { id } } }"

    answers = [
        await world.refuse(document, wanted={"startsAt": {"from": start, "until": NINE}}) for start in ("soon", TEN)
    ]

    assert [set(Said.by(answer)) for answer in answers] == [{(INVALID, "startsAt.from")}, {(INVALID, "startsAt.until")}]


async def test_a_default_that_does_not_fit_is_told_by_its_variable(world: World) -> None:
    answer = await world.refuse('query ($size: Int = "20") { providers(first: $size) { nodes { id } } }')

    assert Said.by(answer) == {(INVALID, "size"): 1}


def hours(count: int) -> list[Fields]:
    """So many windows of an hour, one after the other."""
    first = datetime(2027, 7, 1, tzinfo=UTC)
    return [
        window((first + timedelta(hours=n)).isoformat(), (first + timedelta(hours=n + 1)).isoformat())
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("change", "code", "blamed", "details"),
    [
        case({"windows": [window(), window()]}, "DUPLICATE_ROWS", "windows.1", {"rows": [0, 1]}, id="59"),
        case({"windows": [*hours(3), hours(3)[1]]}, "DUPLICATE_ROWS", "windows.3", {"rows": [1, 3]}, id="59 far apart"),
        case(
            {"windows": [window(), window("2027-05-03T11:30:00+02:00", "2027-05-03T12:30:00+02:00")]},
            *("OVERLAPPING_ROWS", "windows.1", {"rows": [0, 1], "appointmentIds": []}),
            id="60 with each other",
        ),
        case(
            {"windows": [*hours(137), window(TEN, NINE), *hours(499)[137:]]},
            *(INVALID, "windows.137.endTime", {}),
            id="61 one bad row of 500",
        ),
        case(
            {"windows": hours(10_001), "slotMinutes": 60},
            *("TOO_MANY_ROWS", "windows", {"found": 10_001, "limit": 10_000}),
            id="62 10 001 windows",
        ),
        case(
            {"startTime": NINE, "endTime": "2027-05-10T07:41:00Z", "slotMinutes": 1},
            *("TOO_MANY_ROWS", "endTime", {"found": 10_001, "limit": 10_000}),
            id="62 one window",
        ),
    ],
)  # fmt: skip
async def test_of_a_bad_bulk_nothing_is_written(
    world: World, change: Fields, code: str, blamed: str, details: Fields
) -> None:
    single: Fields = {} if "startTime" in change else {"startTime": UNSENT, "endTime": UNSENT}

    answer = await world.object("appointmentBulkCreate", **{**single, **change})

    assert Said.by(answer) == {(code, blamed): 1}
    (error,) = answer["data"]["appointmentBulkCreate"]["userErrors"]
    assert details.items() <= error.items()
    assert (answer["data"]["appointmentBulkCreate"]["created"], error["retryable"]) == (0, False)


async def test_a_bulk_may_not_overlap_what_is_published(world: World) -> None:
    """Row 60: the windows and the published appointments are both named."""
    ada = await world.api.provider()
    published = await world.api.publish(ada, NINE, TEN, slotMinutes=20)
    shifted = window("2027-05-03T09:30:00Z", "2027-05-03T10:30:00Z")

    answer = await world.object("appointmentBulkCreate", **{**windows(shifted), "providerId": ada})

    (error,) = answer["data"]["appointmentBulkCreate"]["userErrors"]
    assert (error["code"], error["field"], error["rows"]) == ("OVERLAPPING_ROWS", ["windows", "1"], [1])
    assert sorted(error["appointmentIds"]) == sorted(published[1:])


async def test_a_bulk_of_100_000_windows_is_too_large_a_body(world: World) -> None:
    """Row 62."""
    answer = await world.object("appointmentBulkCreate", windows=[window()] * 100_000)

    assert Said.by(answer) == {("BODY_TOO_LARGE", None): 1}


async def test_a_bulk_that_is_sent_again_under_its_key_is_answered_again(world: World) -> None:
    """Row 64."""
    sent = {"providerId": await world.api.provider(), "idempotencyKey": "row 64"}
    first = await world.send("appointmentBulkCreate", **sent)
    before = world.sql(COUNT)

    second = await world.send("appointmentBulkCreate", **sent)

    assert world.sql(COUNT) == before
    assert second["data"] == first["data"]
    assert first["data"]["appointmentBulkCreate"]["created"] == 4
    assert second["extensions"] == {"idempotentReplay": True}


@pytest.mark.parametrize(
    ("ahead", "refused"),
    [
        case("23:59:59", True, id="65 a second too soon"),
        case("24:00:30", False, id="65 far enough"),
        case("-1 hour", True, id="66 past"),
        case("-30 minutes", True, id="66 just running"),
    ],
)
async def test_an_appointment_is_reserved_a_day_ahead(world: World, ahead: str, refused: bool) -> None:
    key = place(world.sql, key_of(await world.api.provider()), ahead)
    ((least, most),) = world.sql("SELECT clock_timestamp() + '24:00:00', clock_timestamp() + '24:00:10'")

    answer = await world.send("reservationCreate", appointmentId=encode("Appointment", key))

    assert Said.by(answer) == ({("LEAD_TIME", "appointmentId"): 1} if refused else {})
    for error in answer["data"]["reservationCreate"]["userErrors"]:
        assert least <= datetime.fromisoformat(error["earliestStart"]) <= most
        assert error["leadTimeMinutes"] == 1440
    assert world.sql("SELECT count(*) FROM reservations WHERE appointment_id = %s", key) == [(0 if refused else 1,)]


@pytest.mark.parametrize("confirmed", [case(False, id="67 held"), case(True, id="67 taken")])
@pytest.mark.parametrize("free", [0, 2, 5])
async def test_who_comes_second_is_told_what_is_free(world: World, confirmed: bool, free: int) -> None:
    end = (datetime.fromisoformat(NINE) + timedelta(hours=free + 1)).isoformat()
    first, *others = await world.api.publish(await world.api.provider(), NINE, end, slotMinutes=60)
    held = (await world.api.reserve(world.client, first))["reservation"]
    if confirmed:
        await world.api.confirm(held["id"])

    answer = await world.object("reservationCreate", appointmentId=first)

    assert Said.by(answer) == {("SLOT_UNAVAILABLE", "appointmentId"): 1}
    (error,) = answer["data"]["reservationCreate"]["userErrors"]
    assert [near["id"] for near in error["alternatives"]] == others[:3]


async def test_a_withdrawn_appointment_is_told_from_one_that_never_was(world: World) -> None:
    """Row 68."""
    (appointment,) = await world.api.publish(await world.api.provider(), NINE, TEN, slotMinutes=60)
    world.sql("DELETE FROM appointments WHERE id = %s", key_of(appointment))

    answer = await world.object("reservationCreate", appointmentId=appointment)

    assert Said.by(answer) == {("APPOINTMENT_WITHDRAWN", "appointmentId"): 1}


@pytest.fixture
def short_holds(world: World) -> Iterator[None]:
    """Holds that last a millisecond."""
    world.sql("UPDATE businesses SET hold_time = '1 millisecond'")
    yield
    world.sql("UPDATE businesses SET hold_time = '00:30:00'")


@pytest.mark.usefixtures("short_holds")
@pytest.mark.parametrize(
    ("mutation", "code", "detail"),
    [
        case("reservationConfirm", "HOLD_EXPIRED", "expiredAt", id="72 confirm"),
        case("reservationCancel", "ILLEGAL_STATE", "state", id="72 cancel"),
    ],
)
async def test_a_lapsed_hold_stays_lapsed(world: World, mutation: str, code: str, detail: str) -> None:
    _, reservation = await world.held()
    world.sql("SELECT pg_sleep(0.01)")

    answer = await world.object(mutation, reservationId=reservation)

    assert Said.by(answer) == {(code, "reservationId"): 1}
    (error,) = answer["data"][mutation]["userErrors"]
    ((expires_at,),) = world.sql("SELECT expires_at FROM reservations WHERE id = %s", key_of(reservation))
    told = datetime.fromisoformat(error[detail]) if detail == "expiredAt" else error[detail]
    assert told == {"expiredAt": expires_at, "state": "EXPIRED"}[detail]


@pytest.mark.parametrize(
    ("mutation", "event"),
    [case("reservationConfirm", "confirmed", id="73 confirm"), case("reservationCancel", "cancelled", id="76 cancel")],
)
async def test_what_is_done_twice_is_done_once(world: World, mutation: str, event: str) -> None:
    _, reservation = await world.held()

    first = await world.send(mutation, reservationId=reservation)
    second = await world.send(mutation, reservationId=reservation)

    assert first == second
    assert first["data"][mutation]["reservation"]["status"] == event.upper()
    written = "SELECT count(*) FROM events WHERE aggregate_id = %s AND type = %s"
    assert world.sql(written, key_of(reservation), f"scheduling.reservation.{event}.v1") == [(1,)]


async def test_a_cancelled_reservation_is_never_confirmed(world: World) -> None:
    """Row 75."""
    _, reservation = await world.held()
    await world.api.cancel(reservation)

    answer = await world.object("reservationConfirm", reservationId=reservation)

    assert Said.by(answer) == {("ILLEGAL_STATE", "reservationId"): 1}
    assert answer["data"]["reservationConfirm"]["userErrors"][0]["state"] == "CANCELLED"


async def test_what_has_begun_is_not_cancelled(world: World) -> None:
    """Row 76."""
    appointment = place(world.sql, key_of(await world.api.provider()), "-10 minutes")
    ((reservation,),) = world.sql(
        """INSERT INTO reservations (business_id, client_id, appointment_id, status, lead_waived_by)
           VALUES (%s, %s, %s, 'CONFIRMED', uuidv7()) RETURNING id""",
        *(DEFAULT_BUSINESS, key_of(world.client), appointment),
    )

    answer = await world.object("reservationCancel", reservationId=encode("Reservation", reservation))

    assert Said.by(answer) == {("ILLEGAL_STATE", "reservationId"): 1}
    assert answer["data"]["reservationCancel"]["userErrors"][0]["state"] == "CONFIRMED"


@pytest.mark.parametrize(
    ("mutation", "change"),
    [
        case("providerCreate", {"firstName": "Jane"}, id="80 another name"),
        case("clientCreate", {}, id="80 another mutation"),
        case("appointmentBulkCreate", {}, id="80 a bulk"),
        case("reservationCreate", {}, id="80 a reservation"),
    ],
)
async def test_a_key_stands_for_one_request(world: World, mutation: str, change: Fields) -> None:
    await world.send("providerCreate", idempotencyKey="row 80")

    answer = await world.object(mutation, **change, idempotencyKey="row 80")

    assert Said.by(answer) == {("IDEMPOTENCY_KEY_REUSED", "idempotencyKey"): 1}


async def test_a_key_is_its_senders_own(world: World) -> None:
    """Row 81."""
    first = await world.send("providerCreate", idempotencyKey="row 81")
    world.sql("UPDATE idempotency_keys SET principal = 'somebody else' WHERE key = 'row 81'")

    second = await world.send("providerCreate", firstName="Jane", idempotencyKey="row 81")

    assert second["data"]["providerCreate"]["userErrors"] == []
    assert second["data"]["providerCreate"]["provider"] != first["data"]["providerCreate"]["provider"]
    assert "extensions" not in second


@pytest.mark.parametrize("key", [case("k" * 255, id="82 255 characters"), case("ключ 鍵", id="82 other scripts")])
async def test_a_key_of_up_to_255_characters_is_kept(world: World, key: str) -> None:
    await world.send("clientCreate", idempotencyKey=key)

    assert world.sql("SELECT count(*) FROM idempotency_keys WHERE key = %s", key) == [(1,)]


@pytest.mark.parametrize(
    ("mutation", "change"),
    [
        case("providerCreate", {"firstName": " "}, id="45 providerCreate"),
        case("clientCreate", {"email": "mary"}, id="45 clientCreate"),
        case("appointmentBulkCreate", window(TEN, NINE), id="51 appointmentBulkCreate"),
        case("appointmentBulkCreate", {**windows(), "windows": [window(), window()]}, id="59 appointmentBulkCreate"),
        case("reservationCreate", {"appointmentId": "abc"}, id="36 reservationCreate"),
        case("reservationCreate", {"clientId": encode("Client", UNKNOWN)}, id="37 reservationCreate"),
        case("reservationConfirm", {}, id="37 reservationConfirm"),
        case("reservationCancel", {}, id="37 reservationCancel"),
    ],
)
async def test_who_does_not_select_user_errors_is_told_the_same_at_the_top(
    world: World, mutation: str, change: Fields
) -> None:
    document, variables = written(mutation, {**world.sound(mutation), **change}, "variable", errors="__typename")

    at_the_top = await world.refuse(document, **variables)
    in_payload = await world.object(mutation, **change)

    assert at_the_top["data"] is None
    assert Said.by(at_the_top) == Said.by(in_payload)
    told = [error["message"] for error in in_payload["data"][mutation]["userErrors"]]
    assert [error["message"] for error in at_the_top["errors"]] == told
    assert "errors" not in in_payload
