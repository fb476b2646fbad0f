"""The catalogue: what can be asked and changed of locations, services, skills, resources and offerings."""

from typing import Any

import strawberry

from models import Location, Resource, Service, Skill
from models.catalogue import LOCATIONS, NAMED, RESOURCES, SERVICES, SKILLS
from models.page import Page
from models.relation import Asked
from resolvers import catalogue
from schema import catalogue_filter
from schema.access import EVERYBODY, MANAGERS, TEAM
from schema.catalogue_filter import (
    LocationFilter,
    LocationOrder,
    NameSearch,
    ResourceFilter,
    ResourceOrder,
    ServiceFilter,
    ServiceOrder,
    SkillOrder,
)
from schema.connection import NUMBERED, After, Before, First, Last
from schema.filter import order
from schema.location_input import (
    LocationCreateInput,
    LocationCreatePayload,
    LocationDeleteInput,
    LocationDeletePayload,
    LocationUpdateInput,
    LocationUpdatePayload,
)
from schema.provider_input import (
    ProviderServicesSetInput,
    ProviderServicesSetPayload,
    ProviderSkillsSetInput,
    ProviderSkillsSetPayload,
    ProviderUpdateInput,
    ProviderUpdatePayload,
)
from schema.resource_input import (
    ResourceCreateInput,
    ResourceCreatePayload,
    ResourceDeleteInput,
    ResourceDeletePayload,
    ResourceUpdateInput,
    ResourceUpdatePayload,
)
from schema.root import Limit, Offset, found, listing
from schema.service_input import (
    ServiceCreateInput,
    ServiceCreatePayload,
    ServiceDeleteInput,
    ServiceDeletePayload,
    ServiceUpdateInput,
    ServiceUpdatePayload,
)
from schema.skill_input import (
    SkillCreateInput,
    SkillCreatePayload,
    SkillDeleteInput,
    SkillDeletePayload,
    SkillUpdateInput,
    SkillUpdatePayload,
)
from schema.supply import supplying

GONE = "Deleted is only what nothing refers to: else the answer is IN_USE."


@strawberry.type
class CatalogueQuery:
    @listing(LOCATIONS, "The locations, by name.", EVERYBODY, size=NUMBERED)
    def locations(
        self,
        filter: LocationFilter | None = None,  # noqa: A002
        search: NameSearch = None,
        order_by: list[LocationOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = LOCATIONS.listed(order(order_by, NAMED))
        return Asked(
            catalogue_filter.locations(filter, search), Page.read(listed, first, after, last, before, limit, offset)
        )

    @listing(
        SERVICES,
        "The services, by name. Those that are not offered are shown to the team alone.",
        EVERYBODY,
        size=NUMBERED,
    )
    def services(
        self,
        filter: ServiceFilter | None = None,  # noqa: A002
        search: NameSearch = None,
        order_by: list[ServiceOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = SERVICES.listed(order(order_by, NAMED))
        return Asked(
            catalogue_filter.services(filter, search), Page.read(listed, first, after, last, before, limit, offset)
        )

    @listing(SKILLS, "The skills, by name.", TEAM, size=NUMBERED)
    def skills(
        self,
        search: NameSearch = None,
        order_by: list[SkillOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = SKILLS.listed(order(order_by, NAMED))
        return Asked(catalogue_filter.skills(search), Page.read(listed, first, after, last, before, limit, offset))

    @listing(RESOURCES, "The rooms and the equipment, by name.", TEAM, size=NUMBERED)
    def resources(
        self,
        filter: ResourceFilter | None = None,  # noqa: A002
        search: NameSearch = None,
        order_by: list[ResourceOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = RESOURCES.listed(order(order_by, NAMED))
        return Asked(
            catalogue_filter.resources(filter, search), Page.read(listed, first, after, last, before, limit, offset)
        )

    location = found(Location, "The location with this id.", EVERYBODY)
    service = found(Service, "The service with this id.", EVERYBODY)
    skill = found(Skill, "The skill with this id.", TEAM)
    resource = found(Resource, "The resource with this id.", TEAM)


@strawberry.type
class CatalogueMutation:
    @supplying(catalogue.LOCATION_CREATE, LocationCreatePayload, "Add a location.", MANAGERS, shown="location")
    def location_create(self, input: LocationCreateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(
        catalogue.LOCATION_UPDATE,
        LocationUpdatePayload,
        "Change a location; in another zone, its local times are published anew.",
        MANAGERS,
        shown="location",
    )
    def location_update(self, input: LocationUpdateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.LOCATION_DELETE, LocationDeletePayload, f"Delete a location. {GONE}", MANAGERS)
    def location_delete(self, input: LocationDeleteInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.SERVICE_CREATE, ServiceCreatePayload, "Add a service.", MANAGERS, shown="service")
    def service_create(self, input: ServiceCreateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(
        catalogue.SERVICE_UPDATE,
        ServiceUpdatePayload,
        "Change a service, and publish anew the times that its rules make.",
        MANAGERS,
        shown="service",
    )
    def service_update(self, input: ServiceUpdateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.SERVICE_DELETE, ServiceDeletePayload, f"Delete a service. {GONE}", MANAGERS)
    def service_delete(self, input: ServiceDeleteInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.SKILL_CREATE, SkillCreatePayload, "Add a skill.", MANAGERS, shown="skill")
    def skill_create(self, input: SkillCreateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.SKILL_UPDATE, SkillUpdatePayload, "Change a skill.", MANAGERS, shown="skill")
    def skill_update(self, input: SkillUpdateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.SKILL_DELETE, SkillDeletePayload, f"Delete a skill. {GONE}", MANAGERS)
    def skill_delete(self, input: SkillDeleteInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.RESOURCE_CREATE, ResourceCreatePayload, "Add a resource.", MANAGERS, shown="resource")
    def resource_create(self, input: ResourceCreateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.RESOURCE_UPDATE, ResourceUpdatePayload, "Change a resource.", MANAGERS, shown="resource")
    def resource_update(self, input: ResourceUpdateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(catalogue.RESOURCE_DELETE, ResourceDeletePayload, f"Delete a resource. {GONE}", MANAGERS)
    def resource_delete(self, input: ResourceDeleteInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(
        catalogue.PROVIDER_UPDATE,
        ProviderUpdatePayload,
        "Change a provider; in another zone, their local times are published anew.",
        MANAGERS,
        shown="provider",
    )
    def provider_update(self, input: ProviderUpdateInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(
        catalogue.PROVIDER_SKILLS_SET,
        ProviderSkillsSetPayload,
        "Say which skills a provider has, and publish their times anew.",
        MANAGERS,
        shown="provider",
    )
    def provider_skills_set(self, input: ProviderSkillsSetInput) -> Any:  # noqa: A002
        return input.wanted()

    @supplying(
        catalogue.PROVIDER_SERVICES_SET,
        ProviderServicesSetPayload,
        "Say which services a provider gives, and where, and publish their times anew.",
        MANAGERS,
        shown="provider",
    )
    def provider_services_set(self, input: ProviderServicesSetInput) -> Any:  # noqa: A002
        return input.wanted()
