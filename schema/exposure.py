"""Exposure: the few times that a viewer is shown, and the report of them."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from sqlalchemy import Row

from models import Provider
from models.business import ExposureVariant
from models.candidate import Exhibition
from models.exposure_report import Span
from models.node_id import key_if_given
from models.page import DEFAULT_SIZE, Listed, Page
from models.relations import BY_NAME
from resolvers import exposures
from resolvers.exposures import Exhibited
from schema.access import EVERYBODY, MANAGERS
from schema.connection import Info, lazy, several
from schema.cost import Cost, ListSize
from schema.filter import AvailabilityFilter, availability
from schema.root import Limit, Offset

REPORTED = Listed("exposureReport", Provider, BY_NAME)
SHOWN = ListSize(assumed_size=5)
"""The most times that are shown at once."""


@strawberry.type(description="A few of the free times of a local date, chosen for one viewer.", directives=[EVERYBODY])
class ExposedAppointments:
    seed: str = strawberry.field(
        description="What they were chosen by. Equal seeds choose equally; it tells nothing else."
    )
    variant: ExposureVariant = strawberry.field(
        description="How many are shown: as asked for, else the business's policy."
    )
    valid_until: datetime = strawberry.field(
        description="Until then this viewer is shown the same, but that a time which somebody takes is replaced where "
        "it stood. All of them can be reserved until then, unless somebody is faster."
    )

    @strawberry.field(
        graphql_type=several("Appointment"),
        description="1 to 3 of one provider; else 3 to 5, or 2 to 5 for STYLIST; fewer where there are no more. They are "
        "spread over morning (until 12:00), afternoon (until 17:00) and evening by the location's clock, else by that of "
        "the zone asked in, and each provider has one before any has two. That they were shown is counted.",
        directives=[SHOWN],
    )
    async def appointments(root: strawberry.Parent[Exhibited]) -> Any:  # noqa: N805
        return await root.appointments()

    @strawberry.field(
        description="How many times are free now that match. Counted only when selected.",
        directives=[Cost(weight="100")],
    )
    async def total(root: strawberry.Parent[Exhibited]) -> int:  # noqa: N805
        return await root.total()

    @strawberry.field(
        description="Whether more are free now than are shown. Looked for only when selected.",
        directives=[Cost(weight="10")],
    )
    async def has_more(root: strawberry.Parent[Exhibited]) -> bool:  # noqa: N805
        return await root.has_more()


@strawberry.type(description="What became of a provider's times.", directives=[MANAGERS])
class ProviderExposure:
    @strawberry.field(graphql_type=lazy("Provider"), description="Whose times.")
    def provider(root: strawberry.Parent[Row[Any]]) -> Any:  # noqa: N805
        return root

    shown: int = strawberry.field(
        description="How often a time of theirs was shown: once for each viewer and hour, however often they looked."
    )
    held: int = strawberry.field(description="How many reservations of their times were made, shown or not.")
    confirmed: int = strawberry.field(description="How many of those were confirmed, by now.")


@strawberry.type
class ExposureQuery:
    @strawberry.field(
        graphql_type=ExposedAppointments,
        description="A few of the free times of a local date, instead of all: the same ones for the same viewer for up to "
        "7 minutes, other ones for others, so that no provider is preferred.",
        directives=[Cost(weight="100"), EVERYBODY],
    )
    async def exposed_appointments(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002
            AvailabilityFilter,
            strawberry.argument(
                description="What they are chosen from. It needs a date; with one provider, fewer times are shown."
            ),
        ],
        viewer_key: Annotated[
            str,
            strawberry.argument(
                description="Whom they are chosen for: any text of 1 to 255 printable characters that the front end keeps "
                "for a visitor. It is kept nowhere, only a hash that depends on it."
            ),
        ],
        variant: Annotated[
            ExposureVariant | None, strawberry.argument(description="Another variant than the business's policy.")
        ] = None,
    ) -> Any:
        time_zone = filter.time_zone or info.context.time_zone
        wanted = availability(filter, time_zone)
        asked = Exhibition.read(wanted, filter.date, time_zone, viewer_key, variant)
        return await exposures.exhibit(info.context, asked)

    @strawberry.field(
        graphql_type=list[ProviderExposure],
        description="How often the times of each provider were shown and reserved in a span of at most 366 days; by name, "
        "those of whom there is anything to tell. What was shown is known for 90 days.",
        directives=[Cost(weight="100"), ListSize(assumed_size=DEFAULT_SIZE, slicing_arguments=["limit"]), MANAGERS],
    )
    async def exposure_report(
        self,
        info: Info,
        from_: Annotated[datetime, strawberry.argument(name="from", description="The first instant.")],
        until: Annotated[datetime, strawberry.argument(description="The first instant that no longer counts.")],
        location_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="Only times at this location; of the reserved, those still published."),
        ] = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        key = key_if_given("Location", location_id, "locationId")
        page = Page.read(REPORTED, limit=limit, offset=offset)
        return await exposures.report(info.context, Span.read(from_, until, key), page)
