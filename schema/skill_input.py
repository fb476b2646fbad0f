"""Skills: the inputs and the payloads of their mutations."""

from typing import Any

import strawberry

from models.skill import FIELDS
from resolvers.writes import Request
from schema.access import EVERYBODY
from schema.connection import maybe
from schema.edit_input import NAME, CreateInput, DeleteInput, UpdateInput, creation, deletion, edition, unchanged
from schema.error import thing
from schema.supply import DeletePayload, SupplyPayload


@strawberry.input(description="A new skill.")
class SkillCreateInput(CreateInput):
    name: str = strawberry.field(description=f"{NAME} No two skills have the same.")

    def wanted(self) -> Request:
        return creation(self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class SkillCreatePayload(SupplyPayload):
    skill: Any = thing(maybe("Skill"))


@strawberry.input(description="What is to change of a skill.")
class SkillUpdateInput(UpdateInput):
    name: str | None = unchanged(f"{NAME} No two skills have the same.")

    def wanted(self) -> Request:
        return edition("Skill", self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class SkillUpdatePayload(SupplyPayload):
    skill: Any = thing(maybe("Skill"))


@strawberry.input(description="A skill that nobody has and no service needs any longer.")
class SkillDeleteInput(DeleteInput):
    def wanted(self) -> Request:
        return deletion("Skill", self)


@strawberry.type(directives=[EVERYBODY])
class SkillDeletePayload(DeletePayload):
    pass
