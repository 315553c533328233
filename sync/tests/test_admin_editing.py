"""Changes by hand: the rules of sync, a receipt in the person's name, a line in the history; nothing by halves."""

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.integrity import broken_invariants
from pieces.models import Entity, Operation, Piece
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family, family_of
from ractory.tests.browser.works import drawing
from sync.models import SyncRun
from sync.tests.batches import Sync, act_of, full_piece, row_of
from tenants.models import Company
from tenants.scope import company_scope
from tenants.tests.staff import admin_of, text_of

pytestmark = pytest.mark.django_db

EMAIL = "anna@example.com"


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company, email=EMAIL)


@pytest.fixture
def family(company: Company) -> Family:
    return family_of(company, outer_length=1200, barcode="", profile_code="XPS")


def edit_of(entity: Entity) -> str:
    return f"/admin/pieces/{entity.kind}/{entity.guid}/edit/"


def save(staff: Client, entity: Entity, **changes: Any) -> Any:
    """Opens the form, changes some of its fields, and sends it."""
    form = staff.get(edit_of(entity)).context["form"]
    sent = {name: form[name].initial if form[name].initial is not None else "" for name in form.fields}
    sent = {name: value for name, value in sent.items() if name not in ("picture", "no_picture")}
    return staff.post(edit_of(entity), sent | changes)


def page_text(staff: Client, entity: Entity) -> str:
    return text_of(staff.get(f"/admin/pieces/{entity.kind}/{entity.guid}/change/"))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("project", "company_name", "Sommer"),
        ("component", "designation", "Window"),
        ("assembly", "trolley", "T7"),
        ("piece", "profile_code", "76101"),
    ],
)
def test_a_change_is_written_recorded_and_told(
    staff: Client, family: Family, kind: str, field: str, value: str
) -> None:
    assert save(staff, family[kind], **{field: value}).status_code == 302
    row = row_of(kind, family[kind].guid)
    assert getattr(row, field) == value
    run = SyncRun.across_companies.get()
    assert (run.guid, run.actor, run.updated, run.company_guid) == (
        act_of(row).run_guid,
        f"user:{EMAIL}",
        1,
        row.company_guid,
    )
    text = page_text(staff, family[kind])
    assert re.search(rf"Changed by {EMAIL} by hand .*→ {value}", text)
    assert text.count("Changed by") == 1


def test_only_what_was_changed_is_touched(staff: Client, family: Family) -> None:
    save(staff, family.piece, outer_length="1210")
    row = row_of("piece", family.piece.guid)
    assert (row.outer_length, row.barcode, row.profile_code, row.info2) == (1210, "", "XPS", None)
    assert (row.component_guid, row.assembly_guid) == (family.component.guid, family.assembly.guid)
    assert not any(broken_invariants().values())


def test_an_emptied_field_is_null(staff: Client, family: Family) -> None:
    save(staff, family.piece, profile_code="", outer_length="")
    row = row_of("piece", family.piece.guid)
    assert (row.profile_code, row.outer_length) == (None, None)
    assert "Profile code XPS → – Outer length 1200 mm → –" in page_text(staff, family.piece)


def test_nothing_changed_is_nothing_written(staff: Client, family: Family) -> None:
    assert save(staff, family.piece).status_code == 302
    assert "Nothing was changed." in page_text(staff, family.piece)
    assert not SyncRun.across_companies.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outer_length": "12oo"}, 'Input should be a whole number, got "12oo"'),
        ({"outer_length": str(2**40)}, "Input should fit 32 bits"),
        ({"barcode": "4" * 256}, "String should have at most 255 characters"),
        ({"barcode": "a\0b"}, "Null characters are not allowed"),
        ({"piece_id": ""}, "This field is required"),
    ],
)
def test_the_rules_are_those_of_sync(staff: Client, family: Family, changes: dict[str, str], said: str) -> None:
    text = text_of(save(staff, family.piece, **changes))
    assert "Nothing was saved." in text
    assert said in text
    assert row_of("piece", family.piece.guid).updated_at == family.piece.updated_at
    assert not SyncRun.across_companies.exists()


def test_a_taken_piece_id_is_named(staff: Client, family: Family) -> None:
    holder = PieceFactory.create(assembly=family.assembly, piece_id="taken")
    text = text_of(save(staff, family.piece, piece_id="taken"))
    assert str(holder.guid) in text
    assert row_of("piece", family.piece.guid).piece_id == family.piece.piece_id


def test_a_change_that_came_between_is_not_overwritten(staff: Client, sync: Sync, family: Family) -> None:
    form = staff.get(edit_of(family.piece)).context["form"]
    now = full_piece(family.assembly) | {"guid": family.piece.guid, "outer_length": 7}
    assert sync("pieces", now).status_code == 200
    text = text_of(staff.post(edit_of(family.piece), {**form.initial, "outer_length": "1300"}))
    assert "has changed it since you opened this page" in text
    assert row_of("piece", family.piece.guid).outer_length == 7


def test_a_picture_is_replaced_and_removed(staff: Client, family: Family) -> None:
    save(staff, family.piece, picture=SimpleUploadedFile("p.png", drawing(1)))
    assert bytes(row_of("piece", family.piece.guid).picture) == drawing(1)
    save(staff, family.piece, outer_length="5")
    assert bytes(row_of("piece", family.piece.guid).picture) == drawing(1)
    too_big = save(staff, family.piece, picture=SimpleUploadedFile("p.png", b"x" * (256 * 1024 + 1)))
    assert "Nothing was saved." in text_of(too_big)
    save(staff, family.piece, no_picture="on")
    assert row_of("piece", family.piece.guid).picture is None
    assert not any(broken_invariants().values())


def test_times_and_truths_of_a_project(staff: Client, family: Family) -> None:
    save(staff, family.project, due_date="2026-12-04T08:30", in_production="true")
    row = row_of("project", family.project.guid)
    assert (row.due_date.isoformat(), row.in_production) == ("2026-12-04T08:30:00+00:00", True)
    save(staff, family.project, in_production="")
    assert row_of("project", family.project.guid).in_production is None


def test_a_deleted_one_can_not_be_edited(staff: Client, family: Family, company: Company) -> None:
    with company_scope(company.guid):
        delete_one(Piece, family.piece.guid, origin=Origin(Operation.DELETE, "user:x"), now=timezone.now())
    assert staff.get(edit_of(family.piece)).status_code == 404
    assert staff.post(edit_of(family.piece), {"piece_id": "x"}).status_code == 404
    assert "Edit" not in page_text(staff, family.piece)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_edits_what_is_another_company_s(staff: Client, other_company: Company, kind: str) -> None:
    foreign = family_of(other_company)[kind]
    assert staff.get(edit_of(foreign)).status_code == 404
    assert staff.post(edit_of(foreign), {"code": "x", "piece_id": "x", "seen": "x"}).status_code == 404


def test_a_forged_field_moves_nothing_to_another_company(staff: Client, family: Family, other_company: Company) -> None:
    save(staff, family.piece, outer_length="1", company_guid=str(other_company.guid), guid="x", is_active="false")
    row = row_of("piece", family.piece.guid)
    assert (row.company_guid, row.outer_length, row.is_active) == (family.piece.company_guid, 1, True)
