"""What a worker remembers of the documents it was asked stays small, whatever they are."""

import gc
from typing import Any

import pytest

from compiler.plan import CHARACTERS_KEPT, Plan, Plans, Tree
from compiler.road import OrdinaryRoad
from models.business import DEFAULT_BUSINESS
from models.viewer import Role, Viewer
from resolvers.context import Context
from schema.execution import DOCUMENTS_KEPT, Documents, Question
from tests.conftest import GENEROUS

NOWHERE: Any = None  # the database, which is not asked


def ask(plans: Plans, document: str) -> None:
    """Have a document compiled, as far as that goes."""
    question = Question(document, {})
    viewer = Viewer(DEFAULT_BUSINESS, "anonymous", Role.ADMIN)
    prepared = Documents(GENEROUS).prepare(question)
    plans.find(question, prepared).ready({}, Context(NOWHERE, viewer, "test"))


def alive(kind: type) -> list[Any]:
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is kind]


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(" ".join(f"f{n}: __typename" for n in range(450)), id="too many fields"),
        pytest.param("__schema { types { name } }", id="introspection"),
        pytest.param(
            f"appointments {{ nodes {{ {' '.join(f'r{n}: reservations {{ totalCount }}' for n in range(50))} }} }}",
            id="too many joins",
        ),
    ],
)
def test_a_document_that_is_not_compiled_is_forgotten_like_any_other(inside: str) -> None:
    plans, before = Plans(), [*alive(Plan), *alive(Tree)]

    for n in range(DOCUMENTS_KEPT + 12):
        with pytest.raises(OrdinaryRoad):
            ask(plans, f"{{ k{n}: __typename {inside} }}")

    assert len([plan for plan in alive(Plan) if plan not in before]) == DOCUMENTS_KEPT
    assert sum(tree.characters for tree in alive(Tree) if tree not in before) <= CHARACTERS_KEPT
    assert len(plans.kept) == DOCUMENTS_KEPT


def test_statements_of_many_documents_are_kept_up_to_their_bytes() -> None:
    plans = Plans()

    for n in range(300):
        ask(plans, f"{{ k{n}: providers {{ nodes {{ id firstName appointments {{ totalCount }} }} }} }}")

    statements = plans.memory.statements
    assert 0 < statements.weight <= statements.most
    assert len(plans.memory.trees) == 300
    assert plans.made == 300
