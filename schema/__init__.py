"""The public contract. It reads like SDL and decides nothing."""

import strawberry
from graphql import Undefined
from strawberry.schema.config import StrawberryConfig

from schema.appointment import Appointment
from schema.business import Business
from schema.client import Client
from schema.error import SHOWN_AS, RefusedError
from schema.location import Location
from schema.mutation import Mutation
from schema.provider import Provider
from schema.query import Query
from schema.reservation import Reservation
from schema.scalars import SCALARS
from schema.service import Service

schema = strawberry.Schema(
    Query,
    Mutation,
    types=[Appointment, Business, Client, Location, Provider, Reservation, Service, RefusedError, *SHOWN_AS.values()],
    config=StrawberryConfig(scalar_map=SCALARS),
)
"""The one schema object."""


def _omit_null_defaults() -> None:
    """An optional argument simply may be left out: `= null` would be noise in the contract."""
    for type_ in schema._schema.type_map.values():  # noqa: SLF001
        fields = getattr(type_, "fields", {}).values()
        for given in (*fields, *(argument for field in fields for argument in getattr(field, "args", {}).values())):
            if getattr(given, "default_value", Undefined) is None:
                given.default_value = Undefined


_omit_null_defaults()
