"""The public contract. It reads like SDL and decides nothing."""

import strawberry
from graphql import Undefined
from strawberry.schema.config import StrawberryConfig

from schema.appointment import Appointment
from schema.availability_exception import AvailabilityException
from schema.availability_rule import AvailabilityRule
from schema.business import Business
from schema.client import Client
from schema.error import SHOWN_AS, RefusedError
from schema.holiday import Holiday
from schema.location import Location
from schema.mutation import Mutation
from schema.offering import Offering
from schema.proposal import Proposal
from schema.provider import Provider
from schema.query import Query
from schema.requirement import Requirement
from schema.reservation import Reservation
from schema.reservation_series import ReservationSeries
from schema.resource import Resource
from schema.scalars import SCALARS
from schema.service import Service
from schema.skill import Skill
from schema.subscription import Subscription
from schema.time_off import TimeOff
from schema.visit import Visit
from schema.waitlist_entry import WaitlistEntry
from schema.webhook_endpoint import WebhookEndpoint

schema = strawberry.Schema(
    Query,
    Mutation,
    Subscription,
    types=[
        *(Appointment, Business, Client, Location, Offering, Provider, Requirement, Reservation, Resource, Service),
        *(Visit, ReservationSeries, WaitlistEntry, Proposal, WebhookEndpoint),
        *(Skill, AvailabilityRule, AvailabilityException, Holiday, TimeOff, RefusedError, *SHOWN_AS.values()),
    ],
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
