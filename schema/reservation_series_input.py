"""Series: what is sent to hold, confirm and cancel one, and what is answered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from models import ReservationSeries
from models.bundle import Bundle
from models.node_id import key_if_given, key_of
from models.refusal import Refusal
from models.series import Conflict, ConflictReason, SeriesMode, SeriesWish
from models.text import note, reason
from resolvers.bundles import SERIES_CANCEL, SERIES_CONFIRM, changed
from resolvers.series import Made, create_series
from resolvers.writes import Request
from schema.access import DESK_OR_CLIENT, EVERYBODY
from schema.connection import Info, maybe, several
from schema.cost import FEW, Cost, ListSize
from schema.error import UserError, shown, thing, user_errors
from schema.root import KEY, mutation

strawberry.enum(SeriesMode, description=SeriesMode.__doc__)
strawberry.enum(ConflictReason, description=ConflictReason.__doc__)
A_YEAR = ListSize(assumed_size=52)


@strawberry.input(
    description="The same appointment every so many weeks: that of an appointmentId, or a serviceId from an instant on."
)
class ReservationSeriesCreateInput:
    client_id: strawberry.ID
    appointment_id: strawberry.ID | None = strawberry.field(
        default=None, description="The first one: its provider, its location and its time of the week are meant."
    )
    service_id: strawberry.ID | None = strawberry.field(
        default=None, description="What is wanted; with an appointmentId, if that was published for anything."
    )
    provider_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="With whom; unless told, with as few of those who give the service as it can be. Not with an appointmentId.",
    )
    location_id: strawberry.ID | None = strawberry.field(
        default=None, description="Where; anywhere unless told. Not with an appointmentId."
    )
    starts_at: datetime | None = strawberry.field(
        default=None,
        description="When the first one begins; the others begin when a clock at the location (else of the provider, else of "
        "the business) shows the same time of the same weekday.",
    )
    count: int = strawberry.field(
        description="How many, the first one included: 2 to 52; 2 to 12 for a CLIENT, who holds one series at a time."
    )
    every_weeks: int | None = strawberry.field(default=1, description="How many weeks lie between two of them, 1 to 8.")
    mode: SeriesMode | None = SeriesMode.ALL_OR_NOTHING
    note: str | None = strawberry.field(default=None, description="Up to 2000 characters, on every reservation of it.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def wish(self) -> SeriesWish:
        return SeriesWish(
            key_of("Client", self.client_id, "clientId"),
            key_if_given("Appointment", self.appointment_id, "appointmentId"),
            key_if_given("Service", self.service_id, "serviceId"),
            key_if_given("Provider", self.provider_id, "providerId"),
            key_if_given("Location", self.location_id, "locationId"),
            self.starts_at,
            self.count,
            1 if self.every_weeks is None else self.every_weeks,
            self.mode or SeriesMode.ALL_OR_NOTHING,
            note(self.note, "note"),
        ).check()


@strawberry.input(description="A series whose holds are to be confirmed.")
class ReservationSeriesConfirmInput:
    series_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="A series that is to be given back, or the rest of one.")
class ReservationSeriesCancelInput:
    series_id: strawberry.ID
    reason: str | None = strawberry.field(default=None, description="Up to 2000 characters.")
    starts_from: datetime | None = strawberry.field(
        default=None, name="from", description="Only what begins then or later; all that has not begun, unless told."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(description="An appointment of a series that cannot be had.", directives=[EVERYBODY])
class SeriesConflict:
    index: int = strawberry.field(description="The how many-th it would be; the first one is 0.")
    starts_at: datetime = strawberry.field(description="When it would begin.")
    reason: ConflictReason = strawberry.field(description="Why it cannot be had.")
    alternatives: Any = strawberry.field(
        graphql_type=several("Appointment"),
        description="The nearest free appointments for the same service with the same provider, or with anybody if nobody "
        "was named; up to 3.",
        directives=[FEW],
    )


@strawberry.type(directives=[EVERYBODY])
class ReservationSeriesCreatePayload:
    series: Any = thing(maybe("ReservationSeries"))
    reservations: Any = strawberry.field(
        graphql_type=several("Reservation"),
        default_factory=list,
        description="What is held, by start; empty when nothing was written.",
        directives=[A_YEAR],
    )
    conflicts: list[SeriesConflict] = strawberry.field(
        default_factory=list, description="What cannot be had, by start.", directives=[A_YEAR]
    )
    user_errors: list[UserError] = user_errors()
    refusal: strawberry.Private[Refusal | None] = None

    def refusals(self) -> list[Refusal]:
        """Why nothing was written: told at the top where `userErrors` are not selected."""
        return [self.refusal] if self.refusal else []


@strawberry.type(directives=[EVERYBODY])
class ReservationSeriesConfirmPayload:
    series: Any = thing(maybe("ReservationSeries"))
    user_errors: list[UserError] = user_errors()


@strawberry.type(directives=[EVERYBODY])
class ReservationSeriesCancelPayload:
    series: Any = thing(maybe("ReservationSeries"))
    user_errors: list[UserError] = user_errors()


@strawberry.type
class SeriesMutation:
    @mutation(
        "Hold, for a client, the same time every so many weeks: by the clock on the wall, so that it stays at 09:00 when "
        "clocks are changed. With ALL_OR_NOTHING all is held or nothing; with SKIP_CONFLICTS whatever can be had, if that "
        "is anything. All that cannot is told in `conflicts`, also when nothing is held: that is SLOT_UNAVAILABLE. All "
        "holds lapse at the same instant, and count once against the client's limit of holds.",
        DESK_OR_CLIENT,
        cost=Cost(weight="100"),
    )
    async def reservation_series_create(
        self,
        info: Info,
        input: ReservationSeriesCreateInput,  # noqa: A002
    ) -> ReservationSeriesCreatePayload:
        made = await create_series(info.context, Request(input.wish(), input.idempotency_key))
        return await _payload(info, made)

    @mutation(
        "Turn all holds of a series into bookings, or none. What was given back alone is passed over; HOLD_EXPIRED, if any "
        "has lapsed. A second time, the same series is answered.",
        DESK_OR_CLIENT,
    )
    async def reservation_series_confirm(
        self,
        info: Info,
        input: ReservationSeriesConfirmInput,  # noqa: A002
    ) -> ReservationSeriesConfirmPayload:
        bundle = Bundle(ReservationSeries, key_of("ReservationSeries", input.series_id, "seriesId"))
        request = Request(bundle, input.idempotency_key)
        return ReservationSeriesConfirmPayload(series=await changed(info.context, SERIES_CONFIRM, request))

    @mutation(
        "Give back all of a series that has not begun, or what begins from an instant on; or nothing: CANCELLATION_WINDOW, if "
        "it is too late for one of them. Others than the client may all the same, if they tell a reason.",
        DESK_OR_CLIENT,
    )
    async def reservation_series_cancel(
        self,
        info: Info,
        input: ReservationSeriesCancelInput,  # noqa: A002
    ) -> ReservationSeriesCancelPayload:
        key, why = key_of("ReservationSeries", input.series_id, "seriesId"), reason(input.reason, "reason")
        request = Request(Bundle(ReservationSeries, key, why, input.starts_from), input.idempotency_key)
        return ReservationSeriesCancelPayload(series=await changed(info.context, SERIES_CANCEL, request))


async def _payload(info: Info, made: Made) -> ReservationSeriesCreatePayload:
    conflicts = [_shown(each, made.near) for each in made.conflicts]
    if made.series_id is None:
        errors = [shown(made.refusal)] if made.refusal else []
        return ReservationSeriesCreatePayload(conflicts=conflicts, user_errors=errors, refusal=made.refusal)
    series = await info.context.loaders.one(ReservationSeries, made.series_id)
    return ReservationSeriesCreatePayload(series=series, reservations=made.reservations, conflicts=conflicts)


def _shown(conflict: Conflict, found: Mapping[UUID, Any]) -> SeriesConflict:
    near = [found[key] for key in conflict.alternatives if key in found]
    at, why = conflict.starts_at, conflict.reason
    return SeriesConflict(index=conflict.index, starts_at=at, reason=why, alternatives=near)
