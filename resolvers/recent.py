"""What was made, kept as long as it is among the last that were asked for."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _one(_value: object) -> int:
    return 1


class Recent(Generic[K, V]):
    """Values by their keys, which together weigh no more than so much; what nobody asked for the longest gives way."""

    def __init__(self, most: int, weigh: Callable[[V], int] = _one) -> None:
        self.most = most
        self.weigh = weigh
        self.weight = self.hits = self.misses = 0
        self._kept: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def known(self, key: K) -> V | None:
        """Find a value, if it was made; to ask for what is not there leaves no trace."""
        return self._kept.get(key)

    def found(self, key: K, make: Callable[[], V]) -> V:
        """Find a value, or make it."""
        value = self._kept.get(key)
        if value is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return value
        self.misses += 1
        value = self._kept[key] = make()
        self.weight += self.weigh(value)
        while self.weight > self.most:
            _, oldest = self._kept.popitem(last=False)
            self.weight -= self.weigh(oldest)
        return value
