"""Prepared statements: each is built once for all values of a shape, and kept as long as it is among the last that were run."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Executable

from models.shape import ShapelessError, hollow, shape
from resolvers.database import Filling
from resolvers.recent import Recent

KEPT = 256


class Prepared(NamedTuple):
    """A statement, and what fills it."""

    statement: Executable
    filling: Filling


_built: Recent[Hashable, Executable] = Recent(KEPT)


def prepared(build: Callable[..., Executable], *values: Any) -> Prepared:
    """Find the statement that `build` makes of values of this shape, or have it built, with holes in their places.

    So `build` may look at what shapes the values, and at whether one is null, but at nothing that only fills them.
    """
    filling: list[Any] = []
    key = (build, *[shape(value, filling) for value in values])
    try:
        statement = _built.found(key, lambda: _hollowed(build, values))
    except ShapelessError:
        return Prepared(build(*values), None)
    return Prepared(statement, {f"v{n}": value for n, value in enumerate(filling)})


def _hollowed(build: Callable[..., Executable], values: tuple[Any, ...]) -> Executable:
    holes: list[BindParameter[Any]] = []
    return build(*[hollow(value, holes) for value in values])
