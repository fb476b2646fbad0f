"""What a search offers can be reserved, and what it does not offer cannot: whatever was supplied, claimed and changed."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from tests.conftest import Api, serving

Sql = Callable[..., list[tuple[Any, ...]]]
EXAMPLES = 40
OFFERED = """query ($providers: [ID!], $service: ID) {
  availableAppointments(first: 100, filter: { providerIds: $providers, serviceId: $service }) { nodes { id } } }"""
INSTANTLY, USUALLY = "UPDATE businesses SET hold_time = '0.000001'", "UPDATE businesses SET hold_time = '00:30:00'"
QUARTER, DAY = timedelta(minutes=15), timedelta(days=1)

buffers = st.sampled_from([timedelta(0), timedelta(0), timedelta(minutes=10), timedelta(minutes=30)])
locations = st.sampled_from([None, 0, 1])


@dataclass(frozen=True)
class Service:
    """How a service is supplied; its horizons lie around the appointments, which are 5 days ahead."""

    duration: timedelta | None
    before: timedelta
    after: timedelta
    active: bool
    lead_time: timedelta | None
    minimum: timedelta | None
    maximum: timedelta | None
    needs_skill: bool
    needs: dict[int, int]


services = st.builds(
    Service,
    duration=st.sampled_from([None, QUARTER, 2 * QUARTER]),
    before=buffers,
    after=buffers,
    active=st.sampled_from([True, True, True, False]),
    lead_time=st.sampled_from([None, None, timedelta(0), 6 * DAY]),
    minimum=st.sampled_from([None, None, 6 * DAY]),
    maximum=st.sampled_from([None, None, 4 * DAY, 7 * DAY]),
    needs_skill=st.booleans(),
    needs=st.dictionaries(st.integers(0, 1), st.integers(1, 2), max_size=2),
)


@dataclass(frozen=True)
class Published:
    """A time of one of two providers, of one of two locations or none."""

    provider: int
    quarter: int
    quarters: int
    service: int | None
    location: int | None
    capacity: int
    is_withdrawn: bool


published = st.builds(
    Published,
    provider=st.integers(0, 1),
    quarter=st.integers(0, 5),
    quarters=st.sampled_from([1, 1, 2, 4]),
    service=st.sampled_from([None, None, 0, 1]),
    location=locations,
    capacity=st.sampled_from([1, 1, 2]),
    is_withdrawn=st.sampled_from([False, False, False, True]),
)


@dataclass(frozen=True)
class World:
    """What is supplied, what is claimed of it (which time, for which service, what became of it), what changes then."""

    services: list[Service]
    resources: list[tuple[int, int | None]]
    offerings: set[tuple[int, int, int | None]]
    skilled: set[int]
    published: list[Published]
    claims: list[tuple[int, int | None, str]]
    buffers: tuple[timedelta, timedelta]
    duration: timedelta | None
    left: int | None


worlds = st.builds(
    World,
    services=st.lists(services, min_size=2, max_size=2),
    resources=st.lists(st.tuples(st.integers(1, 2), locations), min_size=2, max_size=2),
    offerings=st.sets(st.tuples(st.integers(0, 1), st.integers(0, 1), locations), max_size=6),
    skilled=st.sets(st.integers(0, 1)),
    published=st.lists(published, min_size=2, max_size=6, unique_by=lambda one: (one.provider, one.quarter)),
    claims=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([None, 0, 1]),
            st.sampled_from(["HELD", "HELD", "CONFIRMED", "CANCELLED", "lapsed"]),
        ),
        max_size=5,
    ),
    buffers=st.tuples(buffers, buffers),
    duration=st.sampled_from([None, QUARTER, 3 * QUARTER]),
    left=st.sampled_from([None, 1, 3]),
)


@dataclass
class Written:
    """The keys of a world's rows."""

    sql: Sql
    world: World
    providers: list[UUID] = field(default_factory=list)
    services: list[UUID] = field(default_factory=list)
    resources: list[UUID] = field(default_factory=list)
    appointments: list[UUID] = field(default_factory=list)

    def insert(self, table: str, **values: Any) -> UUID:
        row = {"business_id": DEFAULT_BUSINESS, **values}
        marks = ", ".join(["%s"] * len(row))
        ((key,),) = self.sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id", *row.values())
        return UUID(str(key))

    def pair(self, table: str, **values: UUID) -> None:
        names = ", ".join(["business_id", *values])
        self.sql(f"INSERT INTO {table} ({names}) VALUES (%s, %s, %s)", DEFAULT_BUSINESS, *values.values())

    def supply(self) -> None:
        world = self.world
        places = [self.insert("locations", name="Here", time_zone="UTC") for _ in range(2)]
        self.places: list[UUID] = places
        self.providers = [self.insert("providers", first_name="Ada", last_name="Lovelace") for _ in range(2)]
        skill = self.insert("skills", name=str(self.providers[0]))
        for n in world.skilled:
            self.pair("provider_skills", provider_id=self.providers[n], skill_id=skill)
        self.resources = [
            self.insert("resources", name="Room", quantity=quantity, location_id=self.place(where))
            for quantity, where in world.resources
        ]
        for service in world.services:
            key = self.insert(
                "services",
                name="Analysis",
                duration=service.duration,
                buffer_before=service.before,
                buffer_after=service.after,
                active=service.active,
                lead_time=service.lead_time,
                minimum_horizon=service.minimum,
                maximum_horizon=service.maximum if service.minimum is None else None,
            )
            self.services.append(key)
            if service.needs_skill:
                self.pair("service_skills", service_id=key, skill_id=skill)
            for n, quantity in service.needs.items():
                self.insert("requirements", service_id=key, resource_id=self.resources[n], quantity=quantity)
        for provider, n, where in world.offerings:
            self.insert(
                "offerings",
                provider_id=self.providers[provider],
                service_id=self.services[n],
                location_id=self.place(where),
            )

    def publish(self) -> None:
        nine = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 5 * DAY
        for time in self.world.published:
            key = self.insert(
                "appointments",
                provider_id=self.providers[time.provider],
                service_id=None if time.service is None else self.services[time.service],
                location_id=self.place(time.location),
                starts_at=nine + time.quarter * QUARTER,
                ends_at=nine + (time.quarter + time.quarters) * QUARTER,
                capacity=time.capacity,
            )
            self.appointments.append(key)

    def claim(self) -> None:
        """Claim what the guard lets be claimed."""
        client = self.insert("clients", first_name="Charles", last_name="Babbage")
        for n, service, becomes in self.world.claims:
            row: dict[str, Any] = {"client_id": client, "appointment_id": self.appointments[n % len(self.appointments)]}
            if service is not None:
                row["service_id"] = self.services[service]
            self.sql(INSTANTLY if becomes == "lapsed" else USUALLY)
            try:
                key = self.insert("reservations", **row)
            except (psycopg.Error, ValueError):  # refused; a full group writes no row and tells no rule
                continue
            if becomes in ("CONFIRMED", "CANCELLED"):
                self.sql("UPDATE reservations SET status = %s WHERE id = %s", becomes, key)
        self.sql(USUALLY)

    def change(self) -> None:
        before, after = self.world.buffers
        values = "buffer_before = %s, buffer_after = %s, duration = %s"
        self.sql(f"UPDATE services SET {values} WHERE id = %s", before, after, self.world.duration, self.services[0])
        if self.world.left is not None:
            self.sql("UPDATE resources SET quantity = %s WHERE id = ANY (%s)", self.world.left, self.resources)
        for time, key in zip(self.world.published, self.appointments, strict=True):
            if time.is_withdrawn:
                self.sql("UPDATE appointments SET withdrawn_at = now() WHERE id = %s", key)

    def place(self, where: int | None) -> UUID | None:
        return None if where is None else self.places[where]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def offered(api: Api, providers: list[str], service: str | None) -> set[str]:
    found = await api(OFFERED, providers=providers, service=service)
    return {node["id"] for node in found["availableAppointments"]["nodes"]}


async def can_be_reserved(api: Api, client: str, appointment: str, service: str | None) -> bool:
    """Try it, and give it back."""
    done = await api.reserve(client, appointment, **({"serviceId": service} if service else {}))
    if done["reservation"] is None:
        assert [error["code"] for error in done["userErrors"]] != []
        return False
    assert (await api.cancel(done["reservation"]["id"]))["reservation"]["status"] == "CANCELLED"
    return True


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "ordinary"])
def test_what_is_offered_for_a_service_and_nothing_else_can_be_reserved_for_it(
    database: str, sql: Sql, runner: asyncio.Runner, is_compiled: bool
) -> None:
    serves = serving(database, compile=is_compiled)
    api = runner.run(serves.__aenter__())
    outcomes: set[tuple[bool, bool]] = set()

    async def check(written: Written) -> None:
        client = await api.client()
        providers = [encode("Provider", key) for key in written.providers]
        for service in (None, *(encode("Service", key) for key in written.services)):
            shown = await offered(api, providers, service)
            for appointment in (encode("Appointment", key) for key in written.appointments):
                is_reserved = await can_be_reserved(api, client, appointment, service)
                assert is_reserved is (appointment in shown)
                outcomes.add((service is None, is_reserved))

    @settings(deadline=None, database=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(worlds)
    def every_world(world: World) -> None:
        written = Written(sql, world)
        written.supply()
        written.publish()
        written.claim()
        written.change()
        runner.run(check(written))

    try:
        every_world()
    finally:
        runner.run(serves.__aexit__())
    assert len(outcomes) == 4
