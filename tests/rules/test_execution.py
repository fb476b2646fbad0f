"""Documents are parsed and validated once; what a client writes beside them makes nobody else's be forgotten."""

from typing import Any

import pytest
from graphql import validate

from schema.execution import Documents, Question

prepare = Documents().prepare


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The documents that were validated."""
    seen: list[Any] = []

    def note(contract: Any, document: Any, *more: Any, **named: Any) -> Any:
        seen.append(document)
        return validate(contract, document, *more, **named)

    monkeypatch.setattr("schema.execution.validate", note)
    return seen


def test_many_names_of_operations_are_one_document(validated: list[Any]) -> None:
    text = "query Meant { serverTime } query Other { viewer { principal } } # many names"
    victim = Question("{ serverTime } # is not forgotten", {})
    prepare(victim)

    prepared = [prepare(Question(text, {}, f"Unknown{n}")) for n in range(1_000)]
    meant, other = (prepare(Question(text, {}, name)) for name in ("Meant", "Other"))
    again = prepare(victim)

    assert len(validated) == 2
    assert [len(each.errors) for each in prepared] == [1] * 1_000
    assert all(each.operation is None for each in prepared)
    assert [each.operation.name.value for each in (meant, other) if each.operation and each.operation.name] == [
        "Meant",
        "Other",
    ]
    assert again.operation is not None


def test_documents_that_are_wrong_make_no_right_one_be_forgotten(validated: list[Any]) -> None:
    right = Question("{ serverTime } # is right", {})
    prepare(right)
    for n in range(1_000):
        assert prepare(Question(f"{{ nothing{n} }}", {})).errors
    validated.clear()

    assert prepare(right).errors == ()

    assert validated == []
