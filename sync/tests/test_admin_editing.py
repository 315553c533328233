"""Changes by hand: the rules of sync, a receipt in the person's name, a line in the history; nothing by halves."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.integrity import broken_invariants
from pieces.models import Entity, Operation, Piece, Project
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family, family_of
from ractory.tests.browser.works import drawing
from sync.models import SyncRun
from sync.tests.batches import Sync, act_of, row_of
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


def opened(staff: Client, entity: Entity) -> dict[str, str]:
    """What a browser would send of the form, as it is: what is hidden, too."""
    return inputs_of(staff.get(edit_of(entity)))


def inputs_of(response: Any) -> dict[str, str]:
    fields = InputParser()
    fields.feed(response.content.decode())
    return fields.values


class InputParser(HTMLParser):
    """The values of the inputs within the form that is posted to its own page."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.inside, self.name = False, ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        self.inside = "data-draft" in given if tag == "form" else self.inside
        name = given.get("name") if self.inside else None
        sent = given.get("type") != "file" and ("checked" in given or given.get("type") not in ("checkbox", "radio"))
        if tag == "input" and name and sent:
            self.values[name] = given.get("value") or ("on" if "checked" in given else "")
        elif tag in ("select", "textarea") and name:
            self.name, self.values[name] = name, ""
        elif tag == "option" and self.name and "selected" in given:
            self.values[self.name] = given["value"]

    def handle_data(self, data: str) -> None:
        if self.name and self.lasttag == "textarea":
            self.values[self.name] += data.removeprefix("\n").replace("\r", "").replace("\n", "\r\n")

    def handle_endtag(self, tag: str) -> None:
        self.name = "" if tag in ("select", "textarea") else self.name


def preview(staff: Client, entity: Entity, **changes: Any) -> Any:
    """Opens the form, changes some of its fields, and sends it."""
    return staff.post(edit_of(entity), opened(staff, entity) | changes)


def confirm(staff: Client, entity: Entity, shown: Any, **changes: Any) -> Any:
    """Sends the page that shows what would change once more."""
    return staff.post(edit_of(entity), inputs_of(shown) | changes)


def save(staff: Client, entity: Entity, **changes: Any) -> Any:
    """Both; or what came instead of the question."""
    shown = preview(staff, entity, **changes)
    return confirm(staff, entity, shown) if shown.status_code == 200 and b'id="confirm"' in shown.content else shown


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
        ({"outer_length": "12oo"}, "Enter a whole number"),
        ({"outer_length": "1.000"}, "Enter a whole number"),
        ({"outer_length": str(2**40)}, "This number is too large or too small to be kept"),
        ({"barcode": "4" * 256}, "at most 255 characters (it has 256)"),
        ({"barcode": "a\0b"}, "Null characters are not allowed"),
        ({"piece_id": ""}, "This field is required"),
        (
            {"picture": SimpleUploadedFile("p.png", bytes(300 * 1024))},
            "too large: 256 KiB is the most; this one has 300",
        ),
        ({"picture": SimpleUploadedFile("p.png", b"just a text")}, "PNG, JPEG, GIF, BMP and WebP are taken"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_linked(
    staff: Client, family: Family, changes: dict[str, Any], said: str
) -> None:
    page = preview(staff, family.piece, **changes)
    text = text_of(page)
    assert text.count(said) == 2  # in the summary, and at its field
    assert f'<a href="#id_{next(iter(changes))}">' in page.content.decode()
    assert "Nothing was saved." in text
    assert row_of("piece", family.piece.guid).updated_at == family.piece.updated_at
    assert not SyncRun.across_companies.exists()


def test_all_that_is_wrong_is_said_at_once(staff: Client, family: Family) -> None:
    PieceFactory.create(assembly=family.assembly, piece_id="taken")
    wrong = {"outer_length": "12oo", "barcode": "4" * 256, "piece_id": "taken"}
    assert len(preview(staff, family.piece, **wrong).context["form"].errors) == 3


def test_a_taken_piece_id_is_named(staff: Client, family: Family) -> None:
    holder = PieceFactory.create(assembly=family.assembly, piece_id="taken")
    page = preview(staff, family.piece, piece_id="taken")
    assert "piece id “taken” is taken in project P-0 by piece taken" in text_of(page)
    assert f"/piece/{holder.guid}/change/" in page.content.decode()
    assert row_of("piece", family.piece.guid).piece_id == family.piece.piece_id


def test_what_would_change_is_shown_before_it_does(staff: Client, family: Family) -> None:
    page = preview(staff, family.piece, outer_length="-500", angle_left="720", barcode=" P01-02 ", profile_code="")
    text = text_of(page)
    for row in (
        "Outer length 1200 mm -500 mm unusual: less than 0",
        "Angle left – 720° unusual: not between 0° and 180°",
        "Barcode (empty) P01-02",
        "Profile code XPS –",
    ):
        assert row in text
    assert row_of("piece", family.piece.guid).outer_length == 1200
    assert not SyncRun.across_companies.exists()
    assert confirm(staff, family.piece, page).status_code == 302
    row = row_of("piece", family.piece.guid)
    assert (row.outer_length, row.angle_left, row.barcode, row.profile_code) == (-500, 720, "P01-02", None)


def test_what_was_not_shown_is_not_saved(staff: Client, family: Family) -> None:
    page = preview(staff, family.piece, outer_length="1300")
    page = confirm(staff, family.piece, page, profile_code="other")
    assert "Profile code XPS other" in text_of(page)
    assert row_of("piece", family.piece.guid).outer_length == 1200
    confirm(staff, family.piece, page)
    row = row_of("piece", family.piece.guid)
    assert (row.outer_length, row.profile_code) == (1300, "other")


def test_what_is_not_touched_stays_to_the_last_character(staff: Client, family: Family) -> None:
    odd = {"barcode": " P01-02 ", "operations": "a\nb\r\nc ", "cell": "1\n2", "client": ""}
    Piece.across_companies.update(**odd)
    assert "Nothing was changed." in text_of(staff.get(save(staff, family.piece)["Location"]))
    save(staff, family.piece, outer_length="5", barcode="P01-02")
    row = row_of("piece", family.piece.guid)
    assert {name: getattr(row, name) for name in odd} == odd | {"barcode": "P01-02"}


def changed_by_a_sync(sync: Sync, family: Family, **fields: Any) -> None:
    names = ("guid", "piece_id", "company_guid", "project_guid", "component_guid", "assembly_guid")
    assert sync("pieces", {name: getattr(family.piece, name) for name in names} | fields).status_code == 200


@pytest.mark.parametrize("keep", ["mine", "theirs"])
@pytest.mark.parametrize("wholly", [True, False])
def test_of_what_both_have_changed_one_chooses(
    staff: Client, sync: Sync, family: Family, keep: str, wholly: bool
) -> None:
    sent = opened(staff, family.piece) | {"outer_length": "1300", "info2": "mine"}
    changed_by_a_sync(sync, family, outer_length=7, inner_length=8)
    page = staff.post(edit_of(family.piece), sent)
    text = text_of(page)
    assert "has changed this piece since you opened it" in text
    assert "Outer length 7 mm Outer length: whose value? mine: 1300 mm theirs: 7 mm" in text
    assert "Inner length 8 mm changed by others, stays so" in text
    page = confirm(staff, family.piece, page)
    assert "in each row" in text_of(page)
    assert row_of("piece", family.piece.guid).outer_length == 7

    choice = {"keep": keep} if wholly else {"keep-outer_length": keep}
    assert confirm(staff, family.piece, page, **choice).status_code == 302
    row = row_of("piece", family.piece.guid)
    assert (row.outer_length, row.inner_length, row.info2) == (1300 if keep == "mine" else 7, 8, "mine")


def test_a_change_in_the_very_moment_is_seen_too(staff: Client, sync: Sync, family: Family) -> None:
    page = preview(staff, family.piece, outer_length="1300")

    def quicker(execute: Any, sql: str, *args: Any) -> Any:
        """Another one writes as soon as the row has been read."""
        result = execute(sql, *args)
        if "has_picture" in sql and not Piece.across_companies.filter(outer_length=7).exists():
            Piece.across_companies.update(outer_length=7, updated_at=timezone.now())
        return result

    with connection.execute_wrapper(quicker):
        page = confirm(staff, family.piece, page)
    assert "whose value? mine: 1300 mm theirs: 7 mm" in text_of(page)
    assert row_of("piece", family.piece.guid).outer_length == 7


def test_a_change_that_comes_after_the_question_is_seen_too(staff: Client, sync: Sync, family: Family) -> None:
    page = preview(staff, family.piece, outer_length="1300")
    changed_by_a_sync(sync, family, outer_length=7)
    page = confirm(staff, family.piece, page)
    assert "whose value? mine: 1300 mm theirs: 7 mm" in text_of(page)
    assert row_of("piece", family.piece.guid).outer_length == 7


def test_a_picture_is_replaced_and_removed(staff: Client, family: Family) -> None:
    save(staff, family.piece, picture=SimpleUploadedFile("p.png", drawing(1)))
    assert bytes(row_of("piece", family.piece.guid).picture) == drawing(1)
    save(staff, family.piece, outer_length="5")
    assert bytes(row_of("piece", family.piece.guid).picture) == drawing(1)
    save(staff, family.piece, no_picture="on")
    assert row_of("piece", family.piece.guid).picture is None
    assert not any(broken_invariants().values())


def test_a_picture_is_kept_while_something_else_is_mended(staff: Client, family: Family) -> None:
    page = preview(staff, family.piece, outer_length="12oo", picture=SimpleUploadedFile("p.png", drawing(1)))
    page = confirm(staff, family.piece, page, outer_length="1210")
    confirm(staff, family.piece, page)
    row = row_of("piece", family.piece.guid)
    assert (bytes(row.picture), row.outer_length) == (drawing(1), 1210)


def test_times_and_truths_of_a_project(staff: Client, family: Family) -> None:
    save(staff, family.project, due_date="2026-12-04T08:30", in_production="true")
    row = row_of("project", family.project.guid)
    assert (row.due_date.isoformat(), row.in_production) == ("2026-12-04T08:30:00+00:00", True)
    save(staff, family.project, in_production="unknown")
    assert row_of("project", family.project.guid).in_production is None
    assert "unusual: not of this century" in text_of(preview(staff, family.project, due_date="0026-12-04T08:30"))


def test_a_due_date_that_is_not_touched_stays_as_it_is(staff: Client, family: Family) -> None:
    exact = datetime(2026, 10, 25, 0, 30, 15, 123456, UTC)
    Project.across_companies.update(due_date=exact)
    save(staff, family.project, company_name="Sommer")
    row = row_of("project", family.project.guid)
    assert (row.due_date, row.company_name) == (exact, "Sommer")


def test_a_deleted_one_can_not_be_edited(staff: Client, family: Family, company: Company) -> None:
    sent = opened(staff, family.piece) | {"piece_id": "x"}
    with company_scope(company.guid):
        delete_one(Piece, family.piece.guid, origin=Origin(Operation.DELETE, "user:x"), now=timezone.now())
    assert staff.post(edit_of(family.piece), sent)["Location"].endswith("/change/")
    text = page_text(staff, family.piece)
    assert "What is deleted can't be changed. Nothing was saved." in text
    assert "Edit" not in text
    assert row_of("piece", family.piece.guid).piece_id == family.piece.piece_id


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_edits_what_is_another_company_s(staff: Client, other_company: Company, kind: str) -> None:
    foreign = family_of(other_company)[kind]
    assert staff.get(edit_of(foreign)).status_code == 404
    assert staff.post(edit_of(foreign), {"code": "x", "piece_id": "x", "seen": "x"}).status_code == 404


def test_a_forged_field_moves_nothing_to_another_company(staff: Client, family: Family, other_company: Company) -> None:
    save(staff, family.piece, outer_length="1", company_guid=str(other_company.guid), guid="x", is_active="false")
    row = row_of("piece", family.piece.guid)
    assert (row.company_guid, row.outer_length, row.is_active) == (family.piece.company_guid, 1, True)
