"""The factories themselves: what other tests take for granted."""

import pytest

from pieces.models import Piece
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory
from tenants.models import Company
from tenants.scope import every_company

pytestmark = pytest.mark.django_db


def assert_consistent(piece: Piece) -> None:
    with every_company():
        assert piece.assembly.component_guid == piece.component_guid
        assert piece.component.project_guid == piece.project_guid == piece.assembly.project_guid
        companies = {piece.company_guid, piece.assembly.company_guid, piece.component.company_guid}
        assert companies == {piece.project.company_guid}


def test_a_piece_has_parents_that_fit() -> None:
    assert_consistent(PieceFactory.create())


def test_a_given_company_is_that_of_every_parent(company: Company) -> None:
    piece = PieceFactory.create(company=company)
    assert_consistent(piece)
    assert piece.project.company_guid == company.guid


def test_a_given_parent_decides_what_is_above_it() -> None:
    assembly = AssemblyFactory.create()
    piece = PieceFactory.create(assembly=assembly)
    assert_consistent(piece)
    assert piece.assembly_guid == assembly.guid

    component = ComponentFactory.create()
    assert_consistent(PieceFactory.create(component=component))
    loose = PieceFactory.create(component=component, assembly=None)
    assert (loose.assembly_guid, loose.project_guid) == (None, component.project_guid)
