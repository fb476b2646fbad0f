"""What is shared by all servers of a file of tests: what documents mean, and how they are compiled, is found out once."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette

from resolvers.recent import Recent
from schema.execution import DOCUMENTS_KEPT, Documents

CHARACTERS, PLANS = 3_000_000, 3_000
KEPT: defaultdict[Any, Recent[Any, Any]] = defaultdict(
    lambda: Recent(CHARACTERS, lambda checked: len(checked.document.loc.source.body))
)


class Plans(Recent[Any, Any]):
    """The plans of one server: new to it, and counted so, but made only where no other one has made them."""

    def found(self, key: Any, make: Callable[[], Any]) -> Any:
        plans = KEPT.setdefault("plans", Recent(PLANS))
        return super().found(key, lambda: plans.found(key, make))


def lend(app: Starlette) -> None:
    """Let a server learn from all others."""
    documents: Documents = app.state.gate.documents
    checked, check = KEPT[documents.limits, documents.introspection], documents._checked
    documents._checked = lambda text: checked.found(text, lambda: check(text))  # type: ignore[method-assign]
    if app.state.plans is not None:
        app.state.plans.kept = Plans(DOCUMENTS_KEPT)


def clear() -> None:
    """Forget everything."""
    KEPT.clear()
