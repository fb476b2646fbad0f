"""Changing businesses: the inputs and the payloads of businessCreate and businessUpdate."""

from typing import Any

import strawberry

from models.business import ExposureVariant, NewBusiness, Revision
from schema.access import EVERYBODY
from schema.business import Business
from schema.error import UserError, thing, user_errors
from schema.root import KEY
from schema.scalars import TimeZone
from schema.supply import SupplyPayload

HOST = "Whoever asks at this host without a token browses this business: a name like practice.example, with no port."


@strawberry.input(description="A new business.")
class BusinessCreateInput:
    name: str = strawberry.field(description="1 to 200 characters.")
    time_zone: TimeZone
    host: str | None = strawberry.field(default=None, description=HOST)
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def wanted(self) -> NewBusiness:
        return NewBusiness.read(self.name, self.time_zone, self.host)


@strawberry.type(directives=[EVERYBODY])
class BusinessCreatePayload:
    business: Any = thing(Business | None)
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="What is to change of your business. What is left out, or null, stays as it is.")
class BusinessUpdateInput:
    expected_version: int = strawberry.field(description="The version that was read; refused if it is another one now.")
    name: str | None = strawberry.field(default=None, description="1 to 200 characters.")
    time_zone: TimeZone | None = None
    host: str | None = strawberry.field(default=None, description=f"{HOST} An empty text takes it away.")
    is_public: bool | None = strawberry.field(
        default=None, description="Whether anybody may browse it without a token."
    )
    lead_time_minutes: int | None = strawberry.field(
        default=None, description="How far ahead an appointment is reserved at least, 0 to 527040."
    )
    hold_time_minutes: int | None = strawberry.field(default=None, description="How long a hold lasts, 1 to 1440.")
    hold_limit: int | None = strawberry.field(
        default=None,
        description="How many appointments a client may hold at once, and how many of their requests may wait for an approval, 1 to 1000; "
        "0 for as many as they like.",
    )
    minimum_horizon_minutes: int | None = strawberry.field(
        default=None,
        description="How far ahead an appointment is reserved at least, whatever the lead time, 0 to 527040.",
    )
    maximum_horizon_minutes: int | None = strawberry.field(
        default=None,
        description="How far ahead at most, 1 to 527040 and more than the minimum; 0 for as far as there are appointments.",
    )
    cancel_cutoff_minutes: int | None = strawberry.field(
        default=None, description="How long before its start a client may cancel at the latest, 0 to 527040."
    )
    renewal_limit: int | None = strawberry.field(default=None, description="How often a hold may be renewed, 0 to 100.")
    publication_days: int | None = strawberry.field(
        default=None, description="How many days ahead rules become appointments, 1 to 366."
    )
    exposure_variant: ExposureVariant | None = strawberry.field(
        default=None, description="How many times a client is shown at once."
    )
    locale: str | None = strawberry.field(
        default=None, description="In which language people are written to who have not chosen one, like en or pt-BR."
    )
    reminder_minutes: list[int] | None = strawberry.field(
        default=None,
        description="How long before an appointment its client is reminded of it, at most 5 times, 15 to 10080 minutes "
        "each; an empty list reminds nobody.",
    )
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def wanted(self) -> Revision:
        values = {name: value for name, value in vars(self).items() if name != "idempotency_key"}
        reminders = self.reminder_minutes
        return Revision(**{**values, "reminder_minutes": None if reminders is None else tuple(reminders)})


@strawberry.type(directives=[EVERYBODY])
class BusinessUpdatePayload(SupplyPayload):
    business: Any = thing(Business | None)
