"""Random arguments: values that fit (or, if wished, do not fit) an input type, and how a document sends them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLSchema,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from graphql.language.block_string import is_printable_as_block_string, print_block_string

from models.node_id import encode

T = TypeVar("T")
SIZES, CURSORS = ("first", "last", "limit"), ("after", "before")
PAGE = {*SIZES, *CURSORS, "offset"}
WORST_SIZES = (0, 101, -1, 2**31 - 1)
# What the schema cannot tell: which numbers a field of this name takes.
NUMBERS = {"minimumMinutes": (1, 60)}
TIMES = ("00:00", "02:30", "08:00", "12:00", "23:59", "24:00")
LOCAL = ("date", "dates", "timeOfDay", "from")  # what is said of somebody's zone
DATED = {"exposedAppointments"}  # what needs a date in its filter
WORST_NUMBERS = (0, -1, 1441, 2**31 - 1)
ODD_WORDS = (
    "O'Brien", '"', "\\", "%", "_", "$1", "%s", ":x", "{0}", "🦊", "</script>", "שלום", "e\u0301", "x\u2028y", "a" * 200,
)  # fmt: skip
BAD_WORDS = ("", "   ", "\0", "a\tb", "b" * 201, "c" * 5000)
BROKEN = ("", "nonsense", "$1", "' OR 1=1 --", "é", "WyJ4Il0", "UHJvdmlkZXI6MQ==", "=", "%s", "\0", "d" * 9000)
AMOUNTS = ("0", "45.00", "45", "999999999", "0.5")
WRONG: dict[str, tuple[Any, ...]] = {
    "Decimal": ("", "1e3", "NaN", "45,00", 4.5),
    "DateTime": ("", "2027-05-03", "2027-05-03T09:00:00", "1999-01-01T00:00:00Z", "2027-02-30T00:00:00Z", 7),
    "Date": ("", "2027-02-30", "1999-12-31", "tomorrow", 7),
    "LocalTime": ("", "9:00", "24:01", "09:00:00", 540),
    "TimeZone": ("", "Europe/Berli", "UTC+1", "europe/berlin", "\0"),
    "ID": (None, True, {}),
    "String": ("\ud800", None, 7),
    "Int": (2**31, 1.5, "1", None),
}
# Defaults of variables that are given all the same.
DECOYS = {"Int": "3", "String": '"x"', "ID": '"y"'}


@dataclass(frozen=True)
class Known:
    """What no schema tells: ids, cursors, instants, dates, zones and words that mean something in a world."""

    ids: Mapping[str, Sequence[str]]
    strange_ids: Mapping[str, Sequence[str]]
    cursors: Mapping[str, Sequence[str]]
    instants: Sequence[str]
    dates: Sequence[str]
    zones: Sequence[str]
    words: Sequence[str]

    def without(self, hidden: Mapping[str, Sequence[str]]) -> "Known":
        """What is known to somebody who may not see some rows: their ids are as strange as those of others."""
        return replace(
            self,
            ids={name: [each for each in ids if each not in set(hidden[name])] for name, ids in self.ids.items()},
            strange_ids={name: [*ids, *hidden[name]] for name, ids in self.strange_ids.items()},
        )


@dataclass
class Dice:
    """Choices, made of random bytes: zero, also where there are no more, is what a failing example is shrunk to."""

    thrown: bytes
    used: int = 0

    def number(self, least: int, most: int) -> int:
        width = 1 if most - least < 256 else 2
        taken = self.thrown[self.used : self.used + width].ljust(width, b"\0")
        self.used += width
        return least + (int.from_bytes(taken) * (most - least + 1) >> (8 * width))

    def chance(self, percent: int) -> bool:
        return self.number(0, 99) >= 100 - percent

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.number(0, len(choices) - 1)]


@dataclass(frozen=True)
class Name:
    """A value of an enum."""

    name: str


@dataclass(frozen=True)
class Wrong:
    """What no valid document contains, but a variable can have."""

    value: Any


class Absent:
    """What is not given at all."""


ABSENT = Absent()


def list_name(owner: str, name: str, order: Any = None) -> str:
    """Name a list with its order: a cursor of it is one of this name."""
    steps = () if order is None or order is ABSENT else order
    ways = ["ASC" if step["direction"] is ABSENT else step["direction"].name for step in steps]
    return " ".join(
        (f"{owner}.{name}", *(f"{step['field'].name} {way}" for step, way in zip(steps, ways, strict=True)))
    )


def is_list(of: GraphQLField) -> bool:
    """Whether a field answers pages."""
    return PAGE & of.args.keys() >= {"first", "after"}


@dataclass
class Values:
    """Random values for arguments. A valid one may be refused all the same, but seldom is."""

    dice: Dice
    contract: GraphQLSchema
    known: Known
    faulty: bool

    def of_field(self, owner: str, name: str, of: GraphQLField, rows: int) -> dict[str, Any]:
        """Choose what is given for each argument of a field that is asked for `rows` rows."""
        given: dict[str, Any] = {}
        target = get_named_type(of.type).name
        for each, argument in of.args.items():
            if each not in PAGE:
                given[each] = self._maybe(each, argument, target)
        given = self._sensible(given)
        if name in DATED and isinstance(given["filter"], dict) and not self._fails():
            given["filter"] = self._sensible({**given["filter"], "date": self.dice.pick(self.known.dates)})
        if PAGE & of.args.keys():
            order = given.get("orderBy")
            pool = () if is_wrong(order) else self.known.cursors.get(list_name(owner, name, order), ())
            page = self._page(of.args, pool, rows)
            given.update({each: page.get(each, ABSENT) for each in of.args if each in PAGE})
        return given

    def _page(self, args: Mapping[str, GraphQLArgument], pool: Sequence[str], rows: int) -> dict[str, Any]:
        dice, page = self.dice, dict[str, Any]()
        size = dice.pick([each for each in ("first", *SIZES) if each in args])
        if rows > 1 or not dice.chance(15):
            page[size] = 100 if rows == 1 and dice.chance(5) else dice.number(1, 3)
        elif dice.chance(20):
            page[size] = None
        if pool and dice.chance(35):
            page[dice.pick(CURSORS)] = dice.pick(pool)
            if dice.chance(20):
                page[dice.pick(CURSORS)] = dice.pick([None, *pool])
        elif "offset" in args and "last" not in page and dice.chance(40):
            page["offset"] = dice.pick([0, 1, 2, 5, 30, None])
        return self._spoilt(page, args) if self.faulty and dice.chance(35) else page

    def _spoilt(self, page: dict[str, Any], args: Mapping[str, GraphQLArgument]) -> dict[str, Any]:
        dice = self.dice
        sizes = [each for each in SIZES if each in args]
        match dice.number(0, 4):
            case 0:
                return {**page, dice.pick(sizes): dice.pick(WORST_SIZES)}
            case 1:
                return {**page, **dict.fromkeys(sizes, 2)}
            case 2:
                return {**page, dice.pick(CURSORS): dice.pick(BROKEN)}
            case 3:
                other = list(chain.from_iterable(self.known.cursors.values()))
                return {**page, dice.pick(CURSORS): dice.pick(other)}
            case _:
                return {**page, **({"offset": dice.pick((-1, 10_001, 3)), "last": 2} if "offset" in args else {})}

    def _maybe(self, name: str, given: GraphQLArgument | GraphQLInputField, target: str) -> Any:
        needed = is_non_null_type(given.type)
        if (not needed or given.default_value is not Undefined) and not self.dice.chance(45):
            return ABSENT
        if not needed and self.dice.chance(6):
            return None
        return self._value(given.type, name, target)

    def _value(self, type_: Any, name: str, target: str) -> Any:
        bare = get_nullable_type(type_)
        named = get_named_type(type_)
        if is_list_type(bare):
            each = [self._value(bare.of_type, name, target) for _ in range(self.dice.pick((1, 2, 3, 0, 1, 5)))]
            return each if self.faulty or not is_input_object_type(named) else _distinct(each)
        if is_input_object_type(bare):
            chosen = {each: self._maybe(each, inner, "") for each, inner in bare.fields.items()}
            return chosen if self.faulty and self.dice.chance(25) else self._sensible(chosen)
        if self.faulty and self.dice.chance(15):
            wrong = WRONG.get(named.name, ("NOTHING", 7))
            return Wrong(self.dice.pick([value for value in wrong if value is not None or bare is not type_]))
        if isinstance(named, GraphQLEnumType):
            return Name(self.dice.pick(list(named.values)))
        return self._scalar(named.name, name, target)

    def _scalar(self, type_name: str, name: str, target: str) -> Any:
        dice, known = self.dice, self.known
        if type_name == "ID":
            return self._id(name, target)
        if type_name == "Int":
            return dice.pick(WORST_NUMBERS) if self._fails() else dice.number(*NUMBERS.get(name, (0, 10)))
        if type_name == "Boolean":
            return dice.chance(50)
        pools = {
            "DateTime": known.instants,
            "Date": known.dates,
            "TimeZone": known.zones,
            "LocalTime": TIMES,
            "Decimal": AMOUNTS,
        }
        if pool := pools.get(type_name):
            return dice.pick(pool)
        if name == "currency":
            return dice.pick(("EUR", "JPY"))
        if name == "postalCode":
            return dice.pick(("10115", "SW1A 1AA"))
        return dice.pick(BAD_WORDS) if self._fails() else dice.pick([*known.words, *ODD_WORDS])

    def _id(self, name: str, target: str) -> str:
        stem = re.sub(r"(^i|I)ds?$", "", name)
        named = self.contract.type_map.get(f"{stem[:1].upper()}{stem[1:]}" or target)
        inside = not target
        possible = self.contract.get_possible_types(named) if is_abstract_type(named) else [named]
        kinds = [each.name for each in possible if each and each.name in self.known.ids]
        if not kinds:  # a world has none of them
            return encode(getattr(named, "name", "Nothing"), UUID(int=7 << 76 | 8 << 60))
        kind = self.dice.pick([each for each in kinds if self.known.ids[each]] or kinds)
        if self._fails():
            return self.dice.pick([*BROKEN, *chain.from_iterable(self.known.strange_ids.values())])
        if inside and self.dice.chance(10):
            return self.dice.pick(self.known.strange_ids[kind])
        return self.dice.pick(self.known.ids[kind] or self.known.strange_ids[kind])

    def _sensible(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Keep the rules between the fields of one object, which the schema does not know."""
        is_local = "timeZone" in chosen and any(isinstance(chosen.get(name), (str, dict)) for name in LOCAL)
        if is_local and not isinstance(chosen["timeZone"], str):
            chosen["timeZone"] = self.dice.pick(self.known.zones)
        if isinstance(chosen.get("minimum"), str) and isinstance(chosen.get("maximum"), str):
            chosen["minimum"], chosen["maximum"] = sorted((chosen["minimum"], chosen["maximum"]), key=Decimal)
        if isinstance(chosen.get("from"), str) and isinstance(chosen.get("until"), str):
            chosen["from"], chosen["until"] = sorted((chosen["from"], chosen["until"]))
            if len(chosen["from"]) == len("09:00") and chosen["from"] == chosen["until"]:
                chosen["from"], chosen["until"] = "00:00", "24:00"
            if len(chosen["from"]) == len("2027-05-03") and chosen["from"][:7] != chosen["until"][:7]:
                chosen["until"] = chosen["from"]  # no range of dates is longer than some months
        return chosen

    def _fails(self) -> bool:
        return self.faulty and self.dice.chance(30)


def _distinct(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """No order names a field twice."""
    return list({repr(step.get("field")): step for step in steps}.values())


@dataclass
class Sending:
    """Writes values into a document: literally, or by variables that it declares."""

    dice: Dice
    declared: dict[str, str] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    known: dict[Any, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def arguments(self, values: dict[str, Any], args: Mapping[str, GraphQLArgument]) -> str:
        """Write the arguments of a field or directive; nothing, if there are none."""
        sent = [(name, self._sent(value, args[name])) for name, value in values.items()]
        written = [f"{name}: {text}" for name, text in sent if text is not None]
        return f"({self.dice.pick((', ', ' ', ' ,,')).join(written)})" if written else ""

    def _sent(self, value: Any, place: GraphQLArgument | GraphQLInputField) -> str | None:
        has_default = place.default_value is not Undefined
        if value is ABSENT:
            return self._variable(ABSENT, place.type, has_default) if self.dice.chance(8) else None
        return self._placed(value, place.type, has_default)

    def _placed(self, value: Any, type_: Any, has_default: bool) -> str:
        if isinstance(value, Wrong) or self.dice.chance(25):
            return self._variable(value, type_, has_default)
        bare = get_nullable_type(type_)
        if isinstance(value, list) and is_list_type(bare):
            each = [self._placed(item, bare.of_type, has_default=False) for item in value]
            alone = len(each) == 1 and not each[0].startswith("$") and self.dice.chance(30)
            return each[0] if alone else f"[{self.dice.pick((', ', ' ')).join(each)}]"
        if isinstance(value, dict):
            sent = [(name, self._sent(item, bare.fields[name])) for name, item in value.items()]
            return f"{{{', '.join(f'{name}: {text}' for name, text in sent if text is not None)}}}"
        return self._literal(value)

    def _literal(self, value: Any) -> str:
        """Write a value that contains no variable."""
        if isinstance(value, Name):
            return value.name
        if isinstance(value, str):
            if is_printable_as_block_string(value) and self.dice.chance(10):
                return print_block_string(value)
            return json.dumps(value, ensure_ascii=self.dice.chance(30))
        if isinstance(value, list):
            return f"[{', '.join(self._literal(each) for each in value)}]"
        if isinstance(value, dict):
            inside = ", ".join(f"{name}: {self._literal(each)}" for name, each in value.items() if each is not ABSENT)
            return f"{{{inside}}}"
        return json.dumps(value)

    def _variable(self, value: Any, type_: Any, has_default: bool) -> str:
        """Send a value by a variable: a new one, or one that has this type and value already."""
        same = (str(type_), has_default, repr(value))
        if same not in self.known or self.dice.chance(50):
            self.known[same] = self._declared(value, type_, has_default)
        name = self.known[same]
        self.used.add(name)
        return f"${name}"

    def _declared(self, value: Any, type_: Any, has_default: bool) -> str:
        dice = self.dice
        name = dice.pick(("v", "x", "id", "first", "_")) + str(len(self.declared))
        declared, default, told = str(get_nullable_type(type_) if has_default else type_), "", value is not ABSENT
        means = dice.number(0, 3)
        if told and value is not None and not is_wrong(value):
            bare = str(get_nullable_type(type_))
            if means == 3:
                declared = dice.pick((declared, bare))
                default, told = f" = {self._literal(value)}", dice.chance(40)
            elif means == 2:
                declared = f"{bare}!"
        if told and not default and declared in DECOYS and dice.chance(25):
            default = f" = {DECOYS[declared]}"
        if told:
            self.given[name] = self._json(value)
        self.declared[name] = f"${name}: {declared}{default}"
        return name

    def _json(self, value: Any) -> Any:
        if isinstance(value, Wrong):
            return value.value
        if isinstance(value, Name):
            return value.name
        if isinstance(value, list):
            each = [self._json(item) for item in value]
            return each[0] if len(each) == 1 and each[0] is not None and self.dice.chance(25) else each
        if isinstance(value, dict):
            return {name: self._json(item) for name, item in value.items() if item is not ABSENT}
        return value


def is_wrong(value: Any) -> bool:
    if isinstance(value, dict):
        return any(is_wrong(each) for each in value.values())
    return any(is_wrong(each) for each in value) if isinstance(value, list) else isinstance(value, Wrong)
