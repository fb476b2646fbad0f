"""What can be asked."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from models import Appointment, Client, Provider, Reservation
from models.page import Page
from models.relations import BY_NAME, BY_START
from resolvers import appointments, nodes, people, reservations
from schema.connection import After, Before, First, Info, Last, maybe, page_of
from schema.filter import (
    AppointmentOrder,
    AvailabilityFilter,
    PersonOrder,
    ReservationFilter,
    ReservationOrder,
    availability,
    order,
)
from schema.filter import reservations as wanted_reservations
from schema.node import Node
from schema.viewer import Viewer

Search = Annotated[str | None, strawberry.argument(description="Looked for in names and email addresses, as it is.")]
Limit = Annotated[int | None, strawberry.argument(description="For numbered pages, instead of cursors: 1 to 100.")]
Offset = Annotated[int | None, strawberry.argument(description="For numbered pages: how many to pass over.")]


@strawberry.type
class Query:
    @strawberry.field(
        graphql_type=page_of("Appointment"),
        description="The appointments that can be reserved now, by start: published, far enough ahead, and free.",
    )
    def available_appointments(
        self,
        info: Info,
        filter: AvailabilityFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        return appointments.free(info.context, availability(filter), Page.read(first, after, last, before))

    @strawberry.field(graphql_type=page_of("Appointment"), description="Every published appointment, free or not.")
    def appointments(
        self,
        info: Info,
        filter: AvailabilityFilter | None = None,  # noqa: A002
        order_by: list[AppointmentOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        page = Page.read(first, after, last, before)
        return appointments.listing(info.context, availability(filter), order(order_by, BY_START), page)

    @strawberry.field(graphql_type=page_of("Reservation"), description="The reservations, by start.")
    def reservations(
        self,
        info: Info,
        filter: ReservationFilter | None = None,  # noqa: A002
        order_by: list[ReservationOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        page = Page.read(first, after, last, before)
        return reservations.listing(info.context, wanted_reservations(filter), order(order_by, BY_START), page)

    @strawberry.field(graphql_type=page_of("Provider"), description="The providers, by name.")
    def providers(
        self,
        info: Info,
        search: Search = None,
        order_by: list[PersonOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        page = Page.read(first, after, last, before, limit, offset)
        return people.listing(info.context, Provider, search, order(order_by, BY_NAME), page)

    @strawberry.field(graphql_type=page_of("Client"), description="The clients, by name.")
    def clients(
        self,
        info: Info,
        search: Search = None,
        order_by: list[PersonOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        page = Page.read(first, after, last, before, limit, offset)
        return people.listing(info.context, Client, search, order(order_by, BY_NAME), page)

    @strawberry.field(graphql_type=maybe("Appointment"), description="The appointment with this id.")
    async def appointment(self, info: Info, id: strawberry.ID) -> Any:  # noqa: A002
        return await nodes.find_one(info.context, Appointment, id)

    @strawberry.field(graphql_type=maybe("Reservation"), description="The reservation with this id.")
    async def reservation(self, info: Info, id: strawberry.ID) -> Any:  # noqa: A002
        return await nodes.find_one(info.context, Reservation, id)

    @strawberry.field(graphql_type=maybe("Provider"), description="The provider with this id.")
    async def provider(self, info: Info, id: strawberry.ID) -> Any:  # noqa: A002
        return await nodes.find_one(info.context, Provider, id)

    @strawberry.field(graphql_type=maybe("Client"), description="The client with this id.")
    async def client(self, info: Info, id: strawberry.ID) -> Any:  # noqa: A002
        return await nodes.find_one(info.context, Client, id)

    @strawberry.field(graphql_type=Node | None, description="Whatever has this id.")
    async def node(self, info: Info, id: strawberry.ID) -> Any:  # noqa: A002
        return await nodes.find(info.context, id, "id")

    @strawberry.field(
        graphql_type=list[Node | None],
        description="Whatever has these ids, in their order, at most 100; null, with an error, where there is nothing.",
    )
    def nodes(self, info: Info, ids: list[strawberry.ID]) -> Any:
        return nodes.find_all(info.context, ids)

    @strawberry.field(description="Who asks.")
    def viewer(self, info: Info) -> Viewer | None:
        return Viewer(principal=info.context.viewer.principal)

    @strawberry.field(description="The database's clock, which all time rules go by.")
    async def server_time(self, info: Info) -> datetime:
        return await nodes.clock(info.context)
