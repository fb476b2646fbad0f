"""Refusals: whatever a rule of the database says can be shown, though it names no details."""

import pytest

from models.refusal import REFUSAL_OF_CONSTRAINT, HoldExpired, IllegalState, InvalidInput, Refusal, SlotUnavailable
from schema.error import (
    HoldExpiredError,
    IllegalStateError,
    InvalidInputError,
    RefusedError,
    SlotUnavailableError,
    extensions,
    shown,
)


@pytest.mark.parametrize("kind", dict.fromkeys(REFUSAL_OF_CONSTRAINT.values()))
def test_what_a_constraint_refuses_is_shown_without_details(kind: type[Refusal]) -> None:
    refusal = kind()

    error = shown(refusal)

    assert (error.message, error.code.value, error.field) == (refusal.sentence, kind.code, refusal.field or None)
    assert extensions(refusal)["code"] == kind.code


def test_a_refusal_is_shown_by_its_own_type_if_it_has_what_that_needs() -> None:
    bare, told = shown(IllegalState()), shown(IllegalState("reservationId", state="HELD"))

    assert (type(bare), type(told)) == (RefusedError, IllegalStateError)
    assert (type(shown(HoldExpired())), type(shown(SlotUnavailable()))) == (RefusedError, SlotUnavailableError)
    assert type(shown(InvalidInput("note", problem="It is too long."))) is InvalidInputError
    assert not isinstance(shown(HoldExpired()), HoldExpiredError)
