"""Delivery: what a channel answers when it did not deliver, and whether it may another time."""


class PostponedError(Exception):
    """Why it was not delivered now: it may be the next time. `is_down` says that this concerns every message."""

    def __init__(self, problem: str, *, is_down: bool = False) -> None:
        super().__init__(problem)
        self.is_down = is_down


class UndeliverableError(Exception):
    """Why it will never be delivered. Neither sentence has an address in it."""
