"""User errors: how a refusal is shown, in a payload's `userErrors` or, when they are not selected, at the top."""

from dataclasses import MISSING, fields
from datetime import datetime
from enum import Enum
from inspect import isawaitable
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLSkipDirective,
    OperationDefinitionNode,
    SelectionSetNode,
)
from graphql.execution.values import get_directive_values
from strawberry.extensions import FieldExtension

from models import refusal as refusals
from models.node_id import encode
from models.refusal import Refusal, Refusals
from models.zone import written
from schema.access import EVERYBODY
from schema.connection import several
from schema.cost import FEW
from schema.reservation import ReservationStatus


@strawberry.enum(description="What went wrong, for programs.")
class UserErrorCode(Enum):
    ALREADY_EXISTS = "ALREADY_EXISTS"
    APPOINTMENT_WITHDRAWN = "APPOINTMENT_WITHDRAWN"
    BUSY = "BUSY"
    CANCELLATION_WINDOW = "CANCELLATION_WINDOW"
    DUPLICATE_ROWS = "DUPLICATE_ROWS"
    FORBIDDEN = "FORBIDDEN"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    HORIZON = "HORIZON"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    ILLEGAL_STATE = "ILLEGAL_STATE"
    IN_USE = "IN_USE"
    INVALID_INPUT = "INVALID_INPUT"
    LEAD_TIME = "LEAD_TIME"
    NOT_FOUND = "NOT_FOUND"
    NOT_OFFERED = "NOT_OFFERED"
    OVERLAPPING_ROWS = "OVERLAPPING_ROWS"
    OVERLAPPING_RULES = "OVERLAPPING_RULES"
    RATE_LIMITED = "RATE_LIMITED"
    SLOT_UNAVAILABLE = "SLOT_UNAVAILABLE"
    TIMEOUT = "TIMEOUT"
    TOO_MANY_ENTRIES = "TOO_MANY_ENTRIES"
    TOO_MANY_HOLDS = "TOO_MANY_HOLDS"
    TOO_MANY_RENEWALS = "TOO_MANY_RENEWALS"
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN_TIME_ZONE = "UNKNOWN_TIME_ZONE"
    VERSION_CONFLICT = "VERSION_CONFLICT"


@strawberry.interface(
    description="Why a mutation wrote nothing. Each kind carries its own way out.", directives=[EVERYBODY]
)
class UserError:
    message: str = strawberry.field(description="One sentence, for people.")
    field: list[str] | None = strawberry.field(description="The path into the input; null when no field is to blame.")
    code: UserErrorCode = strawberry.field(description="The same, for programs.")
    retryable: bool = strawberry.field(description="Whether the same request may succeed if it is sent again.")


def thing(kind: Any) -> Any:
    """Declare what a mutation has written, in its payload."""
    return strawberry.field(graphql_type=kind, default=None, description="Null when nothing was written.")


def user_errors(description: str = "Why nothing was written; empty when all went well.") -> Any:
    """Declare the refusals of a payload."""
    return strawberry.field(default_factory=list, description=description, directives=[FEW])


@strawberry.type(description="A refusal that needs no more words.", directives=[EVERYBODY])
class RefusedError(UserError):
    pass


@strawberry.type(description="A value that cannot be used.", directives=[EVERYBODY])
class InvalidInputError(UserError):
    pass


@strawberry.type(description="A name that is no time zone.", directives=[EVERYBODY])
class UnknownTimeZoneError(UserError):
    suggestions: list[str] = strawberry.field(description="Up to three names that look like it.")


@strawberry.type(
    description="The appointment is held or booked by someone else, or what the service needs is in use.",
    directives=[EVERYBODY],
)
class SlotUnavailableError(UserError):
    alternatives: Any = strawberry.field(
        graphql_type=several("Appointment"),
        default_factory=list,
        description="The nearest free appointments of the same provider, or of any for whoever takes any; up to 3.",
        directives=[FEW],
    )


@strawberry.type(description="The appointment starts too soon to be reserved.", directives=[EVERYBODY])
class LeadTimeError(UserError):
    earliest_start: datetime = strawberry.field(description="What starts before this cannot be reserved now.")
    lead_time_minutes: int = strawberry.field(description="How far ahead appointments are reserved, in minutes.")


@strawberry.type(description="The appointment lies farther ahead than can be reserved.", directives=[EVERYBODY])
class HorizonError(UserError):
    latest_start: datetime = strawberry.field(description="What starts after this cannot be reserved yet.")


@strawberry.type(
    description="A client cancels or moves a booking later than was agreed on, or somebody else cancels it as late and tells "
    "no reason.",
    directives=[EVERYBODY],
)
class CancellationWindowError(UserError):
    deadline: datetime = strawberry.field(description="Until when the client could.")


@strawberry.type(description="The hold has lapsed.", directives=[EVERYBODY])
class HoldExpiredError(UserError):
    expired_at: datetime = strawberry.field(description="When it lapsed.")


@strawberry.type(description="The reservation's state does not allow the change.", directives=[EVERYBODY])
class IllegalStateError(UserError):
    state: ReservationStatus = strawberry.field(description="The state in which it is.")
    possible_at: datetime | None = strawberry.field(
        default=None, description="From when on this can be done; null if that is no question of time."
    )


@strawberry.type(description="The same window was sent twice.", directives=[EVERYBODY])
class DuplicateRowsError(UserError):
    rows: list[int] = strawberry.field(description="The indexes of both.")


@strawberry.type(
    description="Windows overlap each other, or appointments that are already published.", directives=[EVERYBODY]
)
class OverlappingRowsError(UserError):
    rows: list[int] = strawberry.field(description="The indexes of the windows.")
    appointment_ids: list[strawberry.ID] = strawberry.field(description="The published appointments, up to 10.")


@strawberry.type(description="A rule contradicts others of the same provider.", directives=[EVERYBODY])
class OverlappingRulesError(UserError):
    rule_ids: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="The rules that it overlaps, up to 10."
    )


@strawberry.type(
    description="Windows, or the rules of a provider, make more appointments than they may.", directives=[EVERYBODY]
)
class TooManyRowsError(UserError):
    found: int = strawberry.field(description="How many they make.")
    limit: int = strawberry.field(description="How many are allowed.")


@strawberry.type(description="The client waits for as much as allowed at once.", directives=[EVERYBODY])
class TooManyEntriesError(UserError):
    limit: int = strawberry.field(description="How much is allowed.")


@strawberry.type(
    description="The client holds as much, or has as many requests waiting for an approval, as allowed at once.",
    directives=[EVERYBODY],
)
class TooManyHoldsError(UserError):
    limit: int = strawberry.field(description="How many are allowed.")


@strawberry.type(description="The hold was renewed as often as the business allows.", directives=[EVERYBODY])
class TooManyRenewalsError(UserError):
    limit: int = strawberry.field(description="How often a hold may be renewed.")


@strawberry.type(description="Somebody has changed the thing since it was read.", directives=[EVERYBODY])
class VersionConflictError(UserError):
    current_version: int = strawberry.field(description="The version at which it is now.")


SHOWN_AS: dict[type[Refusal], type[UserError]] = {
    refusals.InvalidInput: InvalidInputError,
    refusals.UnknownTimeZone: UnknownTimeZoneError,
    refusals.SlotUnavailable: SlotUnavailableError,
    refusals.ResourceInUse: SlotUnavailableError,
    refusals.NobodyAvailable: SlotUnavailableError,
    refusals.SeriesInConflict: SlotUnavailableError,
    refusals.TooLate: LeadTimeError,
    refusals.BeyondHorizon: HorizonError,
    refusals.CancellationWindow: CancellationWindowError,
    refusals.MovingWindow: CancellationWindowError,
    refusals.ReasonNeeded: CancellationWindowError,
    refusals.HoldExpired: HoldExpiredError,
    refusals.IllegalState: IllegalStateError,
    refusals.TooEarly: IllegalStateError,
    refusals.NotConfirmed: IllegalStateError,
    refusals.DuplicateRows: DuplicateRowsError,
    refusals.OverlappingRows: OverlappingRowsError,
    refusals.OverlappingRules: OverlappingRulesError,
    refusals.TooManyEntries: TooManyEntriesError,
    refusals.TooManyHolds: TooManyHoldsError,
    refusals.TooManyRequests: TooManyHoldsError,
    refusals.SeriesHeld: TooManyHoldsError,
    refusals.TooManyRenewals: TooManyRenewalsError,
    refusals.TooManyRows: TooManyRowsError,
    refusals.TooManyAppointments: TooManyRowsError,
    refusals.VersionConflict: VersionConflictError,
}
"""Every other refusal is a RefusedError."""


def shown(refusal: Refusal) -> UserError:
    """Show a refusal as the type that has its details; without them, as the rule of the database told it, in plain words."""
    kind = SHOWN_AS.get(type(refusal), RefusedError)
    if not _needed(kind) <= refusal.details.keys():
        kind = RefusedError
    details = {name: value for name, value in refusal.details.items() if name in kind.__annotations__}
    if "appointment_ids" in details:
        details["appointment_ids"] = [encode("Appointment", key) for key in details["appointment_ids"]]
    return kind(
        message=refusal.sentence,
        field=refusal.field or None,
        code=UserErrorCode(refusal.code),
        retryable=refusal.retryable,
        **details,
    )


def _needed(kind: type[UserError]) -> set[str]:
    told = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}
    return told - {field.name for field in fields(UserError)}


def extensions(refusal: Refusal) -> dict[str, Any]:
    """Show a refusal in the `extensions` of a top-level error."""
    details = {
        _camel(name): _plain(value) for name, value in refusal.details.items() if name not in ("problem", "near")
    }
    field = {"field": ".".join(refusal.field)} if refusal.field else {}
    return {"code": refusal.code, **field, "retryable": refusal.retryable, **details}


class Refusing(FieldExtension):
    """Answers a refused mutation with its payload, if the document selects `userErrors`; else it is an error."""

    def apply(self, field: Any) -> None:
        self.field = field

    async def resolve_async(self, next_: Any, source: Any, info: strawberry.Info[Any, Any], **kwargs: Any) -> Any:
        alone = is_alone(info._raw_info.operation)  # noqa: SLF001
        info.context.mutation = None if alone else str(info.path.key)  # mutations run one after the other
        try:
            payload = await next_(source, info, **kwargs)
            if isawaitable(payload):  # declared, not written as a coroutine
                payload = await payload
        except (Refusal, Refusals) as refused:
            if not _selects_user_errors(info):
                raise
            several = refused.refusals if isinstance(refused, Refusals) else [refused]
            payload = self.field.type(user_errors=[shown(refusal) for refusal in several])
        if payload.user_errors and _selects_user_errors(info):
            info.context.told += [error.code.value for error in payload.user_errors]
        elif payload.user_errors:
            info.context.untold += payload.refusals()
        return payload


def is_alone(operation: OperationDefinitionNode) -> bool:
    """Whether a mutation is all that a document can ask for: then the key in the header is its own, and not shared."""
    roots = operation.selection_set.selections
    return len(roots) == 1 and isinstance(roots[0], FieldNode)


def _selects_user_errors(info: strawberry.Info[Any, Any]) -> bool:
    return any(_selects("userErrors", node.selection_set, info) for node in info._raw_info.field_nodes)  # noqa: SLF001


def _selects(name: str, selections: SelectionSetNode | None, info: strawberry.Info[Any, Any]) -> bool:
    raw = info._raw_info  # noqa: SLF001
    for node in selections.selections if selections else ():
        skip = get_directive_values(GraphQLSkipDirective, node, raw.variable_values)
        include = get_directive_values(GraphQLIncludeDirective, node, raw.variable_values)
        if (skip and skip["if"]) or (include and not include["if"]):
            continue
        if isinstance(node, FieldNode):
            if node.name.value == name:
                return True
        else:
            fragment = raw.fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
            if _selects(name, getattr(fragment, "selection_set", None), info):
                return True
    return False


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return written(value)
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "starts_at"):
        return [{"id": encode("Appointment", row.id), "startsAt": written(row.starts_at)} for row in value]
    return value
