"""Search: where, on which dates and when next there is a free time, and why there is none."""

import datetime as dt
from typing import Annotated, Any

import strawberry

from models.explanation import Time
from models.node_id import key_if_given, key_of
from models.page import Page
from models.relation import Asked
from models.relations import AVAILABLE_APPOINTMENTS, AVAILABLE_DATES, BY_START
from models.search import MOST_DATES, Month
from resolvers.context import Zoned
from resolvers.explanation import explain
from schema.access import EVERYBODY, TEAM
from schema.connection import Info, maybe
from schema.cost import Cost, ListSize
from schema.declaration import FirstListed, Tallied
from schema.explanation import AvailabilityExplanation
from schema.filter import AvailabilityFilter, availability
from schema.scalars import TimeZone

NEXT = Page(AVAILABLE_APPOINTMENTS.listed(BY_START), 1)


@strawberry.type(description="A local date on which something is free.", directives=[EVERYBODY])
class AvailableDate:
    date: dt.date
    count: int = strawberry.field(description="How many appointments that can be reserved now start on it.")


@strawberry.type
class SearchQuery:
    @strawberry.field(
        graphql_type=list[AvailableDate],
        description=f"How much is free on each local date of a month view, without the dates on which nothing is. "
        f"`from` belongs to it, `until` does not; at most {MOST_DATES} dates.",
        extensions=[Tallied(AVAILABLE_DATES)],
        directives=[Cost(weight="100"), ListSize(assumed_size=MOST_DATES), EVERYBODY],
    )
    def available_dates(
        self,
        filter: AvailabilityFilter,  # noqa: A002
        from_: Annotated[dt.date, strawberry.argument(name="from", description="The first date.")],
        until: Annotated[dt.date, strawberry.argument(description="The first date that is no longer counted.")],
        time_zone: Annotated[
            TimeZone | None,
            strawberry.argument(
                description="Whose dates; else the filter's zone, else that of the header X-Time-Zone."
            ),
        ] = None,
    ) -> Any:
        def read(callers: str | None) -> Month:
            chosen = time_zone or filter.time_zone or callers
            return Month.read(availability(filter, chosen), from_, until, chosen)

        return Zoned(read)

    @strawberry.field(
        graphql_type=AvailabilityExplanation,
        description="Why a time of a provider can be reserved now, for a service or as it is, or why it cannot.",
        directives=[Cost(weight="5"), TEAM],
    )
    async def explain_availability(
        self, info: Info, provider_id: strawberry.ID, starts_at: dt.datetime, service_id: strawberry.ID | None = None
    ) -> Any:
        service = key_if_given("Service", service_id, "serviceId")
        return await explain(info.context, Time(key_of("Provider", provider_id, "providerId"), starts_at, service))

    @strawberry.field(
        graphql_type=maybe("Appointment"),
        description="The first appointment that can be reserved now, or null.",
        extensions=[FirstListed(AVAILABLE_APPOINTMENTS)],
        directives=[EVERYBODY],
    )
    def next_available_appointment(self, filter: AvailabilityFilter) -> Any:  # noqa: A002
        return Zoned(lambda time_zone: Asked(availability(filter, time_zone), NEXT))
