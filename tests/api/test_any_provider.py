"""Any provider: a service at an instant, with whoever has the least to do."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from tests.conftest import ERRORS, Api, serving
from tests.tokens import bearer, token

Sql = Callable[..., list[tuple[Any, ...]]]
ANY = (
    "mutation ($input: ReservationCreateAnyProviderInput!) { reservationCreateAnyProvider(input: $input) {"
    " reservation { id status startsAt note provider { id } service { id } } "
    + ERRORS.replace("... on LeadTimeError", "... on HorizonError { latestStart } ... on LeadTimeError")
    + " } }"
)
NINE = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=10)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNKNOWN = UUID("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
CLIENTS, PROVIDERS, TRIES = 40, 10, 20


class Supply:
    """Providers who give one service, written past the API."""

    def __init__(self, sql: Sql) -> None:
        self.sql = sql
        self.service = self.insert("services", name="Analysis", duration=HOUR)

    def insert(self, table: str, **values: Any) -> UUID:
        row = {"business_id": DEFAULT_BUSINESS, **values}
        marks = ", ".join(["%s"] * len(row))
        ((key,),) = self.sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id", *row.values())
        return UUID(str(key))

    def provider(self, *starts: datetime, **more: Any) -> str:
        """One who gives the service, and has an hour at each of these instants."""
        key = self.insert("providers", first_name="Ada", last_name="Lovelace")
        self.insert("offerings", provider_id=key, service_id=self.service)
        for start in starts:
            self.publish(key, start, **more)
        return encode("Provider", key)

    def publish(self, provider: UUID, start: datetime, **more: Any) -> UUID:
        return self.insert("appointments", provider_id=provider, starts_at=start, ends_at=start + HOUR, **more)

    def client(self) -> str:
        return encode("Client", self.insert("clients", first_name="Charles", last_name="Babbage"))

    def wish(self, starts_at: datetime = NINE, /, **more: Any) -> dict[str, Any]:
        wish = {"clientId": self.client(), "serviceId": encode("Service", self.service)}
        return {**wish, "startsAt": starts_at.isoformat(), **more}


@pytest.fixture
def supply(sql: Sql) -> Supply:
    return Supply(sql)


async def reserve(api: Api, **wish: Any) -> Any:
    return (await api(ANY, input=wish))["reservationCreateAnyProvider"]


async def insist(api: Api, **wish: Any) -> Any:
    """Ask again, under the same key, as long as a machine with much else to do asks for that."""
    for _ in range(TRIES):
        answer = await api.post(ANY, input=wish)
        told = [error["extensions"] for error in answer.get("errors", ())]
        told += answer["data"]["reservationCreateAnyProvider"]["userErrors"] if answer["data"] else []
        if not any(error["retryable"] for error in told):
            break
    assert "errors" not in answer
    return answer["data"]["reservationCreateAnyProvider"]


async def chosen(api: Api, **wish: Any) -> str:
    """With whom a wish was reserved."""
    done = await reserve(api, **wish)
    assert done["userErrors"] == []
    provider: str = done["reservation"]["provider"]["id"]
    return provider


async def refusal(api: Api, **wish: Any) -> tuple[str, list[str]]:
    done = await reserve(api, **wish)
    assert done["reservation"] is None
    (error,) = done["userErrors"]
    return error["code"], error["field"]


async def test_the_service_is_held_with_its_event_and_its_key_in_one_statement(
    api: Api, supply: Supply, sql: Sql, statements: Callable[[], list[str]]
) -> None:
    ada = supply.provider(NINE)
    wish = supply.wish(note="by the window", idempotencyKey="once")
    statements()

    done = await reserve(api, **wish)

    assert len(statements()) == 1
    assert done["userErrors"] == []
    assert done["reservation"]["status"] == "HELD"
    assert done["reservation"]["note"] == "by the window"
    assert done["reservation"]["provider"] == {"id": ada}
    assert done["reservation"]["service"] == {"id": wish["serviceId"]}
    assert (await reserve(api, **wish))["reservation"] == done["reservation"]
    assert sql("SELECT count(*) FROM reservations") == [(1,)]
    assert sql("SELECT count(*) FROM events WHERE type = 'scheduling.reservation.held.v1'") == [(1,)]


async def test_bookings_go_round_the_providers_by_what_is_booked(api: Api, supply: Supply) -> None:
    instants = [NINE + n * HOUR for n in range(4)]
    providers = [supply.provider(*instants) for _ in range(3)]

    taken = [await chosen(api, **supply.wish(instant)) for instant in instants for _ in range(3)]

    assert Counter(taken) == dict.fromkeys(providers, 4)
    assert [set(taken[n : n + 3]) for n in range(0, 12, 3)] == [set(providers)] * 4


async def test_of_those_who_are_booked_alike_the_one_who_is_idle_the_longest_is_chosen(
    api: Api, supply: Supply
) -> None:
    early, late, never = (supply.provider(NINE, NINE - 8 * DAY + n * HOUR) for n in range(3))
    assert await chosen(api, **supply.wish(NINE - 8 * DAY)) == early
    assert await chosen(api, **supply.wish(NINE - 8 * DAY + HOUR)) == late

    assert [await chosen(api, **supply.wish()) for _ in range(3)] == [never, early, late]


@pytest.mark.parametrize(("offset", "counts"), [(-84, True), (84, False)])
async def test_what_is_booked_in_the_seven_days_around_counts(
    api: Api, supply: Supply, sql: Sql, offset: int, counts: bool
) -> None:
    """The window is half open. The first provider is booked once at its edge, the second twice outside."""
    first, second = supply.provider(NINE, NINE + offset * HOUR), supply.provider(NINE)
    sql("UPDATE services SET lead_time = '0'")
    assert await chosen(api, **supply.wish(NINE + offset * HOUR)) == first
    (second_key,) = sql("SELECT id FROM providers ORDER BY id DESC LIMIT 1")[0]
    for n in (1, 2):
        instant = NINE - 84 * HOUR - 2 * n * HOUR
        supply.publish(second_key, instant)
        assert await chosen(api, **supply.wish(instant)) == second

    # Outside of the window nobody is booked at all, and the first, who has no earlier booking, is idle the longest.
    assert await chosen(api, **supply.wish()) == (second if counts else first)


async def test_only_who_gives_the_service_there_is_chosen(api: Api, supply: Supply, sql: Sql) -> None:
    here, there = (supply.insert("locations", name=name, time_zone="UTC") for name in ("Here", "There"))
    supply.provider(NINE, location_id=there)
    stranger = supply.insert("providers", first_name="Bob", last_name="Frank")
    supply.publish(stranger, NINE, location_id=here)
    other = supply.insert("services", name="Another")
    supply.provider(NINE, location_id=here, service_id=other)
    ada = supply.provider(NINE, location_id=here)

    assert await chosen(api, **supply.wish(locationId=encode("Location", here))) == ada

    assert await refusal(api, **supply.wish(locationId=encode("Location", here))) == ("SLOT_UNAVAILABLE", ["startsAt"])
    assert sql("SELECT count(*) FROM reservations") == [(1,)]


async def test_when_nobody_is_free_the_nearest_times_of_the_service_are_shown(api: Api, supply: Supply) -> None:
    supply.provider(NINE, NINE + 2 * HOUR, NINE + 9 * HOUR)
    supply.provider(NINE + HOUR, NINE - HOUR)
    await reserve(api, **supply.wish())

    done = await reserve(api, **supply.wish())

    (error,) = done["userErrors"]
    assert (error["code"], error["field"], error["retryable"]) == ("SLOT_UNAVAILABLE", ["startsAt"], False)
    assert error["message"] == "Nobody who gives this service is free at that time; choose another one."
    near = [datetime.fromisoformat(each["startsAt"]) for each in error["alternatives"]]
    assert near == [NINE - HOUR, NINE + HOUR, NINE + 2 * HOUR]


async def test_what_does_not_exist_is_not_found(api: Api, supply: Supply, sql: Sql) -> None:
    supply.provider(NINE)
    unknown = {"clientId": "Client", "serviceId": "Service", "locationId": "Location"}

    for field, type_name in unknown.items():
        assert await refusal(api, **supply.wish(**{field: encode(type_name, UNKNOWN)})) == ("NOT_FOUND", [field])
        assert await refusal(api, **supply.wish(**{field: encode("Provider", UNKNOWN)})) == ("NOT_FOUND", [field])
        assert await refusal(api, **supply.wish(**{field: "nonsense"})) == ("INVALID_INPUT", [field])

    assert sql("SELECT count(*) FROM reservations") == [(0,)]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("UPDATE services SET active = false", ("NOT_OFFERED", ["serviceId"])),
        ("UPDATE services SET lead_time = '20 days'", ("LEAD_TIME", ["startsAt"])),
        ("UPDATE services SET minimum_horizon = '20 days'", ("LEAD_TIME", ["startsAt"])),
        ("UPDATE businesses SET maximum_horizon = '2 days'", ("HORIZON", ["startsAt"])),
        ("UPDATE appointments SET withdrawn_at = now()", ("SLOT_UNAVAILABLE", ["startsAt"])),
        ("UPDATE services SET duration = '02:00:00'", ("SLOT_UNAVAILABLE", ["startsAt"])),
        ("DELETE FROM offerings", ("SLOT_UNAVAILABLE", ["startsAt"])),
    ],
)
async def test_policies_hold_for_any_provider(
    api: Api, supply: Supply, sql: Sql, policy: str, told: tuple[str, list[str]]
) -> None:
    supply.provider(NINE)
    sql(policy)

    assert await refusal(api, **supply.wish()) == told

    assert sql("SELECT count(*) FROM reservations") == [(0,)]


async def test_a_client_who_holds_too_much_is_told_so(api: Api, supply: Supply, sql: Sql) -> None:
    supply.provider(NINE, NINE + HOUR)
    sql("UPDATE businesses SET hold_limit = 1")
    wish = supply.wish()
    await reserve(api, **wish)

    assert await refusal(api, **{**wish, "startsAt": (NINE + HOUR).isoformat()}) == ("TOO_MANY_HOLDS", ["clientId"])


async def test_a_client_reserves_for_nobody_else(database: str, supply: Supply, sql: Sql) -> None:
    supply.provider(NINE)
    mine, other = supply.wish(), supply.wish()
    ((client,),) = sql("SELECT id FROM clients ORDER BY id LIMIT 1")
    async with serving(database, API_KEYS="on") as api:
        from_client = bearer(token(sql, Role.CLIENT, client))

        refused = await api.post(ANY, from_client, input=other)
        done = await api.post(ANY, from_client, input=mine)

    assert refused["data"]["reservationCreateAnyProvider"]["userErrors"][0]["code"] == "NOT_FOUND"
    assert done["data"]["reservationCreateAnyProvider"]["userErrors"] == []
    assert sql("SELECT count(*) FROM reservations WHERE client_id = %s", client) == [(1,)]
    assert sql("SELECT count(*) FROM reservations") == [(1,)]


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "ordinary"])
async def test_40_clients_at_once_take_10_providers(database: str, supply: Supply, sql: Sql, is_compiled: bool) -> None:
    providers = {supply.provider(NINE, NINE + HOUR) for _ in range(PROVIDERS)}
    wishes = [supply.wish(idempotencyKey=f"key {n}") for n in range(CLIENTS)]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = sql(deadlocks)

    async with serving(database, pool_size=20, compile=is_compiled) as api:
        answers = await asyncio.gather(*(insist(api, **wish) for wish in wishes))

    held = [answer["reservation"]["provider"]["id"] for answer in answers if answer["reservation"]]
    codes = Counter(error["code"] for answer in answers for error in answer["userErrors"])
    assert (sorted(held), codes) == (sorted(providers), {"SLOT_UNAVAILABLE": CLIENTS - PROVIDERS})
    assert sql("SELECT count(*), count(DISTINCT provider_id) FROM reservations WHERE live") == [(PROVIDERS, PROVIDERS)]
    sql("SELECT pg_stat_clear_snapshot()")
    assert sql(deadlocks) == before
