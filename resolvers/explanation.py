"""Explaining availability: what stands in the way of one time of one provider."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models import generation
from models.explanation import (
    AvailabilityReasonCode,
    Reason,
    Time,
    claims,
    of_appointment,
    of_policies,
    of_schedule,
    situation,
)
from models.refusal import NotFound
from models.timetable import Timetable
from resolvers.context import Context


@dataclass(frozen=True)
class Explanation:
    """Whether a time can be reserved now, and if not, everything that stands in the way."""

    available: bool
    appointment_id: UUID | None
    reasons: tuple[Reason, ...] = ()


async def explain(context: Context, time: Time) -> Explanation:
    """Look at a time, and at what others have of it; or at the rules, if it is not published."""
    found = await context.database.row(situation(context.viewer, time))
    if found is None:
        raise NotFound("providerId", noun="provider")
    if time.service_id is not None and found.policy_id is None:
        raise NotFound("serviceId", noun="service")
    if found.is_available:
        return Explanation(available=True, appointment_id=found.id)
    if found.id is None or found.withdrawn_at is not None:
        reasons = [*of_schedule(time, found, await _timetable(context, time)), *of_policies(time, found)]
    else:
        claimed = await context.database.rows(claims(context.viewer, time, found))
        reasons = [*of_policies(time, found), *of_appointment(time, found, claimed)]
    # Whoever had it when it was looked at has let it go since.
    passing = Reason(AvailabilityReasonCode.FULL, "It was taken a moment ago; ask again.")
    return Explanation(available=False, appointment_id=found.id, reasons=tuple(reasons) or (passing,))


async def _timetable(context: Context, time: Time) -> Timetable:
    viewer, providers = context.viewer, [time.provider_id]
    told: list[Any] = [
        await context.database.rows(statement)
        for statement in (
            generation.rules(viewer, providers),
            generation.exceptions(viewer, providers),
            generation.holidays(viewer),
        )
    ]
    return Timetable(*told)
