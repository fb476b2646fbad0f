"""Money: an amount of a currency."""

from decimal import Decimal

from babel.core import get_global
from babel.numbers import get_currency_precision

from models.refusal import InvalidInput

MOST = Decimal(999_999_999)


def money(amount: Decimal, currency: str, *field: str | int) -> tuple[Decimal, str]:
    """Check an amount; it has no more digits after the point than its currency."""
    known = checked_currency(currency, *field, "currency")
    digits = get_currency_precision(known)
    if not 0 <= amount <= MOST:
        raise InvalidInput(*field, "amount", problem=f"amount must be from 0 to {MOST}.")
    if -_exponent(amount) > digits:
        raise InvalidInput(
            *field, "amount", problem=f"amount has {-_exponent(amount)} digits after the point; {known} has {digits}."
        )
    return amount, known


def checked_currency(value: str, *field: str | int) -> str:
    """Check the code of a currency."""
    if value not in get_global("all_currencies"):
        raise InvalidInput(*field, problem="currency must be a code of ISO 4217, like EUR.")
    return value


def _exponent(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int)  # neither infinite nor not a number
    return exponent
