"""What we tell newcomers to send works: every file of docs/examples, the Postman collection, the README's first booking."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from graphql import FieldNode, GraphQLEnumType, OperationDefinitionNode, parse

from docs.examples.make_postman import FORMAT, KEPT, VARIABLES, collection, text
from models.viewer import Role
from schema.execution import CONTRACT
from tests.conftest import ROOT, Api
from tests.keys import bearer
from tests.keys import data as data_of
from tests.life import OF_APPOINTMENTS, later
from tests.listening import Line, subscribed
from tests.receiver import relayed

FOR_OPERATORS = ["businessCreate"]
# What can be done once its time has come, or once a client has asked.
TIMED = ("appointmentStart", "appointmentComplete", "reservationMarkNoShow")
ASKED = ("reservationApprove", "reservationDecline")
Sql = Callable[..., list[tuple[Any, ...]]]
FOLDER = ROOT / "docs" / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.graphql"))
DOCUMENTS = re.findall(r"```graphql\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def read(name: str) -> tuple[str, str]:
    """The document of an example, and its variables."""
    variables = FOLDER / f"{name}.json"
    return (FOLDER / f"{name}.graphql").read_text(), variables.read_text() if variables.exists() else "{}"


def root_fields(document: str) -> list[str]:
    operations = [node for node in parse(document).definitions if isinstance(node, OperationDefinitionNode)]
    fields = [field for operation in operations for field in operation.selection_set.selections]
    return [field.name.value for field in fields if isinstance(field, FieldNode)]


def api_fields() -> set[str]:
    assert CONTRACT.query_type is not None
    assert CONTRACT.mutation_type is not None
    return {*CONTRACT.query_type.fields, *CONTRACT.mutation_type.fields}


def heard_fields() -> set[str]:
    assert CONTRACT.subscription_type is not None
    return {*CONTRACT.subscription_type.fields}


# What the examples create, and what an example needs that is about it.
SUPPLY = (
    "location",
    "skill",
    "resource",
    "service",
    "holiday",
    "timeOff",
    "availabilityRule",
    "availabilityException",
    "calendarFeed",
    "calendarImport",
    "webhookEndpoint",
)
# What holds several reservations, by what makes it.
BUNDLES = {"visitCreate": "visit", "reservationSeriesCreate": "series"}
PLACEHOLDERS = {"timeOff": "$TIMEOFF", "availabilityRule": "$RULE", "availabilityException": "$EXCEPTION"}


def filled(name: str, known: dict[str, Any]) -> tuple[str, Any]:
    """An example with its variables, of which the placeholders stand for what is known."""
    document, variables = read(name)
    for placeholder, value in known.items():
        variables = variables.replace(f'"{placeholder}"', json.dumps(value))
    assert '"$' not in variables
    return document, json.loads(variables)


async def supplied(api: Api, known: dict[str, Any], nouns: tuple[str, ...]) -> None:
    """Create by the examples whatever belongs to the supply; what comes later may refer to what came before."""
    for noun in nouns:
        document, variables = filled(f"{noun}Create", known)
        done = await api(document, **variables)
        known[PLACEHOLDERS.get(noun, f"${noun.upper()}")] = done[f"{noun}Create"][noun]["id"]


async def delivery(api: Api, known: dict[str, Any]) -> str:
    """Something that is to be sent to a webhook endpoint."""
    await supplied(api, known, ("webhookEndpoint",))
    await api.client("Grace")
    await relayed(api.database)
    found = await api("{ webhookDeliveries { nodes { id } } }")
    key: str = found["webhookDeliveries"]["nodes"][0]["id"]
    return key


async def world(api: Api, name: str) -> dict[str, Any]:
    """A provider with a morning of appointments, the first of them held by a client; what each placeholder stands for."""
    provider, client = await api.provider(), await api.client()
    first, second, *_ = await api.publish(provider, "2027-05-03T07:00:00Z", "2027-05-03T10:00:00Z")
    held = (await api.reserve(client, first))["reservation"]["id"]
    key = await api('mutation { apiKeyCreate(input: {name: "a key", role: ADMIN}) { apiKey { id } } }')
    business = await api("{ viewer { business { version } } }")
    known = {
        "$PROVIDER": provider,
        "$CLIENT": client,
        "$APPOINTMENT": second,
        "$RESERVATION": held,
        "$KEY": "a key",
        "$APIKEY": key["apiKeyCreate"]["apiKey"]["id"],
        "$VERSION": business["viewer"]["business"]["version"],
    }
    asked = read(name)[1]
    needed = {noun for noun in SUPPLY if f'"{PLACEHOLDERS.get(noun, f"${noun.upper()}")}"' in asked}
    bundle = next((each for each, thing in BUNDLES.items() if f'"${thing.upper()}"' in asked), None)
    needed |= {"skill", "resource", "service", "location"} if bundle else set()
    needed |= {"skill", "resource"} if "service" in needed else set()
    await supplied(api, known, tuple(noun for noun in SUPPLY if noun in needed))
    if '"$ENTRY"' in asked:
        document, variables = filled("waitlistEntryCreate", known)
        known["$ENTRY"] = (await api(document, **variables))["waitlistEntryCreate"]["waitlistEntry"]["id"]
    if '"$PROPOSAL"' in asked:
        await api.publish(await api.provider("Grace", "Hopper"), "2027-05-03T07:00:00Z", "2027-05-03T10:00:00Z")
        document, variables = filled("timeOffCreate", known)
        known["$PROPOSAL"] = (await api(document, **variables))["timeOffCreate"]["proposals"][0]["id"]
    if '"$DELIVERY"' in asked:
        known["$DELIVERY"] = await delivery(api, known)
    if name.endswith("AnyProvider") or name in BUNDLES or bundle:
        for need in ("providerSkillsSet", "providerServicesSet"):
            document, variables = filled(need, known)
            await api(document, **variables)
    if bundle:
        document, variables = filled(bundle, known)
        thing = BUNDLES[bundle]
        known[f"${thing.upper()}"] = (await api(document, **variables))[bundle][thing]["id"]
    return known


def user_errors(data: Any) -> list[Any]:
    return [error for payload in data.values() if isinstance(payload, dict) for error in payload.get("userErrors", [])]


async def lived(api: Api, sql: Sql, name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Have happen to the reservation of the world whatever an example is about."""
    if name in OF_APPOINTMENTS:
        found = await api("query ($id: ID!) { reservation(id: $id) { appointment { id } } }", id=known["$RESERVATION"])
        known["$APPOINTMENT"] = found["reservation"]["appointment"]["id"]
    if name in ASKED:
        sql("SET session_replication_role = replica")
        sql("UPDATE reservations SET approval_time = '01:00:00', requested_at = clock_timestamp()")
        sql("SET session_replication_role = DEFAULT")
    if name in TIMED:
        await api.confirm(known["$RESERVATION"])
        ((ahead,),) = sql("SELECT starts_at - clock_timestamp() FROM reservations")
        later(sql, ahead)
    return known


@pytest.mark.parametrize("name", sorted({*EXAMPLES} - heard_fields()))
async def test_an_example_is_answered_without_errors(api: Api, sql: Sql, name: str) -> None:
    document, variables = filled(name, await lived(api, sql, name, await world(api, name)))
    headers = await bearer(api, Role.OPERATOR) if name in FOR_OPERATORS else None

    answer = await api.post(document, headers, **variables)

    assert "errors" not in answer
    assert user_errors(answer["data"]) == []
    assert answer["data"][name] is not None


@pytest.mark.parametrize("name", sorted(heard_fields()))
async def test_an_example_of_a_subscription_hears_of_a_change(api: Api, name: str) -> None:
    known = await world(api, name)
    document, variables = filled(name, known)
    await relayed(api.database)
    line = Line(api)
    await line.begin()
    line.say("subscribe", id=name, payload={"query": document, "variables": variables})
    await subscribed(api.http._transport.app)  # type: ignore[attr-defined]

    await api.confirm(known["$RESERVATION"])
    await relayed(api.database)
    told = await line.hear()

    assert (told["type"], told["id"]) == ("next", name)
    assert "errors" not in told["payload"]
    assert told["payload"]["data"][name] is not None
    line.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await line.task


@pytest.mark.parametrize("name", FOR_OPERATORS)
async def test_an_example_for_operators_is_for_nobody_else(api: Api, name: str) -> None:
    document, variables = read(name)

    answer = await api.post(document, **json.loads(variables))

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert "data" not in answer


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_what_it_shows(name: str) -> None:
    document, _ = read(name)

    assert re.match(r"# [A-Z].{10,110}\.\n(query|mutation|subscription) ", document)
    assert root_fields(document) == [name]


def test_every_field_of_the_roots_has_an_example() -> None:
    assert set(EXAMPLES) == api_fields() | heard_fields()
    assert {path.stem for path in FOLDER.glob("*.json")} - {"postman"} <= set(EXAMPLES)


def test_the_postman_collection_is_what_the_examples_make() -> None:
    assert (FOLDER / "postman.json").read_text() == text(), "run: python docs/examples/make_postman.py"


def test_the_postman_collection_has_the_form_of_postman() -> None:
    made = collection()

    assert set(made) == {"info", "variable", "item"}
    assert made["info"]["schema"] == FORMAT
    assert made["variable"][0]["key"] == "baseUrl"
    assert {item["name"] for item in made["item"]} == api_fields()
    for item in made["item"]:
        assert item["request"]["body"]["mode"] == "graphql"
        assert set(item["request"]["body"]["graphql"]) == {"query", "variables"}
        assert item["request"]["url"]["raw"] == "{{baseUrl}}/graphql"


async def test_the_postman_collection_can_be_sent_from_top_to_bottom(api: Api) -> None:
    values: dict[str, Any] = {}
    operator = await bearer(api, Role.OPERATOR)

    for n, item in enumerate(collection()["item"]):
        values["$guid"] = f"key {n}, for {item['name']}"
        body = item["request"]["body"]["graphql"]
        variables = re.sub(r"\{\{(\$?\w+)\}\}", lambda found: str(values[found[1]]), body["variables"] or "{}")
        headers = operator if item["name"] in FOR_OPERATORS else {}
        await relayed(api.database)  # as a worker would, all the time
        data = await data_of(api, body["query"], headers, **json.loads(variables))
        assert [error["code"] for error in user_errors(data)] == ["ILLEGAL_STATE"] * (item["name"] in TIMED)
        if item["name"] in KEPT:
            variable, place = KEPT[item["name"]]
            found: Any = data
            for step in re.findall(r"\w+", place):
                found = found[int(step) if step.isdecimal() else step]
            values[variable] = found

    assert set(values) == {"$guid", "version", *VARIABLES}


async def test_the_first_booking_of_the_readme_works(api: Api) -> None:
    people, publish, search, hold, confirm = DOCUMENTS
    paste: dict[str, str] = {}

    def filled(document: str) -> str:
        for note, value in paste.items():
            assert note in "".join(DOCUMENTS)
            document = document.replace(f'"{note}"', json.dumps(value))
        assert "PASTE" not in document
        return document

    made = await api(filled(people))
    paste["PASTE THE PROVIDER'S ID"] = made["providerCreate"]["provider"]["id"]
    paste["PASTE THE CLIENT'S ID"] = made["clientCreate"]["client"]["id"]
    published = (await api(filled(publish)))["appointmentBulkCreate"]
    free = (await api(filled(search)))["availableAppointments"]
    paste["PASTE AN APPOINTMENT'S ID"] = free["nodes"][0]["id"]
    held = (await api(filled(hold)))["reservationCreate"]
    paste["PASTE THE RESERVATION'S ID"] = held["reservation"]["id"]
    confirmed = (await api(filled(confirm)))["reservationConfirm"]

    assert (published["created"], published["userErrors"]) == (12, [])
    assert free["totalCount"] == 12
    assert (held["reservation"]["status"], held["userErrors"]) == ("HELD", [])
    assert (confirmed["reservation"]["status"], confirmed["userErrors"]) == ("CONFIRMED", [])
    assert [root_fields(document) for document in DOCUMENTS] == [
        ["providerCreate", "clientCreate"],
        ["appointmentBulkCreate"],
        ["availableAppointments"],
        ["reservationCreate"],
        ["reservationConfirm"],
    ]


def test_the_readme_names_every_setting_with_its_default() -> None:
    settings = (ROOT / "server" / "settings.py").read_text()
    defaults = dict(re.findall(r'reader\.read\("(\w+)", "([^"]*)"', settings))
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|unset) \| \S", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert dict(rows) == defaults


def test_the_readme_explains_every_code_of_a_refusal() -> None:
    code = CONTRACT.type_map["UserErrorCode"]
    table = re.findall(r"^\| (`[A-Z_`, ]+`) \|", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert isinstance(code, GraphQLEnumType)
    assert set(code.values) <= set(re.findall(r"[A-Z_]{3,}", " ".join(table)))


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/operations.md"])
def test_a_page_leads_to_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    named = re.findall(r"`((?:server|schema|resolvers|models|migrations|tests|docs)/[\w./]+\.\w+)`", text)

    missing = [path for path in linked if not (ROOT / page).parent.joinpath(path).exists()]
    missing += [path for path in named if not (ROOT / path).exists()]

    assert missing == []
