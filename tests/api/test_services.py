"""Services: what they cost and need, who gives them where, who sees them, and whose times follow from a change."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from models.node_id import encode
from models.viewer import Role
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.generation import Outcome
from tests.api.test_catalogue import WHOLE, do, either, made, names, told
from tests.conftest import Api, serving
from tests.keys import OTHER, Sql, another_business, bearer, data

__all__ = ["either"]

START, END = "2027-05-03T09:00:00Z", "2027-05-03T10:00:00Z"
OFFERINGS = """query ($id: ID!) { provider(id: $id) { version skills { nodes { name } } services { nodes { name } }
    offerings { nodes { id version service { name } location { name } } } } }"""
RULE = """INSERT INTO availability_rules (business_id, provider_id, weekday, starts_minute, ends_minute, slot_minutes, service_id, location_id)
    SELECT business_id, id, 1, 540, 1020, 30, %s, %s FROM providers WHERE first_name = %s"""
EXCEPTION = """INSERT INTO availability_exceptions (business_id, provider_id, date, service_id, location_id)
    SELECT business_id, id, '2027-05-03', %s, %s FROM providers WHERE first_name = %s"""


def key(identity: str, sql: Sql) -> UUID:
    """The key behind an id."""
    ((found,),) = sql("SELECT split_part(convert_from(decode(%s, 'base64'), 'UTF8'), ':', 2)::uuid", identity)
    return UUID(str(found))


@pytest.fixture
def republished(monkeypatch: pytest.MonkeyPatch) -> list[set[UUID]]:
    """Whose times each change has published anew."""
    noted: list[set[UUID]] = []

    async def republish(_context: Context, _statements: Statements, providers: Sequence[UUID], *_: Any) -> Outcome:
        noted.append(set(providers))
        return Outcome()

    monkeypatch.setattr("resolvers.supply.republish", republish)
    return noted


async def offered(api: Api, provider: str) -> Any:
    return (await api(OFFERINGS, id=provider))["provider"]


async def test_a_service_is_made_with_all_that_belongs_to_it(api: Api, sql: Sql) -> None:
    skills = [await made(api, "skill", name=name) for name in ("Cut", "Dye")]
    chair = await made(api, "resource", name="Chair", quantity=3)
    wanted = {
        "name": "Balayage",
        "durationMinutes": 1440,
        "bufferBeforeMinutes": 5,
        "bufferAfterMinutes": 10,
        "price": {"amount": "45.00", "currency": "EUR"},
        "active": False,
        "priority": "HIGH",
        "leadTimeMinutes": 0,
        "holdTimeMinutes": 1440,
        "minimumHorizonMinutes": 0,
        "maximumHorizonMinutes": 527_040,
        "cancelCutoffMinutes": 527_040,
    }
    parts = {
        "skillIds": [skill["id"] for skill in skills],
        "resources": [{"resourceId": chair["id"], "quantity": 2}],
    }

    service = await made(api, "service", **wanted, **parts)

    assert service == {
        **wanted,
        "id": service["id"],
        "version": 1,
        "skills": {"nodes": [{"name": "Cut"}, {"name": "Dye"}]},
        "requirements": {"nodes": [{"quantity": 2, "resource": {"name": "Chair"}}]},
    }
    assert sql("SELECT duration, price::text FROM services") == sql("SELECT interval '24 hours', '45.00'")


async def test_a_service_is_offered_and_has_the_policies_of_its_business_unless_more_is_said(api: Api) -> None:
    service = await made(api, "service", name="Cut", durationMinutes=1)

    said_nothing = ("price", "leadTimeMinutes", "holdTimeMinutes", "minimumHorizonMinutes", "maximumHorizonMinutes", "cancelCutoffMinutes")  # fmt: skip
    assert {name: service[name] for name in said_nothing} == dict.fromkeys(said_nothing)
    assert (service["active"], service["priority"]) == (True, "MEDIUM")
    assert (service["bufferBeforeMinutes"], service["bufferAfterMinutes"]) == (0, 0)


async def test_what_is_left_out_of_a_change_stays_and_null_takes_away(api: Api) -> None:
    cut, dye = [await made(api, "skill", name=name) for name in ("Cut", "Dye")]
    chair = await made(api, "resource", name="Chair")
    price = {"amount": "45", "currency": "EUR"}
    before = await made(
        api,
        "service",
        name="Balayage",
        durationMinutes=60,
        price=price,
        leadTimeMinutes=5,
        skillIds=[cut["id"]],
        resources=[{"resourceId": chair["id"]}],
    )
    change = {"id": before["id"]}

    renamed = await do(api, "serviceUpdate", **change, expectedVersion=1, name="Foils")
    free = await do(api, "serviceUpdate", **change, expectedVersion=2, price=None, leadTimeMinutes=None)
    other = await do(api, "serviceUpdate", **change, expectedVersion=3, skillIds=[dye["id"]], resources=None)

    assert renamed["service"] == {**before, "name": "Foils", "version": 2}
    assert free["service"] == {**renamed["service"], "price": None, "leadTimeMinutes": None, "version": 3}
    assert other["service"] == {
        **free["service"],
        "version": 4,
        "skills": {"nodes": [{"name": "Dye"}]},
        "requirements": {"nodes": []},
    }


async def test_a_set_that_stays_as_it_is_is_not_touched(api: Api, sql: Sql) -> None:
    chair, laser = [await made(api, "resource", name=name, quantity=9) for name in ("Chair", "Laser")]
    needs = [{"resourceId": chair["id"]}, {"resourceId": laser["id"], "quantity": 2}]
    service = await made(api, "service", name="Cut", durationMinutes=30, resources=needs)
    before = sql("SELECT id, resource_id, quantity, version FROM requirements ORDER BY quantity")

    more = [needs[0], {"resourceId": laser["id"], "quantity": 3}]
    changed = await do(api, "serviceUpdate", id=service["id"], expectedVersion=1, resources=more)

    assert changed["userErrors"] == []
    after = sql("SELECT id, resource_id, quantity, version FROM requirements ORDER BY quantity")
    assert after == [before[0], (*before[1][:2], 3, 2)]


MONEY = {"amount": "45.00", "currency": "EUR"}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"durationMinutes": 0}, ["durationMinutes"]),
        ({"durationMinutes": -30}, ["durationMinutes"]),
        ({"durationMinutes": 1441}, ["durationMinutes"]),
        ({"durationMinutes": None}, ["durationMinutes"]),
        ({"bufferBeforeMinutes": -1}, ["bufferBeforeMinutes"]),
        ({"bufferAfterMinutes": 1441}, ["bufferAfterMinutes"]),
        ({"active": None}, ["active"]),
        ({"priority": None}, ["priority"]),
        ({"leadTimeMinutes": 527_041}, ["leadTimeMinutes"]),
        ({"holdTimeMinutes": 0}, ["holdTimeMinutes"]),
        ({"minimumHorizonMinutes": -1}, ["minimumHorizonMinutes"]),
        ({"maximumHorizonMinutes": 0}, ["maximumHorizonMinutes"]),
        ({"maximumHorizonMinutes": 527_041}, ["maximumHorizonMinutes"]),
        ({"minimumHorizonMinutes": 60, "maximumHorizonMinutes": 60}, ["maximumHorizonMinutes"]),
        ({"cancelCutoffMinutes": -1}, ["cancelCutoffMinutes"]),
        ({"price": MONEY | {"currency": "eur"}}, ["price", "currency"]),
        ({"price": MONEY | {"currency": "XXL"}}, ["price", "currency"]),
        ({"price": MONEY | {"amount": "45.001"}}, ["price", "amount"]),
        ({"price": {"amount": "45.0", "currency": "JPY"}}, ["price", "amount"]),
        ({"price": MONEY | {"amount": "-0.01"}}, ["price", "amount"]),
        ({"price": MONEY | {"amount": "999999999.01"}}, ["price", "amount"]),
        ({"skillIds": ["nonsense"]}, ["skillIds", "0"]),
        ({"resources": [{"resourceId": "", "quantity": 1}]}, ["resources", "0", "resourceId"]),
        ({}, None),
    ],
)
async def test_a_change_of_a_service_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], field: list[str] | None
) -> None:
    service = await made(api, "service", name="Cut", durationMinutes=30)

    refused = await do(api, "serviceUpdate", id=service["id"], expectedVersion=1, **wanted)

    assert told(refused) == [("INVALID_INPUT", field)]
    assert refused["service"] is None
    assert sql("SELECT version FROM services") == [(1,)]


async def test_a_minimum_above_the_maximum_that_there_is_is_refused(api: Api, sql: Sql) -> None:
    service = await made(api, "service", name="Cut", durationMinutes=30, maximumHorizonMinutes=60)

    refused = await do(api, "serviceUpdate", id=service["id"], expectedVersion=1, minimumHorizonMinutes=61)
    of_business = await do_business(api, minimumHorizonMinutes=61, maximumHorizonMinutes=60)

    assert told(refused) == told(of_business) == [("INVALID_INPUT", ["maximumHorizonMinutes"])]
    assert refused["userErrors"][0]["message"] == "maximumHorizonMinutes must be more than minimumHorizonMinutes."
    assert sql("SELECT minimum_horizon FROM services") == [(None,)]


async def do_business(api: Api, **wanted: Any) -> Any:
    """The payload of businessUpdate, from the version that is there."""
    ours = "business { version minimumHorizonMinutes maximumHorizonMinutes cancelCutoffMinutes publicationDays exposureVariant }"
    version = (await api(f"{{ viewer {{ {ours} }} }}"))["viewer"]["business"]["version"]
    query = f"mutation ($input: BusinessUpdateInput!) {{ businessUpdate(input: $input) {{ {ours} userErrors {{ code field message }} }} }}"
    return (await api(query, input={"expectedVersion": version, **wanted}))["businessUpdate"]


async def test_the_policies_of_a_business_are_set_and_taken_away(api: Api) -> None:
    wanted = {
        "minimumHorizonMinutes": 60,
        "maximumHorizonMinutes": 527_040,
        "cancelCutoffMinutes": 1440,
        "publicationDays": 366,
        "exposureVariant": "STYLIST",
    }

    first = await do_business(api, **wanted)
    second = await do_business(api, maximumHorizonMinutes=0, exposureVariant="STANDARD")

    assert first["business"] == wanted | {"version": first["business"]["version"]}
    assert second["business"] == first["business"] | {
        "maximumHorizonMinutes": None,
        "exposureVariant": "STANDARD",
        "version": first["business"]["version"] + 1,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("minimumHorizonMinutes", -1),
        ("maximumHorizonMinutes", 527_041),
        ("cancelCutoffMinutes", 527_041),
        ("publicationDays", 0),
        ("publicationDays", 367),
    ],
)
async def test_a_policy_that_cannot_be_is_refused(api: Api, field: str, value: int) -> None:
    refused = await do_business(api, **{field: value})

    assert told(refused) == [("INVALID_INPUT", [field])]
    assert refused["business"] is None


@pytest.mark.parametrize("amount", ["1e3", "NaN", "Infinity", "", " 1", "1.", "٤٥", 4.5, True])
async def test_an_amount_that_is_no_decimal_number_is_refused(api: Api, sql: Sql, amount: Any) -> None:
    query = "mutation ($input: ServiceCreateInput!) { serviceCreate(input: $input) { service { id } } }"

    answer = await api.post(query, input={"name": "Cut", "durationMinutes": 30, "price": MONEY | {"amount": amount}})

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert 'write it as a text, like "45.00"' in error["message"]
    assert sql("SELECT count(*) FROM services") == [(0,)]


async def test_what_a_service_needs_must_be_there_and_named_once(api: Api, sql: Sql) -> None:
    another_business(sql)
    sql("INSERT INTO skills (business_id, id, name) VALUES (%s, %s, 'Theirs')", OTHER, OTHER)
    skill, chair = await made(api, "skill", name="Cut"), await made(api, "resource", name="Chair")
    need = {"resourceId": chair["id"]}

    async def refused(**parts: Any) -> Any:
        return told(await do(api, "serviceCreate", name="Cut", durationMinutes=30, **parts))

    assert await refused(skillIds=[skill["id"], encode("Skill", OTHER)]) == [("NOT_FOUND", ["skillIds", "1"])]
    assert await refused(skillIds=[chair["id"]]) == [("NOT_FOUND", ["skillIds", "0"])]
    assert await refused(skillIds=[skill["id"]] * 2) == [("INVALID_INPUT", ["skillIds", "1"])]
    assert await refused(resources=[need, need]) == [("INVALID_INPUT", ["resources", "1"])]
    assert await refused(resources=[need | {"quantity": 0}]) == [("INVALID_INPUT", ["resources", "0", "quantity"])]
    assert await refused(resources=[need | {"quantity": 1001}]) == [("INVALID_INPUT", ["resources", "0", "quantity"])]
    assert await refused(resources=[need | {"quantity": 2}]) == [("INVALID_INPUT", ["resources", "0", "quantity"])]
    assert await refused(skillIds=[skill["id"]] * 101) == [("INVALID_INPUT", ["skillIds"])]
    assert sql("SELECT count(*) FROM services") == [(0,)]


async def test_the_skills_of_a_provider_are_replaced_and_what_stays_is_not_touched(api: Api, sql: Sql) -> None:
    cut, dye, curl = [await made(api, "skill", name=name) for name in ("Cut", "Dye", "Curl")]
    provider = await api.provider()

    first = await do(api, "providerSkillsSet", providerId=provider, skillIds=[cut["id"], dye["id"]])
    again = await do(api, "providerSkillsSet", providerId=provider, skillIds=[dye["id"], cut["id"]])
    kept = sql("SELECT xmin::text FROM provider_skills WHERE skill_id = %s", key(dye["id"], sql))
    other = await do(api, "providerSkillsSet", providerId=provider, expectedVersion=2, skillIds=[dye["id"], curl["id"]])
    late = await do(api, "providerSkillsSet", providerId=provider, expectedVersion=2, skillIds=[])

    assert [payload["provider"]["version"] for payload in (first, again, other)] == [2, 2, 3]
    assert [node["name"] for node in (await offered(api, provider))["skills"]["nodes"]] == ["Curl", "Dye"]
    assert sql("SELECT xmin::text FROM provider_skills WHERE skill_id = %s", key(dye["id"], sql)) == kept
    assert told(late) == [("VERSION_CONFLICT", ["expectedVersion"])]


async def test_what_a_provider_offers_is_replaced_and_what_stays_is_the_same_offering(api: Api) -> None:
    cut, dye = [await made(api, "service", name=name, durationMinutes=30) for name in ("Cut", "Dye")]
    mitte = await made(api, "location", name="Mitte", timeZone="Europe/Berlin")
    provider = await api.provider()
    at_mitte, anywhere = {"serviceId": cut["id"], "locationId": mitte["id"]}, {"serviceId": cut["id"]}

    await do(api, "providerServicesSet", providerId=provider, services=[at_mitte, anywhere])
    before = await offered(api, provider)
    payload = await do(api, "providerServicesSet", providerId=provider, services=[{"serviceId": dye["id"]}, at_mitte])
    after = await offered(api, provider)

    assert payload["userErrors"] == []
    assert [(each["service"]["name"], each["location"]) for each in before["offerings"]["nodes"]] == [
        ("Cut", {"name": "Mitte"}),
        ("Cut", None),
    ]
    assert [node["name"] for node in before["services"]["nodes"]] == ["Cut"]
    assert after["offerings"]["nodes"][0] == before["offerings"]["nodes"][0]
    assert [(each["service"]["name"], each["location"]) for each in after["offerings"]["nodes"][1:]] == [("Dye", None)]
    assert (before["version"], after["version"]) == (2, 3)


async def test_a_set_of_services_that_cannot_be_is_refused_whole(api: Api, sql: Sql) -> None:
    cut = await made(api, "service", name="Cut", durationMinutes=30)
    provider, one = await api.provider(), {"serviceId": cut["id"]}
    nothing = encode("Service", OTHER)

    async def refused(*services: Any) -> Any:
        return told(await do(api, "providerServicesSet", providerId=provider, services=list(services)))

    assert await refused(one, {"serviceId": nothing}) == [("NOT_FOUND", ["services", "1", "serviceId"])]
    assert await refused(one | {"locationId": encode("Location", OTHER)}) == [
        ("NOT_FOUND", ["services", "0", "locationId"])
    ]
    assert await refused({"serviceId": provider}) == [("NOT_FOUND", ["services", "0", "serviceId"])]
    assert await refused(one, one) == [("INVALID_INPUT", ["services", "1"])]
    assert sql("SELECT count(*) FROM offerings") == [(0,)]


async def test_of_many_who_set_the_services_of_a_provider_at_once_one_has_the_last_word(api: Api, sql: Sql) -> None:
    services = [await made(api, "service", name=f"Service {n}", durationMinutes=30) for n in range(4)]
    provider = await api.provider()
    sets = [[{"serviceId": each["id"]} for each in services[n : n + 2]] for n in range(3)] * 2

    payloads = await asyncio.gather(
        *(do(api, "providerServicesSet", providerId=provider, services=each) for each in sets)
    )

    assert [payload["userErrors"] for payload in payloads] == [[]] * 6
    found = {each["service"]["name"] for each in (await offered(api, provider))["offerings"]["nodes"]}
    assert found in [{f"Service {n}", f"Service {n + 1}"} for n in range(3)]
    assert sql("SELECT count(*) FROM offerings") == [(2,)]


async def test_a_provider_is_changed_and_what_is_personal_stands_in_no_event(api: Api, sql: Sql) -> None:
    provider = await api.provider()

    changed = await do(
        api, "providerUpdate", id=provider, expectedVersion=1, firstName="Grace", email="g@example.com", timeZone="UTC"
    )
    emptied = await do(api, "providerUpdate", id=provider, expectedVersion=2, email=None, timeZone=None)
    nameless = await do(api, "providerUpdate", id=provider, expectedVersion=3, lastName=None)
    late = await do(api, "providerUpdate", id=provider, expectedVersion=1, lastName="Hopper")

    who = {"id": provider, "lastName": "Lovelace", "phone": None}
    assert changed["provider"] == {
        **who,
        "firstName": "Grace",
        "email": "g@example.com",
        "timeZone": "UTC",
        "version": 2,
    }
    assert emptied["provider"] == {**changed["provider"], "email": None, "timeZone": None, "version": 3}
    assert told(nameless) == [("INVALID_INPUT", ["lastName"])]
    assert told(late) == [("VERSION_CONFLICT", ["expectedVersion"])]
    assert sql("SELECT count(*) FROM events WHERE diff::text LIKE '%Grace%' OR diff::text LIKE '%example%'") == [(0,)]


async def test_whose_times_are_published_anew(api: Api, sql: Sql, republished: list[set[UUID]]) -> None:
    ada, bob = [await api.provider(name) for name in ("Ada", "Bob")]
    await api.provider("Cid")
    cut, dye = [await made(api, "service", name=name, durationMinutes=30) for name in ("Cut", "Dye")]
    mitte = await made(api, "location", name="Mitte", timeZone="UTC")
    sql(RULE, key(cut["id"], sql), None, "Ada")
    sql(EXCEPTION, key(cut["id"], sql), key(mitte["id"], sql), "Bob")
    ours, first, second = {key(ada, sql), key(bob, sql)}, {key(ada, sql)}, {key(bob, sql)}
    republished.clear()

    async def after(mutation: str, /, **wanted: Any) -> set[UUID]:
        payload = await do(api, mutation, **wanted)
        assert payload["userErrors"] == []
        (found,) = republished
        republished.clear()
        return found

    change = {"id": cut["id"], "durationMinutes": 45}
    assert await after("serviceUpdate", expectedVersion=1, **change) == ours
    assert await after("serviceUpdate", expectedVersion=2, id=cut["id"], active=False) == set()  # the search sees that
    assert await after("serviceUpdate", expectedVersion=3, id=cut["id"], skillIds=[]) == ours
    assert await after("serviceUpdate", expectedVersion=4, id=cut["id"], name="Trim") == set()
    assert await after("serviceUpdate", expectedVersion=1, **{**change, "id": dye["id"]}) == set()
    assert await after("locationUpdate", expectedVersion=1, id=mitte["id"], timeZone="Asia/Tokyo") == second
    assert await after("locationUpdate", expectedVersion=2, id=mitte["id"], name="East") == set()
    assert await after("providerUpdate", expectedVersion=1, id=ada, timeZone="Asia/Tokyo") == first
    assert await after("providerUpdate", expectedVersion=2, id=ada, phone="12345") == set()
    assert await after("providerServicesSet", providerId=ada, services=[{"serviceId": cut["id"]}]) == first
    assert await after("providerServicesSet", providerId=ada, services=[{"serviceId": cut["id"]}]) == set()
    for wanted, expected in (
        ({"publicationDays": 30}, ours),
        ({"timeZone": "Asia/Tokyo"}, ours),
        ({"name": "X"}, set()),
    ):
        assert (await do_business(api, **wanted))["userErrors"] == []
        assert republished == [expected]
        republished.clear()


async def test_what_was_agreed_on_stays_as_it_was_agreed_on(either: Api, sql: Sql) -> None:
    price = {"amount": "45.00", "currency": "EUR"}
    service = await made(either, "service", name="Cut", durationMinutes=45, price=price, cancelCutoffMinutes=120)
    (appointment,) = await either.publish(await either.provider(), START, END, slotMinutes=60, serviceId=service["id"])
    (unpriced,) = await either.publish(await either.provider("Bob"), START, END, slotMinutes=60)
    client, terms = await either.client(), "durationMinutes price { amount currency } cancelCutoffMinutes"
    reserved = [(await either.reserve(client, each))["reservation"]["id"] for each in (appointment, unpriced)]

    dearer = {"price": MONEY | {"amount": "60"}, "durationMinutes": 50, "cancelCutoffMinutes": None, "active": False}
    await do(either, "serviceUpdate", id=service["id"], expectedVersion=1, **dearer)

    query = f"query ($id: ID!) {{ reservation(id: $id) {{ {terms} service {{ name active price {{ amount }} }} }} }}"
    first, second = [(await either(query, id=each))["reservation"] for each in reserved]
    assert first == {
        "durationMinutes": 45,
        "price": price,
        "cancelCutoffMinutes": 120,
        "service": {"name": "Cut", "active": False, "price": {"amount": "60"}},
    }
    assert second == {"durationMinutes": 60, "price": None, "cancelCutoffMinutes": 0, "service": None}


async def test_services_are_searched_narrowed_and_sorted(either: Api, sql: Sql) -> None:
    skill, chair = await made(either, "skill", name="Cut"), await made(either, "resource", name="Chair")
    mitte = await made(either, "location", name="Mitte", timeZone="UTC")
    euros = [{"amount": amount, "currency": "EUR"} for amount in ("10", "20.50", "30")]
    cut = await made(
        either, "service", name="Cut", durationMinutes=30, priority="LOW", price=euros[0], skillIds=[skill["id"]]
    )
    dye = await made(either, "service", name="Dye", durationMinutes=90, priority="HIGH", price=euros[1])
    perm = await made(
        either, "service", name="Perm", durationMinutes=60, price=euros[2], resources=[{"resourceId": chair["id"]}]
    )
    await made(either, "service", name="Wig", durationMinutes=60, active=False)
    sql("UPDATE services SET duration = NULL WHERE name = 'Perm'")
    provider = await either.provider()
    given = [{"serviceId": cut["id"], "locationId": mitte["id"]}, {"serviceId": dye["id"]}]
    await do(either, "providerServicesSet", providerId=provider, services=given)

    async def found(arguments: str) -> list[str]:
        return await names(either, "services", arguments)

    assert await found("orderBy: [{field: PRIORITY, direction: DESC}, {field: NAME}]") == ["Dye", "Perm", "Wig", "Cut"]
    assert await found("orderBy: [{field: DURATION}]") == ["Perm", "Cut", "Wig", "Dye"]
    assert await found("filter: {active: false}") == ["Wig"]
    assert await found("filter: {active: true, priority: [LOW, HIGH]}") == ["Cut", "Dye"]
    assert await found("filter: {priority: []}") == []
    assert await found(f'filter: {{skillId: "{skill["id"]}"}}') == ["Cut"]
    assert await found(f'filter: {{resourceId: "{chair["id"]}"}}') == [perm["name"]]
    assert await found(f'filter: {{providerId: "{provider}", locationId: "{mitte["id"]}"}}') == ["Cut", "Dye"]
    assert await found(f'filter: {{providerId: "{encode("Provider", OTHER)}"}}') == []
    assert await found('filter: {price: {currency: "EUR", minimum: "20.50", maximum: 30}}') == ["Dye", "Perm"]
    assert await found('filter: {price: {currency: "USD"}}') == []
    assert await found('search: "R"') == ["Perm"]


@pytest.mark.parametrize("order", ["PRIORITY", "DURATION"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_an_order_by_numbers_is_read_page_by_page(either: Api, order: str, direction: str) -> None:
    for number, priority in enumerate(("LOW", "HIGH", "MEDIUM", "HIGH", "LOW")):
        await made(either, "service", name=f"S{number}", durationMinutes=10 + number % 3, priority=priority)
    query = "{ services(first: %d%s, orderBy: [{field: %s, direction: %s}]) { nodes { name } pageInfo { endCursor } } }"

    whole = (await either(query % (5, "", order, direction)))["services"]["nodes"]
    seen: list[Any] = []
    after = ""
    for _ in range(5):
        page = (await either(query % (1, after, order, direction)))["services"]
        seen += page["nodes"]
        after = f', after: "{page["pageInfo"]["endCursor"]}"'

    assert seen == whole
    assert len({node["name"] for node in seen}) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        "orderBy: [{field: NAME}, {field: NAME, direction: DESC}]",
        'filter: {price: {currency: "eur"}}',
        'filter: {price: {currency: "EUR", minimum: 2, maximum: 1}}',
        'filter: {skillId: "nonsense"}',
        'search: "  "',
        "limit: 0",
        "offset: -1",
        "first: 101",
        # of an order by numbers: a cursor with a text, and with a number that no column has
        'orderBy: [{field: PRIORITY}], after: "WyJzZXJ2aWNlcytwcmlvcml0eV9yYW5rK2lkIiwieCIsIjAiXQ"',
        'orderBy: [{field: PRIORITY}], after: "WyJzZXJ2aWNlcytwcmlvcml0eV9yYW5rK2lkIiw5OTk5OTk5OTk5OTksIjAiXQ"',
    ],
)
async def test_a_list_that_cannot_be_is_refused(either: Api, arguments: str) -> None:
    answer = await either.post(f"{{ services({arguments}) {{ nodes {{ id }} }} }}")

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_INPUT"]


@pytest.mark.parametrize("compile_", [True, False], ids=["compiled", "ordinary"])
async def test_what_is_no_longer_offered_is_shown_to_the_team_and_to_who_has_reserved_it(
    database: str, sql: Sql, *, compile_: bool
) -> None:
    async with serving(database, compile=compile_) as api:
        service = await made(api, "service", name="Cut", durationMinutes=30)
        provider = await api.provider()
        await do(api, "providerServicesSet", providerId=provider, services=[{"serviceId": service["id"]}])
        (appointment, *_) = await api.publish(provider, START, END, slotMinutes=30, serviceId=service["id"])
        client = await api.client()
        await api.reserve(client, appointment)
        await do(api, "serviceUpdate", id=service["id"], expectedVersion=1, active=False)
        sql("UPDATE businesses SET is_public = true")
    shown = f'{{ services {{ totalCount }} provider(id: "{provider}") {{ services {{ totalCount }} offerings {{ totalCount }} }} }}'
    by_id = f'{{ node(id: "{service["id"]}") {{ id }} }}'
    mine = "{ reservations { nodes { service { name active } } } }"

    async with serving(database, compile=compile_, API_KEYS="on", RATE_LIMIT="0") as api:
        desk = await bearer(api, Role.FRONT_DESK)
        me = await bearer(api, Role.CLIENT, person=client)
        counts = [await data(api, shown, headers) for headers in (desk, me, {})]
        reserved = await data(api, mine, me)
        public = await api.post(by_id, {})

    def counted(number: int) -> Any:
        total = {"totalCount": number}
        return {"services": total, "provider": {"services": total, "offerings": total}}

    assert counts == [counted(1), counted(0), counted(0)]
    assert reserved == {"reservations": {"nodes": [{"service": {"name": "Cut", "active": False}}]}}
    assert [error["extensions"]["code"] for error in public["errors"]] == ["NOT_FOUND"]


async def test_all_that_belongs_to_many_services_is_a_statement_each(either: Api) -> None:
    skill, chair = await made(either, "skill", name="Cut"), await made(either, "resource", name="Chair")
    parts = {"skillIds": [skill["id"]], "resources": [{"resourceId": chair["id"]}]}
    services = [await made(either, "service", name=f"S{n}", durationMinutes=30, **parts) for n in range(4)]
    provider = await either.provider()
    await do(
        either, "providerServicesSet", providerId=provider, services=[{"serviceId": each["id"]} for each in services]
    )
    inside = f"{WHOLE['service']} providers {{ nodes {{ firstName }} }} offerings {{ nodes {{ location {{ name }} provider {{ id }} }} }}"
    counts = []

    for size in (1, 4):
        either.statements.clear()
        page = (await either(f"{{ services(first: {size}) {{ nodes {{ {inside} }} }} }}"))["services"]
        counts.append(len(either.statements))
        assert page["nodes"][0]["requirements"]["nodes"] == [{"quantity": 1, "resource": {"name": "Chair"}}]
        assert page["nodes"][-1]["offerings"]["nodes"] == [{"location": None, "provider": {"id": provider}}]

    assert counts in ([1, 1], [7, 7])
