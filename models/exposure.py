"""Exposure: which few of the free times somebody is shown; and what became of those, provider by provider."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle, islice, product
from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Insert, Select, Text, Uuid, column, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from models import zone
from models.business import ExposureVariant
from models.record import Record, array_of, bound, stamped
from models.viewer import Viewer

WINDOW = timedelta(minutes=7)
"""For so long the same viewer is shown the same."""
PARTS = 3
NOON, EVENING = 12, 17
# How many times are shown, at least and at most: of one provider; of several; and of several to a stylist's clients.
OF_ONE, OF_SEVERAL, OF_STYLISTS = (1, 3), (3, 5), (2, 5)


class Exposure(Record):
    """That a time was shown to one viewer, by the seed of what they were shown: for the report, and nothing else."""

    __tablename__ = "exposures"
    __table_args__ = (
        CheckConstraint("length(seed) BETWEEN 1 AND 64", name="seed_is_short"),
        Index("exposures_by_time", "business_id", "shown_at", "provider_id"),
        Index("exposures_by_age", "shown_at", postgresql_using="brin"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    seed: Mapped[str] = mapped_column(primary_key=True)
    appointment_id: Mapped[UUID] = mapped_column(primary_key=True)
    provider_id: Mapped[UUID]
    location_id: Mapped[UUID | None]
    shown_at: Mapped[datetime] = stamped()


@dataclass(frozen=True)
class Candidate:
    """A time that may be shown; `taken_at` tells when somebody took it since the window began, if anybody did.

    One that `is_late` was published, or given back, only after that.
    """

    id: UUID
    provider_id: UUID
    part: int
    taken_at: datetime | None = None
    is_late: bool = False


def part_of_day(instant: datetime, time_zone: str) -> int:
    """Tell morning (0), afternoon (1) and evening (2) apart, each reaching as far as the next one: night is near one of them."""
    hour = instant.astimezone(zone.zone(time_zone)).hour
    return (hour >= NOON) + (hour >= EVENING)


def rank(seed: str, thing: object) -> int:
    """Where a thing comes in the order of a seed (rendezvous hashing): taking one away moves no other."""
    return int.from_bytes(hashlib.md5(f"{seed}{thing}".encode(), usedforsecurity=False).digest())


def size(seed: str, variant: ExposureVariant, *, is_one_provider: bool) -> int:
    """Draw how many times are shown."""
    of_several = OF_STYLISTS if variant is ExposureVariant.STYLIST else OF_SEVERAL
    least, most = OF_ONE if is_one_provider else of_several
    return least + rank(seed, "size") % (most - least + 1)


def choose(candidates: Iterable[Candidate], seed: str, most: int) -> list[Candidate]:
    """Choose what is shown: as it was when the window began, with each time that was taken since replaced where it stood.

    What is late comes behind, where there was too little: it changes nothing of what has been shown.
    """
    in_order = sorted(candidates, key=lambda each: rank(seed, each.id))
    shown = _kept([each for each in in_order if not each.is_late], seed, most)
    return shown + _kept([each for each in in_order if each.is_late], seed, most - len(shown))


def _kept(in_order: Sequence[Candidate], seed: str, most: int) -> list[Candidate]:
    shown = _first_choice(in_order, seed, most)
    chosen = {each.id for each in shown}
    spare = [each for each in in_order if each.id not in chosen]
    places: list[Candidate | None] = [*shown]
    for moment, gone in _taken(in_order):
        spare = [each for each in spare if each.taken_at != moment]
        for lost in gone:
            if lost in places:
                found = _nearest(lost, spare, places, seed)
                places[places.index(lost)] = found
                spare = [each for each in spare if each is not found]
    return [each for each in places if each is not None]


def _first_choice(in_order: Sequence[Candidate], seed: str, most: int) -> list[Candidate]:
    pools: defaultdict[UUID, defaultdict[int, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for each in in_order:
        pools[each.provider_id][each.part].append(each)
    rooms = {provider: Counter({part: len(pool) for part, pool in parts.items()}) for provider, parts in pools.items()}
    turns = _turns(
        {provider: rooms[provider].total() for provider in sorted(rooms, key=lambda key: rank(seed, key))}, most
    )
    parts = _spread(turns, rooms, rank(seed, "part") % PARTS)
    return [pools[provider][part].pop(0) for provider, part in zip(turns, parts, strict=True)]


def _turns(times: dict[UUID, int], most: int) -> list[UUID]:
    """Give each provider a turn before any has a second one, in their order, for as long as they have times."""
    rounds = range(max(times.values(), default=0))
    return list(islice((provider for n in rounds for provider, count in times.items() if count > n), most))


def _spread(turns: Sequence[UUID], rooms: dict[UUID, Counter[int]], first: int) -> tuple[int, ...]:
    """Give each turn a part of the day that its provider has a time in, so that the parts are as even as can be.

    Each turn would rather have the part after that of the turn before. Of what is equally even, the first is taken.
    """
    wishes = [
        [part for part in islice(cycle(range(PARTS)), first + n, first + n + PARTS) if rooms[provider][part]]
        for n, provider in enumerate(turns)
    ]
    evenest = _unevenness(islice(cycle(range(PARTS)), len(turns)))
    best: tuple[int, tuple[int, ...]] | None = None
    for parts in product(*wishes):
        wanted = Counter(zip(turns, parts, strict=True))
        if any(rooms[provider][part] < count for (provider, part), count in wanted.items()):
            continue
        found = _unevenness(parts)
        if best is None or found < best[0]:
            best = found, parts
        if found == evenest:
            break
    return best[1] if best else ()


def _unevenness(parts: Iterable[int]) -> int:
    return sum(count**2 for count in Counter(parts).values())


def _taken(candidates: Sequence[Candidate]) -> Iterator[tuple[datetime, list[Candidate]]]:
    """Go through what was taken, in the order in which it was."""
    moments: defaultdict[datetime, list[Candidate]] = defaultdict(list)
    for each in candidates:
        if each.taken_at is not None:
            moments[each.taken_at].append(each)
    return iter(sorted(moments.items()))


def _nearest(
    lost: Candidate, spare: Sequence[Candidate], places: Sequence[Candidate | None], seed: str
) -> Candidate | None:
    """Find what comes nearest to a time that is gone: of its provider, then of its part of the day, then any."""
    turns = Counter(each.provider_id for each in places if each is not None)

    def distance(each: Candidate) -> tuple[bool, bool, int, int, int]:
        is_another = each.provider_id != lost.provider_id
        order = turns[each.provider_id], rank(seed, each.provider_id), rank(seed, each.id)
        return is_another, each.part != lost.part, *order

    return min(spare, key=distance, default=None)


@dataclass(frozen=True)
class Shown:
    """What was shown for a seed: of each time its appointment, its provider and its location."""

    fixed: ClassVar[tuple[str, ...]] = ()

    seed: str
    appointments: tuple[UUID, ...]
    providers: tuple[UUID, ...]
    locations: tuple[UUID | None, ...]


def record(viewer: Viewer, shown: Shown) -> Insert:
    """Write that these were shown, each once for a seed. Nobody waits for the disk: a power cut may cost a second of it."""
    columns = {
        "appointment_id": array_of(shown.appointments, Uuid),
        "provider_id": array_of(shown.providers, Uuid),
        "location_id": array_of(shown.locations, Uuid),
    }
    time = func.unnest(*columns.values()).table_valued(*(column(name, Uuid) for name in columns)).render_derived("time")
    values = select(bound(viewer.business_id, Uuid), bound(shown.seed, Text), *time.c).where(
        func.set_config("synchronous_commit", "off", True) == "off"
    )
    return insert(Exposure).from_select(["business_id", "seed", *columns], values).on_conflict_do_nothing()


def prune(most: int) -> Select[tuple[int]]:
    """Delete so many of those that are 90 days old, too old for any report, whosever they are; tells how many there were."""
    return select(func.prune_exposures(most).label("pruned"))
