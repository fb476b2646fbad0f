"""Execution: from the text of a document to its answer. What a request is refused for is decided here, in one place."""

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    execute,
    get_operation_ast,
    parse,
    type_from_ast,
    validate,
)

from models import zone
from models.refusal import Refusal, Refusals, Timeout, UnknownTimeZone
from models.viewer import Viewer
from resolvers.audit import record_read
from resolvers.context import Context
from resolvers.database import DatabaseFaultError
from resolvers.recent import Recent
from resolvers.stream import Stream
from schema import complaint, schema
from schema.access import Access
from schema.error import extensions
from schema.guard import Guard, Weight, crowded, refused, too_costly, too_long
from schema.limits import LIMITS, Limits
from schema.rules import RULES

log = logging.getLogger("holdfast.graphql")
CONTRACT = schema._schema  # noqa: SLF001 -- graphql-core's own object, which Strawberry keeps there
GUARD = Guard(CONTRACT)
ACCESS = Access(CONTRACT)
# A parsed document takes some 70 times its text: these may fill 70 MB. What is invalid is not kept.
DOCUMENTS_KEPT, LARGEST_DOCUMENT_KEPT = 128, 8_000
NO_INTROSPECTION = "Introspection is switched off here."
MASKED = {"message": "Internal error", "extensions": {"code": "INTERNAL"}}
NOT_ONE = "The document has not exactly one operation; name the one that is meant in operationName."


NOTHING = Weight()
# What is wrong with a document is found out anew each time it is sent.
WRONG = Weight(cost=100)


@dataclass(frozen=True)
class Question:
    """A request as it was sent."""

    document: str
    variables: dict[str, Any]
    operation_name: str | None = None
    sha256: str | None = None  # the hash under which its sender wants the document to be kept
    size: int = 0  # bytes of the body


@dataclass(frozen=True)
class Prepared:
    """A document that was parsed and validated, and the operation of it that is meant; or what is wrong with it."""

    document: DocumentNode | None
    operation: OperationDefinitionNode | None
    errors: tuple[dict[str, Any], ...] = ()
    weight: Weight = NOTHING
    hides_suggestions: bool = False

    @property
    def is_query(self) -> bool:
        return self.operation is not None and self.operation.operation is OperationType.QUERY

    @property
    def is_mutation(self) -> bool:
        return self.operation is not None and self.operation.operation is OperationType.MUTATION

    @property
    def is_subscription(self) -> bool:
        return self.operation is not None and self.operation.operation is OperationType.SUBSCRIPTION

    def cost(self, variables: dict[str, Any]) -> int:
        """What it costs to execute with these variables, as they were sent; at least 1, for reading it."""
        return self.weight.price(variables)

    def refused(self, cost: int, viewer: Viewer, limits: Limits) -> dict[str, Any] | None:
        """Say why this viewer may not execute it: a field is not for them, or it costs too much."""
        if self.operation is None:
            return None
        error = ACCESS.refused(self.weight.touched, viewer, writes=self.is_mutation)
        error = error or too_costly(cost, limits.change if self.is_subscription else limits.cost)
        return None if error is None else _shape(error, "FORBIDDEN")


class _InvalidError(Exception):
    """What is wrong with a document, shaped as errors."""

    def __init__(self, errors: list[GraphQLError], code: str) -> None:
        super().__init__(code)
        self.shaped = tuple(_shape(error, code) for error in errors)


@dataclass(frozen=True)
class _Checked:
    """A document that may be executed, and what each of its operations weighs, by name."""

    document: DocumentNode
    weights: dict[str | None, Weight]


class Documents:
    """The documents that were asked last, each parsed, weighed and validated once. What is invalid is not kept."""

    def __init__(self, limits: Limits = LIMITS, *, introspection: bool = True) -> None:
        self.limits = limits
        self.introspection = introspection
        self._kept: Recent[str, _Checked] = Recent(DOCUMENTS_KEPT)

    def has(self, question: Question) -> bool:
        """Whether a document was found to be good before."""
        return self._kept.known(question.document) is not None

    def prepare(self, question: Question) -> Prepared:
        """Find the operation that is meant in a document that may be executed, or say what is wrong with it."""
        text, name = question.document, question.operation_name
        try:
            if len(text) > LARGEST_DOCUMENT_KEPT:
                checked = self._checked(text)
            else:
                checked = self._kept.found(text, lambda: self._checked(text))
        except _InvalidError as invalid:
            return Prepared(None, None, invalid.shaped, weight=WRONG)
        operation = get_operation_ast(checked.document, name)
        if operation is None:
            problem = f"The document has no operation {name[:100]!r}." if name else NOT_ONE
            return Prepared(None, None, (_shape(GraphQLError(problem), "GRAPHQL_VALIDATION_FAILED"),))
        weight = checked.weights[_name(operation)]
        return Prepared(checked.document, operation, weight=weight, hides_suggestions=not self.introspection)

    def _checked(self, text: str) -> _Checked:
        """Weigh a document before it is validated, which takes the longer the more there is of it."""
        try:
            document = parse(text, max_tokens=self.limits.tokens)
        except GraphQLError as error:
            raise _InvalidError([error], "GRAPHQL_PARSE_FAILED") from None
        if many := crowded(document, self.limits):
            raise _InvalidError([many], "GRAPHQL_VALIDATION_FAILED")
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        weights = {_name(operation): GUARD.weigh(document, operation) for operation in operations}
        for weight in weights.values():
            if heavy := refused(weight, self.limits):
                raise _InvalidError([heavy], "GRAPHQL_VALIDATION_FAILED")
            if weight.introspections and not self.introspection:
                raise _InvalidError([GraphQLError(NO_INTROSPECTION)], "GRAPHQL_VALIDATION_FAILED")
        hides = not self.introspection
        if invalid := validate(CONTRACT, document, RULES, max_errors=10, hide_suggestions=hides):
            raise _InvalidError(invalid, "GRAPHQL_VALIDATION_FAILED")
        return _Checked(document, weights)


def _name(operation: OperationDefinitionNode) -> str | None:
    return operation.name.value if operation.name else None


async def listen(prepared: Prepared, question: Question, context: Context) -> Stream | dict[str, Any]:
    """Begin to hear what a subscription asks for, each of which is to be answered; or say why not."""
    assert prepared.document is not None
    executor = Executor.build(
        CONTRACT,
        prepared.document,
        context_value=context,
        raw_variable_values=question.variables,
        operation_name=question.operation_name,
        hide_suggestions=prepared.hides_suggestions,
        max_coercion_errors=complaint.MOST_SAID,
    )
    if isinstance(executor, list):
        return _unexecuted(prepared, question, executor, context)
    begun: Any = create_source_event_stream(executor)
    stream: Any = await begun if isawaitable(begun) else begun
    if not isinstance(stream, ExecutionResult):
        heard: Stream = stream
        return heard
    faults = [shape for error in stream.errors or () for shape in _fault(error, context)]
    return {"errors": [with_request(fault, context) for fault in faults]}


def lost(refusal: Refusal, context: Context) -> dict[str, Any]:
    """Say why a subscription is over."""
    return {"errors": [with_request(_told(refusal), context)]}


def _unexecuted(prepared: Prepared, question: Question, errors: list[GraphQLError], context: Context) -> dict[str, Any]:
    """Say why nothing was executed: of variables, in the words of this API."""
    wrong = _wrong_variables(prepared, question.variables) or errors
    return {"errors": [with_request(_shape(error, "INVALID_INPUT"), context) for error in wrong]}


async def answer(prepared: Prepared, question: Question, context: Context, heard: Any = None) -> dict[str, Any]:
    """Execute the operation, of a subscription for what was heard, and shape its answer.

    It is without `data`, if nothing was executed.
    """
    if prepared.document is None or prepared.operation is None:
        return {"errors": [with_request(error, context) for error in prepared.errors]}
    result: ExecutionResult | Awaitable[ExecutionResult] = execute(
        CONTRACT,
        prepared.document,
        root_value=heard,
        context_value=context,
        variable_values=question.variables,
        operation_name=question.operation_name,
        hide_suggestions=prepared.hides_suggestions,
        max_coercion_errors=complaint.MOST_SAID,
    )
    done: ExecutionResult = await result if isawaitable(result) else result
    if done.data is None and done.errors and all(error.path is None for error in done.errors):
        return _unexecuted(prepared, question, done.errors, context)
    try:
        await record_read(context)
    except Refusal as refusal:  # what nobody can put on record is not read
        return {"data": None, "errors": [with_request(_told(refusal), context)]}
    except DatabaseFaultError as fault:
        log.error("a reading could not be put on record", exc_info=fault, extra={"request_id": context.request_id})  # noqa: TRY400
        return {"data": None, "errors": [with_request(MASKED, context)]}
    faults = [shape for error in done.errors or () for shape in _fault(error, context)]
    faults += [_told(refusal) for refusal in context.untold]
    shaped: dict[str, Any] = {"data": done.data}
    if faults:
        shaped["errors"] = [with_request(fault, context) for fault in faults]
    return shaped


def long(size: int, context: Context, limits: Limits) -> dict[str, Any] | None:
    """Say that an answer is too long to be sent, if it is."""
    error = too_long(size, limits)
    return None if error is None else {"errors": [with_request(_shape(error, "TOO_COSTLY"), context)]}


def unknown_zone(name: str | None) -> dict[str, Any] | None:
    """Say that the header in which a caller tells their zone names none, if it does not."""
    if name is None or name in zone.names():
        return None
    try:
        zone.zone(name, "X-Time-Zone")
    except UnknownTimeZone as unknown:
        return _told(unknown)
    return None


def late(context: Context) -> dict[str, Any]:
    """Say that an operation took too long, whatever of it was done."""
    return {"data": None, "errors": [with_request(_told(Timeout()), context)]}


def _wrong_variables(prepared: Prepared, given: dict[str, Any]) -> list[GraphQLError]:
    """Say again, in the words of this API, what execution found wrong with the variables."""
    said: list[GraphQLError] = []
    hides, operation = prepared.hides_suggestions, prepared.operation
    for definition in (operation and operation.variable_definitions) or ():
        name = definition.variable.name.value
        type_: Any = type_from_ast(CONTRACT, definition.type)
        if name in given or definition.default_value is None:
            said += complaint.of_variable(CONTRACT, name, type_, given.get(name), hide_suggestions=hides)
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
    return [_shape(error, "INTERNAL") | MASKED]


def with_request(error: dict[str, Any], context: Context) -> dict[str, Any]:
    return {**error, "extensions": {**error["extensions"], "requestId": context.request_id}}
