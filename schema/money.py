"""The type Money, which is a part of the row that has a price; and how an input says it."""

from decimal import Decimal
from typing import Any

import strawberry

from schema.access import EVERYBODY, Allowed
from schema.connection import same_as
from schema.declaration import Part

AMOUNT = "From 0 to 999999999, with as many digits after the point as the currency has at most."
CURRENCY = "The code of a currency (ISO 4217), like EUR."


@strawberry.type(description="An amount of a currency.", directives=[EVERYBODY])
class Money:
    amount: Decimal = same_as("price", "As it was given, to the digit.")
    currency: str = strawberry.field(description=CURRENCY)


@strawberry.input(description="An amount of a currency.")
class MoneyInput:
    amount: Decimal = strawberry.field(description=AMOUNT)
    currency: str = strawberry.field(description=CURRENCY)


@strawberry.input(description="A range of prices; both ends belong to it.")
class PriceRange:
    currency: str = strawberry.field(description=CURRENCY)
    minimum: Decimal | None = strawberry.field(default=None, description="At least so much.")
    maximum: Decimal | None = strawberry.field(default=None, description="At most so much.")


def price(description: str, *rules: Allowed) -> Any:
    """Declare the price of a row, in its columns `price` and `currency`."""
    return strawberry.field(
        graphql_type=Money | None, description=description, extensions=[Part("price")], directives=rules
    )
