"""Seats: who listens to a server process, on a WebSocket or a stream of events, and for how many of them there is room."""

from collections import Counter
from collections.abc import Callable

from server.request import BadRequestError

MOST = 1000  # of one process
MOST_NAMELESS = 100  # of one address, of those who give no name
AGAIN = ((b"retry-after", b"1"),)


class Seats:
    """The seats of a process."""

    def __init__(self) -> None:
        self.most, self.most_nameless = MOST, MOST_NAMELESS
        self.taken = 0
        self.nameless: Counter[str] = Counter()
        self.count: Callable[[int], None] = lambda _: None

    def take(self, address: str | None) -> "Seat":
        """Take one; with an address, as somebody without a name."""
        if self.taken >= self.most:
            raise BadRequestError(503, "UNAVAILABLE", "Too many listen here; try again.", AGAIN)
        if address is not None and self.nameless[address] >= self.most_nameless:
            sentence = "Too many of your address listen here without a name; leave some, or sign in."
            raise BadRequestError(429, "TOO_MANY_SUBSCRIPTIONS", sentence, AGAIN)
        return Seat(self, address)


class Seat:
    """One that is taken."""

    def __init__(self, seats: Seats, address: str | None) -> None:
        self.seats, self.address = seats, address
        if address is not None:
            seats.nameless[address] += 1
        self._change(1)

    def name(self) -> None:
        """Say that whoever has it has given a name."""
        if self.address is not None:
            self.seats.nameless[self.address] -= 1
            if not self.seats.nameless[self.address]:
                del self.seats.nameless[self.address]
            self.address = None

    def leave(self) -> None:
        self.name()
        self._change(-1)

    def _change(self, by: int) -> None:
        self.seats.taken += by
        self.seats.count(self.seats.taken)
