"""A family for tests: one entity of each level, in one line of descent, and the paths to them."""

from dataclasses import dataclass

from pieces.models import LEVELS, Assembly, Component, Entity, Piece, Project
from pieces.tests.factories import PieceFactory
from tenants.models import Company
from tenants.scope import every_company

KINDS = tuple(model.kind.value for model in LEVELS)


@dataclass(frozen=True, slots=True)
class Family:
    project: Project
    component: Component
    assembly: Assembly
    piece: Piece

    def __getitem__(self, kind: str) -> Entity:
        member: Entity = getattr(self, kind)
        return member

    def from_level(self, kind: str) -> list[Entity]:
        """The member of this kind and those below it."""
        return [self[name] for name in KINDS[KINDS.index(kind) :]]


def family_of(company: Company, **fields: object) -> Family:
    piece = PieceFactory.create(company=company, **fields)
    with every_company():
        return Family(piece.project, piece.component, piece.assembly, piece)


def list_path(entity: Entity | type[Entity]) -> str:
    return f"/api/v1/{entity.plural}"


def path_of(entity: Entity) -> str:
    return f"{list_path(entity)}/{entity.guid}"


def is_active(*entities: Entity) -> list[bool]:
    """Of each, as the database has it now."""
    with every_company():
        return [type(entity).all_objects.get(guid=entity.guid).is_active for entity in entities]
