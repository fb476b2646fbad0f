"""Random documents: a Hypothesis strategy that writes valid queries for whatever a schema contains."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLSchema,
    TypeNameMetaFieldDef,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from hypothesis import strategies as st

from compiler.selection import declaration
from schema.declaration import Personal
from schema.execution import ACCESS
from tests.arguments import SIZES, Dice, Known, Sending, Values, is_list
from tests.world import Bearer

# What no two requests answer alike.
CLOCKS = {"serverTime", "earliestStart", "latestStart"}
# What one field of a document reads, another one may find on record already, or not yet: no document has both.
HISTORY = {"history", "auditEntries", "exposureReport"}
RECORDED = {"exposedAppointments"}
INTROSPECTION = (
    "__schema { queryType { name } }",
    '__type(name: "Client") { kind name fields { name } }',
    '__type(name: "Nothing") { name }',
)
GAPS = (" ", "\n  ", ", ", " ,\t, ", ' # {a comment} "\n ', "\r\n")
MOST_ROWS, MOST_FIELDS = 20, 24
CHOICES = 600
FAULTY, HISTORICAL = 20, 25  # of a hundred documents
DARING = 30  # of a hundred faulty ones


@dataclass(frozen=True)
class Asked:
    """One request: what is sent as its JSON body."""

    query: str
    variables: dict[str, Any]
    operation: str | None
    bearer: Bearer

    def body(self) -> dict[str, Any]:
        named = {} if self.operation is None else {"operationName": self.operation}
        return {"query": self.query, "variables": self.variables, **named}


@dataclass
class Selected:
    """What stands under one name of an answer: whoever uses the name again must mean the same."""

    name: str
    type: str
    arguments: str
    used: frozenset[str]
    rows: int
    inside: "Shape" = field(default_factory=dict)

    @property
    def meaning(self) -> tuple[str, str, str]:
        return self.name, self.type, self.arguments


Shape = dict[str, Selected]


@dataclass(frozen=True)
class Place:
    """Where a selection stands: on which type, beside what, how many links deep it may lead, for how many rows."""

    type: Any
    shape: Shape
    depth: int
    rows: int


@dataclass(frozen=True)
class Fragment:
    """A named fragment, the variables that it uses, and for how many rows it was written."""

    name: str
    on: Any
    text: str
    used: frozenset[str]
    shape: Shape
    rows: int


def mergeable(one: Shape, other: Shape) -> bool:
    """Whether two selections can stand beside each other."""
    return all(
        one[key].meaning == selected.meaning and mergeable(one[key].inside, selected.inside)
        for key, selected in other.items()
        if key in one
    )


def merge(into: Shape, other: Shape) -> None:
    """Note that another selection stands beside this one."""
    for key, selected in other.items():
        mine = into.setdefault(key, Selected(*selected.meaning, selected.used, selected.rows))
        merge(mine.inside, selected.inside)


@dataclass
class Writer:
    """Writes the selections of one document, and notes which fragments and variables they use."""

    dice: Dice
    contract: GraphQLSchema
    values: Values
    sending: Sending
    left: int
    gap: str
    bearer: Bearer
    has_history: bool = False
    is_daring: bool = False
    fragments: list[Fragment] = field(default_factory=list)
    names: Iterator[int] = field(default_factory=count)

    def selection(self, place: Place) -> str:
        """Write a selection set with at least one field."""
        parts = [self._field(place)]
        parts += [self._part(place) for _ in range(self.dice.number(0, 4)) if self.left > 0]
        if is_abstract_type(place.type):
            parts += [self._inline(place) for _ in range(self.dice.number(0, 3))]
        return "{" + self.gap + self.gap.join(parts) + self.gap + "}"

    def _part(self, place: Place) -> str:
        turn = self.dice.number(0, 99)
        if turn < 75:
            return self._field(place)
        return self._inline(place) if turn < 88 else self._spread(place)

    def _field(self, place: Place) -> str:
        self.left -= 1
        fields = self._choice(place)
        leading = [name for name, of in fields.items() if is_composite_type(get_named_type(of.type))]
        rare = [name for name, of in fields.items() if name in HISTORY or isinstance(declaration(of), Personal)]
        name = self.dice.pick([*fields, *leading, *leading, *rare * 6])
        of = fields[name]
        key = self._alias(name, fields)
        selected = place.shape.get(key)
        if selected is None or (selected.name, selected.type) != (name, str(of.type)):
            key = key if selected is None else self._fresh()
            selected = place.shape[key] = self._selected(name, of, place)
        self.sending.used |= selected.used
        target = get_named_type(of.type)
        text = f"{'' if key == name else f'{key}: '}{name}{selected.arguments}{self._directives()}"
        if not is_composite_type(target):
            return text
        depth = place.depth - (0 if _is_wrapper(place.type) else 1)
        return f"{text} {self.selection(Place(target, selected.inside, depth, selected.rows))}"

    def _choice(self, place: Place) -> Mapping[str, GraphQLField]:
        """Find the fields that may be selected here, without leading too deep or to too many rows."""
        leads = place.depth > 0 and self.left > 0
        return {"__typename": TypeNameMetaFieldDef} | {
            name: of
            for name, of in place.type.fields.items()
            if self._may_ask(place.type.name, name, of)
            and (
                not is_composite_type(get_named_type(of.type))
                or _is_wrapper(place.type)
                or (leads and (not is_list(of) or place.rows <= MOST_ROWS))
            )
        }

    def _may_ask(self, owner: str, name: str, of: GraphQLField) -> bool:
        """Whether a field belongs into this document; now and then one does that is not for whoever asks."""
        is_recorded = name in RECORDED or isinstance(declaration(of), Personal)
        if name in CLOCKS or (is_recorded if self.has_history else name in HISTORY):
            return False
        return self.bearer.role in ACCESS.roles.get((owner, name), {self.bearer.role}) or self.is_daring

    def _selected(self, name: str, of: GraphQLField, place: Place) -> Selected:
        outside, self.sending.used = self.sending.used, set()
        given = self.values.of_field(place.type.name, name, of, place.rows)
        arguments = self.sending.arguments(given, of.args)
        used, self.sending.used = frozenset(self.sending.used), outside
        sizes = [given[each] for each in SIZES if isinstance(given.get(each), int)] if is_list(of) else [1]
        return Selected(name, str(of.type), arguments, used, place.rows * max(sizes, default=20))

    def _alias(self, name: str, fields: Mapping[str, GraphQLField]) -> str:
        turn = self.dice.number(0, 99)
        if turn < 75:
            return name
        if turn < 80:
            return self.dice.pick(list(fields))
        if turn < 85:
            return self.dice.pick(("a", "b", "_1", "select", "null", "true", "on", "fragment"))
        return self._fresh()

    def _fresh(self) -> str:
        long = "a_very_long_name_" * 5 if self.dice.chance(5) else "a"
        return f"{long}{next(self.names)}"

    def _inline(self, place: Place) -> str:
        self.left -= 1
        on = self.dice.pick([None, *self._conditions(place.type)])
        inside = Place(on or place.type, place.shape, place.depth, place.rows)
        return f"...{f' on {on.name}' if on else ''}{self._directives()} {self.selection(inside)}"

    def _conditions(self, type_: Any) -> list[Any]:
        """Find the types that a fragment may name where this type is."""
        if is_abstract_type(type_):
            possible = self.contract.get_possible_types(type_)
            return [*possible, type_]
        return [type_, *type_.interfaces]

    def _spread(self, place: Place) -> str:
        self.left -= 1
        wanted = self._conditions(place.type)
        known = [
            each
            for each in self.fragments
            if each.on in wanted and place.rows <= each.rows and mergeable(place.shape, each.shape)
        ]
        fragment = self.dice.pick(known) if known and self.dice.chance(60) else self._fragment(place, wanted)
        if fragment is None:
            return self._field(place)
        merge(place.shape, fragment.shape)
        self.sending.used |= fragment.used
        return f"...{fragment.name}{self._directives()}"

    def _fragment(self, place: Place, wanted: list[Any]) -> Fragment | None:
        """Write a new fragment for a place; none, if it does not agree with what is selected there."""
        before = len(self.fragments)
        outside, self.sending.used = self.sending.used, set()
        on, shape = self.dice.pick(wanted), Shape()
        text = self.selection(Place(on, shape, place.depth, place.rows))
        used, self.sending.used = frozenset(self.sending.used), outside
        if not mergeable(place.shape, shape):
            del self.fragments[before:]
            return None
        name = f"F{next(self.names)}"
        self.fragments.append(Fragment(name, on, f"fragment {name} on {on.name} {text}", used, shape, place.rows))
        return self.fragments[-1]

    def _directives(self) -> str:
        """Write @include and @skip, in either order, or one of them, or mostly none."""
        if not self.dice.chance(12):
            return ""
        wanted = [("include", self.dice.chance(70)), ("skip", self.dice.chance(30))]
        kept = self.dice.pick((wanted, wanted[::-1], wanted[:1], wanted[1:]))
        args = GraphQLIncludeDirective.args
        return "".join(f" @{name}{self.sending.arguments({'if': value}, args)}" for name, value in kept)


def _is_wrapper(type_: Any) -> bool:
    """Whether a type stands between a list and its rows."""
    return bool({"edges", "nodes"} <= type_.fields.keys() or {"node", "cursor"} <= type_.fields.keys())


def documents(contract: GraphQLSchema, knowing: Mapping[Bearer, Known]) -> st.SearchStrategy[Asked]:
    """Draw requests whose documents are valid, of anybody who knows something; some have values that are refused.

    All choices of a document are drawn at once: Hypothesis would repeat most of a document that it drew piece by piece.
    """

    def asked(thrown: bytes) -> Asked:
        dice = Dice(thrown)
        bearer = dice.pick(list(knowing))
        values = Values(dice, contract, knowing[bearer], faulty=dice.chance(FAULTY))
        left = max(dice.number(1, MOST_FIELDS), dice.number(1, MOST_FIELDS))
        writer = Writer(dice, contract, values, Sending(dice), left, dice.pick(GAPS), bearer)
        writer.has_history = dice.chance(HISTORICAL)
        writer.is_daring = values.faulty and dice.chance(DARING)
        return _asked(writer)

    return st.binary(min_size=CHOICES, max_size=CHOICES * 2).map(asked)


def _asked(writer: Writer) -> Asked:
    dice = writer.dice
    several = dice.chance(12)
    written = [_operation(writer, f"Q{n}" if several or dice.chance(40) else "") for n in range(1 + several)]
    texts = [*(text for _, text in written), *(fragment.text for fragment in writer.fragments)]
    query = writer.gap.join(texts[::-1] if dice.chance(20) else texts)
    extra: dict[str, Any] = {"unused": dice.pick((None, "'", 1, [{}]))} if dice.chance(10) else {}
    chosen = dice.pick([name or None for name, _ in written])
    if writer.values.faulty and dice.chance(10):
        chosen = dice.pick((None, "Nobody", ""))
    elif not several and dice.chance(50):
        chosen = None
    return Asked(query, {**writer.sending.given, **extra}, chosen, writer.bearer)


def _operation(writer: Writer, name: str) -> tuple[str, str]:
    """Write an operation; its name, and its text."""
    dice, sending = writer.dice, writer.sending
    sending.used = set()
    query = writer.contract.query_type
    root = Place(query, {}, dice.number(1, 5), 1)
    text = writer.selection(root)
    if dice.chance(4):
        text = f"{text[:-1]} {dice.pick(INTROSPECTION)} }}"
    variables = ", ".join(sending.declared[each] for each in sorted(sending.used))
    head = f"query {name}{f'({variables})' if variables else ''}"
    return name, text if not (name or variables) and dice.chance(50) else f"{head} {text}"
