"""Booking: reserving a service with whichever provider is the least loaded."""

from datetime import datetime
from typing import Any

import strawberry

from models.any_provider import AnyProvider
from models.node_id import key_if_given, key_of
from models.text import note
from resolvers import reservations
from resolvers.writes import Request
from schema.access import DESK_OR_CLIENT, EVERYBODY
from schema.connection import maybe
from schema.error import UserError, thing, user_errors
from schema.root import KEY, writing


@strawberry.input(description="A wish for a service at an instant, with anybody who gives it.")
class ReservationCreateAnyProviderInput:
    client_id: strawberry.ID
    service_id: strawberry.ID = strawberry.field(description="What is wanted.")
    starts_at: datetime = strawberry.field(description="When the appointment begins, to the microsecond.")
    location_id: strawberry.ID | None = strawberry.field(default=None, description="Where; anywhere unless told.")
    note: str | None = strawberry.field(default=None, description="Up to 2000 characters, for the provider.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(directives=[EVERYBODY])
class ReservationCreateAnyProviderPayload:
    reservation: Any = thing(maybe("Reservation"))
    user_errors: list[UserError] = user_errors()


@strawberry.type
class BookingMutation:
    @writing(
        reservations.CREATE_ANY_PROVIDER,
        ReservationCreateAnyProviderPayload,
        "Hold, for a client, a free appointment for a service that begins at an instant. Of several providers it is the "
        "one with the fewest minutes booked in the 7 days around that instant (from 84 hours before it to just before 84 "
        "hours after it), then the one whose last booking before it ended the longest ago. SLOT_UNAVAILABLE, with the "
        "nearest times of that service, if nobody is free.",
        DESK_OR_CLIENT,
    )
    def reservation_create_any_provider(self, input: ReservationCreateAnyProviderInput) -> Any:  # noqa: A002
        location = key_if_given("Location", input.location_id, "locationId")
        wish = AnyProvider(
            key_of("Client", input.client_id, "clientId"),
            key_of("Service", input.service_id, "serviceId"),
            input.starts_at,
            location,
            note(input.note, "note"),
        )
        return Request(wish, input.idempotency_key)
