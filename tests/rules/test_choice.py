"""Which times are shown: fair between providers, spread over the day, and the same until somebody takes one."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.business import ExposureVariant
from models.exposure import PARTS, Candidate, choose, part_of_day, rank, size

VIEWERS = 10_000
NOW = datetime(2027, 5, 3, 9, tzinfo=UTC)
STANDARD, STYLIST = ExposureVariant


def key(n: int) -> UUID:
    return UUID(int=n)


def times(*counts: int, parts: int = PARTS) -> list[Candidate]:
    """So many times of each provider, which go round the parts of the day."""
    return [
        Candidate(key(provider * 1000 + n), key(provider), n % parts)
        for provider, count in enumerate(counts, 1)
        for n in range(count)
    ]


def shown_to_all(candidates: list[Candidate], variant: ExposureVariant = STANDARD) -> Counter[UUID]:
    """How often each provider is shown, over all viewers."""
    shown: Counter[UUID] = Counter()
    for viewer in range(VIEWERS):
        seed = f"viewer {viewer}"
        shown.update(each.provider_id for each in choose(candidates, seed, size(seed, variant, is_one_provider=False)))
    return shown


@pytest.mark.parametrize("variant", ExposureVariant)
@pytest.mark.parametrize("providers", [5, 10, 20])
def test_no_share_of_10000_viewers_is_off_by_a_tenth(providers: int, variant: ExposureVariant) -> None:
    shown = shown_to_all(times(*[4] * providers), variant)

    fair = shown.total() / providers
    assert len(shown) == providers
    assert {provider: count for provider, count in shown.items() if abs(count / fair - 1) > 0.1} == {}


@pytest.mark.parametrize("counts", [(1, 2, 3, 5, 40), (1, 1, 1, 1, 2, 9, 20), (*range(1, 10), 60)])
def test_whoever_has_few_times_is_shown_as_often_as_whoever_has_many(counts: tuple[int, ...]) -> None:
    shown = shown_to_all(times(*counts))

    fair = shown.total() / len(counts)
    assert len(shown) == len(counts)
    assert {provider: count for provider, count in shown.items() if abs(count / fair - 1) > 0.1} == {}


def test_the_times_of_one_provider_are_shown_as_often_as_each_other() -> None:
    shown = Counter(each.id for viewer in range(VIEWERS) for each in choose(times(9), f"viewer {viewer}", 3))

    assert len(shown) == 9
    assert max(shown.values()) < 1.1 * min(shown.values())


@pytest.mark.parametrize(
    ("variant", "is_one_provider", "sizes"),
    [
        (STANDARD, True, {1, 2, 3}),
        (STYLIST, True, {1, 2, 3}),
        (STANDARD, False, {3, 4, 5}),
        (STYLIST, False, {2, 3, 4, 5}),
    ],
)
def test_how_many_are_shown_is_drawn_evenly(variant: ExposureVariant, is_one_provider: bool, sizes: set[int]) -> None:
    drawn = Counter(size(f"viewer {n}", variant, is_one_provider=is_one_provider) for n in range(VIEWERS))

    assert set(drawn) == sizes
    assert max(drawn.values()) < 1.1 * min(drawn.values())


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(3, 30), st.text())
def test_with_times_in_all_parts_three_shown_lie_in_three_parts(providers: int, count: int, seed: str) -> None:
    shown = choose(times(*[count] * providers), seed, 3)

    assert {each.part for each in shown} == {0, 1, 2}
    assert len({each.provider_id for each in shown}) == min(providers, 3)


@settings(deadline=None)
@given(st.text())
def test_providers_who_lack_parts_of_the_day_are_still_spread(seed: str) -> None:
    ada, bob, cyd = key(1), key(2), key(3)
    candidates = [
        *(Candidate(key(n), ada, n % 2) for n in range(10, 20)),  # never in the evening
        *(Candidate(key(n), bob, 0) for n in range(20, 30)),  # in the morning
        *(Candidate(key(n), cyd, 1 + n % 2) for n in range(30, 40)),  # never in the morning
    ]

    shown = {each.provider_id: each.part for each in choose(candidates, seed, 3)}

    assert shown == {ada: 1, bob: 0, cyd: 2}


EVERYTHING = st.lists(
    st.builds(
        Candidate,
        st.integers(1, 10_000).map(key),
        st.integers(1, 8).map(key),
        st.integers(0, 2),
        st.none() | st.integers(0, 5).map(lambda minute: NOW + timedelta(minutes=minute)),
        st.booleans(),
    ),
    max_size=30,
    unique_by=lambda each: each.id,
)


@settings(deadline=None)
@given(EVERYTHING, st.text(), st.integers(1, 5), st.integers())
def test_a_choice_depends_on_what_there_is_alone(
    candidates: list[Candidate], seed: str, most: int, shuffling: int
) -> None:
    free = [each for each in candidates if each.taken_at is None]

    shown = choose(candidates, seed, most)
    again = choose(Random(shuffling).sample(candidates, len(candidates)), seed, most)

    assert shown == again
    assert len(set(shown)) == len(shown) <= most
    assert set(shown) <= set(free), "what is taken is not shown"
    assert len(shown) == min(most, len(free)), "what there is, is shown"


@settings(deadline=None)
@given(EVERYTHING, st.text(), st.integers(1, 5))
def test_what_is_not_shown_may_go_without_a_trace(candidates: list[Candidate], seed: str, most: int) -> None:
    free = [replace(each, taken_at=None, is_late=False) for each in candidates]
    shown = choose(free, seed, most)

    for gone in set(free) - set(shown):
        assert choose([each for each in free if each != gone], seed, most) == shown
        assert choose([replace(gone, taken_at=NOW) if each == gone else each for each in free], seed, most) == shown


@settings(deadline=None)
@given(EVERYTHING, st.text(), st.integers(1, 5))
def test_what_is_taken_is_replaced_where_it_stood_and_the_others_stay(
    candidates: list[Candidate], seed: str, most: int
) -> None:
    now = [replace(each, taken_at=None, is_late=False) for each in candidates]
    moment, shown = NOW, choose(now, seed, most)

    while shown:
        gone = shown[rank(seed, moment) % len(shown)]
        moment += timedelta(seconds=1)
        now = [replace(each, taken_at=moment) if each == gone else each for each in now]
        place, before, shown = shown.index(gone), shown, choose(now, seed, most)
        spare = {each for each in now if each.taken_at is None} - set(before)
        if not spare:
            assert shown == [each for each in before if each != gone]
            continue
        assert len(shown) == len(before)
        assert [new for n, new in enumerate(shown) if n != place] == [old for old in before if old != gone]
        replacement = shown[place]
        assert replacement in spare
        if alike := {each for each in spare if each.provider_id == gone.provider_id}:
            assert replacement in alike
            assert replacement.part == gone.part or gone.part not in {each.part for each in alike}
        elif any(each.part == gone.part for each in spare):
            assert replacement.part == gone.part


@settings(deadline=None)
@given(EVERYTHING, st.text(), st.integers(1, 5))
def test_what_came_later_changes_nothing_of_what_was_shown(candidates: list[Candidate], seed: str, most: int) -> None:
    before = choose([each for each in candidates if not each.is_late], seed, most)

    after = choose(candidates, seed, most)

    assert after[: len(before)] == before
    assert all(each.is_late for each in after[len(before) :])


@pytest.mark.parametrize(
    ("instant", "time_zone", "part"),
    [
        ("2027-05-03T06:00:00Z", "UTC", 0),
        ("2027-05-03T11:59:59Z", "UTC", 0),
        ("2027-05-03T12:00:00Z", "UTC", 1),
        ("2027-05-03T16:59:59Z", "UTC", 1),
        ("2027-05-03T17:00:00Z", "UTC", 2),
        ("2027-05-03T21:59:59Z", "UTC", 2),
        ("2027-05-03T03:00:00Z", "UTC", 0),  # the night is near the morning, or the evening
        ("2027-05-03T23:00:00Z", "UTC", 2),
        ("2027-05-03T10:00:00Z", "Europe/Berlin", 1),
        ("2027-05-03T10:00:00Z", "America/New_York", 0),
        ("2027-05-03T06:14:59Z", "Asia/Kathmandu", 0),
        ("2027-05-03T06:15:00Z", "Asia/Kathmandu", 1),
        ("2027-03-28T09:59:59Z", "Europe/Berlin", 0),  # an hour earlier than the day before
        ("2027-03-28T10:00:00Z", "Europe/Berlin", 1),
    ],
)
def test_the_parts_of_a_day_are_those_of_the_clock_on_the_wall(instant: str, time_zone: str, part: int) -> None:
    assert part_of_day(datetime.fromisoformat(instant), time_zone) == part
