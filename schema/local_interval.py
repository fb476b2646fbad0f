"""Local intervals: windows of a local day, as inputs send them and as answers show them."""

from collections.abc import Sequence

import strawberry

from models.local_time import MINUTES_OF_DAY, Interval, Weekday
from schema.access import TEAM
from schema.scalars import LocalTime

__all__ = ["LocalInterval", "LocalIntervalInput", "Weekday", "intervals"]

strawberry.enum(Weekday, description=Weekday.__doc__)

START = "When it begins, from 00:00 to 23:59."
END = "When it ends, after its start; 24:00 is the end of the day. It lasts 24 hours at most."
NEXT_DAY = "Whether `end` lies on the next day: a window over midnight belongs to the date on which it begins."


@strawberry.type(description="A window of a local day, in wall time.", directives=[TEAM])
class LocalInterval:
    start: LocalTime = strawberry.field(description=START)
    end: LocalTime = strawberry.field(description=END)
    ends_next_day: bool = strawberry.field(description=NEXT_DAY)

    @classmethod
    def of(cls, window: Interval) -> "LocalInterval":
        """Show a window."""
        is_later = window.end > MINUTES_OF_DAY
        end = window.end - MINUTES_OF_DAY if is_later else window.end
        return cls(start=LocalTime(window.start), end=LocalTime(end), ends_next_day=is_later)


@strawberry.input(description="A window of a local day, in wall time.")
class LocalIntervalInput:
    start: LocalTime = strawberry.field(description=START)
    end: LocalTime = strawberry.field(description=END)
    ends_next_day: bool | None = strawberry.field(default=False, description=NEXT_DAY)

    def interval(self, *field: str | int) -> Interval:
        """Read it, where it stands in an input."""
        return Interval.read(self.start, self.end, *field, ends_next_day=bool(self.ends_next_day))


def intervals(sent: Sequence[LocalIntervalInput], *field: str | int) -> list[Interval]:
    """Read several."""
    return [each.interval(*field, n) for n, each in enumerate(sent)]
