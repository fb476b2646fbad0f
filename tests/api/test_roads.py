"""Both roads are one: random documents over a random world, answered alike by compiled SQL and by the ordinary executor.

A run is repeated with the seed that it prints: pytest tests/api/test_roads.py --hypothesis-seed=SEED
"""

import base64
import gc
import json
import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from graphql import (
    FieldNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_input_object_type,
    is_list_type,
    parse,
    validate,
    visit,
)
from hypothesis import HealthCheck, Phase, given, seed, settings

from models.reservation import ReservationStatus
from schema.execution import CONTRACT
from tests.arguments import Known, is_list, list_name
from tests.conftest import ROOT, fresh_database
from tests.documents import CLOCKS, Asked, documents
from tests.roads import COMPILER, Answer, Roads, both_roads, on_lanes
from tests.world import FOREIGN, Bearer, imagine

# When a field refuses at once, graphql-core forgets the coroutines of its siblings: they hold nothing that is missed.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
PARTS, DOCUMENTS_EACH = 7, 202
DISTINCT, CLEAN, COMPILED = 0.9, 0.75, 0.70
READ = 1  # documents of a part that put something on record
EXAMPLES = sorted(
    path.stem
    for path in (ROOT / "docs" / "examples").glob("*.graphql")
    if CONTRACT.query_type and path.stem in CONTRACT.query_type.fields.keys() - CLOCKS
)
NAMED = {  # in their examples
    "AvailabilityRule": "RULE",
    "AvailabilityException": "EXCEPTION",
    "ReservationSeries": "SERIES",
    "WaitlistEntry": "ENTRY",
}
WITHOUT_LIMITS = settings(
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def base(request: pytest.FixtureRequest) -> int:
    """What this worker's world and documents are made from."""
    wanted = str(request.config.getoption("--hypothesis-seed"))
    return int(wanted) if wanted.isdecimal() else secrets.randbelow(2**32)


@pytest.fixture(scope="module")
def roads(cluster: str, migrated: str, base: int) -> Iterator[Roads]:
    with fresh_database(cluster, migrated) as url, both_roads(url, imagine(base)) as roads:
        yield roads


@dataclass
class Tally:
    """How many documents were answered: without errors, from the database, on the compiled road, of somebody's privacy."""

    documents: int = 0
    clean: int = 0
    from_database: int = 0
    compiled: int = 0
    read: int = 0
    bearers: set[Bearer] = field(default_factory=set, repr=False)
    texts: set[str] = field(default_factory=set, repr=False)

    def count(self, asked: Asked, answer: Answer, roads: Roads) -> None:
        self.documents += 1
        self.texts.add(asked.query)
        self.clean += "errors" not in answer.body
        self.from_database += bool(roads.ordinary.statements)
        self.compiled += bool(on_lanes(roads.compiled))
        self.read += bool(answer.read)
        self.bearers.add(asked.bearer)


def texts(value: Any) -> Iterator[str]:
    """Every text of an answer."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("part", range(PARTS))
def test_both_roads_answer_alike(roads: Roads, base: int, part: int, capfd: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    hidden = {bearer: roads.world.hidden(bearer) for bearer in roads.world.bearers}
    knowing = {bearer: roads.known.without(ids) for bearer, ids in hidden.items()}
    theirs = roads.world.ids(roads.world.theirs)
    foreign = {
        bearer: {each for ids in (*theirs.values(), *hidden[bearer].values()) for each in ids} for bearer in hidden
    }

    @seed(base + part)
    @settings(WITHOUT_LIMITS, max_examples=DOCUMENTS_EACH)
    @given(documents(CONTRACT, knowing))
    def check(asked: Asked) -> None:
        answer = roads.both(asked.body(), asked.bearer)
        assert FOREIGN not in answer.content.decode()
        assert foreign[asked.bearer] & set(texts(answer.body.get("data"))) == set()
        assert "INTERNAL" not in answer.codes
        tally.count(asked, answer, roads)

    try:
        check()
    finally:
        gc.collect()  # what graphql-core has forgotten is found here, not in another test
        with capfd.disabled():
            sys.stderr.write(f"\nroads, part {part}: seed {base}, {tally}\n")

    assert tally.documents >= DOCUMENTS_EACH
    assert len(tally.texts) >= DISTINCT * tally.documents
    assert tally.clean >= CLEAN * tally.documents
    assert tally.compiled >= COMPILED * tally.from_database * COMPILER  # enforced once `serving` knows `compile`
    assert tally.read >= READ
    assert tally.bearers == {*roads.world.bearers}


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_roads_answer_an_example_alike(roads: Roads, name: str) -> None:
    folder = ROOT / "docs" / "examples"
    file = folder / f"{name}.json"
    variables = file.read_text() if file.exists() else "{}"
    for type_name, ids in roads.known.ids.items():
        variables = variables.replace(f'"${NAMED.get(type_name, type_name.upper())}"', json.dumps(ids[-1]))

    answer = roads.both({"query": (folder / f"{name}.graphql").read_text(), "variables": json.loads(variables)})

    assert "$" not in variables
    assert "errors" not in answer.body
    assert answer.body["data"][name] is not None


def test_the_world_has_rows_of_every_kind(roads: Roads) -> None:
    lists = "{ reservations { totalCount } appointments { totalCount } free: availableAppointments { totalCount } }"
    of_status = "query ($s: [ReservationStatus!]) { reservations(filter: {status: $s}) { totalCount } }"

    totals = {name: page["totalCount"] for name, page in roads.both({"query": lists}).body["data"].items()}
    found = [roads.both({"query": of_status, "variables": {"s": status}}).body["data"] for status in ReservationStatus]

    assert totals["reservations"] == len(roads.world.ours["Reservation"])
    assert totals["appointments"] == len(roads.world.ours["Appointment"])
    assert 110 < totals["free"] < totals["appointments"] - 20
    assert all(each["reservations"]["totalCount"] for each in found)
    assert [name for name, cursors in roads.known.cursors.items() if not cursors] == [], "an empty list proves nothing"


def test_both_roads_tell_the_time(roads: Roads) -> None:
    body = {"query": "{ now: serverTime __typename serverTime }"}
    instant = rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"'

    told = [re.sub(instant, b"AN INSTANT", roads.ask(api, body).content) for api in (roads.compiled, roads.ordinary)]

    data = b'{"now":AN INSTANT,"__typename":"Query","serverTime":AN INSTANT}'
    cost = b'{"requestedQueryCost":3,"actualQueryCost":3}'
    assert told == [b'{"data":%b,"extensions":{"cost":%b}}' % (data, cost)] * 2


MARK = "pl4nt3d"
PLANTED = {
    "quotes": f"{MARK}'\"\\ $1 %s %(x)s :x {{0}} '; DROP TABLE clients; -- /* $$ \u2028",
    "nul": f"{MARK}\0'",
    "surrogate": f"{MARK}\ud800'",
    "id": base64.b64encode(f"{MARK}';--:00000000-0000-7000-8000-000000000001".encode()).decode(),
}


@dataclass(frozen=True)
class Position:
    """A place in the arguments of a field where a text can stand: which argument, and the way inside it."""

    owner: Any
    name: str
    argument: str
    way: tuple[str, ...]

    @property
    def type(self) -> Any:
        return self.owner.fields[self.name].args[self.argument].type

    def value(self, text: str) -> Any:
        """The argument's value, with a text at this place."""
        value: Any = text
        for step in reversed(self.way):
            value = [value] if step == "[]" else {step: value}
        return value

    def body(self, text: str, row: str) -> dict[str, Any]:
        """A request that has a text at this place, of a list that some row leads to."""
        inside = f"{self.name}({self.argument}: $planted) {{ __typename {'nodes { id }' if self._is_list() else ''} }}"
        if self.owner is not CONTRACT.query_type:
            inside = f'node(id: "{row}") {{ ... on {self.owner.name} {{ {inside} }} }}'
        return {"query": f"query ($planted: {self.type}) {{ {inside} }}", "variables": {"planted": self.value(text)}}

    def literally(self, text: str, row: str) -> dict[str, Any]:
        """The same without a variable, where the document stays valid."""
        body = self.body(text, row)
        query = re.sub(r"^query \(.*?\) ", "", body["query"]).replace("$planted", _literal(self.value(text)))
        return {"query": query}

    def _is_list(self) -> bool:
        return is_list(self.owner.fields[self.name])


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_literal(each)}" for name, each in value.items()) + "}"
    return f"[{_literal(value[0])}]" if isinstance(value, list) else json.dumps(value)


def ways(type_: Any) -> Iterator[tuple[str, ...]]:
    """Every way from an input type to something that is written as a text."""
    bare = get_nullable_type(type_)
    if is_list_type(bare):
        yield from (("[]", *way) for way in ways(bare.of_type))
    elif is_input_object_type(bare):
        yield from ((name, *way) for name, inner in bare.fields.items() for way in ways(inner.type))
    elif bare.name not in ("Int", "Boolean"):
        yield ()


POSITIONS = [
    Position(owner, name, argument, way)
    for owner in (CONTRACT.query_type, *CONTRACT.get_possible_types(CONTRACT.type_map["Node"]))  # type: ignore[arg-type]
    for name, of in owner.fields.items()  # type: ignore[union-attr]
    for argument, given_ in of.args.items()
    for way in ways(given_.type)
]


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_no_text_of_a_client_becomes_sql(roads: Roads, text: str) -> None:
    planted: list[str] = []
    internal: list[Position] = []

    for position in POSITIONS:
        row = roads.known.ids.get(position.owner.name, [""])[0]
        for body in (position.body(text, row), position.literally(text, row)):
            answer = roads.both(body)
            planted += [statement for statement in roads.sql() if MARK in statement]
            internal += [position] if "INTERNAL" in answer.codes else []

    assert len(POSITIONS) > 50
    assert planted == []
    assert internal == []


FORGED = (
    PLANTED["quotes"],
    "2027-05-03",
    "2027-05-03T09:00:00+23:59",
    "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59.999999-23:00",
    "{01900000-0000-7000-8000-000000000000}",
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "x" * 3_000,
)


@pytest.mark.parametrize("key", FORGED, ids=lambda key: key[:10])
def test_no_cursor_becomes_sql(roads: Roads, key: str) -> None:
    """A cursor is made of what rows contain, so a forged one carries any text to where the rows are sought."""
    planted: list[str] = []
    internal: list[tuple[Position, int]] = []

    for position in [position for position in POSITIONS if position.argument in ("after", "before")]:
        cursor = roads.known.cursors[f"{position.owner.name}.{position.name}"][0]
        row = roads.known.ids.get(position.owner.name, [""])[0]
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        for n in range(1, len(place)):
            forged = json.dumps([*place[:n], key, *place[n + 1 :]]).encode()
            answer = roads.both(position.body(base64.urlsafe_b64encode(forged).decode().rstrip("="), row))
            planted += [statement for statement in roads.sql() if MARK in statement]
            internal += [(position, n)] if "INTERNAL" in answer.codes else []

    assert planted == []
    assert internal == []


def test_aliases_are_told_apart_however_long_they_are(roads: Roads) -> None:
    long = "x" * 200
    inside = f"{long}1: firstName {long}2: lastName select: version null: __typename"
    query = f"{{ {long}1: clients(first: 2) {{ nodes {{ {inside} }} }} {long}2: clients(last: 1) {{ nodes {{ {inside} }} }} }}"

    data = roads.both({"query": query}).body["data"]

    assert list(data) == [f"{long}1", f"{long}2"]
    assert [len(page["nodes"]) for page in data.values()] == [2, 1]
    assert {tuple(row) for page in data.values() for row in page["nodes"]} == {
        (f"{long}1", f"{long}2", "select", "null")
    }


class Seen(Visitor):
    """Notes every field and argument that documents contain."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.types = types
        self.names: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        owner, name = self.types.get_parent_type(), node.name.value
        self.names.add(f"{owner}.{name}")
        self.names |= {argument(owner, name, given.name.value) for given in node.arguments or ()}


def argument(owner: Any, name: str, given_: str) -> str:
    """Name an argument of a field; what an interface declares is one argument, whatever type it is asked of."""
    declared = (each for each in getattr(owner, "interfaces", ()) if name in each.fields)
    return f"{next(declared, owner)}.{name}({given_}:)"


def reachable(type_: Any, names: dict[str, set[str]]) -> set[str]:
    """Every field and argument that a query can contain."""
    types: list[Any] = [type_, *(CONTRACT.get_possible_types(type_) if is_abstract_type(type_) else ())]
    for each in types:
        if is_composite_type(each) and each.name not in names:
            fields = {name: of for name, of in getattr(each, "fields", {}).items() if name not in CLOCKS}
            names[each.name] = {f"{each}.{name}" for name in fields}
            names[each.name] |= {argument(each, name, given_) for name, of in fields.items() for given_ in of.args}
            for of in fields.values():
                reachable(get_named_type(of.type), names)
    return {name for some in names.values() for name in some}


def test_random_documents_are_valid_and_leave_nothing_out() -> None:
    world = imagine(0)
    ids = world.ids(world.ours)
    owners: list[Any] = [CONTRACT.query_type, *(CONTRACT.type_map[name] for name in ids)]
    lists = [list_name(owner.name, name) for owner in owners for name, of in owner.fields.items() if is_list(of)]
    instants = ["2027-05-03T09:00:00Z", "2027-05-04T09:00:00+02:00"]
    enough = Known(
        ids, world.ids(world.theirs), {name: ["x"] for name in lists}, instants, ["2027-05-03"], ["UTC"], ["a"]
    )
    types = TypeInfo(CONTRACT)
    seen = Seen(types)

    @settings(WITHOUT_LIMITS, max_examples=4000, derandomize=True)
    @given(documents(CONTRACT, {world.bearers[0]: enough}))
    def check(asked: Asked) -> None:
        document = parse(asked.query)
        assert validate(CONTRACT, document) == []
        visit(document, TypeInfoVisitor(types, seen))

    check()

    assert len(lists) > 10
    assert reachable(CONTRACT.query_type, {}) - seen.names == set()
