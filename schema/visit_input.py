"""Visits: what is sent to hold, confirm, renew and cancel one, and what is answered."""

from datetime import datetime, timedelta
from typing import Any

import strawberry

from models import Visit
from models.bundle import Bundle
from models.chain import Step, VisitWish
from models.node_id import key_if_given, key_of
from models.text import note, reason
from resolvers.bundles import VISIT_CANCEL, VISIT_CONFIRM, VISIT_RENEW, changed
from resolvers.visits import create_visit
from resolvers.writes import Request
from schema.access import DESK_OR_CLIENT, EVERYBODY
from schema.connection import Info, maybe
from schema.cost import Cost
from schema.error import UserError, thing, user_errors
from schema.root import KEY, mutation

USUAL_GAP = 15


@strawberry.input(description="A service of a visit.")
class VisitServiceInput:
    service_id: strawberry.ID
    provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="With whom; unless told, with whoever gives it and has the least to do."
    )


@strawberry.input(description="Several services, one after the other, all or none of them.")
class VisitCreateInput:
    client_id: strawberry.ID
    starts_at: datetime = strawberry.field(description="When the first service begins, to the microsecond.")
    services: list[VisitServiceInput] = strawberry.field(
        description="2 to 10, in their order; the same one may come twice."
    )
    location_id: strawberry.ID | None = strawberry.field(
        default=None, description="Where; unless told, all of them where the first one is."
    )
    maximum_gap_minutes: int | None = strawberry.field(
        default=USUAL_GAP,
        description="How long the client waits at most before each further service, 0 to 120 minutes.",
    )
    note: str | None = strawberry.field(default=None, description="Up to 2000 characters, for every provider of it.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def wish(self) -> VisitWish:
        client, location = key_of("Client", self.client_id, "clientId"), self.location_id
        steps = [
            Step(
                key_of("Service", each.service_id, "services", n, "serviceId"),
                key_if_given("Provider", each.provider_id, "services", n, "providerId"),
            )
            for n, each in enumerate(self.services)
        ]
        gap = USUAL_GAP if self.maximum_gap_minutes is None else self.maximum_gap_minutes
        where = key_if_given("Location", location, "locationId")
        about = note(self.note, "note")
        return VisitWish(client, self.starts_at, tuple(steps), timedelta(minutes=gap), where, about).check()


@strawberry.input
class VisitChangeInput:
    visit_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="A visit whose holds are to be confirmed.")
class VisitConfirmInput(VisitChangeInput):
    pass


@strawberry.input(description="A visit whose holds are to last as long again.")
class VisitRenewInput(VisitChangeInput):
    pass


@strawberry.input(description="A visit that is to be given back.")
class VisitCancelInput:
    visit_id: strawberry.ID
    reason: str | None = strawberry.field(default=None, description="Up to 2000 characters.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type
class VisitPayload:
    visit: Any = thing(maybe("Visit"))
    user_errors: list[UserError] = user_errors()


@strawberry.type(directives=[EVERYBODY])
class VisitCreatePayload(VisitPayload):
    pass


@strawberry.type(directives=[EVERYBODY])
class VisitConfirmPayload(VisitPayload):
    pass


@strawberry.type(directives=[EVERYBODY])
class VisitRenewPayload(VisitPayload):
    pass


@strawberry.type(directives=[EVERYBODY])
class VisitCancelPayload(VisitPayload):
    pass


def _visit(identity: str, why: str | None = None) -> Bundle:
    return Bundle(Visit, key_of("Visit", identity, "visitId"), reason(why, "reason"))


@strawberry.type
class VisitMutation:
    @mutation(
        "Hold, for a client, several services one after the other: the first begins at the instant that is sent, each other "
        "one no later than maximumGapMinutes after the one before it, all at one location. All are held, and lapse at the "
        "same instant, or none is: SLOT_UNAVAILABLE names the service that nobody gives then, with its nearest times. As "
        "one wish it counts once against the client's limit of holds.",
        DESK_OR_CLIENT,
        cost=Cost(weight="50"),
    )
    async def visit_create(self, info: Info, input: VisitCreateInput) -> VisitCreatePayload:  # noqa: A002
        request = Request(input.wish(), input.idempotency_key)
        return VisitCreatePayload(visit=await create_visit(info.context, request))

    @mutation(
        "Turn all holds of a visit into bookings, or none. What was given back alone is passed over; HOLD_EXPIRED, if any "
        "has lapsed. A second time, the same visit is answered.",
        DESK_OR_CLIENT,
    )
    async def visit_confirm(self, info: Info, input: VisitConfirmInput) -> VisitConfirmPayload:  # noqa: A002
        request = Request(_visit(input.visit_id), input.idempotency_key)
        return VisitConfirmPayload(visit=await changed(info.context, VISIT_CONFIRM, request))

    @mutation(
        "Have all holds of a visit last as long again, from now on, as often as the business allows; they go on to lapse "
        "together.",
        DESK_OR_CLIENT,
    )
    async def visit_renew(self, info: Info, input: VisitRenewInput) -> VisitRenewPayload:  # noqa: A002
        request = Request(_visit(input.visit_id), input.idempotency_key)
        return VisitRenewPayload(visit=await changed(info.context, VISIT_RENEW, request))

    @mutation(
        "Give all holds and bookings of a visit back, or none: CANCELLATION_WINDOW, if it is too late for one of them; "
        "others than the client may all the same, if they tell a reason. ILLEGAL_STATE, once the visit has begun.",
        DESK_OR_CLIENT,
    )
    async def visit_cancel(self, info: Info, input: VisitCancelInput) -> VisitCancelPayload:  # noqa: A002
        request = Request(_visit(input.visit_id, input.reason), input.idempotency_key)
        return VisitCancelPayload(visit=await changed(info.context, VISIT_CANCEL, request))
