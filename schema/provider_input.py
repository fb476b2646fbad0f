"""Providers: the inputs and the payloads of the mutations that change them, their skills and what they offer."""

from typing import Any

import strawberry

from models.node_id import key_if_given, key_of
from models.parts import MOST_OFFERINGS, MOST_PARTS, Offered, OfferingSet, SkillSet, distinct
from models.provider import FIELDS
from resolvers.writes import Request
from schema.access import EVERYBODY
from schema.connection import maybe
from schema.edit_input import NAME, UpdateInput, edition, unchanged
from schema.error import thing
from schema.root import KEY
from schema.scalars import LOCALE, TimeZone
from schema.supply import SupplyPayload


@strawberry.input(
    description="What is to change of a provider. What is left out stays as it is; null takes an email address, "
    "a telephone number, a zone or a locale away."
)
class ProviderUpdateInput(UpdateInput):
    first_name: str | None = unchanged(NAME)
    last_name: str | None = unchanged(NAME)
    email: str | None = unchanged()
    phone: str | None = unchanged("Up to 32 characters, like +49 30 1234567.")
    locale: str | None = unchanged(LOCALE)
    time_zone: TimeZone | None = unchanged("Their own zone, if not the business's; their times are published anew.")

    def wanted(self) -> Request:
        return edition("Provider", self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class ProviderUpdatePayload(SupplyPayload):
    provider: Any = thing(maybe("Provider"))


@strawberry.input
class ProviderSetInput:
    provider_id: strawberry.ID
    expected_version: int | None = strawberry.field(
        default=None, description="The version of the provider that was read; refused if it is another one now."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="The skills that a provider has.")
class ProviderSkillsSetInput(ProviderSetInput):
    skill_ids: list[strawberry.ID] = strawberry.field(
        description="All of them, at most 100. What they had before and is not here goes."
    )

    def wanted(self) -> Request:
        skills = tuple(key_of("Skill", each, "skillIds", n) for n, each in enumerate(self.skill_ids))
        distinct(skills, MOST_PARTS, "skillIds")
        provider = key_of("Provider", self.provider_id, "providerId")
        return Request(SkillSet(provider, self.expected_version, skills), self.idempotency_key)


@strawberry.type(directives=[EVERYBODY])
class ProviderSkillsSetPayload(SupplyPayload):
    provider: Any = thing(maybe("Provider"))


@strawberry.input(description="A service that a provider gives.")
class OfferingInput:
    service_id: strawberry.ID
    location_id: strawberry.ID | None = strawberry.field(
        default=None, description="Where; null for wherever the provider works."
    )

    def wanted(self, n: int) -> Offered:
        path = ("services", n)
        location = key_if_given("Location", self.location_id, *path, "locationId")
        return Offered(key_of("Service", self.service_id, *path, "serviceId"), location)


@strawberry.input(description="The services that a provider gives.")
class ProviderServicesSetInput(ProviderSetInput):
    services: list[OfferingInput] = strawberry.field(
        description="All of them, at most 1000. What they gave before and is not here goes; the rest stays the same offering."
    )

    def wanted(self) -> Request:
        services = tuple(each.wanted(n) for n, each in enumerate(self.services))
        distinct(services, MOST_OFFERINGS, "services")
        provider = key_of("Provider", self.provider_id, "providerId")
        return Request(OfferingSet(provider, self.expected_version, services), self.idempotency_key)


@strawberry.type(directives=[EVERYBODY])
class ProviderServicesSetPayload(SupplyPayload):
    provider: Any = thing(maybe("Provider"))
