"""Execution: from the text of a document to its answer. What a request is refused for is decided here, in one place."""

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import lru_cache
from inspect import isawaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    specified_rules,
    type_from_ast,
    validate,
)
from graphql.validation import ValuesOfCorrectTypeRule

from models.refusal import Refusal, Refusals
from resolvers.context import Context
from schema import complaint, schema
from schema.error import extensions

log = logging.getLogger("holdfast.graphql")
CONTRACT = schema._schema  # noqa: SLF001 -- graphql-core's own object, which Strawberry keeps there
RULES = [complaint.LiteralsOfCorrectType if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules]
MOST_TOKENS = 50_000
# A parsed document takes some 70 times its text: these may fill 70 MB. What is invalid is not kept.
DOCUMENTS_KEPT, LARGEST_DOCUMENT_KEPT = 128, 8_000
NOT_ONE = "The document has not exactly one operation; name the one that is meant in operationName."


@dataclass(frozen=True)
class Question:
    """A request as it was sent."""

    document: str
    variables: dict[str, Any]
    operation_name: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A document that was parsed and validated, and the operation of it that is meant; or what is wrong with it."""

    document: DocumentNode | None
    operation: OperationDefinitionNode | None
    errors: tuple[dict[str, Any], ...] = ()

    @property
    def is_query(self) -> bool:
        return self.operation is not None and self.operation.operation is OperationType.QUERY


class _InvalidError(Exception):
    """What is wrong with a document, shaped as errors."""

    def __init__(self, errors: list[GraphQLError], code: str) -> None:
        super().__init__(code)
        self.shaped = tuple(_shape(error, code) for error in errors)


def prepare(question: Question) -> Prepared:
    """Parse and validate a document, or remember that this was done before, and find the operation that is meant."""
    checked = _checked_before if len(question.document) <= LARGEST_DOCUMENT_KEPT else _checked
    try:
        document = checked(question.document)
    except _InvalidError as invalid:
        return Prepared(None, None, invalid.shaped)
    operation = get_operation_ast(document, question.operation_name)
    if operation is None:
        name = (question.operation_name or "")[:100]
        problem = f"The document has no operation {name!r}." if name else NOT_ONE
        return Prepared(None, None, (_shape(GraphQLError(problem), "GRAPHQL_VALIDATION_FAILED"),))
    return Prepared(document, operation)


def _checked(text: str) -> DocumentNode:
    try:
        document = parse(text, max_tokens=MOST_TOKENS)
    except GraphQLError as error:
        raise _InvalidError([error], "GRAPHQL_PARSE_FAILED") from None
    if invalid := validate(CONTRACT, document, RULES, max_errors=10):
        raise _InvalidError(invalid, "GRAPHQL_VALIDATION_FAILED")
    return document


_checked_before = lru_cache(maxsize=DOCUMENTS_KEPT)(_checked)


async def answer(prepared: Prepared, question: Question, context: Context) -> dict[str, Any]:
    """Execute the operation and shape its answer: without `data`, if nothing was executed."""
    if prepared.document is None or prepared.operation is None:
        return {"errors": [_with_request(error, context) for error in prepared.errors]}
    result: ExecutionResult | Awaitable[ExecutionResult] = execute(
        CONTRACT,
        prepared.document,
        context_value=context,
        variable_values=question.variables,
        operation_name=question.operation_name,
    )
    done: ExecutionResult = await result if isawaitable(result) else result
    if done.data is None and done.errors and all(error.path is None for error in done.errors):
        wrong = _wrong_variables(prepared.operation, question.variables) or done.errors
        return {"errors": [_with_request(_shape(error, "INVALID_INPUT"), context) for error in wrong]}
    faults = [shape for error in done.errors or () for shape in _fault(error, context)]
    faults += [_told(refusal) for refusal in context.untold]
    shaped: dict[str, Any] = {"data": done.data}
    if faults:
        shaped["errors"] = [_with_request(fault, context) for fault in faults]
    if context.extensions:
        shaped["extensions"] = context.extensions
    return shaped


def _wrong_variables(operation: OperationDefinitionNode, given: dict[str, Any]) -> list[GraphQLError]:
    """Say again, in the words of this API, what execution found wrong with the variables."""
    said: list[GraphQLError] = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        type_: Any = type_from_ast(CONTRACT, definition.type)
        if name in given:
            said += complaint.of_variable(CONTRACT, name, type_, given[name])
        elif definition.default_value is None:
            said += complaint.of_variable(CONTRACT, name, type_, None)
    return said[:10]


def _told(refusal: Refusal) -> dict[str, Any]:
    return {"message": refusal.sentence, "extensions": extensions(refusal)}


def _shape(error: GraphQLError, code: str) -> dict[str, Any]:
    shaped: dict[str, Any] = dict(error.formatted)
    shaped["extensions"] = {"code": code, **(error.extensions or {})}
    return shaped


def _fault(error: GraphQLError, context: Context) -> list[dict[str, Any]]:
    """Shape what went wrong in a field: a refusal is told, our own faults are logged and masked."""
    cause = error.original_error
    if isinstance(cause, (Refusal, Refusals)):
        refusals = cause.refusals if isinstance(cause, Refusals) else [cause]
        return [_shape(error, "") | _told(each) for each in refusals]
    if cause is None or isinstance(cause, GraphQLError):  # an argument that no variable check could see
        return [_shape(error, "INVALID_INPUT")]
    log.error("a resolver failed", exc_info=cause, extra={"request_id": context.request_id})
    return [_shape(error, "INTERNAL") | {"message": "Internal error", "extensions": {"code": "INTERNAL"}}]


def _with_request(error: dict[str, Any], context: Context) -> dict[str, Any]:
    return {**error, "extensions": {**error["extensions"], "requestId": context.request_id}}
