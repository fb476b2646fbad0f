"""Terms: what is offered in a provider's windows: where, which service, in which zone, and in slots of which length."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from models.local_time import MINUTES_OF_DAY, Interval
from models.refusal import InvalidInput

LARGEST_CAPACITY = 1000
# The fields of an input that tell them, and the columns of a row that has them.
NAMES = ("location_id", "service_id", "time_zone", "slot_minutes", "grid_minutes", "capacity")


@dataclass(frozen=True)
class Terms:
    """What rules, exceptions and weeks have in common."""

    location_id: UUID | None
    service_id: UUID | None
    time_zone: str | None
    slot_minutes: int | None
    grid_minutes: int | None
    capacity: int

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Terms":
        """Check what can be checked without looking anything up."""
        terms = cls(**{name: values[name] for name in NAMES})
        for value, most, field in (
            (terms.slot_minutes, MINUTES_OF_DAY, "slotMinutes"),
            (terms.grid_minutes, MINUTES_OF_DAY, "gridMinutes"),
            (terms.capacity, LARGEST_CAPACITY, "capacity"),
        ):
            if value is not None and not 1 <= value <= most:
                raise InvalidInput(field, problem=f"{field} must be from 1 to {most}.")
        if terms.capacity is None:
            raise InvalidInput("capacity", problem="capacity must not be null.")
        return terms

    def fit(self, service_minutes: int | None, windows: Sequence[Interval]) -> None:
        """Check that each window takes an appointment, which is as long as the service at least."""
        length = self.slot_minutes or service_minutes
        if self.slot_minutes and service_minutes and self.slot_minutes < service_minutes:
            problem = f"slotMinutes is shorter than the service, which takes {service_minutes} minutes."
            raise InvalidInput("slotMinutes", problem=problem)
        if length is None:
            if windows:
                raise InvalidInput("slotMinutes", problem="Send slotMinutes, or a service that has a duration.")
            return
        if self.grid_minutes is not None and self.grid_minutes < length:
            problem = f"gridMinutes must be {length} at least, the length of an appointment."
            raise InvalidInput("gridMinutes", problem=problem)
        for window in windows:
            if window.length < length:
                problem = f"The window is shorter than one appointment of {length} minutes."
                raise InvalidInput(*window.field, "end", problem=problem)

    def columns(self) -> dict[str, Any]:
        return asdict(self)
