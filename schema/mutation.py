"""What can be changed."""

from typing import Any

import strawberry

from models.node_id import key_of
from models.person import Details
from models.reservation import Change, Wish
from models.text import note
from resolvers import people, publications, reservations
from resolvers.writes import Request, Write
from schema.connection import Info, maybe
from schema.declaration import Written
from schema.error import Refusing, UserError
from schema.publication import AppointmentBulkCreateInput, AppointmentBulkCreatePayload, publication
from schema.scalars import TimeZone

KEY = "Sent again under the same key, a request is answered again (as things stand by then), not done again. Kept for 24 hours."


def mutation(description: str) -> Any:
    """Declare a mutation. Each has a Refusing of its own, which keeps the field whose payload it makes."""
    return strawberry.mutation(description=description, extensions=[Refusing()])


def writing(write: Write, payload: type, description: str) -> Any:
    """Declare a mutation that one statement makes; the function reads what is asked for."""
    return strawberry.mutation(graphql_type=payload, description=description, extensions=[Written(write), Refusing()])


def thing(name: str) -> Any:
    return strawberry.field(graphql_type=maybe(name), default=None, description="Null when nothing was written.")


def user_errors() -> Any:
    return strawberry.field(default_factory=list, description="Why nothing was written; empty when all went well.")


@strawberry.input
class PersonCreateInput:
    first_name: str = strawberry.field(description="1 to 200 characters.")
    last_name: str = strawberry.field(description="1 to 200 characters.")
    email: str | None = None
    time_zone: TimeZone | None = strawberry.field(default=None, description="Their own zone, if not the business's.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def details(self) -> Details:
        return Details.read(self.first_name, self.last_name, self.email, self.time_zone)


@strawberry.input(description="A new provider.")
class ProviderCreateInput(PersonCreateInput):
    pass


@strawberry.type
class ProviderCreatePayload:
    provider: Any = thing("Provider")
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A new client.")
class ClientCreateInput(PersonCreateInput):
    pass


@strawberry.type
class ClientCreatePayload:
    client: Any = thing("Client")
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A wish for an appointment.")
class ReservationCreateInput:
    client_id: strawberry.ID
    appointment_id: strawberry.ID
    note: str | None = strawberry.field(default=None, description="Up to 2000 characters, for the provider.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type
class ReservationCreatePayload:
    reservation: Any = thing("Reservation")
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A hold to be confirmed.")
class ReservationConfirmInput:
    reservation_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type
class ReservationConfirmPayload:
    reservation: Any = thing("Reservation")
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A reservation to be given back.")
class ReservationCancelInput:
    reservation_id: strawberry.ID
    reason: str | None = strawberry.field(default=None, description="Up to 2000 characters.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type
class ReservationCancelPayload:
    reservation: Any = thing("Reservation")
    user_errors: list[UserError] = user_errors()


@strawberry.type
class Mutation:
    @writing(people.CREATE_PROVIDER, ProviderCreatePayload, "Add a provider.")
    def provider_create(self, input: ProviderCreateInput) -> Any:  # noqa: A002
        return Request(input.details(), input.idempotency_key)

    @writing(people.CREATE_CLIENT, ClientCreatePayload, "Add a client.")
    def client_create(self, input: ClientCreateInput) -> Any:  # noqa: A002
        return Request(input.details(), input.idempotency_key)

    @mutation("Publish a provider's times: one window or many, cut into slots, at most 10,000 of them.")
    async def appointment_bulk_create(
        self,
        info: Info,
        input: AppointmentBulkCreateInput,  # noqa: A002
    ) -> AppointmentBulkCreatePayload:
        published = await publications.publish_windows(info.context, publication(input), input.idempotency_key)
        return AppointmentBulkCreatePayload.of(published)

    @writing(
        reservations.CREATE,
        ReservationCreatePayload,
        "Hold an appointment for a client. The hold lapses (after 30 minutes, unless the business or service says otherwise) if it is not confirmed.",
    )
    def reservation_create(self, input: ReservationCreateInput) -> Any:  # noqa: A002
        wish = Wish(
            key_of("Client", input.client_id, "clientId"),
            key_of("Appointment", input.appointment_id, "appointmentId"),
            note(input.note, "note"),
        )
        return Request(wish, input.idempotency_key)

    @writing(
        reservations.CONFIRM,
        ReservationConfirmPayload,
        "Turn a hold into a booking. A second time, the same booking is answered.",
    )
    def reservation_confirm(self, input: ReservationConfirmInput) -> Any:  # noqa: A002
        change = Change(key_of("Reservation", input.reservation_id, "reservationId"))
        return Request(change, input.idempotency_key)

    @writing(
        reservations.CANCEL,
        ReservationCancelPayload,
        "Give a hold or a booking back. A second time, the same reservation is answered.",
    )
    def reservation_cancel(self, input: ReservationCancelInput) -> Any:  # noqa: A002
        change = Change(key_of("Reservation", input.reservation_id, "reservationId"), note(input.reason, "reason"))
        return Request(change, input.idempotency_key)
