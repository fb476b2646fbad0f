"""Stored documents: queries that a business keeps here, and that are answered for it whenever something happens."""

import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import isawaitable
from typing import Any
from uuid import UUID

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_variable_values,
    parse,
    validate,
)

from models.refusal import InvalidInput, Refusal, Refusals
from models.viewer import Role, Viewer
from models.webhook_endpoint import LONGEST_DOCUMENT
from resolvers.audit import record_read
from resolvers.context import Context
from schema.access import Access
from schema.guard import Guard, Weight, crowded, refused, too_costly
from schema.limits import LIMITS
from schema.rules import RULES

log = logging.getLogger("holdfast.webhooks")
SAMPLE = {
    "id": "UmVzZXJ2YXRpb246MDE5MGZmZmYtZmZmZi03ZmZmLThmZmYtZmZmZmZmZmZmZmZm",
    "eventId": "0190ffff-ffff-7fff-8fff-ffffffffffff",
    "type": "scheduling.reservation.confirmed.v1",
    "occurredAt": "2027-05-03T09:00:00Z",
}
"""Variables such as a document is answered with."""


@dataclass(frozen=True)
class _Measures:
    """What tells how much a document of a schema asks for, and who may ask for it."""

    guard: Guard
    access: Access


@lru_cache(maxsize=4)
def _measures(contract: GraphQLSchema) -> _Measures:
    return _Measures(Guard(contract), Access(contract))


def reader(business: UUID, endpoint: UUID) -> Viewer:
    """Whoever reads for an endpoint: they see what a manager sees, and change nothing."""
    return Viewer(business, f"webhook:{endpoint}", Role.MANAGER, is_writer=False)


def checked(contract: GraphQLSchema, text: str, *field: str) -> str:
    """Check a document when it is stored: one query, within the limits of every question, that a manager may ask."""
    problem = _problem(contract, text)
    if problem is not None:
        raise InvalidInput(*field, problem=problem)
    return text


def _problem(contract: GraphQLSchema, text: str) -> str | None:
    if not text.strip() or len(text) > LONGEST_DOCUMENT or "\0" in text:
        return f"A document has 1 to {LONGEST_DOCUMENT} characters."
    try:
        document = _parsed(text)
    except GraphQLError as error:
        return error.message
    wrong = _refused(contract, document)
    return None if wrong is None else wrong.message[:500]


@lru_cache(maxsize=128)
def _parsed(text: str) -> DocumentNode:
    return parse(text, max_tokens=LIMITS.tokens)


def _refused(contract: GraphQLSchema, document: DocumentNode) -> GraphQLError | None:
    """Say what is wrong with a document; it is weighed before it is validated."""
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    if len(operations) != 1 or operations[0].operation is not OperationType.QUERY:
        return crowded(document) or GraphQLError("A stored document has one operation, a query.")
    weight = _measures(contract).guard.weigh(document, operations[0])
    if (heavy := refused(weight)) is not None:
        return heavy
    if weight.introspections:
        return GraphQLError("A stored document does not ask for the schema.")
    if invalid := validate(contract, document, RULES, max_errors=1):
        return invalid[0]
    variables = get_variable_values(contract, operations[0].variable_definitions or (), SAMPLE)
    if isinstance(variables, list):
        known = ", ".join(f"${name}" for name in SAMPLE)
        return GraphQLError(f"{variables[0].message} A stored document has the variables {known}.")
    return _dear(contract, weight)


def _dear(contract: GraphQLSchema, weight: Weight) -> GraphQLError | None:
    forbidden = _measures(contract).access.refused(weight.touched, reader(UUID(int=0), UUID(int=0)), writes=False)
    return forbidden or too_costly(weight.price(SAMPLE))


def price(contract: GraphQLSchema, text: str) -> int:
    """What it costs to answer a stored document; nothing, if it is not answered."""
    if _problem(contract, text) is not None:
        return 0
    document = _parsed(text)
    operation = next(each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    return _measures(contract).guard.weigh(document, operation).price(SAMPLE)


async def answered(
    contract: GraphQLSchema, text: str, variables: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    """Answer a stored document: its data, or why there is none; what it reads of persons is on the audit."""
    if (problem := _problem(contract, text)) is not None:  # the schema has changed since it was stored
        return {"errors": [_told("GRAPHQL_VALIDATION_FAILED", problem)]}
    result: ExecutionResult | Awaitable[ExecutionResult] = execute(
        contract, _parsed(text), context_value=context, variable_values=dict(variables)
    )
    done: ExecutionResult = await result if isawaitable(result) else result
    await record_read(context)
    if done.errors:
        return {"errors": [told for error in done.errors for told in _errors(error, context)]}
    return {"data": done.data}


def _errors(error: GraphQLError, context: Context) -> list[dict[str, Any]]:
    cause = error.original_error
    if isinstance(cause, (Refusal, Refusals)):
        return [_told(each.code, each.sentence) for each in getattr(cause, "refusals", [cause])]
    if cause is None or isinstance(cause, GraphQLError):
        return [_told("INVALID_INPUT", error.message)]
    log.error("a resolver failed", exc_info=cause, extra={"request_id": context.request_id})
    return [_told("INTERNAL", "Internal error")]


def _told(code: str, message: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}
