"""What a clock shows: the tables that are given to PostgreSQL say the same as the database of zones that made them."""

import zoneinfo._zoneinfo as plain  # type: ignore[import-not-found]
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.wall import END, EPOCH, FIRST, MINUTE, STEP, Wall, jumps, wall, written
from models.zone import names

SECOND = timedelta(seconds=1)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
JUMPS = (
    ("Europe/Berlin", datetime(2027, 3, 28, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2027, 4, 3, 15, tzinfo=UTC)),
)


def looked_up(table: Wall, instant: datetime) -> timedelta:
    """Find the offset as PostgreSQL does."""
    minute = (instant - EPOCH) // MINUTE
    return table.offsets[sum(jump <= minute for jump in table.jumps) - 1] * MINUTE


@pytest.mark.parametrize("name", sorted(names()))
def test_every_jump_of_a_zone_is_in_its_table(name: str) -> None:
    since, until = FIRST.timestamp(), END.timestamp()
    told = [EPOCH + at * SECOND for at in plain.ZoneInfo.no_cache(name)._trans_utc if since < at < until]

    table = wall(name)

    found = [EPOCH + jump * MINUTE for jump in table.jumps]
    assert found[0] == FIRST
    assert list(table.jumps) == sorted(set(table.jumps))
    assert len(table.jumps) == len(table.offsets)
    where = ZoneInfo(name)
    changed = [at for at in told if at.astimezone(where).utcoffset() != (at - SECOND).astimezone(where).utcoffset()]
    assert [at for at in found if changed and FIRST < at <= changed[-1]] == changed
    for jump, offset in zip(found, table.offsets, strict=True):
        assert jump.astimezone(where).utcoffset() == offset * MINUTE
        assert jump == FIRST or (jump - SECOND).astimezone(where).utcoffset() != offset * MINUTE
    assert min((after - before for before, after in pairwise(found[1:])), default=2 * STEP) > STEP


def test_looking_at_a_zone_on_every_day_finds_no_other_jumps() -> None:
    day = timedelta(days=1)

    for name in names():
        where = ZoneInfo(name)
        assert list(jumps(where, STEP)) == list(jumps(where, day)), name


def test_the_tables_of_all_zones_are_kept() -> None:
    made = {name: wall(name) for name in names()}

    assert all(wall(name) is made[name] for name in names())
    assert len({*made}) > 500


@settings(deadline=None)
@given(st.sampled_from(sorted(names())), INSTANTS)
@example(*JUMPS[0])
@example(JUMPS[0][0], JUMPS[0][1] - timedelta(microseconds=1))
@example(*JUMPS[1])
@example("UTC", datetime(2000, 1, 1, tzinfo=UTC))
@example("Europe/Berlin", datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC))
def test_a_table_says_what_the_zone_says(name: str, instant: datetime) -> None:
    table = wall(name)

    shown = table.shown(instant)

    assert shown == (instant + looked_up(table, instant)).replace(tzinfo=None)


def test_local_time_is_written_without_an_offset_and_with_no_more_digits_than_it_needs() -> None:
    whole, tenth = datetime(2027, 5, 3, 9), datetime(2027, 5, 3, 9, 0, 0, 500_000)  # noqa: DTZ001

    assert written(whole) == "2027-05-03T09:00:00"
    assert written(tenth) == "2027-05-03T09:00:00.5"
