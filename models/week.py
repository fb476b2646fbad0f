"""Weeks: all weekly rules of a provider at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Delete, Insert, Row, delete, func, insert

from models.availability_rule import AvailabilityRule, validity
from models.local_time import MINUTES_OF_DAY, MINUTES_OF_WEEK, Interval, agree
from models.record import array_of
from models.refusal import InvalidInput
from models.terms import Terms
from models.viewer import Viewer

MOST_INTERVALS = 200
COLUMNS = (
    *("weekday", "starts_minute", "ends_minute", "valid_from", "valid_until"),
    *("location_id", "service_id", "time_zone", "slot_minutes", "grid_minutes", "capacity"),
)


@dataclass(frozen=True)
class Week:
    """The windows of a provider's week, by the number of the weekday on which each starts; all on the same terms."""

    provider_id: UUID
    windows: tuple[tuple[int, Interval], ...]
    terms: Terms
    valid_from: date | None
    valid_until: date | None

    @classmethod
    def read(cls, provider_id: UUID, windows: Sequence[tuple[int, Interval]], values: Mapping[str, Any]) -> "Week":
        """Check a week: it is not empty, and nobody is told two things for the same minute."""
        if not windows:
            problem = "A week has one interval at least; weeklyScheduleDelete deletes the weekly rules of a provider."
            raise InvalidInput("days", problem=problem)
        if len(windows) > MOST_INTERVALS:
            problem = f"{len(windows)} intervals are too many; {MOST_INTERVALS} are allowed."
            raise InvalidInput("days", problem=problem)
        agree([((weekday - 1) * MINUTES_OF_DAY, window) for weekday, window in windows], cycle=MINUTES_OF_WEEK)
        return cls(provider_id, tuple(windows), Terms.read(values), *validity(values))

    def rules(self) -> list[dict[str, Any]]:
        """Write each window as the columns of a rule."""
        valid = {"valid_from": self.valid_from, "valid_until": self.valid_until}
        return [
            {"weekday": weekday, "starts_minute": window.start, "ends_minute": window.end}
            | valid
            | self.terms.columns()
            for weekday, window in self.windows
        ]


@dataclass(frozen=True)
class EmptyWeek:
    """A week without windows: the weekly rules of a provider are deleted."""

    provider_id: UUID


def difference(stored: Sequence[Row[Any]], wanted: Sequence[dict[str, Any]]) -> tuple[list[UUID], list[dict[str, Any]]]:
    """Tell which stored rules are not wanted, and which that are wanted are missing; the others stay as they are."""
    known = {tuple(getattr(row, name) for name in COLUMNS): row.id for row in stored}
    kept = {tuple(rule[name] for name in COLUMNS) for rule in wanted}
    superfluous = [key for values, key in known.items() if values not in kept]
    return superfluous, [rule for rule in wanted if tuple(rule[name] for name in COLUMNS) not in known]


def remove(viewer: Viewer, keys: Sequence[UUID]) -> Delete:
    """Delete rules, in one statement."""
    named = AvailabilityRule.id == func.any(array_of(keys, AvailabilityRule.id.type))
    return delete(AvailabilityRule).where(AvailabilityRule.visible_to(viewer), named)


def add(viewer: Viewer, provider: UUID, rules: Sequence[dict[str, Any]]) -> Insert:
    """Write the rules of a provider, in one statement."""
    of = {"business_id": viewer.business_id, "provider_id": provider}
    return insert(AvailabilityRule).values([of | rule for rule in rules])
