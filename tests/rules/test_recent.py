"""What is kept of what was made: the last that were asked for, and never more than they may weigh."""

from collections.abc import Callable

import pytest

from resolvers.recent import Recent

MOST = 10


def made(value: str, log: list[str]) -> Callable[[], str]:
    """What makes a value, and notes that it was made."""

    def make() -> str:
        log.append(value)
        return value

    return make


def test_what_was_made_is_found_again_and_not_made_again() -> None:
    kept: Recent[int, str] = Recent(2)
    log: list[str] = []

    found = [kept.found(1, made("first", log)), kept.found(1, made("another", log))]

    assert found == ["first", "first"]
    assert log == ["first"]
    assert (kept.hits, kept.misses, len(kept)) == (1, 1, 1)


def test_what_nobody_asked_for_the_longest_gives_way() -> None:
    kept: Recent[str, str] = Recent(3)
    log: list[str] = []

    for key in "abcadab":
        kept.found(key, made(key, log))

    assert log == ["a", "b", "c", "d", "b"]
    assert (len(kept), kept.weight) == (3, 3)
    assert (kept.hits, kept.misses) == (2, 5)


def test_to_ask_for_what_is_not_there_leaves_no_trace() -> None:
    kept: Recent[str, str] = Recent(2)
    kept.found("kept", made("a value", []))

    found = [kept.known(f"unknown {n}") for n in range(10)]

    assert found == [None] * 10
    assert (kept.known("kept"), kept.known("kept")) == ("a value", "a value")
    assert (len(kept), kept.weight, kept.hits, kept.misses) == (1, 1, 0, 1)


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        ([4, 6], [4, 6]),
        ([4, 6, 1], [6, 1]),
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 2, 3, 4, 5], [4, 5]),
        ([1, 2, 3, 10], [10]),
    ],
)
def test_as_many_give_way_as_the_new_one_is_heavy(sizes: list[int], left: list[int]) -> None:
    kept: Recent[str, str] = Recent(MOST, len)
    log: list[str] = []

    for size in sizes:
        kept.found(f"of {size}", made("x" * size, log))

    assert (len(kept), kept.weight) == (len(left), sum(left))
    assert [kept.found(f"of {size}", made("made again", log)) for size in left] == ["x" * size for size in left]
    assert "made again" not in log


def test_what_is_heavier_than_everything_is_answered_but_not_kept() -> None:
    kept: Recent[str, str] = Recent(MOST, len)
    log: list[str] = []
    heavy = "x" * (MOST + 1)

    found = [kept.found("heavy", made(heavy, log)) for _ in range(2)]

    assert found == log == [heavy, heavy]
    assert (len(kept), kept.weight) == (0, 0)
    assert (kept.hits, kept.misses) == (0, 2)


def test_what_could_not_be_made_leaves_nothing_behind() -> None:
    kept: Recent[str, str] = Recent(MOST, len)
    log: list[str] = []

    def fail() -> str:
        raise ValueError("it cannot be made")

    with pytest.raises(ValueError, match="it cannot be made"):
        kept.found("key", fail)

    assert (len(kept), kept.weight) == (0, 0)
    assert kept.found("key", made("now it can", log)) == "now it can"
    assert (len(kept), kept.weight) == (1, MOST)
