"""Rules: what a document must fulfil to be executed, the GraphQL specification's rules with some of our own in their place."""

from typing import Any

from graphql import (
    ASTValidationRule,
    DirectiveNode,
    GraphQLError,
    KnownDirectivesRule,
    Node,
    OverlappingFieldsCanBeMergedRule,
    ScalarLeafsRule,
    ValidationContext,
    ValuesOfCorrectTypeRule,
    specified_rules,
)

from schema.complaint import LiteralsOfCorrectType
from schema.merging import FieldsCanBeMerged

MOST_NAMED, LONGEST_NAMED = 5, 100


class DirectivesAreKnown(KnownDirectivesRule):
    """The rule of the GraphQL specification (5.7.1), which tells of all unknown directives at once."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.unknown: dict[str, DirectiveNode] = {}

    def enter_directive(self, node: DirectiveNode, key: Any, parent: Any, path: Any, ancestors: list[Node]) -> None:
        if node.name.value in self.locations_map:
            super().enter_directive(node, key, parent, path, ancestors)
        else:
            self.unknown.setdefault(node.name.value, node)

    def leave_document(self, *_: Any) -> None:
        if self.unknown:
            named = [f"'@{name[:LONGEST_NAMED]}'" for name in list(self.unknown)[:MOST_NAMED]]
            more = f" and {len(self.unknown) - MOST_NAMED} more" if len(self.unknown) > MOST_NAMED else ""
            word = "directive" if len(self.unknown) == 1 else "directives"
            nodes = list(self.unknown.values())[:MOST_NAMED]
            self.report_error(GraphQLError(f"Unknown {word} {', '.join(named)}{more}.", nodes))


class LeafsAreSelected(ScalarLeafsRule):
    """The rule of the GraphQL specification (5.3.3), which suggests nothing where the schema is not told."""

    def report_error(self, error: GraphQLError) -> None:
        if self.context.hide_suggestions:
            error = GraphQLError(error.message.partition(" Did you mean")[0], error.nodes)
        super().report_error(error)


_OURS: dict[type[ASTValidationRule], type[ASTValidationRule]] = {
    KnownDirectivesRule: DirectivesAreKnown,
    OverlappingFieldsCanBeMergedRule: FieldsCanBeMerged,
    ScalarLeafsRule: LeafsAreSelected,
    ValuesOfCorrectTypeRule: LiteralsOfCorrectType,
}
RULES = tuple(_OURS.get(rule, rule) for rule in specified_rules)
