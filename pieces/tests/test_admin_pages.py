"""The lists and pages of the four levels: what they show, whose, and at what cost."""

import re
import uuid
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.admin.page import groups_of
from pieces.models import LEVELS, Component, Entity, Piece
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family
from ractory.tests.browser.works import drawing
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db

UNKNOWN = str(uuid.UUID(int=7))  # the same in every process that collects the tests


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def page_of(entity: Any, page: str = "change/") -> str:
    return f"/admin/pieces/{entity.kind}/{entity.guid}/{page}"


@pytest.mark.parametrize("model", LEVELS, ids=KINDS)
def test_every_field_stands_in_one_group(model: type[Entity]) -> None:
    names = [field.attname for group in groups_of(model).values() for field in group]
    apart = {"guid", "company_guid", "is_active", "picture", *(f"{kind}_guid" for kind in model.parents)}
    assert sorted(names) == sorted({field.attname for field in model.settable_fields()} - apart)
    assert "Other" not in groups_of(model)  # say where a new field belongs: GROUPS in page.py


def test_a_piece_shows_its_fields_with_units_and_its_parents_as_links(staff: Client, company: Company) -> None:
    piece = PieceFactory.create(company=company, outer_length=1200, angle_left=45, profile_code="XPS", info2="")
    answer = staff.get(page_of(piece))
    text = text_of(answer)
    for said in ("Outer length 1200 mm", "Angle left 45°", "Profile code XPS", "Info2 (empty)", "active"):
        assert said in text
    for parent in (piece.project, piece.component, piece.assembly):
        assert f'href="{page_of(parent)}"' in answer.content.decode()


def test_the_levels_show_counts_and_what_is_in_them(staff: Client, family: Family) -> None:
    copies(family.piece, 6)
    PieceFactory.create(component=family.component, assembly=None, piece_id="loose")
    assert re.search(r"1 component 8 pieces", text_of(staff.get(page_of(family.project))))
    text = text_of(staff.get(page_of(family.component)))
    assert re.search(r"1 assembly 8 pieces .* Pieces in no assembly .* loose", text)
    assert "7 pieces" in text_of(staff.get(page_of(family.assembly)))


def test_a_list_of_many_is_cut_and_leads_on(staff: Client, family: Family) -> None:
    copies(family.piece, 150)
    answer = staff.get(page_of(family.assembly)).content.decode()
    assert answer.count("/admin/pieces/piece/") - answer.count("/admin/pieces/piece/find/") < 110
    link = f"/admin/pieces/piece/?assembly_guid={family.assembly.guid}"
    assert link in answer
    assert "copy-" in text_of(staff.get(link))


def test_a_picture_is_shown_and_nothing_else_passes_for_one(staff: Client, family: Family) -> None:
    assert b"<img" not in staff.get(page_of(family.piece)).content
    with every_company():
        Piece.objects.update(picture=drawing(1))
    assert page_of(family.piece, "picture/").encode() in staff.get(page_of(family.piece)).content
    assert staff.get(page_of(family.piece, "picture/"))["Content-Type"] == "image/png"
    with every_company():
        Piece.objects.update(picture=b"<svg><script>alert(1)</script></svg>")
    answer = staff.get(page_of(family.piece, "picture/"))
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")
    assert answer["Content-Disposition"].startswith("attachment")
    assert staff.get(page_of(family.project, "picture/")).status_code == 404
    assert staff.get(page_of(family.component, "picture/")).status_code == 404


@pytest.mark.parametrize("page", ["change/", "picture/", "history/", "delete/", "edit/"])
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("kind", KINDS)
def test_pages_of_others_do_not_exist(staff: Client, foreign: Family, kind: str, page: str, method: str) -> None:
    assert str(foreign[kind].guid) not in text_of(staff.get(f"/admin/pieces/{kind}/"))
    answer = getattr(staff, method)(page_of(foreign[kind], page), {"post": "yes"})
    assert answer.status_code in (302, 403, 404, 405)
    if answer.status_code == 302:
        assert answer["Location"] == "/admin/"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_deleted_for_good(staff: Client, family: Family, kind: str) -> None:
    assert staff.post(page_of(family[kind], "delete/"), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": str(family[kind].guid), "post": "yes"}
    staff.post(f"/admin/pieces/{kind}/", action)
    assert staff.post(page_of(family[kind]), {"code": "changed"}).status_code == 405
    assert staff.get(f"/admin/pieces/{kind}/add/").status_code == 403
    with every_company():
        assert type(family[kind]).objects.filter(guid=family[kind].guid).exists()


@pytest.mark.parametrize("guid", ["nonsense", UNKNOWN, "../../x"])
def test_a_page_of_nothing_is_404(staff: Client, guid: str) -> None:
    assert staff.get(f"/admin/pieces/piece/{guid}/change/").status_code == 404


def test_lists_filter_by_indexed_values_and_parents_only(staff: Client, family: Family) -> None:
    PieceFactory.create(company=family.piece.company, piece_id="elsewhere", trolley="T9")
    for query in ("trolley=T9", "trolley=T9&deleted=shown"):
        assert "elsewhere" in text_of(staff.get(f"/admin/pieces/piece/?{query}"))
    for kind in ("project", "component", "assembly"):
        text = text_of(staff.get(f"/admin/pieces/piece/?{kind}_guid={family[kind].guid}"))
        assert family.piece.piece_id in text
        assert "elsewhere" not in text
    PieceFactory.create(component=family.component, assembly=None, piece_id="loose")
    for query in (f"component_guid={UNKNOWN}", f"assembly_guid={UNKNOWN}"):
        text = text_of(staff.get(f"/admin/pieces/piece/?{query}"))
        assert family.piece.piece_id not in text
        assert "loose" not in text
    assert staff.get("/admin/pieces/piece/?assembly_guid=nonsense")["Location"].endswith("?e=1")
    for query in ("info2__contains=x", "outer_length__gt=1", "company__name=x", "o=1&client=x"):
        assert staff.get(f"/admin/pieces/piece/?{query}").status_code == 400


def test_deleted_ones_are_hidden_unless_asked_for(staff: Client, family: Family) -> None:
    staff.post("/admin/pieces/piece/remove/", {"guid": str(family.piece.guid)})
    assert family.piece.piece_id not in text_of(staff.get("/admin/pieces/piece/"))
    assert family.piece.piece_id in text_of(staff.get("/admin/pieces/piece/?deleted=shown"))


def test_pages_go_on_without_a_count_and_end(staff: Client, family: Family) -> None:
    copies(family.piece, 120)
    with CaptureQueriesContext(connection) as queries:
        pages = [text_of(staff.get(f"/admin/pieces/piece/?p={number}")) for number in (1, 2, 3)]
        staff.get("/admin/pieces/piece/?_facets=True")
    assert ["Next" in page for page in pages] == [True, True, False]
    assert ["Previous" in page for page in pages] == [False, True, True]
    assert not any("COUNT(" in query["sql"] for query in queries)
    assert staff.get("/admin/pieces/piece/?p=101").status_code == 302  # an offset as long as the table is none


@pytest.mark.parametrize("who", ["staff", "system_admin"])
@pytest.mark.parametrize("kind", KINDS)
def test_lists_and_pages_take_the_same_queries_for_many(staff: Client, family: Family, kind: str, who: str) -> None:
    client = staff if who == "staff" else system_admin()
    paths = [f"/admin/pieces/{kind}/", page_of(family[kind]), f"/admin/pieces/{kind}/remove/?guid={family[kind].guid}"]

    def taken() -> list[int]:
        counts = []
        for path in paths:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(path).status_code == 200
            counts.append(len(queries))
        return counts

    taken()  # content types and the like are remembered
    one = taken()
    copies(family.component, 60)
    copies(family.piece, 60)
    with every_company():
        another = Component.objects.exclude(guid=family.component.guid).first()
    assert another is not None
    copies(PieceFactory.create(component=another), 60, piece_id="'other-' || n")
    assert taken() == one
    assert max(one) <= 16


def test_lists_and_pages_read_no_pictures(staff: Client, family: Family) -> None:
    with CaptureQueriesContext(connection) as queries:
        staff.get("/admin/pieces/piece/")
        staff.get(page_of(family.piece))
    rows = [query["sql"] for query in queries if 'FROM "pieces_piece"' in query["sql"]]
    assert rows
    assert not any('"picture",' in sql for sql in rows)


@pytest.mark.parametrize("guid", [UNKNOWN, "no-guid", "_00", "%00"])
def test_no_row_has_a_page_on_the_site(staff: Client, guid: str) -> None:
    types = ContentType.objects.get_for_models(Piece, Component).values()
    assert {staff.get(f"/admin/r/{kind.pk}/{guid}/").status_code for kind in types} == {404}
