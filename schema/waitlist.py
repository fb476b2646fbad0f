"""The waiting list: what can be asked of it, and how clients get on it and off it."""

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from models import WaitlistEntry
from models.node_id import key_if_given, key_of
from models.page import Page
from models.relation import Asked
from models.waitlist_entry import MOST_ENTRIES, Waiting, Wanted
from models.waitlist_relations import IN_ORDER, WAITLIST_ENTRIES
from resolvers import waitlist
from resolvers.writes import Request
from schema.access import DESK_OR_CLIENT, EVERYBODY
from schema.connection import After, Before, First, Info, Last, maybe
from schema.error import UserError, thing, user_errors
from schema.filter import STEP, OrderDirection, order
from schema.root import KEY, found, listing, mutation, writing
from schema.waitlist_entry import WaitlistEntryStatus


@strawberry.input(description="What a list of waitlist entries is narrowed to. All that is given must hold.")
class WaitlistEntryFilter:
    client_id: strawberry.ID | None = strawberry.field(default=None, description="Of this client.")
    status: list[WaitlistEntryStatus] | None = strawberry.field(default=None, description="In one of these states now.")
    service_id: strawberry.ID | None = strawberry.field(default=None, description="For this service.")
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="For this provider.")

    def wanted(self) -> Wanted:
        return Wanted(
            client_id=key_if_given("Client", self.client_id, "clientId"),
            service_id=key_if_given("Service", self.service_id, "serviceId"),
            provider_id=key_if_given("Provider", self.provider_id, "providerId"),
            status=None if self.status is None else tuple(dict.fromkeys(self.status)),
        )


@strawberry.enum(description="What waitlist entries are sorted by.")
class WaitlistEntryOrderField(Enum):
    CREATED_AT = "created_at"
    STARTS_FROM = "starts_from"


@strawberry.input(description=STEP)
class WaitlistEntryOrder:
    field: WaitlistEntryOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description="What a client wishes to wait for: a service, a provider, or a service with a provider.")
class WaitlistEntryCreateInput:
    client_id: strawberry.ID
    service_id: strawberry.ID | None = strawberry.field(default=None, description="For what, if not for anything.")
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="With whom, if not with anybody.")
    location_id: strawberry.ID | None = strawberry.field(default=None, description="Where, if not anywhere.")
    starts_from: datetime = strawberry.field(description="The earliest start that is wished for.")
    starts_until: datetime = strawberry.field(
        description="What is wished for starts before this instant: in the future, and at most 366 days after startsFrom."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def wish(self) -> Waiting:
        wish = Waiting(
            key_of("Client", self.client_id, "clientId"),
            key_if_given("Service", self.service_id, "serviceId"),
            key_if_given("Provider", self.provider_id, "providerId"),
            key_if_given("Location", self.location_id, "locationId"),
            self.starts_from,
            self.starts_until,
        )
        return wish.check()


@strawberry.type(directives=[EVERYBODY])
class WaitlistEntryCreatePayload:
    waitlist_entry: Any = thing(maybe("WaitlistEntry"))
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="An entry that is to be taken off the waiting list.")
class WaitlistEntryCancelInput:
    entry_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(directives=[EVERYBODY])
class WaitlistEntryCancelPayload:
    waitlist_entry: Any = thing(maybe("WaitlistEntry"))
    user_errors: list[UserError] = user_errors()


@strawberry.type
class WaitlistQuery:
    @listing(
        WAITLIST_ENTRIES, "The waitlist entries that you see, whoever came first before the others.", DESK_OR_CLIENT
    )
    def waitlist_entries(
        self,
        filter: WaitlistEntryFilter | None = None,  # noqa: A002
        order_by: list[WaitlistEntryOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        listed = WAITLIST_ENTRIES.listed(order(order_by, IN_ORDER))
        return Asked(filter.wanted() if filter else Wanted(), Page.read(listed, first, after, last, before))

    waitlist_entry = found(WaitlistEntry, "The waitlist entry with this id.", DESK_OR_CLIENT)


@strawberry.type
class WaitlistMutation:
    @writing(
        waitlist.ENTER,
        WaitlistEntryCreatePayload,
        "Put a client on the waiting list. What becomes free is offered in the order of entries, by the statement that frees it: "
        "as a hold of the usual length, which is confirmed like any other. What is free already is offered within a minute. "
        f"TOO_MANY_ENTRIES for a client who waits for {MOST_ENTRIES} things.",
        DESK_OR_CLIENT,
    )
    def waitlist_entry_create(self, input: WaitlistEntryCreateInput) -> Any:  # noqa: A002
        return Request(input.wish(), input.idempotency_key)

    @mutation(
        "Take an entry off the waiting list, and give back the hold that it is offered. A second time, the same entry is answered.",
        DESK_OR_CLIENT,
    )
    async def waitlist_entry_cancel(self, info: Info, input: WaitlistEntryCancelInput) -> WaitlistEntryCancelPayload:  # noqa: A002
        entry = key_of("WaitlistEntry", input.entry_id, "entryId")
        row = await waitlist.leave(info.context, entry, input.idempotency_key)
        return WaitlistEntryCancelPayload(waitlist_entry=row)
