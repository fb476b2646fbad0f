"""The life of a reservation: how the mutations are declared that confirm, approve, move, renew and give it back."""

from typing import Any

import strawberry

from models.life import Change
from models.move import Move
from models.node_id import key_of
from models.refusal import InvalidInput
from models.text import reason
from resolvers import life
from resolvers.writes import Request
from schema.access import EVERYBODY, MEMBERS, TEAM
from schema.connection import maybe
from schema.error import UserError, thing, user_errors
from schema.root import KEY, writing

LARGEST_VERSION = 2**31 - 1
REASON = "Up to 2000 characters."


@strawberry.input
class ReservationChangeInput:
    reservation_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def request(self) -> Request:
        return Request(Change(key_of("Reservation", self.reservation_id, "reservationId")), self.idempotency_key)


@strawberry.input
class ReservationEndInput:
    reservation_id: strawberry.ID
    reason: str | None = strawberry.field(default=None, description=REASON)
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def request(self) -> Request:
        change = Change(key_of("Reservation", self.reservation_id, "reservationId"), reason(self.reason, "reason"))
        return Request(change, self.idempotency_key)


@strawberry.type
class ReservationPayload:
    reservation: Any = thing(maybe("Reservation"))
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A hold to be confirmed.")
class ReservationConfirmInput(ReservationChangeInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ReservationConfirmPayload(ReservationPayload):
    pass


@strawberry.input(description="A request that is to be approved.")
class ReservationApproveInput(ReservationChangeInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ReservationApprovePayload(ReservationPayload):
    pass


@strawberry.input(description="A request that is to be declined.")
class ReservationDeclineInput(ReservationEndInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ReservationDeclinePayload(ReservationPayload):
    pass


@strawberry.input(description="A reservation to be given back.")
class ReservationCancelInput(ReservationEndInput):
    reason: str | None = strawberry.field(
        default=None,
        description=f"{REASON} Whoever is not the client has to tell one once the client could no longer cancel.",
    )


@strawberry.type(directives=[EVERYBODY])
class ReservationCancelPayload(ReservationPayload):
    pass


@strawberry.input(description="A hold, or a request, that is no longer wanted.")
class ReservationReleaseInput(ReservationChangeInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ReservationReleasePayload(ReservationPayload):
    pass


@strawberry.input(description="A hold that is to last longer.")
class ReservationRenewInput(ReservationChangeInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ReservationRenewPayload(ReservationPayload):
    pass


@strawberry.input(description="A booking to which nobody came.")
class ReservationMarkNoShowInput(ReservationChangeInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class ReservationMarkNoShowPayload(ReservationPayload):
    pass


@strawberry.input(description="A reservation, and the appointment that it is to be for instead.")
class ReservationRescheduleInput:
    reservation_id: strawberry.ID
    appointment_id: strawberry.ID = strawberry.field(description="Another appointment for the same service.")
    expected_version: int | None = strawberry.field(
        default=None, description="The version that was read; refused if it is another one now."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def request(self) -> Request:
        version = self.expected_version
        if version is not None and not 0 <= version <= LARGEST_VERSION:
            raise InvalidInput("expectedVersion", problem=f"expectedVersion must be from 0 to {LARGEST_VERSION}.")
        move = Move(
            key_of("Reservation", self.reservation_id, "reservationId"),
            key_of("Appointment", self.appointment_id, "appointmentId"),
            version,
        )
        return Request(move, self.idempotency_key)


@strawberry.type(directives=[EVERYBODY])
class ReservationReschedulePayload(ReservationPayload):
    pass


@strawberry.type
class LifeMutation:
    @writing(
        life.CONFIRM,
        ReservationConfirmPayload,
        "Turn a hold into a booking. Where the service asks for approval, a client's hold becomes a request instead: it is "
        "PENDING and keeps its time until expiresAt; whoever is not the client approves by confirming. A second time, the "
        "same reservation is answered.",
        MEMBERS,
    )
    def reservation_confirm(self, input: ReservationConfirmInput) -> Any:  # noqa: A002
        return input.request()

    @writing(
        life.APPROVE,
        ReservationApprovePayload,
        "Turn a request into a booking. HOLD_EXPIRED if it waited too long. A second time, the same booking is answered.",
        TEAM,
    )
    def reservation_approve(self, input: ReservationApproveInput) -> Any:  # noqa: A002
        return input.request()

    @writing(
        life.DECLINE,
        ReservationDeclinePayload,
        "Refuse a request: it is CANCELLED, and its time is free again. A second time, the same reservation is answered.",
        TEAM,
    )
    def reservation_decline(self, input: ReservationDeclineInput) -> Any:  # noqa: A002
        return input.request()

    @writing(
        life.CANCEL,
        ReservationCancelPayload,
        "Give a hold or a booking back. A second time, the same reservation is answered. A client cancels a booking no "
        "later than the cut-off that held when it was made, or else CANCELLATION_WINDOW; others may until it begins, and "
        "tell a reason when they do so later than the client could.",
        MEMBERS,
    )
    def reservation_cancel(self, input: ReservationCancelInput) -> Any:  # noqa: A002
        return input.request()

    @writing(
        life.RELEASE,
        ReservationReleasePayload,
        "Give back a hold, or a request that waits for approval; never a booking, which is ILLEGAL_STATE. A second time, "
        "the same reservation is answered.",
        MEMBERS,
    )
    def reservation_release(self, input: ReservationReleaseInput) -> Any:  # noqa: A002
        return input.request()

    @writing(
        life.RENEW,
        ReservationRenewPayload,
        "Have a hold last, from now on, as long as a new one. TOO_MANY_RENEWALS after as many times as the business "
        "allows, HOLD_EXPIRED once it has lapsed. What was offered to the client while others wait is not renewed.",
        MEMBERS,
    )
    def reservation_renew(self, input: ReservationRenewInput) -> Any:  # noqa: A002
        return input.request()

    @writing(
        life.RESCHEDULE,
        ReservationReschedulePayload,
        "Move a reservation to another appointment for the same service, in place: its id stays, and so does what was "
        "agreed on. The new time is checked as if it were reserved, but that the reservation's own time is in nobody's way: "
        "LEAD_TIME, HORIZON, SLOT_UNAVAILABLE, APPOINTMENT_WITHDRAWN, NOT_OFFERED, and INVALID_INPUT for another service. "
        "Where it is already, it stays, and the same is answered. A client moves a booking as long as they may cancel it, "
        "or else CANCELLATION_WINDOW; a provider moves to their own times. What has begun is not moved.",
        MEMBERS,
    )
    def reservation_reschedule(self, input: ReservationRescheduleInput) -> Any:  # noqa: A002
        return input.request()

    @writing(
        life.MARK_NO_SHOW,
        ReservationMarkNoShowPayload,
        "Put on record that nobody came to a booking, from its start on. A second time, the same reservation is answered.",
        TEAM,
    )
    def reservation_mark_no_show(self, input: ReservationMarkNoShowInput) -> Any:  # noqa: A002
        return input.request()
