"""Root fields: what each kind asks for, and the statement that answers it."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Select, func, select

from compiler.json import joined, scalar
from compiler.render import Rendering
from compiler.road import OrdinaryRoad
from compiler.selection import Selected
from models.idempotency_key import Key
from models.viewer import Sight
from resolvers.context import Context
from resolvers.nodes import FOUND_BY_ID, Sought, sought_all
from resolvers.writes import Request
from schema.declaration import Asking, Clock, FirstListed, Found, FoundAll, Listed, Tallied, Written


@dataclass(frozen=True)
class Several:
    """What several ids name: their keys and types in order, and the kinds there are among them."""

    fixed: ClassVar[tuple[str, ...]] = ("kinds",)

    kinds: tuple[str, ...]
    keys: tuple[UUID, ...]
    types: tuple[str, ...]

    @classmethod
    def of(cls, wanted: list[Sought]) -> "Several":
        types = tuple(each.type_name for each in wanted)
        return cls(tuple(sorted(set(types))), tuple(each.key for each in wanted), types)


@dataclass(frozen=True)
class Submitted:
    """What a mutation is asked for, and its key."""

    fixed: ClassVar[tuple[str, ...]] = ()

    wanted: Any
    key: Key | None


def asked(field: Selected, value: Any, context: Context) -> Any:
    """Complete what a root field's own function read."""
    declared = field.declared
    if isinstance(declared, FoundAll):
        return Several.of(sought_all(value))
    if isinstance(declared, Written):
        return Submitted(value.wanted, value.key(context, declared.write))
    if isinstance(value, Request):  # a write of several statements
        raise OrdinaryRoad(f"{field.parent}.{field.name} is answered by Python")
    return value


def statement(field: Selected, values: list[Any], sight: Sight) -> Select[Any] | None:
    """Make the statement of a root field; `__typename` needs none."""
    rendering = Rendering(values, sight)
    wanted: Any = None if field.site is None else values[field.site]
    match field.declared:
        case Listed(listing=listing):
            return rendering.connection(listing.select(rendering.seen_by, wanted.wanted), wanted.page, field.only)
        case FirstListed(listing=listing):
            return rendering.first(listing.select(rendering.seen_by, wanted.wanted), wanted.page, field.only)
        case Tallied(tally=tally):
            return rendering.plain_list(tally.select(rendering.seen_by, wanted), tally.order, field.only)
        case Found():
            kind = wanted.type_name
            if kind not in field.inside:
                raise OrdinaryRoad(f"{field.name} finds no {kind}")
            return rendering.found(FOUND_BY_ID[kind], wanted.key, field.inside[kind])
        case FoundAll():
            return rendering.several(wanted, field.inside)
        case Asking():
            return rendering.viewer(field.only)
        case Clock():
            return select(joined([scalar(func.clock_timestamp(), field.type)]))
        case Written(write=write):
            return rendering.payload(write, wanted.wanted, wanted.key, field.only)
    if field.name == "__typename":
        return None
    raise OrdinaryRoad(f"{field.parent}.{field.name} is answered by Python")
