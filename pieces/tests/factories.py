"""The four levels for tests: each row with parents that fit it and are of its company.

Call `.create()`: unlike a call of the class it is typed. A given parent decides what is above it:
`PieceFactory.create(component=c)` is in `c.project` and of `c.company`.
"""

# factory_boy types its factories, not its declarations:
# mypy: disable-error-code="no-untyped-call"

from typing import Any, TypeVar

from factory.declarations import SelfAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory

from pieces.models import Assembly, Component, Entity, Piece, Project
from tenants.scope import every_company
from tenants.tests.factories import CompanyFactory

E = TypeVar("E", bound=Entity)
UPWARDS = (("assembly", "component"), ("component", "project"), ("project", "company"))
COMPANY, PROJECT, COMPONENT = (SelfAttribute(f"..{name}") for name in ("company", "project", "component"))


class EntityFactory(DjangoModelFactory[E]):
    class Meta:
        abstract = True

    company = SubFactory(CompanyFactory)

    @classmethod
    def _generate(cls, strategy: str, params: dict[str, Any]) -> E:
        with every_company():
            for lower, upper in UPWARDS:
                if params.get(lower) is not None:
                    params.setdefault(upper, getattr(params[lower], upper))
            made: E = super()._generate(strategy, params)
        return made


class ProjectFactory(EntityFactory[Project]):
    class Meta:
        model = Project

    code = Sequence(lambda number: f"P-{number}")


class ComponentFactory(EntityFactory[Component]):
    class Meta:
        model = Component

    project = SubFactory(ProjectFactory, company=COMPANY)
    code = Sequence(lambda number: f"C-{number}")


class AssemblyFactory(EntityFactory[Assembly]):
    class Meta:
        model = Assembly

    project = SubFactory(ProjectFactory, company=COMPANY)
    component = SubFactory(ComponentFactory, project=PROJECT, company=COMPANY)
    trolley_cell = Sequence(lambda number: f"A-{number}")


class PieceFactory(EntityFactory[Piece]):
    """In an assembly of its own unless told; `assembly=None` for none."""

    class Meta:
        model = Piece

    project = SubFactory(ProjectFactory, company=COMPANY)
    component = SubFactory(ComponentFactory, project=PROJECT, company=COMPANY)
    assembly = SubFactory(AssemblyFactory, component=COMPONENT, project=PROJECT, company=COMPANY)
    piece_id = Sequence(lambda number: f"piece-{number}")
