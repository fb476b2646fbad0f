"""Publishing: the input and the payload of appointmentBulkCreate."""

from datetime import datetime
from typing import Any

import strawberry

from models import Appointment
from models.node_id import key_of
from models.page import Page
from models.publication import LARGEST_BULK, BulkMode, ErrorPolicy, Publication, Window
from models.refusal import InvalidInput, Refusal, TooManyRows
from resolvers.publications import APPOINTMENTS, Published, WindowOutcome, published_in
from schema.access import EVERYBODY
from schema.connection import PAGED, After, Before, First, Info, Last, page_of, several
from schema.error import UserError, shown, user_errors
from schema.root import KEY

strawberry.enum(BulkMode, description=BulkMode.__doc__)
strawberry.enum(ErrorPolicy, description=ErrorPolicy.__doc__)


@strawberry.input(description="A stretch of time, cut into slots from its start.")
class WindowInput:
    start_time: datetime
    end_time: datetime


@strawberry.input(description="A provider's times: one window (startTime and endTime), or many.")
class AppointmentBulkCreateInput:
    provider_id: strawberry.ID
    start_time: datetime | None = None
    end_time: datetime | None = None
    windows: list[WindowInput] | None = None
    slot_minutes: int | None = strawberry.field(default=15, description="The length of each appointment, 1 to 1440.")
    capacity: int | None = strawberry.field(default=1, description="How many clients each can take, 1 to 1000.")
    service_id: strawberry.ID | None = None
    location_id: strawberry.ID | None = None
    mode: BulkMode | None = BulkMode.ADD
    error_policy: ErrorPolicy | None = ErrorPolicy.REJECT_EVERYTHING
    dry_run: bool | None = strawberry.field(default=False, description="Tell what would happen, and write nothing.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(description="What became of one window.", directives=[EVERYBODY])
class WindowResult:
    index: int = strawberry.field(description="Its place among the windows sent.")
    created: int = strawberry.field(description="Appointments that were missing and are published now.")
    kept: int = strawberry.field(description="Appointments that were there already.")
    removed: int = strawberry.field(description="Unbooked appointments that were withdrawn (REPLACE_WINDOW).")
    error: UserError | None = strawberry.field(description="Why the window, or part of it, was left out.")
    outcome: strawberry.Private[WindowOutcome]

    @strawberry.field(
        graphql_type=several("Appointment"),
        description="Appointments that do not fit the window and stay, because somebody has reserved them.",
    )
    async def booked_appointments(self, info: Info) -> Any:
        rows = [await row for row in [info.context.loaders.one(Appointment, key) for key in self.outcome.booked]]
        return [row for row in rows if row is not None]


@strawberry.type(directives=[EVERYBODY])
class AppointmentBulkCreatePayload:
    created: int = strawberry.field(default=0, description="Appointments that were missing and are published now.")
    kept: int = strawberry.field(default=0, description="Appointments that were there already.")
    removed: int = strawberry.field(default=0, description="Unbooked appointments that were withdrawn.")
    results: list[WindowResult] = strawberry.field(default_factory=list, description="What became of each window.")
    user_errors: list[UserError] = user_errors(
        "Why nothing was written; with REJECT_FAILED_ROWS, why a part was left out."
    )
    published: strawberry.Private[Published | None] = None

    @strawberry.field(
        graphql_type=page_of("Appointment", optional=True),
        description="What the windows contain now, by start; null in a dry run, and when nothing was written.",
        directives=[PAGED],
    )
    def appointments(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Any:
        page = Page.read(APPOINTMENTS, first, after, last, before)
        return self.published and published_in(info.context, self.published, page)

    def refusals(self) -> list[Refusal]:
        """What a lenient submission left out: told at the top where `userErrors` are not selected."""
        return self.published.refusals if self.published else []

    @classmethod
    def of(cls, published: Published) -> "AppointmentBulkCreatePayload":
        """Show what became of a submission."""
        return cls(
            created=published.total("created"),
            kept=published.total("kept"),
            removed=published.total("removed"),
            results=[_result(outcome) for outcome in published.outcomes],
            user_errors=[shown(refusal) for refusal in published.refusals],
            published=published,
        )


def publication(sent: AppointmentBulkCreateInput) -> Publication:
    """Read the input; everything but its windows is checked with them, against the database's clock."""
    chosen: dict[str, Any] = {
        "slot_minutes": sent.slot_minutes,
        "capacity": sent.capacity,
        "mode": sent.mode,
        "error_policy": sent.error_policy,
        "dry_run": sent.dry_run,
    }
    return Publication(
        provider_id=key_of("Provider", sent.provider_id, "providerId"),
        windows=_windows(sent),
        service_id=key_of("Service", sent.service_id, "serviceId") if sent.service_id is not None else None,
        location_id=key_of("Location", sent.location_id, "locationId") if sent.location_id is not None else None,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def _windows(sent: AppointmentBulkCreateInput) -> tuple[Window, ...]:
    if sent.windows is not None:
        if sent.start_time or sent.end_time:
            raise InvalidInput("windows", problem="Send either windows or startTime and endTime.")
        if len(sent.windows) > LARGEST_BULK:  # each makes an appointment at least
            raise TooManyRows("windows", found=len(sent.windows), limit=LARGEST_BULK)
        return tuple(Window(w.start_time, w.end_time, ("windows", n)) for n, w in enumerate(sent.windows))
    if sent.start_time is None or sent.end_time is None:
        missing = "startTime" if sent.start_time is None else "endTime"
        raise InvalidInput(missing, problem=f"Send windows, or startTime and endTime; {missing} is missing.")
    return (Window(sent.start_time, sent.end_time),)


def _result(outcome: WindowOutcome) -> WindowResult:
    return WindowResult(
        index=outcome.index,
        created=outcome.created,
        kept=outcome.kept,
        removed=outcome.removed,
        error=shown(outcome.refusal) if outcome.refusal else None,
        outcome=outcome,
    )
