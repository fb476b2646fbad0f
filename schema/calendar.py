"""Calendars: what can be asked and changed of feeds and imports."""

from typing import Any

import strawberry

from models import calendar_feed, calendar_import
from models.calendar_relations import CALENDAR_FEEDS, CALENDAR_IMPORTS
from models.node_id import key_if_given, key_of
from models.page import Page
from models.relation import Asked
from models.relations import NEWEST_FIRST
from resolvers import calendars
from resolvers.supply import supplied
from resolvers.writes import Request
from schema.access import MEMBERS, TEAM
from schema.calendar_feed import (
    CalendarFeedCreateInput,
    CalendarFeedCreatePayload,
    CalendarFeedRevokeInput,
    CalendarFeedRevokePayload,
)
from schema.calendar_import import (
    CalendarImportCreateInput,
    CalendarImportCreatePayload,
    CalendarImportDeleteInput,
    CalendarImportDeletePayload,
)
from schema.connection import After, Before, First, Info, Last
from schema.edit_input import deletion
from schema.root import listing, mutation
from schema.schedule_filter import OF_PROVIDER
from schema.supply import supplying

FEEDS, IMPORTS = CALENDAR_FEEDS.listed(NEWEST_FIRST), CALENDAR_IMPORTS.listed(NEWEST_FIRST)


@strawberry.input(description="What a list of feeds is narrowed to. All that is given must hold.")
class CalendarFeedFilter:
    provider_id: strawberry.ID | None = strawberry.field(default=None, description=OF_PROVIDER)
    client_id: strawberry.ID | None = strawberry.field(default=None, description="Of this client.")


@strawberry.input(description="What a list of imports is narrowed to.")
class CalendarImportFilter:
    provider_id: strawberry.ID | None = strawberry.field(default=None, description=OF_PROVIDER)


def _feeds(filter_: CalendarFeedFilter | None) -> calendar_feed.Wanted:
    if filter_ is None:
        return calendar_feed.Wanted()
    return calendar_feed.Wanted(
        key_if_given("Provider", filter_.provider_id, "providerId"),
        key_if_given("Client", filter_.client_id, "clientId"),
    )


def _imports(filter_: CalendarImportFilter | None) -> calendar_import.Wanted:
    provider = None if filter_ is None else filter_.provider_id
    return calendar_import.Wanted(key_if_given("Provider", provider, "providerId"))


@strawberry.type
class CalendarQuery:
    @listing(
        CALENDAR_FEEDS,
        "The calendars that other programs read, the newest first; those that were revoked are among them. A PROVIDER "
        "and a CLIENT see their own.",
        MEMBERS,
    )
    def calendar_feeds(
        self,
        filter: CalendarFeedFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        return Asked(_feeds(filter), Page.read(FEEDS, first, after, last, before))

    @listing(
        CALENDAR_IMPORTS,
        "The calendars that are read for busy times, the newest first. A PROVIDER sees their own.",
        TEAM,
    )
    def calendar_imports(
        self,
        filter: CalendarImportFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        return Asked(_imports(filter), Page.read(IMPORTS, first, after, last, before))


@strawberry.type
class CalendarMutation:
    @mutation(
        "Make a calendar that other programs read. A PROVIDER and a CLIENT make their own, up to 10. Its address is in this "
        "answer and in no other: so there is no idempotency key, and whoever lost the answer revokes the feed and makes "
        "another one.",
        MEMBERS,
    )
    async def calendar_feed_create(self, info: Info, input: CalendarFeedCreateInput) -> CalendarFeedCreatePayload:  # noqa: A002
        created = await calendars.create_feed(info.context, input.wanted())
        return CalendarFeedCreatePayload(calendar_feed=created.row, url=created.url)

    @mutation("End a feed at once. A second time, the same feed is answered.", MEMBERS)
    async def calendar_feed_revoke(self, info: Info, input: CalendarFeedRevokeInput) -> CalendarFeedRevokePayload:  # noqa: A002
        key = key_of("CalendarFeed", input.calendar_feed_id, "calendarFeedId")
        return CalendarFeedRevokePayload(calendar_feed=await calendars.revoke_feed(info.context, key))

    @mutation(
        "Read a calendar of a provider for when they are busy, from now on until it is deleted: up to 5 for each. The worker "
        "reads it for the first time within half a minute. A PROVIDER adds their own.",
        TEAM,
    )
    async def calendar_import_create(
        self,
        info: Info,
        input: CalendarImportCreateInput,  # noqa: A002
    ) -> CalendarImportCreatePayload:
        wanted = Request(input.wanted(info.context.allowed_networks), input.idempotency_key)
        done = await supplied(info.context, calendars.CREATE_IMPORT, wanted)
        return CalendarImportCreatePayload(calendar_import=done.row)

    @supplying(
        calendars.DELETE_IMPORT,
        CalendarImportDeletePayload,
        "Read a calendar no more, and give back its busy times. A PROVIDER deletes their own.",
        TEAM,
    )
    def calendar_import_delete(self, input: CalendarImportDeleteInput) -> Any:  # noqa: A002
        return deletion("CalendarImport", input)
