"""A brand to search in: services, skills, resources and offerings, written past the API, which has tests of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from tests.conftest import Api

Sql = Callable[..., list[tuple[Any, ...]]]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@dataclass
class Supply:
    """Writes rows; each method answers the id that the API shows."""

    sql: Sql

    def add(self, type_name: str, table: str, **values: Any) -> str:
        row = {"business_id": DEFAULT_BUSINESS, **values}
        marks = ", ".join(["%s"] * len(row))
        statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id"
        return encode(type_name, self.sql(statement, *row.values())[0][0])

    def provider(self, **more: Any) -> str:
        return self.add("Provider", "providers", first_name="Ada", last_name="Lovelace", **more)

    def location(self, name: str = "Here", zone: str = "UTC") -> str:
        return self.add("Location", "locations", name=name, time_zone=zone)

    def service(self, name: str = "Cut", **more: Any) -> str:
        return self.add("Service", "services", name=name, **more)

    def offer(self, provider: str, service: str, location: str | None = None) -> str:
        return self.add(
            "Offering",
            "offerings",
            provider_id=key(provider),
            service_id=key(service),
            location_id=location and key(location),
        )

    def skill(self, name: str, *providers: str, needed_by: str | None = None) -> str:
        skill = self.add("Skill", "skills", name=name)
        for provider in providers:
            self.sql("INSERT INTO provider_skills VALUES (%s, %s, %s)", DEFAULT_BUSINESS, key(provider), key(skill))
        if needed_by:
            self.sql("INSERT INTO service_skills VALUES (%s, %s, %s)", DEFAULT_BUSINESS, key(needed_by), key(skill))
        return skill

    def resource(self, name: str, needed_by: str, quantity: int = 1) -> str:
        resource = self.add("Resource", "resources", name=name, quantity=quantity)
        self.add("Requirement", "requirements", service_id=key(needed_by), resource_id=key(resource))
        return resource

    def appointment(self, provider: str, starts_at: datetime, minutes: int = 60, **more: Any) -> str:
        keys = {name: value and key(value) for name, value in more.items() if name.endswith("_id")}
        times = {"starts_at": starts_at, "ends_at": starts_at + minutes * MINUTE}
        return self.add("Appointment", "appointments", provider_id=key(provider), **times, **{**more, **keys})


def key(identity: str) -> UUID:
    """The key behind an id."""
    return decode(identity)[1]


def soon(days: int = 3, hour: int = 9) -> datetime:
    """An instant some days ahead, on the hour."""
    return datetime.now(UTC).replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=days)


async def starts(api: Api, filter_: dict[str, Any], headers: dict[str, str] | None = None) -> list[str]:
    """The starts of the free times that a filter finds."""
    query = "query ($f: AvailabilityFilter) { availableAppointments(first: 100, filter: $f) { nodes { startsAt } } }"
    answer = await api.post(query, headers, f=filter_)
    assert "errors" not in answer, answer["errors"]
    return [node["startsAt"] for node in answer["data"]["availableAppointments"]["nodes"]]
