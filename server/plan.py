"""Plans, told: which road each operation of a document takes and why, and with which statements."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from graphql import GraphQLError, NonNullTypeNode, OperationDefinitionNode, parse, print_ast

from compiler.plan import Compiled, Plan, Tree
from compiler.road import OrdinaryRoad
from compiler.selection import Selecting
from models.business import DEFAULT_BUSINESS
from models.shape import shape
from models.viewer import Role, Viewer
from resolvers.context import Context
from resolvers.lane import Values
from schema.execution import Documents, Prepared, Question
from schema.limits import LIMITS

TOLD = {
    "business": "the business of whoever asks",
    "person": "the provider or client who asks",
    "principal": "the name of whoever asks",
    "role": "the role of whoever asks",
    "request": "the id of the request",
}


class PlanError(Exception):
    """Sentences for why a document cannot be told of."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command is given."""
    parser.add_argument("document", type=Path, metavar="FILE.graphql")
    parser.add_argument("variables", type=Path, metavar="VARIABLES.json", nargs="?")
    parser.add_argument("--operation", metavar="NAME", help="tell of this operation only")


def told(document: Path, variables: Path | None, operation: str | None) -> str:
    """Tell of each operation of a document, or of one. No database is asked."""
    query, given = _read(document), _object(variables)
    names = _names(query) if operation is None else [operation]
    documents = Documents()
    prepared = [documents.prepare(Question(query, given, name)) for name in names]
    if errors := prepared[0].errors:
        raise PlanError("\n".join(_located(document, error) for error in errors))
    return "\n\n".join("\n".join(_operation(each, given)) for each in prepared)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise PlanError(f"{path} cannot be read ({problem.strerror}).") from None
    except UnicodeDecodeError:
        raise PlanError(f"{path} is no text in UTF-8.") from None


def _object(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        given = orjson.loads(_read(path))
    except orjson.JSONDecodeError as problem:
        raise PlanError(f"{path} is not valid JSON ({problem}).") from None
    if not isinstance(given, dict):
        raise PlanError(f"{path} must be a JSON object, with a value for each variable.")
    return given


def _names(query: str) -> list[str | None]:
    """Name the operations of a document; what is wrong with it, `prepare` tells."""
    try:
        definitions = parse(query, max_tokens=LIMITS.tokens).definitions
    except GraphQLError:
        return [None]
    operations = [one for one in definitions if isinstance(one, OperationDefinitionNode)]
    return [one.name.value if one.name else None for one in operations] or [None]


def _located(document: Path, error: dict[str, Any]) -> str:
    places = "".join(f":{place['line']}:{place['column']}" for place in error.get("locations", ())[:1])
    return f"{document}{places} {error['message']}"


def _operation(prepared: Prepared, given: dict[str, Any]) -> Iterator[str]:
    assert prepared.document is not None
    assert prepared.operation is not None
    operation = prepared.operation
    name = f"{operation.operation.value} {operation.name.value if operation.name else '(without a name)'}"
    if missing := _missing(operation, given):
        yield f"{name}: give the variables {', '.join(missing)} as a JSON file; which road it takes depends on them."
        return
    plan = Plan(prepared.document, operation)
    nowhere: Any = None  # the database, which is not asked
    context = Context(nowhere, Viewer(DEFAULT_BUSINESS, "anonymous", Role.ADMIN), request_id="")
    try:
        compiled, values = plan.ready(given, context)
    except OrdinaryRoad as why:
        yield f"{name}: the ordinary road, because {why}{f' ({why.__cause__})' if why.__cause__ else ''}."
        return
    yield f"{name}: the compiled road."
    origins = list(_origins(plan, given, context))
    for one in compiled:
        yield from ("", *_root(one, values, origins))


def _missing(operation: OperationDefinitionNode, given: dict[str, Any]) -> list[str]:
    return [
        f"{print_ast(one.variable)}: {print_ast(one.type)}"
        for one in operation.variable_definitions or ()
        if isinstance(one.type, NonNullTypeNode) and one.default_value is None and one.variable.name.value not in given
    ]


def _origins(plan: Plan, given: dict[str, Any], context: Context) -> Iterator[str]:
    """Name for each value that fills a statement the field that asks with it."""
    variables = plan.variables.read(given)
    selecting = Selecting(plan.document, variables)
    tree = Tree(selecting.root(plan.operation), selecting.sites, characters=0)
    for site, value in zip(tree.sites, tree.read(variables, context), strict=True):
        bound: list[Any] = []
        shape(value, bound)
        yield from [site.node.name.value] * len(bound)


def _root(one: Compiled, values: Values, origins: list[str]) -> Iterator[str]:
    key = one.prefix.decode().strip(',":')
    if one.statement is None:
        yield f"{key}: no statement"
        return
    yield f"{key}: one statement"
    yield one.statement.sql.decode()
    for n, source in enumerate(one.parameters, 1):
        if isinstance(source, int):
            yield f"  ${n} what {origins[source]} asks with, here {_shown(values[source])}"
        else:
            yield f"  ${n} {TOLD[source]}" if isinstance(source, str) else f"  ${n} always {_shown(source)}"


def _shown(value: bytes | None) -> str:
    return "null" if value is None else repr(value.decode())
