"""Fields that cannot be merged are found as the reference finds them, in time that grows as the document does."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLError,
    OverlappingFieldsCanBeMergedRule,
    TypeInfo,
    ValidationContext,
    build_schema,
    get_named_type,
    is_composite_type,
    parse,
    validate,
)

from schema.merging import MOST_VISITS, FieldsCanBeMerged, Merging
from tests.attacks import chain, times

PETS = build_schema("""
    interface Pet { name(x: Int, o: In): String! owner: Human friend(n: Int): Pet friends: [Pet!]! tag: ID }
    input In { a: Int b: [Int] }
    type Dog implements Pet {
        name(x: Int, o: In): String! owner: Human friend(n: Int): Dog friends: [Pet!]! tag: ID
        bark: Int! kin: [Dog] size: Int
    }
    type Cat implements Pet {
        name(x: Int, o: In): String! owner: Human! friend(n: Int): Cat friends: [Pet!]! tag: ID
        meow: String kin: Cat size: String
    }
    type Human { name: String pets: [Pet!] any: Any dog: Dog self: Human! tag: ID! }
    union Any = Dog | Cat | Human
    type Query { dog: Dog cat: Cat pet(id: ID): Pet any: Any human: Human }
""")
COMPOSITES = ("Pet", "Dog", "Cat", "Human", "Any", "Query")
ARGUMENTS = {
    "name": (
        "(x: 1)",
        "(x: 2)",
        "(x: $v)",
        "(o: {a: 1, b: [1]})",
        "(o: {b: [1], a: 1})",
        "(x: 1, o: {})",
        "(o: {}, x: 1)",
    ),
    "friend": ("(n: 1)", "(n: 2)"),
    "pet": ('(id: "a")', '(id: """a""")', "(id: 1)", "(id: null)"),
}


class Writer:
    """Writes small documents that are mostly valid, but for what overlaps."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.left = self.dice.randint(2, 24)
        self.types = self.dice.choices(COMPOSITES, k=self.dice.randint(0, 3))

    def document(self) -> str:
        fragments = [
            f"fragment F{n} on {type_} {self.selection(type_, 1, n + 1)}" for n, type_ in enumerate(self.types)
        ]
        return " ".join([f"query($v: Int) {self.selection('Query', 0, 0)}", *fragments])

    def selection(self, type_: str, depth: int, fragments: int) -> str:
        chosen = [self.selected(type_, depth, fragments) for _ in range(self.dice.randint(1, 4))]
        return f"{{ {' '.join(chosen)} }}"

    def selected(self, type_: str, depth: int, fragments: int) -> str:
        self.left -= 1
        luck = self.dice.random()
        if luck < 0.2 and depth < 6 and self.left > 0:
            condition = self.dice.choice((None, *COMPOSITES[:5]))
            inside = self.selection(condition or type_, depth + 1, fragments)
            return f"... on {condition} {inside}" if condition else f"... {inside}"
        if luck < 0.4 and fragments < len(self.types):
            return f"...F{self.dice.randrange(fragments, len(self.types))}"
        return self.field(type_, depth, fragments)

    def field(self, type_: str, depth: int, fragments: int) -> str:
        fields: dict[str, Any] = getattr(PETS.type_map[type_], "fields", {})
        name = self.dice.choice([*fields, "__typename"])
        alias = self.dice.choice(("", "", "", "", "", "p: ", "q: ", "name: "))
        given = self.dice.choice(("", "", "", *ARGUMENTS.get(name, ())))
        inner = get_named_type(fields[name].type) if name in fields else None
        if not is_composite_type(inner):
            return f"{alias}{name}{given}"
        if self.left <= 0 or depth >= 6:
            return f"{alias}__typename"
        return f"{alias}{name}{given} {self.selection(inner.name, depth + 1, fragments)}"


def told(rule: type, document: DocumentNode) -> list[GraphQLError]:
    return validate(PETS, document, [rule])


@pytest.mark.parametrize("block", range(10))
def test_the_verdict_is_that_of_the_reference(block: int) -> None:
    documents = [Writer(seed).document() for seed in range(block * 500, block * 500 + 500)]
    parsed = [parse(text) for text in documents]

    expected = [bool(told(OverlappingFieldsCanBeMergedRule, document)) for document in parsed]
    found = [bool(told(FieldsCanBeMerged, document)) for document in parsed]

    differing = [text for text, one, other in zip(documents, expected, found, strict=True) if one != other]
    assert differing == []
    assert 100 < sum(expected) < 400


@pytest.mark.parametrize(
    "text",
    [
        "{ dog { name name: tag } }",
        "{ dog { name(x: 1) name(x: 2) } }",
        "{ dog { name(x: 1) name } }",
        '{ pet(id: "a") { name } pet(id: """a""") { name } }',
        "{ pet { ... on Dog { size } ... on Cat { size } } }",
        "{ pet { ... on Dog { kin { name } } ... on Cat { kin { name } } } }",
        "{ pet { ... on Dog { kin { a: name } } ... on Pet { kin: friends { a: tag } } } }",
        "{ dog { friend { a: name } } dog { friend { a: tag } } }",
        "{ human { ...A ...B } } fragment A on Human { a: name } fragment B on Human { a: tag }",
        "{ a: dog { name } a: cat { name } }",
    ],
)
def test_what_is_said_is_what_the_reference_says(text: str) -> None:
    expected, found = (told(rule, parse(text)) for rule in (OverlappingFieldsCanBeMergedRule, FieldsCanBeMerged))

    assert [error.message for error in found] == [error.message for error in expected]
    assert len(found) == 1
    assert len(found[0].locations or []) == 2


@pytest.mark.parametrize(
    "text",
    [
        "{ dog { name name } dog { name } }",
        "{ dog { name(o: {a: 1, b: [1]}) name(o: {b: [1], a: 1}) } }",
        "{ pet { ... on Dog { a: name } ... on Cat { a: meow } } }".replace("meow", "name(x: 1)"),
        "{ pet { ... on Dog { a: tag b: friend { c: size } } ... on Cat { a: tag b: friend { d: size } } } }",
        "{ human { ...A } } fragment A on Human { self { ...A } name }",
        "{ ...Nowhere dog { ...Nowhere } nothing { a b: a } nothing { b: a } }",
    ],
)
def test_what_can_be_merged_is_not_refused(text: str) -> None:
    assert told(FieldsCanBeMerged, parse(text)) == []


def test_a_fragment_that_nobody_uses_is_checked_too() -> None:
    text = "{ dog { name } } fragment A on Dog { a: name ...B } fragment B on Dog { a: tag }"

    (error,) = told(FieldsCanBeMerged, parse(text))

    assert error.message.startswith("Fields 'a' conflict because 'name' and 'tag' are different fields.")


def test_a_long_chain_of_reasons_is_cut() -> None:
    inside = "{ self " * 60
    text = f"{{ human {inside} {{ a: name }} {'}' * 60} human {inside} {{ a: tag }} {'}' * 60} }}"

    (error,) = told(FieldsCanBeMerged, parse(text))

    assert error.message.startswith("Fields 'human' conflict because subfields 'self' conflict because subfields")
    assert len(error.message) < 1_200


def visits(text: str) -> int:
    document = parse(text)
    errors: list[GraphQLError] = []
    merging = Merging(ValidationContext(PETS, document, TypeInfo(PETS), errors.append))
    assert list(merging.conflicts()) == []
    return merging.visits


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(lambda n: "{ dog { " + "tag " * n + "} }", id="leaves"),
        pytest.param(lambda n: "{ " + "dog { tag } " * n + "}", id="links"),
        pytest.param(lambda n: "{ " + "dog { tag bark friend { tag } } dog { name friend { bark } } " * n + "}", id="mixed"),
        pytest.param(lambda n: "{ dog { " + "... on Pet { tag } ... { name } " * n + "} }", id="inline fragments"),
        pytest.param(lambda n: "{ dog " + "{ ... " * n + "{ tag }" + "}" * n + " }", id="nested inline fragments"),
        pytest.param(lambda n: "{ dog " + "{ friend { tag } friend " * n + "{ tag }" + "}" * n + " }", id="levels"),
        pytest.param(lambda n: "{ dog { " + "...F " * n + "} } fragment F on Dog { " + "tag " * n + "}", id="one fragment"),
        pytest.param(
            lambda n: chain(n, "fragment F# on Dog { ...F@ ...F@ }", "fragment F# on Dog { tag }", "{ dog { ...F0 } }"),
            id="doubling fragments",
        ),
        pytest.param(
            lambda n: chain(
                n,
                "fragment F# on Human { self { ...F@ ...F@ } dog { owner { ...F@ } } }",
                "fragment F# on Human { tag }",
                "{ human { ...F0 } }",
            ),
            id="doubling fragments with fields",
        ),
    ],
)  # fmt: skip
def test_the_work_grows_as_the_document_does(document: Callable[[int], str]) -> None:
    small, large = visits(document(20)), visits(document(160))

    assert 0 < large <= 8 * small + 8
    assert large <= 9 * 160 + 9


def test_two_names_on_each_of_many_levels_are_two_sets_a_level() -> None:
    text = "{ human " + "".join(f"{{ a{n}: self {{ tag }} b{n}: self " for n in range(90)) + "{ tag }" + "}" * 91 + " }"

    assert visits(text.replace("}" * 91 + " }", "}" * 90 + " }")) <= 4 * 90 + 2


def subsets(levels: int) -> str:
    """Lead each sequence of the names `a` and `b` to another set of fragments: there are 2**levels of them."""
    fragments = [
        f"fragment S{state}L{level} on Human {{ a: self {{ ...S{state + (state > 0)}L{level + 1} ...S{state + 1}L{level + 1} }}"
        f" b: self {{ ...S{state + (state > 0)}L{level + 1} }} }}"
        for level in range(levels)
        for state in range(level + 1)
    ]
    last = times(levels + 1, f"fragment S#L{levels} on Human {{ tag }}")
    return f"{{ human {{ ...S0L0 }} }} {' '.join(fragments)} {last}"


def test_what_overlaps_in_too_many_ways_is_refused() -> None:
    few, many = (told(FieldsCanBeMerged, parse(subsets(levels))) for levels in (8, 14))

    assert few == []
    assert [error.message for error in many] == ["The fields of the document overlap in too many ways to be checked."]
    assert MOST_VISITS == 20_000
