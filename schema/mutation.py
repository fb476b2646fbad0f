"""What can be changed."""

from typing import Any

import strawberry

from models import Client as ClientRecord
from models import Provider as ProviderRecord
from models.node_id import key_of
from models.person import Details
from models.reservation import Wish
from models.text import note
from resolvers import people, publications, reservations
from resolvers.reservations import Change
from schema.connection import Info, maybe
from schema.error import Refusing, UserError
from schema.publication import AppointmentBulkCreateInput, AppointmentBulkCreatePayload, publication
from schema.scalars import TimeZone

KEY = "Sent again under the same key, a request is answered again (as things stand by then), not done again. Kept for 24 hours."


def mutation(description: str) -> Any:
    """Declare a mutation. Each has a Refusing of its own, which keeps the field whose payload it makes."""
    return strawberry.mutation(description=description, extensions=[Refusing()])


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
    @mutation(description="Add a provider.")
    async def provider_create(self, info: Info, input: ProviderCreateInput) -> ProviderCreatePayload:  # noqa: A002
        row = await people.created(info.context, ProviderRecord, input.details(), input.idempotency_key)
        return ProviderCreatePayload(provider=row)

    @mutation(description="Add a client.")
    async def client_create(self, info: Info, input: ClientCreateInput) -> ClientCreatePayload:  # noqa: A002
        row = await people.created(info.context, ClientRecord, input.details(), input.idempotency_key)
        return ClientCreatePayload(client=row)

    @mutation(description="Publish a provider's times: one window or many, cut into slots, at most 10,000 of them.")
    async def appointment_bulk_create(
        self,
        info: Info,
        input: AppointmentBulkCreateInput,  # noqa: A002
    ) -> AppointmentBulkCreatePayload:
        published = await publications.publish_windows(info.context, publication(input), input.idempotency_key)
        return AppointmentBulkCreatePayload.of(published)

    @mutation(
        description="Hold an appointment for a client. The hold lapses (after 30 minutes, unless the business or service says otherwise) if it is not confirmed."
    )
    async def reservation_create(self, info: Info, input: ReservationCreateInput) -> ReservationCreatePayload:  # noqa: A002
        wish = Wish(
            key_of("Client", input.client_id, "clientId"),
            key_of("Appointment", input.appointment_id, "appointmentId"),
            note(input.note, "note"),
        )
        return ReservationCreatePayload(
            reservation=await reservations.create(info.context, wish, input.idempotency_key)
        )

    @mutation(description="Turn a hold into a booking. A second time, the same booking is answered.")
    async def reservation_confirm(self, info: Info, input: ReservationConfirmInput) -> ReservationConfirmPayload:  # noqa: A002
        change = Change(key_of("Reservation", input.reservation_id, "reservationId"))
        row = await reservations.confirm(info.context, change, input.idempotency_key)
        return ReservationConfirmPayload(reservation=row)

    @mutation(description="Give a hold or a booking back. A second time, the same reservation is answered.")
    async def reservation_cancel(self, info: Info, input: ReservationCancelInput) -> ReservationCancelPayload:  # noqa: A002
        change = Change(key_of("Reservation", input.reservation_id, "reservationId"), note(input.reason, "reason"))
        row = await reservations.cancel(info.context, change, input.idempotency_key)
        return ReservationCancelPayload(reservation=row)
