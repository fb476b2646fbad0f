"""Limits: how large a document may be, and how much it may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the largest honest document leaves far behind is refused."""

    bytes: int = 20_000
    tokens: int = 2_000
    depth: int = 12
    aliases: int = 30
    alias_characters: int = 100
    directives: int = 50
    operations: int = 10
    mutations: int = 20
    introspections: int = 2
    cost: int = 20_000
    change: int = 1_000
    """What a subscription may cost each time that it is answered: nobody pays for it but when it begins."""
    answer: int = 1_000_000
    """Bytes of an answer to a query: texts may be longer than any cost foresees."""


LIMITS = Limits()
