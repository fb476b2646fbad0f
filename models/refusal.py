"""Refusals: every way a rule says no, one class a rule; its docstring is the sentence that the client reads."""

from collections.abc import Sequence
from typing import Any, ClassVar


class Refusal(Exception):  # noqa: N818 -- a refusal is an answer, not an error of ours
    """This cannot be done."""

    code: ClassVar[str] = "REFUSED"
    retryable: ClassVar[bool] = False

    def __init__(self, *field: str | int, **details: Any) -> None:
        """Name the input's field (a path into it) and whatever shows the way out."""
        self.field = [str(step) for step in field]
        self.details = details
        super().__init__((self.__doc__ or "").format_map({"field": ".".join(self.field), **details}))

    @property
    def sentence(self) -> str:
        return str(self)

    def to_json(self) -> dict[str, Any]:
        """Write down a refusal whose details are plain JSON."""
        return {"class": type(self).__name__, "field": self.field, "details": self.details}

    @staticmethod
    def from_json(kept: dict[str, Any]) -> "Refusal":
        """Read back what `to_json` wrote down."""
        known = {refusal.__name__: refusal for refusal in Refusal.__subclasses__()}
        return known[kept["class"]](*kept["field"], **kept["details"])


class Refusals(Exception):  # noqa: N818
    """Several refusals of one request."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = refusals
        super().__init__(" ".join(refusal.sentence for refusal in refusals))


class InvalidInput(Refusal):
    """{problem}"""

    code = "INVALID_INPUT"


class UnknownTimeZone(Refusal):
    """{zone!r} is not a time zone of the IANA database{near}."""

    code = "UNKNOWN_TIME_ZONE"

    def __init__(self, *field: str | int, zone: str, suggestions: Sequence[str]) -> None:
        near = f"; did you mean {' or '.join(suggestions)}" if suggestions else ""
        super().__init__(*field, zone=zone, near=near, suggestions=list(suggestions))


class NotFound(Refusal):
    """No {noun} has this id."""

    code = "NOT_FOUND"

    def __init__(self, *field: str | int, noun: str = "thing") -> None:
        super().__init__(*field, noun=noun)


class AppointmentWithdrawn(Refusal):
    """The provider has withdrawn this appointment; choose another one."""

    code = "APPOINTMENT_WITHDRAWN"


class SlotUnavailable(Refusal):
    """This appointment is taken; choose another one."""

    code = "SLOT_UNAVAILABLE"


class ResourceInUse(Refusal):
    """The service needs {resource}, which is not free at that time; choose another appointment."""

    code = "SLOT_UNAVAILABLE"


class NobodyAvailable(Refusal):
    """Nobody who gives this service is free at that time; choose another one."""

    code = "SLOT_UNAVAILABLE"


class SeriesInConflict(Refusal):
    """{found} of the {count} appointments of this series cannot be had; see conflicts."""

    code = "SLOT_UNAVAILABLE"


class TooLate(Refusal):
    """This appointment starts too soon to be reserved."""

    code = "LEAD_TIME"


class HoldExpired(Refusal):
    """The hold on this appointment has ended; reserve it again."""

    code = "HOLD_EXPIRED"


class IllegalState(Refusal):
    """The state of this reservation does not allow this."""

    code = "ILLEGAL_STATE"


class TooEarly(Refusal):
    """It is too early for this."""

    code = "ILLEGAL_STATE"


class NobodyBooked(Refusal):
    """Nobody has this appointment."""

    code = "ILLEGAL_STATE"


class NotConfirmed(Refusal):
    """This is offered to the client, and held for that time alone; confirm it, or give it back, first."""

    code = "ILLEGAL_STATE"


class TooManyRenewals(Refusal):
    """This hold was renewed as often as allowed; confirm it, or let it go."""

    code = "TOO_MANY_RENEWALS"


class TooManyHolds(Refusal):
    """The client holds as many appointments as allowed at once; confirm or cancel one first."""

    code = "TOO_MANY_HOLDS"


class TooManyRequests(Refusal):
    """As many requests of the client as allowed wait for an approval; wait for the answer, or cancel one first."""

    code = "TOO_MANY_HOLDS"


class SeriesHeld(Refusal):
    """The client holds another series; confirm or cancel it first."""

    code = "TOO_MANY_HOLDS"


class TooManyEntries(Refusal):
    """The client waits for as much as allowed at once; take something off the waiting list first."""

    code = "TOO_MANY_ENTRIES"


class NotWaiting(Refusal):
    """This waits no more: it was accepted, or its time is over."""

    code = "ILLEGAL_STATE"


class ProposalDecided(Refusal):
    """This proposal is no longer open."""

    code = "ILLEGAL_STATE"


class VersionConflict(Refusal):
    """Somebody has changed this in the meantime: it is at version {current_version} now."""

    code = "VERSION_CONFLICT"


class Forbidden(Refusal):
    """{problem}"""

    code = "FORBIDDEN"


class HostTaken(Refusal):
    """Another business is asked for at this host."""

    code = "INVALID_INPUT"


class OverlappingRules(Refusal):
    """This overlaps another rule of the same provider, which says something else for the same time."""

    code = "OVERLAPPING_RULES"


class AlreadyExists(Refusal):
    """There is one like this already; change that one instead."""

    code = "ALREADY_EXISTS"


class InUse(Refusal):
    """Others still refer to this, so it cannot be deleted."""

    code = "IN_USE"


class HorizonsCross(Refusal):
    """maximumHorizonMinutes must be more than minimumHorizonMinutes."""

    code = "INVALID_INPUT"

    def __init__(self, *field: str | int) -> None:
        super().__init__(*(field or ("maximumHorizonMinutes",)))


class BeyondHorizon(Refusal):
    """This appointment lies farther ahead than can be reserved."""

    code = "HORIZON"


class NotOffered(Refusal):
    """This is not offered."""

    code = "NOT_OFFERED"


class EndpointDisabled(Refusal):
    """The endpoint is switched off; switch it on first."""

    code = "ILLEGAL_STATE"


class CancellationWindow(Refusal):
    """It is too late to cancel this; ask the business."""

    code = "CANCELLATION_WINDOW"


class MovingWindow(Refusal):
    """It is too late to move this; ask the business."""

    code = "CANCELLATION_WINDOW"


class ReasonNeeded(Refusal):
    """The client could no longer cancel this; tell a reason for cancelling it now."""

    code = "CANCELLATION_WINDOW"


class DuplicateRows(Refusal):
    """The same window was sent twice."""

    code = "DUPLICATE_ROWS"


class OverlappingRows(Refusal):
    """{problem}"""

    code = "OVERLAPPING_ROWS"


class TooManyRows(Refusal):
    """{found} appointments are too many for one request; {limit} are allowed."""

    code = "TOO_MANY_ROWS"


class TooManyAppointments(Refusal):
    """The rules of provider {provider} make {found} appointments; {limit} are allowed."""

    code = "TOO_MANY_ROWS"


class IdempotencyKeyReused(Refusal):
    """This idempotency key was used for another request; choose a new one."""

    code = "IDEMPOTENCY_KEY_REUSED"


class RateLimited(Refusal):
    """You have asked for too much; try again in a while."""

    code = "RATE_LIMITED"
    retryable = True


class Busy(Refusal):
    """Others are changing the same thing; try again."""

    code = "BUSY"
    retryable = True


class SignalsMissed(Refusal):
    """More has changed than could be told one by one; read again what you need, and subscribe anew."""

    code = "UNAVAILABLE"
    retryable = True


class Timeout(Refusal):
    """The database took too long; try again, or ask for less."""

    code = "TIMEOUT"
    retryable = True


class Unavailable(Refusal):
    """The database is out of reach for a moment; try again."""

    code = "UNAVAILABLE"
    retryable = True


# A constraint is named for the rule it keeps, and a name maps to exactly one refusal.
REFUSAL_OF_CONSTRAINT: dict[str, type[Refusal]] = {
    "provider_is_free": SlotUnavailable,
    "resource_is_free": SlotUnavailable,
    "seat_is_free": SlotUnavailable,
    "appointment_is_published": AppointmentWithdrawn,
    "reservation_of_client": NotFound,
    "appointment_of_service": NotFound,
    "appointment_at_location": NotFound,
    "booked_ahead": TooLate,
    "confirmed_in_time": HoldExpired,
    "closed_is_final": IllegalState,
    "holds_are_few": TooManyHolds,
    "requests_are_few": TooManyRequests,
    "entries_are_few": TooManyEntries,
    "entry_of_client": NotFound,
    "renewals_are_few": TooManyRenewals,
    "not_before_its_start": TooEarly,
    "approved_first": IllegalState,
    "unit_is_free": SlotUnavailable,
    "booked_within_horizon": BeyondHorizon,
    "service_is_offered": NotOffered,
    "weekly_rules_agree": OverlappingRules,
    "dated_rules_agree": OverlappingRules,
    "horizon_is_sane": HorizonsCross,
    "skill_is_new": AlreadyExists,
    "offering_is_new": AlreadyExists,
    "exception_is_new": AlreadyExists,
    "holiday_is_new": AlreadyExists,
    "import_is_new": AlreadyExists,
    # What is referred to is looked for before anything refers to it: these are met by those who delete.
    "provider_has_skill": InUse,
    "service_needs_skill": InUse,
    "requirement_is_there": InUse,
    "offering_of_service": InUse,
    "offering_at_location": InUse,
    "resource_at_location": InUse,
    "rule_at_location": InUse,
    "rule_for_service": InUse,
    "exception_at_location": InUse,
    "exception_for_service": InUse,
    "holiday_at_location": InUse,
    "reservation_of_service": InUse,
    "reservation_of_resource": InUse,
    "claim_on_resource": InUse,
    "entry_for_service": InUse,
    "entry_at_location": InUse,
    "time_off_of_import": InUse,
    "host_is_free": HostTaken,
    "visit_of_client": NotFound,
    "series_of_client": NotFound,
    "series_of_provider": NotFound,
    "series_of_service": NotFound,
}
