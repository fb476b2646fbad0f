"""Guard: what a document weighs, found in one walk before it is validated, and why a heavy one is refused."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
)

from schema.cost import ASSUMED_SIZE, MOST, Amount, Formula, Price, Prices, Sum, Sums, page, prices
from schema.limits import LIMITS, Limits

INTROSPECTIONS = ("__schema", "__type")
COST_OF_INTROSPECTION = 1_000


@dataclass(frozen=True)
class Weight:
    """What one operation weighs, with the fragments it uses, each as often as it is used; no directive skips anything.

    A field is `touched` under the type that the document names: under the interface, if it is selected from one.
    """

    depth: int = 0
    aliases: int = 0
    longest_alias: int = 0
    directives: int = 0
    root_fields: int = 0
    introspections: int = 0
    touched: frozenset[tuple[str, str]] = frozenset()
    cost: int | Formula = 0
    is_mutation: bool = False

    def price(self, variables: Mapping[str, Any]) -> int:
        """What it costs to execute with these variables, as they were sent; at least 1, for reading it."""
        return max(1, self.cost if isinstance(self.cost, int) else self.cost.cost(variables))


@dataclass
class _Level:
    """What one selection set weighs. What is below a list waits in `lists` for the field above, which knows the page."""

    depth: int = 0
    aliases: int = 0
    longest_alias: int = 0
    directives: int = 0
    fields: int = 0
    introspections: int = 0
    cost: Sum = field(default_factory=Sum)
    lists: dict[str, Sum] = field(default_factory=dict)
    closed_cost: Amount = (0, 0)
    closed_lists: dict[str, Amount] = field(default_factory=dict)

    def close(self, sums: Sums) -> "_Level":
        self.closed_cost = sums.close(self.cost)
        self.closed_lists = {name: sums.close(terms) for name, terms in self.lists.items()}
        return self

    def carry(self, other: "_Level") -> None:
        """Count what stands below a field, or in a fragment, however deep."""
        self.aliases = min(self.aliases + other.aliases, MOST)
        self.longest_alias = max(self.longest_alias, other.longest_alias)
        self.directives = min(self.directives + other.directives, MOST)

    def join(self, fragment: "_Level") -> None:
        """Count what a fragment selects on this very level."""
        self.carry(fragment)
        self.depth = max(self.depth, fragment.depth)
        self.fields = min(self.fields + fragment.fields, MOST)
        self.introspections = min(self.introspections + fragment.introspections, MOST)
        self.cost.add(fragment.closed_cost)
        for name, amount in fragment.closed_lists.items():
            self.lists.setdefault(name, Sum()).add(amount)


_NOTHING = _Level()
_Wanted = tuple[SelectionSetNode | None, str | None]
_Walk = Generator[_Wanted, _Level, _Level]


class Guard:
    """Weighs the operations of a schema's documents."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.prices = prices(schema)
        self.roots = {kind: type_.name for kind in OperationType if (type_ := schema.get_root_type(kind)) is not None}

    def weigh(self, document: DocumentNode, operation: OperationDefinitionNode | None) -> Weight:
        """Weigh an operation of a document that was parsed and is perhaps not valid."""
        return Weight() if operation is None else _Scales(self.prices, document, operation).weigh(self.roots)


class _Scales:
    """Weighs one operation. Walks ask for what is below by yielding it, so that no document is too deep for Python."""

    def __init__(self, prices: Prices, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self.prices = prices
        self.operation = operation
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        definitions = operation.variable_definitions or ()
        self.defaults = {each.variable.name.value: each.default_value for each in definitions}
        self.directives = len(operation.directives or ()) + sum(len(each.directives or ()) for each in definitions)
        self.known: dict[str, _Level] = {}
        self.touched: set[tuple[str, str]] = set()
        self.sums = Sums()

    def weigh(self, roots: Mapping[OperationType, str]) -> Weight:
        kind = self.operation.operation
        whole = self._run(self._level(self.operation.selection_set, roots.get(kind)))
        total = Sum()
        total.add(whole.closed_cost)
        for amount in whole.closed_lists.values():
            total.add(amount, ASSUMED_SIZE)
        return Weight(
            whole.depth,
            whole.aliases,
            whole.longest_alias,
            min(whole.directives + self.directives, MOST),
            whole.fields,
            whole.introspections,
            frozenset(self.touched),
            self.sums.cost(self.sums.close(total)),
            kind is OperationType.MUTATION,
        )

    def _run(self, walk: _Walk) -> _Level:
        walks, found = [walk], None
        while walks:
            try:
                wanted = walks[-1].send(found)  # type: ignore[arg-type]  # a walk begins with None
            except StopIteration as done:
                found = done.value
                walks.pop()
            else:
                walks.append(self._level(*wanted))
                found = None
        return found or _NOTHING

    def _level(self, selections: SelectionSetNode | None, parent: str | None) -> _Walk:
        level = _Level()
        for node in selections.selections if selections else ():
            level.directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                yield from self._field(level, node, parent)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                level.join((yield node.selection_set, condition.name.value if condition else parent))
            elif isinstance(node, FragmentSpreadNode):
                if node.name.value not in self.known:
                    yield from self._fragment(node.name.value)
                level.join(self.known[node.name.value])
        return level.close(self.sums)

    def _fragment(self, name: str) -> Generator[_Wanted, _Level, None]:
        self.known[name] = _NOTHING  # a cycle; validation refuses it, and a fragment that is not there
        if (definition := self.fragments.get(name)) is not None:
            known = yield definition.selection_set, definition.type_condition.name.value
            known.directives += len(definition.directives or ())
            self.known[name] = known

    def _field(self, level: _Level, node: FieldNode, parent: str | None) -> Generator[_Wanted, _Level, None]:
        name = node.name.value
        if node.alias is not None:
            level.aliases += 1
            level.longest_alias = max(level.longest_alias, len(node.alias.value))
        level.depth = max(level.depth, 1)
        if name in INTROSPECTIONS:
            level.introspections += 1
            level.cost.add((COST_OF_INTROSPECTION, 0))
            level.carry((yield node.selection_set, None))
            return
        level.fields += name != "__typename"
        price = self.prices.get(parent or "", {}).get(name)
        level.cost.add((price.weight if price else 1, 0))
        if price and parent:
            self.touched.add((parent, name))
        if node.selection_set is None:
            return
        below = yield node.selection_set, price.type if price else None
        level.carry(below)
        level.depth = max(level.depth, below.depth + 1)
        self._pay(level, below, price, node)

    def _pay(self, level: _Level, below: _Level, price: Price | None, node: FieldNode) -> None:
        """Add the cost of what is below a field, as often as the field reads it."""
        times, place = 1, 0
        is_slice = is_waiting = False
        sized: frozenset[str] = frozenset()
        if price is not None and price.declared:
            times, place = self.sums.place(page(price, node, self.defaults))
            sized, is_slice = price.sized, not price.sized
        elif price is not None:
            is_waiting = price.is_list
        paid = Sum() if is_slice else level.lists.setdefault(node.name.value, Sum()) if is_waiting else level.cost
        paid.add(below.closed_cost)
        for name, amount in below.closed_lists.items():
            if name in sized:
                paid.add(amount, times, place)
            else:
                paid.add(amount, ASSUMED_SIZE)
        if is_slice:
            level.cost.add(self.sums.close(paid), times, place)


def crowded(document: DocumentNode, limits: Limits = LIMITS) -> GraphQLError | None:
    """Refuse a document of too many operations, whichever is meant."""
    found = sum(isinstance(node, OperationDefinitionNode) for node in document.definitions)
    sentence = "The document has {found} operations; {limit} are allowed."
    return _over("TOO_MANY_OPERATIONS", sentence, found, limits.operations)


def refused(weight: Weight, limits: Limits = LIMITS) -> GraphQLError | None:
    """Refuse an operation for what no variable changes."""
    mutations = weight.root_fields if weight.is_mutation else 0
    rules = (
        ("TOO_MANY_FIELDS", "The operation has {found} mutations; {limit} are allowed.", mutations, limits.mutations),
        (
            "TOO_MANY_FIELDS",
            "The operation asks for the schema {found} times; {limit} are allowed.",
            weight.introspections,
            limits.introspections,
        ),
        ("TOO_DEEP", "The operation is {found} levels deep; {limit} are allowed.", weight.depth, limits.depth),
        ("TOO_MANY_ALIASES", "The document has {found} aliases; {limit} are allowed.", weight.aliases, limits.aliases),
        (
            "ALIAS_TOO_LONG",
            "An alias has {found} characters; {limit} are allowed.",
            weight.longest_alias,
            limits.alias_characters,
        ),
        (
            "TOO_MANY_DIRECTIVES",
            "The document has {found} directives; {limit} are allowed.",
            weight.directives,
            limits.directives,
        ),
    )
    return next((error for rule in rules if (error := _over(*rule)) is not None), None)


def too_costly(cost: int, most: int = LIMITS.cost) -> GraphQLError | None:
    """Refuse a request for what its operation costs."""
    return _over("TOO_COSTLY", "The operation costs {found} points; {limit} are allowed.", cost, most)


def too_long(answer: int, limits: Limits = LIMITS) -> GraphQLError | None:
    """Refuse an answer for its length, which nobody knew before."""
    return _over(
        "TOO_COSTLY", "The answer has {found} bytes; {limit} are allowed. Ask for less.", answer, limits.answer
    )


def _over(code: str, sentence: str, found: int, limit: int) -> GraphQLError | None:
    if found <= limit:
        return None
    told = {"code": code, "limit": limit, "found": found}
    return GraphQLError(sentence.format(found=found, limit=limit), extensions=told)
