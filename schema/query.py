"""What can be asked."""

from datetime import datetime
from typing import Any

import strawberry

from models import Appointment, Client, Provider, Reservation, ReservationSeries, Visit
from models.page import Page
from models.person import Sought
from models.relation import Asked
from models.relations import (
    APPOINTMENTS,
    AUDIT_ENTRIES,
    AVAILABLE_APPOINTMENTS,
    BY_NAME,
    BY_START,
    CLIENTS,
    NEWEST_FIRST,
    PROVIDERS,
    RESERVATIONS,
)
from resolvers.api_keys import API_KEYS, list_keys
from resolvers.context import Zoned
from resolvers.nodes import at_most, sought
from schema.absence import AbsenceQuery
from schema.access import ADMINS, EVERYBODY, KEEPERS, MEMBERS, TEAM
from schema.api_key import ApiKey
from schema.audit_entry import AuditEntry
from schema.calendar import CalendarQuery
from schema.catalogue import CatalogueQuery
from schema.connection import NUMBERED, PAGED, After, Before, Connection, First, Info, Last
from schema.cost import ListSize
from schema.declaration import Asking, Clock, Found, FoundAll, Listed
from schema.event import EventQuery
from schema.exposure import ExposureQuery
from schema.filter import (
    AppointmentOrder,
    AuditFilter,
    AvailabilityFilter,
    PersonOrder,
    ReservationFilter,
    ReservationOrder,
    audit_entries,
    availability,
    order,
)
from schema.filter import reservations as wanted_reservations
from schema.node import Node
from schema.notification import NotificationQuery
from schema.root import Limit, Offset, Search, found, listing
from schema.schedule import ScheduleQuery
from schema.search import SearchQuery
from schema.viewer import Viewer
from schema.waitlist import WaitlistQuery
from schema.webhook import WebhookQuery

FREE_BY_START = AVAILABLE_APPOINTMENTS.listed(BY_START)
NEWEST_ENTRIES = AUDIT_ENTRIES.listed(NEWEST_FIRST)


@strawberry.type
class Query(
    CalendarQuery,
    EventQuery,
    CatalogueQuery,
    ScheduleQuery,
    SearchQuery,
    ExposureQuery,
    NotificationQuery,
    WebhookQuery,
    WaitlistQuery,
    AbsenceQuery,
):
    @listing(
        AVAILABLE_APPOINTMENTS,
        "The appointments that can be reserved now, by start: published, far enough ahead, and free.",
        EVERYBODY,
    )
    def available_appointments(
        self,
        filter: AvailabilityFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        page = Page.read(FREE_BY_START, first, after, last, before)
        return Zoned(lambda time_zone: Asked(availability(filter, time_zone), page))

    @listing(APPOINTMENTS, "Every published appointment, free or not.", TEAM)
    def appointments(
        self,
        filter: AvailabilityFilter | None = None,  # noqa: A002
        order_by: list[AppointmentOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        listed = APPOINTMENTS.listed(order(order_by, BY_START))
        page = Page.read(listed, first, after, last, before)
        return Zoned(lambda time_zone: Asked(availability(filter, time_zone), page))

    @listing(RESERVATIONS, "The reservations that you see, by start.", MEMBERS)
    def reservations(
        self,
        filter: ReservationFilter | None = None,  # noqa: A002
        order_by: list[ReservationOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        listed = RESERVATIONS.listed(order(order_by, BY_START))
        return Asked(wanted_reservations(filter), Page.read(listed, first, after, last, before))

    @listing(PROVIDERS, "The providers, by name.", EVERYBODY, size=NUMBERED)
    def providers(
        self,
        search: Search = None,
        order_by: list[PersonOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = PROVIDERS.listed(order(order_by, BY_NAME))
        return Asked(Sought.read(search), Page.read(listed, first, after, last, before, limit, offset))

    @listing(CLIENTS, "The clients that you see, by name.", TEAM, size=NUMBERED)
    def clients(
        self,
        search: Search = None,
        order_by: list[PersonOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = CLIENTS.listed(order(order_by, BY_NAME))
        return Asked(Sought.read(search), Page.read(listed, first, after, last, before, limit, offset))

    @strawberry.field(
        graphql_type=Connection[AuditEntry],
        description="What was done in the business, and who read what is personal, the newest first.",
        extensions=[Listed(AUDIT_ENTRIES)],
        directives=[PAGED, ADMINS],
    )
    def audit_entries(
        self,
        filter: AuditFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        return Asked(audit_entries(filter), Page.read(NEWEST_ENTRIES, first, after, last, before))

    @strawberry.field(
        graphql_type=Connection[ApiKey],
        description="The API keys that you may revoke, the newest first; those that have ended are among them.",
        directives=[PAGED, KEEPERS],
    )
    def api_keys(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Any:
        return list_keys(info.context, Page.read(API_KEYS, first, after, last, before))

    appointment = found(Appointment, "The appointment with this id.", EVERYBODY)
    reservation = found(Reservation, "The reservation with this id.", MEMBERS)
    provider = found(Provider, "The provider with this id.", EVERYBODY)
    visit = found(Visit, "The visit with this id.", MEMBERS)
    reservation_series = found(ReservationSeries, "The series with this id.", MEMBERS)
    client = found(Client, "The client with this id.", MEMBERS)

    @strawberry.field(
        graphql_type=Node | None, description="Whatever has this id.", extensions=[Found()], directives=[EVERYBODY]
    )
    def node(self, id: strawberry.ID) -> Any:  # noqa: A002
        return sought(id, "id")

    @strawberry.field(
        graphql_type=list[Node | None],
        description="Whatever has these ids, in their order, at most 100; null, with an error, where there is nothing.",
        extensions=[FoundAll()],
        directives=[ListSize(slicing_arguments=["ids"]), EVERYBODY],
    )
    def nodes(self, ids: list[strawberry.ID]) -> Any:
        return at_most(ids)

    viewer: Viewer | None = strawberry.field(description="Who asks.", extensions=[Asking()], directives=[EVERYBODY])
    server_time: datetime = strawberry.field(
        description="The database's clock, which all time rules go by.", extensions=[Clock()], directives=[EVERYBODY]
    )
