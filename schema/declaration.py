"""Declarations: how a field is answered, told as data. Answering them here is the ordinary road; `compiler` is the other."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension

from models.node_id import encode
from models.page import Page
from models.relation import Listing, Many, One, Tally
from resolvers import nodes
from resolvers.connections import listed, related, tallied
from resolvers.context import Context
from resolvers.writes import Write, written

Info = strawberry.Info[Context, None]
Read = Callable[[], Any]
"""The field's own function, which does nothing but read its arguments."""


class Declared(FieldExtension):
    """A field whose function, if it has one, only reads its arguments; how it is answered stands in the declaration."""

    def resolve(self, next_: Callable[..., Any], source: Any, info: strawberry.Info[Any, Any], **kwargs: Any) -> Any:
        return self.answer(info, source, lambda: info.context.located(next_(source, info, **kwargs)))

    @abstractmethod
    def answer(self, info: Info, source: Any, read: Read) -> Any:
        """Answer the field of one row, at once or when it is awaited."""


class Identity(Declared):
    """The opaque id of a row."""

    def answer(self, info: Info, source: Any, read: Read) -> str:
        return encode(info._raw_info.parent_type.name, source.id)  # noqa: SLF001


class SameAs(Declared):
    """Another name of a column."""

    def __init__(self, column: str) -> None:
        self.column = column

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return getattr(source, self.column)


class Personal(SameAs):
    """A column that tells something about a person: that somebody read it is put on record."""

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        value = super().answer(info, source, read)
        if value is not None:
            raw = info._raw_info  # noqa: SLF001
            info.context.disclose(raw.parent_type.name, source.id, raw.field_name)
        return value


class Part(Declared):
    """Some columns of the row itself, shown as an object of their own: there, where this one of them is."""

    def __init__(self, column: str) -> None:
        self.column = column

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return None if getattr(source, self.column) is None else source


class Linked(Declared):
    """The row that a link leads to."""

    def __init__(self, relation: One) -> None:
        self.relation = relation

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        key = getattr(source, self.relation.key)
        return None if key is None else info.context.loaders.one(self.relation.target, key)


class Related(Declared):
    """A page of the list that a link leads to."""

    def __init__(self, relation: Many) -> None:
        self.relation = relation

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return related(info.context, self.relation, source.id, read())


class FirstOf(Declared):
    """The first row of the list that a link leads to."""

    def __init__(self, relation: Many) -> None:
        self.relation = relation
        self.page = Page(relation.listed, 1)

    async def answer(self, info: Info, source: Any, read: Read) -> Any:
        rows = await related(info.context, self.relation, source.id, self.page).nodes()
        return next(iter(rows), None)


class Listed(Declared):
    """A page of a list at the root."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return listed(info.context, self.listing, read())


class FirstListed(Declared):
    """The first row of a list at the root."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    async def answer(self, info: Info, source: Any, read: Read) -> Any:
        rows = await listed(info.context, self.listing, read()).nodes()
        return next(iter(rows), None)


class Tallied(Declared):
    """A short list at the root, each row of which is counted."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    async def answer(self, info: Info, source: Any, read: Read) -> Any:
        return await tallied(info.context, self.tally, read())


class InZone(Declared):
    """An instant as the clocks of a zone show it, which is read."""

    def __init__(self, column: str) -> None:
        self.column = column

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return read().shown(getattr(source, self.column))


class Found(Declared):
    """Whatever has an id: its type is known when the id is read."""

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return nodes.find(info.context, read())


class FoundAll(Declared):
    """Whatever has these ids: each alone, so that one that is not there spoils no other."""

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return nodes.find_all(info.context, read())


class Asking(Declared):
    """Whoever asks."""

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return info.context.viewer


class Clock(Declared):
    """The database's clock."""

    def answer(self, info: Info, source: Any, read: Read) -> Any:
        return nodes.clock(info.context)


class Written(Declared):
    """The row that a mutation writes by one statement, as its payload."""

    def __init__(self, write: Write) -> None:
        self.write = write

    def apply(self, field: Any) -> None:
        self.field = field

    async def answer(self, info: Info, source: Any, read: Read) -> Any:
        return self.field.type(**{self.write.noun: await written(info.context, self.write, read())})
