"""What can be changed."""

from dataclasses import replace
from typing import Any

import strawberry

from models.api_key import read_id
from models.locale import locale
from models.node_id import key_if_given, key_of
from models.person import Details
from models.reservation import Wish
from models.text import note
from resolvers import businesses, people, privacy, publications, reservations
from resolvers.api_keys import create_key, revoke_key
from resolvers.writes import Request
from schema.absence import AbsenceMutation
from schema.access import ADMINS, DESK, DESK_OR_CLIENT, EVERYBODY, KEEPERS, MANAGERS, OPERATORS, TEAM
from schema.api_key import ApiKeyCreateInput, ApiKeyCreatePayload, ApiKeyRevokeInput, ApiKeyRevokePayload
from schema.attendance import AttendanceMutation
from schema.booking import BookingMutation
from schema.business_input import (
    BusinessCreateInput,
    BusinessCreatePayload,
    BusinessUpdateInput,
    BusinessUpdatePayload,
)
from schema.calendar import CalendarMutation
from schema.catalogue import CatalogueMutation
from schema.connection import Info, maybe
from schema.cost import Cost
from schema.error import UserError, thing, user_errors
from schema.generation import GenerationMutation
from schema.life import LifeMutation
from schema.notification import NotificationMutation
from schema.privacy import (
    MANAGERS_OR_CLIENT,
    ClientEraseInput,
    ClientErasePayload,
    ClientExportInput,
    ClientExportPayload,
)
from schema.publication import AppointmentBulkCreateInput, AppointmentBulkCreatePayload, publication
from schema.reservation_series_input import SeriesMutation
from schema.root import KEY, mutation, writing
from schema.scalars import LOCALE, TimeZone
from schema.schedule import ScheduleMutation
from schema.visit_input import VisitMutation
from schema.waitlist import WaitlistMutation
from schema.webhook import WebhookMutation


@strawberry.input
class PersonCreateInput:
    first_name: str = strawberry.field(description="1 to 200 characters.")
    last_name: str = strawberry.field(description="1 to 200 characters.")
    email: str | None = None
    phone: str | None = strawberry.field(default=None, description="Up to 32 characters, like +49 30 1234567.")
    time_zone: TimeZone | None = strawberry.field(default=None, description="Their own zone, if not the business's.")
    locale: str | None = strawberry.field(default=None, description=f"{LOCALE} The business's unless told.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def details(self) -> Details:
        details = Details.read(self.first_name, self.last_name, self.email, self.phone, self.time_zone)
        return replace(details, locale=locale(self.locale, "locale"))


@strawberry.input(description="A new provider.")
class ProviderCreateInput(PersonCreateInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ProviderCreatePayload:
    provider: Any = thing(maybe("Provider"))
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A new client.")
class ClientCreateInput(PersonCreateInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ClientCreatePayload:
    client: Any = thing(maybe("Client"))
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A wish for an appointment.")
class ReservationCreateInput:
    client_id: strawberry.ID
    appointment_id: strawberry.ID
    service_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="For what, if the appointment was published for anything: a service that its provider gives there and "
        "that takes no longer. INVALID_INPUT otherwise. Prices, buffers and policies are then those of the service.",
    )
    note: str | None = strawberry.field(default=None, description="Up to 2000 characters, for the provider.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(directives=[EVERYBODY])
class ReservationCreatePayload:
    reservation: Any = thing(maybe("Reservation"))
    user_errors: list[UserError] = user_errors()


@strawberry.type
class Mutation(
    CalendarMutation,
    CatalogueMutation,
    ScheduleMutation,
    GenerationMutation,
    BookingMutation,
    LifeMutation,
    AttendanceMutation,
    NotificationMutation,
    WebhookMutation,
    VisitMutation,
    WaitlistMutation,
    AbsenceMutation,
    SeriesMutation,
):
    @writing(people.CREATE_PROVIDER, ProviderCreatePayload, "Add a provider.", MANAGERS)
    def provider_create(self, input: ProviderCreateInput) -> Any:  # noqa: A002
        return Request(input.details(), input.idempotency_key)

    @writing(people.CREATE_CLIENT, ClientCreatePayload, "Add a client.", DESK)
    def client_create(self, input: ClientCreateInput) -> Any:  # noqa: A002
        return Request(input.details(), input.idempotency_key)

    @mutation("Publish a provider's times: one window or many, cut into slots, at most 10,000 of them.", TEAM)
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
        DESK_OR_CLIENT,
    )
    def reservation_create(self, input: ReservationCreateInput) -> Any:  # noqa: A002
        wish = Wish(
            key_of("Client", input.client_id, "clientId"),
            key_of("Appointment", input.appointment_id, "appointmentId"),
            note(input.note, "note"),
            key_if_given("Service", input.service_id, "serviceId"),
        )
        return Request(wish, input.idempotency_key)

    @mutation(
        "Make an API key. Its token is in this answer and in no other: so there is no idempotency key, and whoever lost"
        " the answer revokes the key and makes another one.",
        KEEPERS,
    )
    async def api_key_create(self, info: Info, input: ApiKeyCreateInput) -> ApiKeyCreatePayload:  # noqa: A002
        created = await create_key(info.context, input.wanted())
        return ApiKeyCreatePayload(api_key=created.row, token=created.token)

    @mutation("End an API key at once. A second time, the same key is answered.", KEEPERS)
    async def api_key_revoke(self, info: Info, input: ApiKeyRevokeInput) -> ApiKeyRevokePayload:  # noqa: A002
        key = read_id(input.api_key_id, "apiKeyId")
        return ApiKeyRevokePayload(api_key=await revoke_key(info.context, key))

    @mutation("Add a business, with the usual policies; nobody may browse it yet.", OPERATORS)
    async def business_create(self, info: Info, input: BusinessCreateInput) -> BusinessCreatePayload:  # noqa: A002
        row = await businesses.create_business(info.context, input.wanted(), input.idempotency_key)
        return BusinessCreatePayload(business=row)

    @mutation("Change your business and its policies. Reservations that were made stay as they are.", KEEPERS)
    async def business_update(self, info: Info, input: BusinessUpdateInput) -> BusinessUpdatePayload:  # noqa: A002
        done = await businesses.update_business(info.context, input.wanted(), input.idempotency_key)
        return BusinessUpdatePayload(business=done.row, outcome=done.outcome)

    @mutation(
        "Tell all that is kept about a client; a client gets their own. The audit says who got it.",
        MANAGERS_OR_CLIENT,
        cost=Cost(weight="500"),
    )
    async def client_export(self, info: Info, input: ClientExportInput) -> ClientExportPayload:  # noqa: A002
        client = key_of("Client", input.client_id, "clientId")
        return ClientExportPayload.of(await privacy.export_client(info.context, client))

    @mutation(
        "Forget a client for good: names, email address, phone, zone, notes and reasons go, what they still claim is "
        "cancelled, their API keys end. What was reserved, when and with whom stays, without a name. "
        "A second time, the same is answered.",
        ADMINS,
    )
    async def client_erase(self, info: Info, input: ClientEraseInput) -> ClientErasePayload:  # noqa: A002
        return ClientErasePayload(
            client=await privacy.erase_client(info.context, input.erasure(), input.idempotency_key)
        )
