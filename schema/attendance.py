"""Attendance: how the mutations are declared that begin and complete an appointment, or give it to another provider."""

from typing import Any

import strawberry

from models.attendance import MOST_CANDIDATES, Attendance, Reassignment
from models.node_id import key_if_given, key_of
from resolvers.attendance import Attended, complete_appointment, reassign_appointment, start_appointment
from schema.access import DESK, EVERYBODY, TEAM
from schema.connection import Info, maybe, several
from schema.cost import Cost, ListSize
from schema.error import UserError, thing, user_errors
from schema.root import KEY, mutation

MOST_SEATS = 20  # of a group, as it is estimated
SEVERAL = Cost(weight="30")


def _seated(description: str) -> Any:
    return strawberry.field(
        graphql_type=several("Reservation"),
        default_factory=list,
        description=description,
        directives=[ListSize(assumed_size=MOST_SEATS)],
    )


@strawberry.input
class AppointmentChangeInput:
    appointment_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="An appointment that begins.")
class AppointmentStartInput(AppointmentChangeInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class AppointmentStartPayload:
    appointment: Any = thing(maybe("Appointment"))
    reservations: Any = _seated("Those that have begun, by seat.")
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="An appointment that is over.")
class AppointmentCompleteInput(AppointmentChangeInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class AppointmentCompletePayload:
    appointment: Any = thing(maybe("Appointment"))
    reservations: Any = _seated("Those that are completed, by seat.")
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="An appointment that another provider is to take over.")
class AppointmentReassignInput:
    appointment_id: strawberry.ID
    provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="Who takes it over; the first of the candidates unless told."
    )
    dry_run: bool = strawberry.field(default=False, description="Only tell the candidates.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(directives=[EVERYBODY])
class AppointmentReassignPayload:
    appointment: Any = strawberry.field(
        graphql_type=maybe("Appointment"),
        default=None,
        description="Where they are now; in a dry run, where they are. Null when nothing was written.",
    )
    reservations: Any = _seated("Whoever has the appointment, by seat; their ids stay.")
    candidates: Any = strawberry.field(
        graphql_type=several("Appointment"),
        default_factory=list,
        description="The free appointments of other providers that begin at the same time and suit the service, the best "
        f"first, at most {MOST_CANDIDATES}; none when a request is answered again.",
        directives=[ListSize(assumed_size=MOST_CANDIDATES)],
    )
    user_errors: list[UserError] = user_errors()


@strawberry.type
class AttendanceMutation:
    @mutation(
        "Put on record that an appointment has begun, at most one hour before its start, for all who have confirmed it. "
        "What has begun is neither cancelled nor moved nor missed. A second time, the same is answered.",
        TEAM,
        cost=SEVERAL,
    )
    async def appointment_start(self, info: Info, input: AppointmentStartInput) -> AppointmentStartPayload:  # noqa: A002
        asked = Attendance(key_of("Appointment", input.appointment_id, "appointmentId"))
        return AppointmentStartPayload(**_told(await start_appointment(info.context, asked, input.idempotency_key)))

    @mutation(
        "Put on record that an appointment is over, for all who have confirmed it: once it was started, or its start has "
        "come. A second time, the same is answered.",
        TEAM,
        cost=SEVERAL,
    )
    async def appointment_complete(
        self,
        info: Info,
        input: AppointmentCompleteInput,  # noqa: A002
    ) -> AppointmentCompletePayload:
        asked = Attendance(key_of("Appointment", input.appointment_id, "appointmentId"))
        done = await complete_appointment(info.context, asked, input.idempotency_key)
        return AppointmentCompletePayload(**_told(done))

    @mutation(
        "Give an appointment, with all who have it, to another provider who is free at the same time and gives the "
        "service: all of them or none. The ids of the reservations stay, and so does what was agreed on; the lead time is "
        "not asked anew. Candidates at the same location come first, then whoever has the fewest minutes booked in the 7 "
        "days around that time, then whoever is idle the longest. SLOT_UNAVAILABLE if there are none.",
        DESK,
        cost=SEVERAL,
    )
    async def appointment_reassign(
        self,
        info: Info,
        input: AppointmentReassignInput,  # noqa: A002
    ) -> AppointmentReassignPayload:
        asked = Reassignment(
            key_of("Appointment", input.appointment_id, "appointmentId"),
            key_if_given("Provider", input.provider_id, "providerId"),
            input.dry_run,
        )
        done = await reassign_appointment(info.context, asked, input.idempotency_key)
        return AppointmentReassignPayload(**_told(done), candidates=done.candidates)


def _told(done: Attended) -> dict[str, Any]:
    return {"appointment": done.appointment, "reservations": done.reservations}
