"""Rendering: from a selection to the statement that answers it with one text.

A row becomes an object by concatenation. A link to one row, or to a list, becomes a lateral join of the row it starts
from, which has one column, the JSON text of what is selected there. So each level of the document is a level of the
statement, and each level reads only its own rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

from graphql import GraphQLOutputType
from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    Uuid,
    case,
    cast,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array

from compiler.json import MISSING, NULL, Json, constant, cursor, identity, joined, or_nothing, scalar
from compiler.road import OrdinaryRoad
from compiler.selection import Selected, Selection
from models.event import authored
from models.node_id import term
from models.page import Page, select_page
from models.record import Record
from models.relation import Many, rows
from models.relation import count as count_of
from models.shape import hole
from models.viewer import Role, Sight, Viewer
from resolvers.nodes import FOUND_BY_ID
from resolvers.writes import Write
from schema.declaration import FirstOf, Identity, InZone, Linked, Part, Personal, Related, SameAs

# What every statement may need of the request, beside the values that its document asks with.
BUSINESS: Any = hole("business", Uuid)
PERSON: Any = hole("person", Uuid)
ROLE: Any = hole("role", Text)
PRINCIPAL: Any = hole("principal", Text)
REQUEST: Any = hole("request", Text)
# A statement depends on whose rows a viewer sees, and on nothing else of them.
VIEWERS = {
    sight: Viewer(BUSINESS, PRINCIPAL, role, PERSON, told_role=ROLE)
    for sight, role in (
        (Sight.ALL, Role.ADMIN),
        (Sight.PROVIDER, Role.PROVIDER),
        (Sight.CLIENT, Role.CLIENT),
        (Sight.NONE, Role.PUBLIC),
    )
}

MOST_JOINS = 32
Numbering = Callable[[Select[Any]], Select[Any]]


class Row:
    """A row of a statement, by the name it has there. It selects what was asked of it, joined with what was joined."""

    def __init__(self, name: str, rows: Select[Any] | FromClause, numbered: Numbering | None = None) -> None:
        self.name = name
        self.joins: list[FromClause] = []
        self.is_kept: ColumnElement[bool] | None = None  # unless every row that is read is shown
        self._rows = rows
        self._numbered = numbered
        self._types = {column.key: column.type for column in _columns(rows)}
        self._asked: set[str] = set()

    def __getitem__(self, label: str) -> ColumnElement[Any]:
        """Name a column in words: SQLAlchemy would read its table once more in every statement inside this one."""
        if label not in self._types:
            raise OrdinaryRoad(f"{label} is no column; Python answers it")
        self._asked.add(label)
        return literal_column(f"{self.name}.{label}", self._types[label])

    def number(self, label: str) -> ColumnElement[int]:
        """Name a column that the numbering has added."""
        return literal_column(f"{self.name}.{label}", Integer)

    def select(self, text: ColumnElement[str]) -> Select[Any]:
        """Select a text that is made of this row and of what it is joined with."""
        return select(text.label("json")).select_from(self.source())

    def source(self) -> FromClause:
        source = self._rows
        if isinstance(source, Select):
            asked = [one for one in _columns(source) if one.key in self._asked]
            source = source.with_only_columns(*asked or [literal_column("1")], maintain_column_froms=True)
            source = (self._numbered(source) if self._numbered else source).subquery(self.name)
        for join in self.joins:
            source = source.outerjoin(join, true())
        return source


def _columns(rows: Select[Any] | FromClause) -> Any:
    return rows.selected_columns if isinstance(rows, Select) else rows.c


class Rendering:
    """Makes one statement. `values` are what its sites ask for, with holes for what is filled in at each run."""

    def __init__(self, values: list[Any], sight: Sight) -> None:
        self.values = values
        self.seen_by = VIEWERS[sight]
        self.names = (f"t{n}" for n in count(1))
        self.joins = 0

    # Rows

    def object(self, row: Row, selection: Selection) -> Json:
        """The object of a row; what is read of it that is personal is put on record by reading it."""
        object_ = self.members(selection, lambda field: self._value(row, field))
        read = {field.name: field.declared.column for field in selection if isinstance(field.declared, Personal)}
        if not read or self.seen_by.sight is Sight.CLIENT:
            return object_
        names = [case((row[column].is_not(None), constant(name))) for name, column in sorted(read.items())]
        noun = constant(term(selection[0].parent))
        return [*object_, func.record_read(BUSINESS, noun, row["id"], array(names), PRINCIPAL, REQUEST, type_=Text)]

    def members(self, selection: Selection, value: Callable[[Selected], Json]) -> Json:
        parts: Json = []
        for field in selection:
            shown: Json = [f'"{field.parent}"'] if field.name == "__typename" else value(field)
            parts += [",", f'"{field.key}":', *shown]
        return ["{", *parts[1:], "}"]

    def _value(self, row: Row, field: Selected) -> Json:
        match field.declared:
            case Identity():
                return ['"', identity(field.parent, row["id"]), '"']
            case SameAs(column=column):
                return [or_nothing(scalar(row[column], field.type), field.type)]
            case InZone(column=column):
                shown = self._asked(field).time(row[column])
                return [or_nothing(scalar(shown, field.type), field.type)]
            case Part(column=column):
                shown = case((row[column].is_not(None), joined(self.object(row, field.only))))
                return [or_nothing(shown, field.type)]
            case Linked(relation=relation):
                return self._joined(row, self.found(relation.target, row[relation.key], field.only), field.type)
            case Related(relation=relation):
                list_ = self.connection(self._on(relation, row), self._asked(field), field.only)
                return self._joined(row, list_, field.type)
            case FirstOf(relation=relation, page=page):
                first = self._row(select_page(self._on(relation, row), page, more=0))
                text = joined(self.object(first, field.only))
                return self._joined(row, first.select(text), field.type)
        raise OrdinaryRoad(f"{field.parent}.{field.name} is answered by Python")

    def _joined(self, row: Row, statement: Select[Any], type_: GraphQLOutputType) -> Json:
        return [or_nothing(self._lateral(row, statement), type_)]

    def _lateral(self, row: Row, statement: Select[Any]) -> ColumnElement[str]:
        """Join a row with what a statement makes of it, a text."""
        self.joins += 1
        if self.joins > MOST_JOINS:
            raise OrdinaryRoad(f"a root field joins more than {MOST_JOINS} times, which is too much to plan")
        if row.is_kept is not None:  # of the row that only tells that the list goes on, nothing more is read
            statement = statement.where(row.is_kept)
        lateral = statement.lateral(next(self.names))
        row.joins.append(lateral)
        return literal_column(f"{lateral.name}.json", Text)

    def _row(self, rows: Select[Any], numbered: Numbering | None = None) -> Row:
        return Row(next(self.names), rows, numbered)

    def _on(self, relation: Many, row: Row) -> Select[Any]:
        return relation.select(self.seen_by).where(relation.on(row["id"]))

    def _asked(self, field: Selected) -> Any:
        if field.site is None:
            raise OrdinaryRoad(f"{field.parent}.{field.name} takes no arguments")
        return self.values[field.site]

    def found(self, record: Any, key: ColumnElement[UUID], selection: Selection) -> Select[Any]:
        """The object of the row with this key; no row, if none has it."""
        row = self._row(rows(record, self.seen_by).where(record.id == key))
        return row.select(joined(self.object(row, selection)))

    # Lists

    def connection(self, whole: Select[Any], page: Page, selection: Selection) -> Select[Any]:
        """The connection of a list: one row, whose text has the page and what is told of it."""
        shown = {field.name for field in selection}
        if not shown & {"nodes", "edges", "pageInfo"}:
            return select(joined(self.members(selection, lambda _: [_total(whole)])).label("json"))
        is_numbered = "pageInfo" in shown
        row = self._row(
            select_page(whole, page, more=1 if is_numbered else 0), partial(_numbered, page) if is_numbered else None
        )
        if is_numbered:
            row.is_kept = row.number("n") <= _size(page)
        list_ = _List(self, row, page, [row[sort.column] for sort in page.of.order])
        parts = self.members(selection, lambda field: list_.member(field, whole))
        return row.select(joined(parts)).having(true())  # one row, though nothing that is selected looks at any

    # Roots

    def first(self, whole: Select[Any], page: Page, selection: Selection) -> Select[Any]:
        """The object of the first row of a list; one row, also where the list is empty."""
        row = self._row(select_page(whole, page, more=0))
        found = row.select(joined(self.object(row, selection))).scalar_subquery()
        return select(func.coalesce(found, constant(NULL), type_=Text).label("json"))

    def plain_list(self, rows: Select[Any], order: str, selection: Selection) -> Select[Any]:
        """A list that is no connection: one row, whose text has all of it."""
        row = self._row(rows)
        return row.select(joined(["[", _listed(joined(self.object(row, selection)), [row[order]]), "]"]))

    def several(self, asked: Any, by_type: dict[str, Selection]) -> Select[Any]:
        """A list of the objects with these keys, in their order."""
        name = next(self.names)
        unnested = func.unnest(asked.keys, asked.types).table_valued("key", "type", with_ordinality="n")
        ids = unnested.render_derived(name=name)
        row = Row(name, ids)
        texts = []
        for kind in asked.kinds:
            key, type_ = literal_column(f"{name}.key", Uuid), literal_column(f"{name}.type", Text)
            found = self.found(FOUND_BY_ID[kind], key, by_type[kind]).where(type_ == constant(kind))
            texts.append(self._lateral(row, found))
        text = func.coalesce(*texts, constant(MISSING), type_=Text)
        return row.select(joined(["[", _listed(text, [literal_column(f"{name}.n", Integer)]), "]"]))

    def viewer(self, selection: Selection) -> Select[Any]:
        row = self._row(select(PRINCIPAL.label("principal"), ROLE.label("role"), BUSINESS.label("business_id")))
        return row.select(joined(self.object(row, selection)))

    def payload(self, write: Write, asked: Any, key: Any, selection: Selection) -> Select[Any]:
        """The payload of a mutation, from the row that its statement writes; no row, if the rules say no."""
        statement = write.statement(self.seen_by, asked, key, authored(PRINCIPAL, REQUEST))
        (written,) = statement.get_final_froms()
        assert isinstance(written, CTE)
        row = Row(written.name, written)

        def member(field: Selected) -> Json:
            if field.name == "userErrors":
                return ["[]"]
            _refuse_what_was_written(write.record, field.only)
            return self.object(row, field.only)

        text = joined(self.members(selection, member))
        return statement.with_only_columns(text.label("json")).select_from(row.source())


@dataclass(frozen=True)
class _List:
    """The page of a list, of which each member of the connection shows something else."""

    rendering: Rendering
    row: Row
    page: Page
    keys: list[ColumnElement[Any]]

    def member(self, field: Selected, whole: Select[Any]) -> Json:
        match field.name:
            case "nodes":
                return self._all(self.rendering.object(self.row, field.only))
            case "edges":
                return self._all(self.rendering.members(field.only, self._edge))
            case "pageInfo":
                return self.rendering.members(field.only, self._info)
        return [_total(whole)]

    def _all(self, object_: Json) -> Json:
        ordered = [sort.of(key) for key, sort in zip(self.keys, self.page.of.order, strict=True)]
        return ["[", _listed(joined(object_), ordered, self.row.is_kept), "]"]

    def _edge(self, field: Selected) -> Json:
        return self.rendering.object(self.row, field.only) if field.name == "node" else ['"', self._cursor(), '"']

    def _info(self, field: Selected) -> Json:
        page = self.page
        goes_on = cast(func.count() > _size(page), Text)
        came_before = page.after is not None or page.offset is not None
        match field.name:
            case "hasNextPage":
                return [_boolean(page.before is not None) if page.backward else goes_on]
            case "hasPreviousPage":
                return [goes_on if page.backward else _boolean(came_before)]
        return [or_nothing(self._end(is_first=(field.name == "startCursor") != page.backward), field.type)]

    def _end(self, *, is_first: bool) -> ColumnElement[str]:
        """The cursor of the row that was read as the first, or as the last that belongs to the page."""
        n = literal_column("1") if is_first else func.least(self.row.number("total"), _size(self.page))
        return func.max(joined(['"', self._cursor(), '"'])).filter(self.row.number("n") == n)

    def _cursor(self) -> ColumnElement[str]:
        return cursor(self.page.of.signature, self.keys)


def _listed(
    text: ColumnElement[str], order: list[ColumnElement[Any]], kept: ColumnElement[bool] | None = None
) -> ColumnElement[str]:
    all_ = func.string_agg(text, aggregate_order_by(constant(","), *order))
    return func.coalesce(all_ if kept is None else all_.filter(kept), constant(""), type_=Text)


def _numbered(page: Page, rows: Select[Any]) -> Select[Any]:
    """Number the rows of a page, and of one row more, in the order of reading, and tell how many there are."""
    read = rows.subquery("page")
    order = [sort.of(read.c[sort.column], backward=page.backward) for sort in page.of.order]
    return select(*read.c, func.row_number().over(order_by=order).label("n"), func.count().over().label("total"))


def _size(page: Page) -> ColumnElement[int]:
    return literal_column(str(page.size), Integer)


def _total(whole: Select[Any]) -> ColumnElement[str]:
    return cast(count_of(whole).scalar_subquery(), Text)


def _boolean(value: bool) -> ColumnElement[str]:
    return constant("true" if value else "false")


def _refuse_what_was_written(record: type[Record], selection: Selection) -> None:
    """A statement does not see in a table what it writes there: lists, and links back, are read after it."""
    for field in selection:
        link = field.declared
        if isinstance(link, (Related, FirstOf)) or (isinstance(link, Linked) and link.relation.target is record):
            raise OrdinaryRoad(f"{field.parent}.{field.name} is read after the write")
        if isinstance(link, Linked):
            _refuse_what_was_written(record, field.only)
