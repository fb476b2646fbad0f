"""Statements of the ordinary road: each is built once for all values of a shape, and run with those of each request."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import Select, func, literal, select

from models.obstacle import why_not_held
from models.reservation import Wish
from models.viewer import Role, Viewer
from resolvers.prepared import KEPT, prepared

ADA, BOB = (Viewer(uuid4(), name, Role.CLIENT, uuid4()) for name in ("ada", "bob"))


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Asked:
    """Values of every kind."""

    fixed: ClassVar[tuple[str, ...]] = ("size",)

    size: int
    keys: tuple[UUID | None, ...] = ()
    price: Decimal | None = None
    at: datetime | None = None


def counting(built: list[Any]) -> Any:
    """What builds a statement, and notes of what."""

    def build(asked: Any) -> Select[Any]:
        built.append(asked)
        return select(func.now())

    return build


def test_a_statement_is_built_once_for_all_values_of_a_shape() -> None:
    built: list[Any] = []
    build, noon, keys = counting(built), datetime(2027, 5, 3, 12, tzinfo=UTC), (uuid4(), uuid4())

    first = prepared(build, Asked(1, keys, Decimal("1.5"), noon))
    second = prepared(build, Asked(1, keys[:1], Decimal("2.5"), noon))

    assert len(built) == 1
    assert first.statement is second.statement
    assert first.filling == {"v0": keys, "v1": Decimal("1.5"), "v2": noon}
    assert second.filling == {"v0": keys[:1], "v1": Decimal("2.5"), "v2": noon}
    assert built[0].size == 1
    assert [built[0].keys.key, built[0].price.key, built[0].at.key] == ["v0", "v1", "v2"]


def test_another_shape_is_another_statement() -> None:
    built: list[Any] = []
    build = counting(built)

    statements = [prepared(build, asked).statement for asked in (Asked(1), Asked(2), Asked(1, price=Decimal(1)))]

    assert len(built) == len({id(statement) for statement in statements}) == 3
    assert prepared(build, Asked(2)).statement is statements[1]


def test_whoever_asks_only_fills_a_statement_but_their_role_shapes_it() -> None:
    wish, other = Wish(uuid4(), uuid4()), Wish(uuid4(), uuid4())
    admin = Viewer(ADA.business_id, "ada", Role.ADMIN)

    adas, bobs, admins = (
        prepared(why_not_held, ADA, wish),
        prepared(why_not_held, BOB, other),
        prepared(why_not_held, admin, wish),
    )

    assert adas.statement is bobs.statement
    assert adas.statement is not admins.statement
    assert set((adas.filling or {}).values()) == {
        ADA.business_id,
        "ada",
        ADA.person_id,
        wish.client_id,
        wish.appointment_id,
    }
    assert not set((bobs.filling or {}).values()) & set((adas.filling or {}).values())


def test_no_value_of_a_request_stays_in_a_statement_that_is_kept() -> None:
    wish = Wish(uuid4(), uuid4(), note="Left-handed", service_id=uuid4())

    statement: Any = prepared(why_not_held, ADA, wish).statement

    told = {*vars(wish).values(), *vars(ADA).values()} - {True, None}  # a hole is none
    assert not told & {value for value in statement.compile().params.values() if not isinstance(value, list)}


def test_what_can_be_no_parameter_is_built_anew_each_time() -> None:
    built: list[Any] = []

    def build(colour: Colour) -> Select[Any]:
        built.append(colour)
        return select(literal(colour.value))

    twice = [prepared(build, Colour.RED) for _ in range(2)]

    assert built == [Colour.RED, Colour.RED]
    assert [each.filling for each in twice] == [None, None]


def test_only_so_many_statements_are_kept() -> None:
    built: list[Any] = []
    build = counting(built)

    for size in range(KEPT + 1):
        prepared(build, Asked(size))
    prepared(build, Asked(0))

    assert [asked.size for asked in built] == [*range(KEPT + 1), 0]
