"""Visits: several services one after the other, held and lapsing together, or not at all."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from tests.conftest import ERRORS, Api, serving
from tests.supply import Supply, key, soon
from tests.tokens import bearer, token

Sql = Callable[..., list[tuple[Any, ...]]]
MINUTE = timedelta(minutes=1)
NINE = soon(days=10)
VISIT = "visit { id status startsAt endsAt version client { id } reservations { nodes { id status startsAt expiresAt provider { id } service { id } visit { id } } } } "


def document(mutation: str) -> str:
    name = f"{mutation[0].upper()}{mutation[1:]}Input"
    return f"mutation ($input: {name}!) {{ {mutation}(input: $input) {{ {VISIT} {ERRORS} }} }}"


async def send(api: Api, mutation: str, headers: dict[str, str] | None = None, /, **wanted: Any) -> Any:
    """The payload of a mutation."""
    answer = await api.post(document(mutation), headers, input=wanted)
    assert "errors" not in answer, answer["errors"]
    return answer["data"][mutation]


class Salon(Supply):
    """A cut and a colouring, given by two stylists."""

    def __init__(self, sql: Sql) -> None:
        super().__init__(sql)
        self.cut, self.colour = self.service("Cut"), self.service("Colour")
        self.ada, self.bea = self.provider(), self.provider()
        self.charles = self.add("Client", "clients", first_name="Charles", last_name="Babbage")

    def time(self, provider: str, service: str, minutes: int, length: int = 30, **more: Any) -> str:
        """A time that begins so many minutes after nine."""
        return self.appointment(provider, NINE + minutes * MINUTE, length, service_id=service, **more)

    def wish(self, *services: str, **more: Any) -> dict[str, Any]:
        chosen = [{"serviceId": each} for each in services or (self.cut, self.colour)]
        return {"clientId": self.charles, "startsAt": NINE.isoformat(), "services": chosen, **more}


@pytest.fixture
def salon(sql: Sql) -> Salon:
    return Salon(sql)


def shown(payload: Any) -> list[tuple[str, int, str]]:
    """Whom a visit leads to, how many minutes after nine, and how that stands."""
    return [
        (node["provider"]["id"], int((datetime.fromisoformat(node["startsAt"]) - NINE) / MINUTE), node["status"])
        for node in payload["visit"]["reservations"]["nodes"]
    ]


def errors(payload: Any) -> list[tuple[str, str]]:
    return [(error["code"], ".".join(error["field"] or ())) for error in payload["userErrors"]]


async def test_two_services_are_held_one_after_the_other_and_lapse_at_the_same_instant(api: Api, salon: Salon) -> None:
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)

    made = await send(api, "visitCreate", **salon.wish())

    assert made["userErrors"] == []
    assert shown(made) == [(salon.ada, 0, "HELD"), (salon.bea, 30, "HELD")]
    visit = made["visit"]
    assert (visit["status"], visit["version"], visit["client"]["id"]) == ("HELD", 1, salon.charles)
    assert datetime.fromisoformat(visit["startsAt"]) == NINE
    assert datetime.fromisoformat(visit["endsAt"]) == NINE + 60 * MINUTE
    assert len({node["expiresAt"] for node in visit["reservations"]["nodes"]}) == 1
    assert {node["visit"]["id"] for node in visit["reservations"]["nodes"]} == {visit["id"]}


async def test_whoever_has_the_least_to_do_is_chosen_and_an_early_choice_that_leads_nowhere_is_taken_back(
    api: Api, salon: Salon, sql: Sql
) -> None:
    here, there = salon.location("Here"), salon.location("There")
    salon.time(salon.bea, salon.cut, 0, location_id=here)
    salon.time(salon.ada, salon.cut, 0, location_id=there)
    salon.time(salon.bea, salon.colour, 40, location_id=here)
    busy = salon.time(salon.bea, salon.cut, 24 * 60)
    taken = "INSERT INTO reservations (business_id, client_id, appointment_id, status) VALUES (%s, %s, %s, 'CONFIRMED')"
    sql(taken, DEFAULT_BUSINESS, key(salon.charles), key(busy))

    made = await send(api, "visitCreate", **salon.wish())

    assert shown(made) == [(salon.bea, 0, "HELD"), (salon.bea, 40, "HELD")]


@pytest.mark.parametrize(("gap", "is_held"), [(0, False), (14, False), (15, True), (120, True)])
async def test_the_next_service_begins_no_later_than_the_gap(
    api: Api, salon: Salon, sql: Sql, gap: int, is_held: bool
) -> None:
    salon.time(salon.ada, salon.cut, 0)
    late = salon.time(salon.bea, salon.colour, 45)

    made = await send(api, "visitCreate", **salon.wish(maximumGapMinutes=gap))

    if is_held:
        assert shown(made) == [(salon.ada, 0, "HELD"), (salon.bea, 45, "HELD")]
    else:
        (error,) = made["userErrors"]
        assert (made["visit"], error["code"], error["field"]) == (
            None,
            "SLOT_UNAVAILABLE",
            ["services", "1", "serviceId"],
        )
        assert [each["id"] for each in error["alternatives"]] == [late]
        assert sql("SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM reservations)") == [(0, 0)]


async def test_buffers_and_a_shared_resource_keep_two_services_apart(api: Api, salon: Salon, sql: Sql) -> None:
    sql("UPDATE services SET buffer_after = '00:10' WHERE id = %s", key(salon.cut))
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.ada, salon.colour, 30)
    room = salon.resource("Room", salon.cut)
    need = "INSERT INTO requirements (business_id, service_id, resource_id) VALUES (%s, %s, %s)"
    sql(need, DEFAULT_BUSINESS, key(salon.colour), key(room))
    salon.time(salon.bea, salon.colour, 35)
    assert errors(await send(api, "visitCreate", **salon.wish())) == [("SLOT_UNAVAILABLE", "services.1.serviceId")]

    salon.time(salon.ada, salon.colour, 60)
    made = await send(api, "visitCreate", **salon.wish(maximumGapMinutes=30))

    assert shown(made) == [(salon.ada, 0, "HELD"), (salon.ada, 60, "HELD")]
    assert sql("SELECT count(*), count(DISTINCT resource_id) FROM resource_claims") == [(2, 1)]


async def test_a_visit_takes_the_two_rooms_of_its_two_services_or_none(api: Api, salon: Salon, sql: Sql) -> None:
    for service, name in ((salon.cut, "Chair"), (salon.colour, "Basin")):
        salon.resource(name, service)
    for provider in (salon.ada, salon.bea):
        salon.time(provider, salon.cut, 0)
        salon.time(provider, salon.colour, 30)

    first, second = [await send(api, "visitCreate", **salon.wish()) for _ in range(2)]

    assert first["visit"]["status"] == "HELD"
    assert errors(second) == [("SLOT_UNAVAILABLE", "services.0.serviceId")]
    assert sql("SELECT count(*), count(DISTINCT resource_id) FROM resource_claims") == [(2, 2)]


async def test_named_providers_and_a_named_location_are_kept_to(api: Api, salon: Salon) -> None:
    here, there = salon.location("Here"), salon.location("There")
    for provider in (salon.ada, salon.bea):
        for minutes, service in ((0, salon.cut), (30, salon.colour)):
            salon.time(provider, service, minutes, location_id=here if provider == salon.ada else there)

    by_location = await send(api, "visitCreate", **salon.wish(locationId=there))
    services = [{"serviceId": salon.cut, "providerId": salon.ada}, {"serviceId": salon.colour, "providerId": salon.bea}]
    by_provider = await send(api, "visitCreate", **{**salon.wish(), "services": services})
    services[1]["providerId"] = salon.ada
    again = await send(api, "visitCreate", **{**salon.wish(), "services": services})

    assert shown(by_location) == [(salon.bea, 0, "HELD"), (salon.bea, 30, "HELD")]
    assert errors(by_provider) == [("SLOT_UNAVAILABLE", "services.1.serviceId")]
    assert shown(again) == [(salon.ada, 0, "HELD"), (salon.ada, 30, "HELD")]


async def test_all_holds_of_a_visit_lapse_with_the_one_that_lasts_the_shortest(
    api: Api, salon: Salon, sql: Sql
) -> None:
    sql("UPDATE services SET hold_time = '00:05' WHERE id = %s", key(salon.colour))
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    made = await send(api, "visitCreate", **salon.wish())
    lasts = "SELECT count(DISTINCT expires_at), max(expires_at - created_at) <= '00:05', min(hold_time) = max(hold_time), max(renewals) FROM reservations"
    assert sql(lasts) == [(1, True, True, 0)]
    was = sql("SELECT min(expires_at) FROM reservations")

    renewed = await send(api, "visitRenew", visitId=made["visit"]["id"])

    assert renewed["userErrors"] == []
    assert sql("SELECT count(DISTINCT expires_at), max(renewals) FROM reservations") == [(1, 1)]
    assert sql("SELECT min(expires_at) FROM reservations") > was
    assert (await send(api, "visitRenew", visitId=made["visit"]["id"]))["userErrors"] == []
    assert errors(await send(api, "visitRenew", visitId=made["visit"]["id"])) == [("TOO_MANY_RENEWALS", "visitId")]
    assert sql("SELECT max(renewals), min(renewals) FROM reservations") == [(2, 2)]


async def test_a_visit_is_confirmed_and_cancelled_as_one(api: Api, salon: Salon, sql: Sql) -> None:
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    visit = (await send(api, "visitCreate", **salon.wish()))["visit"]["id"]

    confirmed = [await send(api, "visitConfirm", visitId=visit) for _ in range(2)]
    cancelled = [await send(api, "visitCancel", visitId=visit, reason="ill") for _ in range(2)]

    assert [each["visit"]["status"] for each in confirmed + cancelled] == ["CONFIRMED"] * 2 + ["CANCELLED"] * 2
    assert shown(confirmed[1]) == [(salon.ada, 0, "CONFIRMED"), (salon.bea, 30, "CONFIRMED")]
    assert sql("SELECT type, count(*) FROM events WHERE type LIKE '%reservation.%' GROUP BY 1 ORDER BY 1") == [
        ("scheduling.reservation.cancelled.v1", 2),
        ("scheduling.reservation.confirmed.v1", 2),
        ("scheduling.reservation.held.v1", 2),
    ]
    assert errors(await send(api, "visitConfirm", visitId=visit)) == [("ILLEGAL_STATE", "visitId")]
    assert errors(await send(api, "visitRenew", visitId=visit)) == [("ILLEGAL_STATE", "visitId")]


async def test_a_part_may_be_cancelled_alone_and_the_rest_goes_on(api: Api, salon: Salon) -> None:
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    visit = (await send(api, "visitCreate", **salon.wish()))["visit"]
    await api.cancel(visit["reservations"]["nodes"][0]["id"])

    confirmed = await send(api, "visitConfirm", visitId=visit["id"])

    assert shown(confirmed) == [(salon.ada, 0, "CANCELLED"), (salon.bea, 30, "CONFIRMED")]
    assert confirmed["visit"]["status"] == "CONFIRMED"


async def test_if_one_hold_has_lapsed_nothing_is_confirmed(api: Api, salon: Salon, sql: Sql) -> None:
    sql("UPDATE businesses SET hold_time = '00:00:00.3'")
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    visit = (await send(api, "visitCreate", **salon.wish()))["visit"]["id"]
    await asyncio.sleep(0.4)

    done = await send(api, "visitConfirm", visitId=visit)

    assert errors(done) == [("HOLD_EXPIRED", "visitId")]
    assert sql("SELECT status, count(*) FROM reservations GROUP BY 1") == [("HELD", 2)]
    assert errors(await send(api, "visitCancel", visitId=visit)) == [("ILLEGAL_STATE", "visitId")]
    found = await api("query ($id: ID!) { visit(id: $id) { status } }", id=visit)
    assert found == {"visit": {"status": "EXPIRED"}}


async def test_a_client_is_bound_by_the_cutoff_of_every_part_and_the_desk_tells_a_reason(
    api: Api, salon: Salon, sql: Sql
) -> None:
    sql("UPDATE services SET cancel_cutoff = '300 days' WHERE id = %s", key(salon.colour))
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    visit = (await send(api, "visitCreate", **salon.wish()))["visit"]["id"]
    await send(api, "visitConfirm", visitId=visit)
    client = bearer(token(sql, Role.CLIENT, key(salon.charles)))

    async with serving(str(api.database.engine.url.render_as_string(hide_password=False)), API_KEYS="on") as strict:
        late = await send(strict, "visitCancel", client, visitId=visit, reason="ill")
        desk = bearer(token(sql, Role.FRONT_DESK))
        silent = await send(strict, "visitCancel", desk, visitId=visit)
        assert sql("SELECT status, count(*) FROM reservations GROUP BY 1") == [("CONFIRMED", 2)]
        done = await send(strict, "visitCancel", desk, visitId=visit, reason="ill")

    assert errors(late) == [("CANCELLATION_WINDOW", "visitId")]
    assert errors(silent) == [("INVALID_INPUT", "reason")]
    assert done["visit"]["status"] == "CANCELLED"


async def test_a_visit_is_one_hold_against_the_limit(api: Api, salon: Salon, sql: Sql) -> None:
    sql("UPDATE businesses SET hold_limit = 1")
    for minutes in (0, 120):
        salon.time(salon.ada, salon.cut, minutes)
        salon.time(salon.bea, salon.colour, minutes + 30)

    first = await send(api, "visitCreate", **salon.wish())
    later = (NINE + 120 * MINUTE).isoformat()
    answer = await api.post(
        document("visitCreate").replace(
            "... on LeadTimeError", "... on TooManyHoldsError { limit } ... on LeadTimeError"
        ),
        input={**salon.wish(), "startsAt": later},
    )

    assert first["visit"]["status"] == "HELD"
    (error,) = answer["data"]["visitCreate"]["userErrors"]
    assert (error["code"], error["field"], error["limit"]) == ("TOO_MANY_HOLDS", ["clientId"], 1)
    assert sql("SELECT count(*) FROM visits") == [(1,)]


UNKNOWN = "019e0000-0000-7000-8000-000000000009"


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"services": []}, "INVALID_INPUT", "services"),
        ({"services": ["cut"]}, "INVALID_INPUT", "services"),
        ({"services": ["cut"] * 11}, "INVALID_INPUT", "services"),
        ({"services": ["cut", "nothing"]}, "NOT_FOUND", "services.1.serviceId"),
        ({"services": ["closed", "cut"]}, "NOT_OFFERED", "services.0.serviceId"),
        ({"clientId": "Client"}, "NOT_FOUND", "clientId"),
        ({"locationId": "Location"}, "NOT_FOUND", "locationId"),
        ({"clientId": "Provider"}, "NOT_FOUND", "clientId"),
        ({"maximumGapMinutes": -1}, "INVALID_INPUT", "maximumGapMinutes"),
        ({"maximumGapMinutes": 121}, "INVALID_INPUT", "maximumGapMinutes"),
        ({"startsAt": "2020-01-01T09:00:00Z"}, "LEAD_TIME", "startsAt"),
        ({"startsAt": (NINE + 7 * MINUTE).isoformat()}, "SLOT_UNAVAILABLE", "services.0.serviceId"),
        ({"note": "x" * 2001}, "INVALID_INPUT", "note"),
        ({"idempotencyKey": ""}, "INVALID_INPUT", "idempotencyKey"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_field_and_nothing_is_written(
    api: Api, salon: Salon, sql: Sql, change: dict[str, Any], code: str, field: str
) -> None:
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    named = {
        "cut": salon.cut,
        "closed": salon.service("Closed", active=False),
        "nothing": encode("Service", key(salon.ada)),
    }
    if "services" in change:
        change = {"services": [{"serviceId": named[each]} for each in change["services"]]}
    strange = {
        name: encode(value, key(salon.ada))
        for name, value in change.items()
        if value in ("Client", "Location", "Provider")
    }

    payload = await send(api, "visitCreate", **{**salon.wish(), **change, **strange})

    assert payload["visit"] is None
    assert errors(payload) == [(code, field)]
    assert sql("SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM idempotency_keys)") == [(0, 0)]


async def test_a_repeated_request_is_answered_again_and_another_one_is_refused(
    api: Api, salon: Salon, sql: Sql
) -> None:
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    wish = salon.wish(idempotencyKey="once")

    first, second = [await api.post(document("visitCreate"), input=wish) for _ in range(2)]
    other = await send(api, "visitCreate", **{**wish, "maximumGapMinutes": 20})

    assert second.pop("extensions") == {"idempotentReplay": True}
    assert first == second
    assert errors(other) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]
    assert sql("SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM reservations)") == [(1, 2)]

    confirms = [
        await send(api, "visitConfirm", visitId=first["data"]["visitCreate"]["visit"]["id"], idempotencyKey="yes")
        for _ in range(2)
    ]
    assert [each["visit"]["status"] for each in confirms] == ["CONFIRMED"] * 2


@pytest.mark.parametrize("services", [2, 10])
async def test_a_visit_takes_as_many_statements_whatever_the_number_of_services(
    api: Api, salon: Salon, statements: Callable[[], list[str]], services: int
) -> None:
    for turn in range(services):
        salon.time(salon.ada, salon.cut, turn * 30)
    statements()
    bare = "mutation ($input: VisitCreateInput!) { visitCreate(input: $input) { visit { id status } userErrors { code } } }"

    done = await api(bare, input=salon.wish(*[salon.cut] * services, idempotencyKey="once"))

    assert done["visitCreate"]["visit"]["status"] == "HELD"
    assert len(statements()) == 4


async def test_twins_at_once_make_one_visit(database: str, salon: Salon, sql: Sql) -> None:
    for provider in (salon.ada, salon.bea, salon.provider(), salon.provider()):
        salon.time(provider, salon.cut, 0)
        salon.time(provider, salon.colour, 30)

    async with serving(database, pool_size=8) as api:
        twins = [send(api, "visitCreate", **salon.wish(idempotencyKey="twin")) for _ in range(8)]
        done = await asyncio.gather(*twins)

    assert len({each["visit"]["id"] for each in done}) == 1
    assert sql("SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM reservations)") == [(1, 2)]


CLIENTS = 40


async def test_40_clients_want_visits_that_overlap_in_part_and_there_is_never_half_of_one(
    database: str, salon: Salon, sql: Sql
) -> None:
    providers = [salon.provider() for _ in range(4)]
    salon.resource("Chair", salon.cut, 3)
    salon.resource("Basin", salon.colour, 3)
    for provider in providers:
        for turn in range(6):
            salon.appointment(provider, NINE + turn * 30 * MINUTE, 30)
        for service in (salon.cut, salon.colour):
            salon.offer(provider, service)
    clients = [salon.add("Client", "clients", first_name=f"C{n}", last_name="Client") for n in range(CLIENTS)]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before, seen, done = sql(deadlocks), Counter[int](), asyncio.Event()

    def wish(n: int) -> dict[str, Any]:
        pair = (salon.cut, salon.colour) if n % 2 else (salon.colour, salon.cut)
        services = pair if n % 3 else (*pair, pair[0])
        at = {"clientId": clients[n], "startsAt": (NINE + n % 5 * 30 * MINUTE).isoformat()}
        return {**salon.wish(*services), **at}

    async def watch(api: Api) -> None:
        while not done.is_set():
            visits = "{ reservations(first: 100) { nodes { visit { id } } } }"
            nodes = (await api(visits))["reservations"]["nodes"]
            seen.update(Counter(node["visit"]["id"] for node in nodes).values())
            await asyncio.sleep(0.01)

    async with serving(database, pool_size=16) as api:
        watching = asyncio.create_task(watch(api))
        answers = await asyncio.gather(*(send(api, "visitCreate", **wish(n)) for n in range(CLIENTS)))
        done.set()
        await watching

    held = [len(answer["visit"]["reservations"]["nodes"]) for answer in answers if answer["visit"]]
    assert [len(wish(n)["services"]) for n, answer in enumerate(answers) if answer["visit"]] == held
    assert {code for answer in answers for code, _ in errors(answer)} <= {"SLOT_UNAVAILABLE"}
    assert len(held) >= 6
    assert set(seen) <= {2, 3}
    assert sql("SELECT count(*) FROM reservations WHERE live") == [(sum(held),)]
    assert sql("SELECT count(*) FROM visits") == [(len(held),)]
    sql("SELECT pg_stat_clear_snapshot()")
    assert sql(deadlocks) == before


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "ordinary"])
async def test_everybody_sees_of_a_visit_what_is_theirs(
    database: str, salon: Salon, sql: Sql, is_compiled: bool
) -> None:
    salon.time(salon.ada, salon.cut, 0)
    salon.time(salon.bea, salon.colour, 30)
    other = salon.add("Client", "clients", first_name="Grace", last_name="Hopper")
    stranger = salon.provider()
    asked = "query ($id: ID!) { node(id: $id) { ... on Visit { status reservations { nodes { provider { id } } } } } }"

    async with serving(database, compile=is_compiled, API_KEYS="on") as api:
        mine = bearer(token(sql, Role.CLIENT, key(salon.charles)))
        visit = (await send(api, "visitCreate", mine, **salon.wish()))["visit"]["id"]

        async def seen(role: Role, person: str | None = None) -> Any:
            answer = await api.post(asked, bearer(token(sql, role, key(person) if person else None)), id=visit)
            if "errors" in answer:
                return [error["extensions"]["code"] for error in answer["errors"]]
            return [node["provider"]["id"] for node in answer["data"]["node"]["reservations"]["nodes"]]

        assert await seen(Role.CLIENT, salon.charles) == [salon.ada, salon.bea]
        assert await seen(Role.FRONT_DESK) == [salon.ada, salon.bea]
        assert await seen(Role.PROVIDER, salon.bea) == [salon.bea]
        assert await seen(Role.PROVIDER, stranger) == ["NOT_FOUND"]
        assert await seen(Role.CLIENT, other) == ["NOT_FOUND"]

        theirs = bearer(token(sql, Role.CLIENT, key(other)))
        assert errors(await send(api, "visitConfirm", theirs, visitId=visit)) == [("NOT_FOUND", "visitId")]
        assert errors(await send(api, "visitCreate", theirs, **salon.wish())) == [("NOT_FOUND", "clientId")]
        assert sql("SELECT status, count(*) FROM reservations GROUP BY 1") == [("HELD", 2)]


async def test_a_visit_of_another_business_is_not_there(api: Api, salon: Salon, sql: Sql) -> None:
    ((business,),) = sql("INSERT INTO businesses (name) VALUES ('Elsewhere') RETURNING id")
    person = "INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'A', 'B') RETURNING id"
    ((client,),) = sql(person, business)
    ((made,),) = sql("INSERT INTO visits (business_id, client_id) VALUES (%s, %s) RETURNING id", business, client)
    theirs = encode("Visit", made)

    for mutation in ("visitConfirm", "visitRenew", "visitCancel"):
        assert errors(await send(api, mutation, visitId=theirs)) == [("NOT_FOUND", "visitId")]
    assert errors(await send(api, "visitCreate", **salon.wish(clientId=encode("Client", client)))) == [
        ("NOT_FOUND", "clientId")
    ]
