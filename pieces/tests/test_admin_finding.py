"""The search box: exact values, the one that is meant at once, and nobody else's."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.acts import Origin
from pieces.admin.finding import LOOKED_UP
from pieces.changes import delete_one
from pieces.models import Operation, Piece, Project
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family
from tenants.models import Company
from tenants.scope import company_scope
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db

FIND = "/admin/pieces/piece/find/"
UNKNOWN = str(uuid.UUID(int=7))  # the same in every process that collects the tests


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def found(staff: Client, text: str) -> str:
    """Where the box leads straight away."""
    answer = staff.get(FIND, {"q": text})
    assert answer.status_code == 302, text_of(answer)
    return str(answer["Location"])


def page_of(entity: Any) -> str:
    return f"/admin/pieces/{entity.kind}/{entity.guid}/change/"


@pytest.mark.parametrize("field", ["barcode", "piece_id", "trolley_cell", "trolley"])
def test_a_single_exact_hit_is_opened_at_once(staff: Client, company: Company, field: str) -> None:
    piece = PieceFactory.create(company=company, **{field: "Ab-17"})
    PieceFactory.create(company=company, **{field: "Ab-170"})
    for text in ("Ab-17", "  Ab-17\t"):
        assert found(staff, text) == page_of(piece)


@pytest.mark.parametrize("kind", KINDS)
def test_a_guid_opens_what_it_names(staff: Client, family: Family, kind: str) -> None:
    for text in (str(family[kind].guid), family[kind].guid.hex.upper()):
        assert found(staff, text) == page_of(family[kind])


@pytest.mark.parametrize("kind", ["component", "project"])
def test_a_code_opens_its_component_or_project(staff: Client, family: Family, kind: str) -> None:
    assert found(staff, str(family[kind])) == page_of(family[kind])


def test_a_customer_s_name_opens_the_project(staff: Client, family: Family) -> None:
    Project.across_companies.update(company_name="Sommer")
    assert found(staff, "Sommer") == page_of(family.project)


def test_letters_are_tried_in_capitals_too_but_as_typed_first(staff: Client, company: Company) -> None:
    capitals = PieceFactory.create(company=company, barcode="AB7")
    assert found(staff, "ab7") == page_of(capitals)
    small = PieceFactory.create(company=company, barcode="ab7")
    assert found(staff, "ab7") == page_of(small)
    assert found(staff, "AB7") == page_of(capitals)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("AB7", "*AB7*"),
        ("AB7", "*ab7*"),
        ("*AB7*", "*AB7*"),
        (" P01-02 ", "P01-02"),
        ("4079116004222", "04079116004222"),
        ("04079116004222", "4079116004222"),
        ("036000291452", "0036000291452"),
        ("96385074", "00000096385074"),
    ],
)
def test_the_same_code_written_otherwise_is_found(staff: Client, company: Company, stored: str, sent: str) -> None:
    piece = PieceFactory.create(company=company, barcode=stored)
    PieceFactory.create(company=company, barcode="other", piece_id="12345")
    assert found(staff, sent) == page_of(piece)


def test_what_is_no_article_number_keeps_its_zeros(staff: Client, company: Company) -> None:
    PieceFactory.create(company=company, barcode="12345", piece_id="4079116004222")
    PieceFactory.create(company=company, barcode="", trolley=" ")
    for text in ("0000012345", "04079116004222", "*", "**"):
        assert "Nothing here is called" in text_of(staff.get(FIND, {"q": text}))


def test_several_hits_are_listed_by_field_barcodes_first(staff: Client, company: Company) -> None:
    PieceFactory.create(company=company, piece_id="other", barcode="77")
    PieceFactory.create(company=company, piece_id="77")
    text = text_of(staff.get(FIND, {"q": "77"}))
    assert text.index("By barcode") < text.index("other") < text.index("By piece id")


def test_an_active_piece_goes_before_its_deleted_namesake(staff: Client, company: Company) -> None:
    old, new = (PieceFactory.create(company=company, barcode="88") for _ in range(2))
    with company_scope(company.guid):
        delete_one(Piece, old.guid, origin=Origin(Operation.DELETE, "user:x"), now=timezone.now())
        assert found(staff, "88") == page_of(new)
        delete_one(Piece, new.guid, origin=Origin(Operation.DELETE, "user:x"), now=timezone.now())
    text = text_of(staff.get(FIND, {"q": "88"}))
    assert (text.count("deleted"), "active" in text) == (2, False)


@pytest.mark.parametrize("text", ["", "nope", "x" * 5000, "\0", UNKNOWN, "1" * 32, "'; --", "<b>"])
def test_nothing_found_is_said(staff: Client, text: str) -> None:
    assert staff.get(FIND, {"q": text}).status_code == 200


def test_a_text_that_no_field_can_hold_is_cut(staff: Client, family: Family) -> None:
    for text in ("x" * 5000, "-" * 5000 + str(family.piece.guid)):
        assert text[:300] not in text_of(staff.get(FIND, {"q": text}))


@pytest.mark.parametrize("field", ["barcode", "piece_id", "trolley_cell", "trolley", "guid"])
def test_pieces_of_others_are_not_found(staff: Client, foreign: Family, field: str) -> None:
    with company_scope(foreign.piece.company_guid):
        Piece.objects.update(barcode="99", trolley_cell="T99", trolley="T9")
        text = str(getattr(Piece.objects.get(), field))
    assert "Nothing here is called" in text_of(staff.get(FIND, {"q": text}))
    assert found(system_admin(), text) == page_of(foreign.piece)


@pytest.mark.parametrize("who", ["staff", "system_admin"])
def test_a_scan_takes_the_same_indexed_queries_among_thousands(staff: Client, family: Family, who: str) -> None:
    client = staff if who == "staff" else system_admin()
    copies(family.piece, 3000, barcode="'b-' || n", trolley_cell="'cell'")
    for text, expected in (("b-1700", 302), ("nope", 200), ("cell", 200), (str(family.piece.guid), 302)):
        client.get(FIND, {"q": text})
        with CaptureQueriesContext(connection) as queries:
            assert client.get(FIND, {"q": text}).status_code == expected
        looks = [query["sql"] for query in queries if "pieces_" in query["sql"]]
        assert len(looks) <= len(LOOKED_UP)
        assert not any("COUNT(" in sql or "LIKE" in sql for sql in looks)
