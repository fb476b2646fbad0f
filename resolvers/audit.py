"""The audit: putting on record who read what is personal."""

from sqlalchemy import Text, Uuid, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from models.node_id import term
from models.record import array_of
from resolvers.context import Context


async def record_read(context: Context) -> None:
    """Write down what was read in this request, before it is answered: one statement for all of it."""
    if not context.read:
        return
    nouns = [term(type_name) for type_name, _ in context.read]
    keys = [key for _, key in context.read]
    fields = [",".join(sorted(names)) for names in context.read.values()]
    things = (
        func.unnest(array_of(nouns, Text), array_of(keys, Uuid), array_of(fields, Text))
        .table_valued(column("noun", Text), column("key", Uuid), column("fields", Text))
        .render_derived(name="thing")
    )
    recorded = func.record_read(
        bindparam("business", context.business, Uuid),
        things.c.noun,
        things.c.key,
        func.string_to_array(things.c.fields, ",", type_=ARRAY(Text)),
        context.viewer.principal,
        context.request_id,
        type_=Text,
    )
    await context.database.row(select(func.count(recorded)))
    context.read.clear()
