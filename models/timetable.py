"""Timetables: from rules, exceptions and holidays, which speak of local days, to the stretches in which somebody works."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from models import zone

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@dataclass(frozen=True)
class Stretch:
    """A time in which a provider works, to be cut into slots of so many minutes, one beginning every `step` minutes."""

    provider_id: UUID
    starts_at: datetime
    ends_at: datetime
    slot: int
    step: int
    capacity: int
    service_id: UUID | None
    location_id: UUID | None

    @property
    def slots(self) -> int:
        """How many slots it is cut into."""
        return max(0, ((self.ends_at - self.starts_at) // MINUTE - self.slot) // self.step + 1)

    def within(self, since: datetime, until: datetime) -> int:
        """How many of its slots begin at an instant or later, and before another one."""
        return max(0, min(self._before(until), self.slots) - max(self._before(since), 0))

    def _before(self, instant: datetime) -> int:
        return -((self.starts_at - instant) // (self.step * MINUTE))


class Timetable:
    """What the rows of rules, exceptions and holidays say together.

    On a date an exception goes before everything; a holiday closes its location; rules for that date go before weekly ones.
    """

    def __init__(self, rules: Iterable[Any], exceptions: Iterable[Any] = (), holidays: Iterable[Any] = ()) -> None:
        self.weekly: defaultdict[tuple[UUID, int], list[Any]] = defaultdict(list)
        self.dated: defaultdict[UUID, list[Any]] = defaultdict(list)
        self.exceptions = {(row.provider_id, row.date): row for row in exceptions}
        self.closed = {(row.date, row.location_id) for row in holidays}
        self.providers: dict[UUID, None] = dict.fromkeys(provider for provider, _ in self.exceptions)
        self._moments: dict[tuple[str, date, int], datetime] = {}
        for rule in rules:
            self.providers.setdefault(rule.provider_id)
            if rule.weekday is None:
                self.dated[rule.provider_id].append(rule)
            else:
                self.weekly[rule.provider_id, rule.weekday].append(rule)

    def stretches(self, provider_id: UUID, first: date, last: date) -> list[Stretch]:
        """Tell when a provider works on the local dates from the first to the last; no two stretches share a moment."""
        found: list[Stretch] = []
        for n in range((last - first).days + 1):
            found += self.day(provider_id, first + n * DAY)
        return list(_apart(sorted(found, key=lambda stretch: (stretch.starts_at, stretch.ends_at))))

    def day(self, provider_id: UUID, day: date) -> Iterator[Stretch]:
        """Tell what begins on one local date."""
        for source, starts, ends in self.windows(provider_id, day):
            if not source.is_offered or source.slot is None:
                continue
            starts_at, ends_at = self.moment(source.zone, day, starts), self.moment(source.zone, day, ends)
            step = source.slot if source.grid is None else -(-source.slot // source.grid) * source.grid
            stretch = Stretch(
                *(provider_id, starts_at, ends_at, source.slot, step, source.capacity),
                *(source.service_id, source.location_id),
            )
            if stretch.slots:
                yield stretch

    def windows(self, provider_id: UUID, day: date) -> Iterator[tuple[Any, int, int]]:
        """Tell which rule, or which exception, gives which minutes of a local date."""
        exception = self.exceptions.get((provider_id, day))
        if exception is not None:
            yield from ((exception, window.lower, window.upper) for window in exception.windows)
            return
        for rule in self.rules(provider_id, day):
            if not self.is_holiday(day, rule.location_id):
                yield rule, rule.starts_minute, rule.ends_minute

    def rules(self, provider_id: UUID, day: date) -> Sequence[Any]:
        """Tell which rules speak of a local date, be it a holiday or not."""
        dated = [rule for rule in self.dated[provider_id] if any(span.contains(day) for span in rule.dates)]
        return dated or [rule for rule in self.weekly[provider_id, day.isoweekday()] if _is_valid(rule, day)]

    def is_holiday(self, day: date, location_id: UUID | None) -> bool:
        return (day, None) in self.closed or (location_id is not None and (day, location_id) in self.closed)

    def moment(self, zone_name: str, day: date, minute: int) -> datetime:
        """Find the instant of a minute of a local date; 1440 and more belong to the next."""
        key = (zone_name, day, minute)
        if key not in self._moments:
            local = datetime.combine(day, time.min) + minute * MINUTE
            self._moments[key] = zone.instant(local, zone.zone(zone_name))
        return self._moments[key]


def _is_valid(rule: Any, day: date) -> bool:
    begun = rule.valid_from is None or rule.valid_from <= day
    return begun and (rule.valid_until is None or day <= rule.valid_until)


def _apart(ordered: Iterable[Stretch]) -> Iterator[Stretch]:
    """Let none begin before the one before has ended: two local days may share a moment. The grid stays where it is."""
    end: datetime | None = None
    for stretch in ordered:
        if end is not None and stretch.starts_at < end:
            steps = -(-(end - stretch.starts_at) // (stretch.step * MINUTE))
            stretch = replace(stretch, starts_at=stretch.starts_at + steps * stretch.step * MINUTE)  # noqa: PLW2901
        if stretch.slots:
            end = stretch.ends_at
            yield stretch
