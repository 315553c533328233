"""What a page in the admin tells of an entity's past: each change field by field, who, when, in which run."""

import base64
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.models import HISTORIES, Component, Entity, Piece
from pieces.tests.factories import PieceFactory
from ractory.tests.browser.works import drawing
from sync.models import SyncRun
from sync.tests.batches import Sync, component_item, piece_item
from tenants.models import ApiKey, Company
from tenants.scope import every_company
from tenants.tests.staff import admin_of, text_of

pytestmark = pytest.mark.django_db

KEY = "key “RaConnect”"


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company, email="anna@example.com")


@pytest.fixture(autouse=True)
def _named(key: str) -> None:
    ApiKey.objects.update(description="RaConnect")


@pytest.fixture
def piece(sync: Sync, component: Component) -> Piece:
    """Of an order that came by sync, and has been changed once."""
    item = piece_item(component, piece_id="W-1", outer_length=1200, barcode="X1")
    assert sync("pieces", item).status_code == 200
    with every_company():
        piece: Piece = Piece.objects.get()
    change(sync, piece, outer_length=1250)
    return piece


def change(sync: Sync, piece: Piece, **fields: Any) -> str:
    """Sends the piece with these fields; the guid of the run."""
    answer = sync("pieces", piece_item(piece.component, guid=piece.guid, piece_id="W-1", **fields))
    assert answer.status_code == 200, answer.content
    return str(answer["X-Sync-Run"])


def page_of(entity: Entity, query: str = "") -> str:
    return f"/admin/pieces/{entity.kind}/{entity.guid}/change/{query}"


def told(staff: Client, entity: Entity, query: str = "") -> str:
    """What a person reads below "History"."""
    _, found, rest = text_of(staff.get(page_of(entity, query))).rpartition(" History ")
    assert found
    return rest


def renumbered(piece: Piece, times: int) -> None:
    """Writes the row so many times, past all of our code."""
    with every_company(), connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute("UPDATE pieces_piece SET outer_length = outer_length + 1, updated_at = updated_at")


def test_each_change_shows_old_and_new_values_who_when_and_in_which_run(
    staff: Client, sync: Sync, piece: Piece
) -> None:
    run = change(sync, piece, outer_length=1250, barcode=None)
    text = told(staff, piece)
    [at] = re.findall(rf"Changed by {KEY} in a sync of 1 piece (\S+ \S+) UTC Barcode X1 → –", text)
    assert text.index(at) < text.index(f"Changed by {KEY} in a sync of 1 piece", 1)
    assert re.search(r"UTC Outer length 1200 mm → 1250 mm", text)
    assert re.search(rf"Created by {KEY} in a sync of 1 piece \S+ \S+ UTC With \d+ fields ", text)
    assert "Piece id W-1" in text
    assert f"/admin/sync/syncrun/{run}/change/" in staff.get(page_of(piece)).content.decode()


def test_times_and_truths_are_written_as_on_the_page(staff: Client, sync: Sync, component: Component) -> None:
    with every_company():
        project = component.project
    item = {"guid": project.guid, "code": project.code, "company_guid": project.company_guid}
    assert sync("projects", item | {"due_date": "2026-12-04T08:30:00Z", "in_production": True}).status_code == 200
    text = told(staff, project)
    assert "Due date – → 2026-12-04 08:30 UTC" in text
    assert "In production no → yes" in text


def test_pictures_are_added_replaced_and_removed(staff: Client, sync: Sync, piece: Piece) -> None:
    for picture in (drawing(1), drawing(2), None):
        change(sync, piece, picture=picture and base64.b64encode(picture).decode())
    assert re.search(r"Picture removed .* Picture replaced .* Picture added ", told(staff, piece))


def test_who_is_moved_along_tells_from_where_to_where(staff: Client, sync: Sync, piece: Piece) -> None:
    with every_company():
        component, elsewhere = piece.component, PieceFactory.create(company=piece.company).project
        before = component.project
    item = component_item(elsewhere, guid=component.guid, code=component.code)
    assert sync("components", item).status_code == 200
    for entity in (component, piece):
        assert "in a sync of 1 component" in told(staff, entity)
        assert re.search(rf"Moved by {KEY} .* Project {before.code} → {elsewhere.code} ", told(staff, entity))
    page = staff.get(page_of(piece)).content.decode()
    assert page.count(f'href="{page_of(before)}"') == 2  # there, and where the piece was made
    assert page.count(f'href="{page_of(elsewhere)}"') == 3  # in the breadcrumbs and the record, too


def test_a_deletion_and_a_restore_name_what_went_with_it(staff: Client, sync: Sync, piece: Piece) -> None:
    path = f"/api/v1/components/{piece.component_guid}"
    assert sync.api.delete(path).status_code == 204
    assert sync.api.post(f"{path}/restore").status_code == 204
    with every_company():
        component = piece.component
    text = told(staff, piece)
    for what in ("Restored", "Deleted"):
        assert f"{what} by {KEY} together with component {component.code} in a " in text
        assert f"{what} by {KEY} in a " in told(staff, component)
    assert re.search(r"in a restore of 1 component .* in a deletion of 1 component", text)
    assert (text.count("Changed by"), text.count("Created by")) == (1, 1)


def test_a_change_of_what_stays_deleted_is_no_deletion_again(staff: Client, sync: Sync, piece: Piece) -> None:
    assert sync.api.delete(f"/api/v1/components/{piece.component_guid}").status_code == 204
    change(sync, piece, barcode="X2", is_active=False)
    text = told(staff, piece)
    assert re.search(rf"^Changed by {KEY} in a sync of 1 piece \S+ \S+ UTC Barcode X1 → X2 Deleted", text)
    assert text.count("together with") == 1


def test_a_write_by_raw_sql_is_told_of_nobody(staff: Client, piece: Piece) -> None:
    renumbered(piece, 1)
    text = told(staff, piece)
    assert text.startswith("Changed by someone unknown ")
    assert "Outer length 1250 mm → 1251 mm" in text


def test_twenty_at_a_time_lead_to_all_of_them(staff: Client, piece: Piece) -> None:
    renumbered(piece, 40)
    query, lengths, pages = "", [], 0
    while True:
        pages += 1
        lengths += re.findall(r"Outer length (\d+) mm → ", told(staff, piece, query))
        page = staff.get(page_of(piece, query)).content.decode()
        assert ("← Newest" in page) == (pages > 1)
        if (older := re.search(r'href="(\?cursor=[\w-]+)#history"', page)) is None:
            break
        query = older[1]
    assert pages == 3
    assert lengths == [str(length) for length in (*range(1289, 1249, -1), 1200)]
    assert "Created by" in told(staff, piece, query)


def test_the_queries_are_as_many_for_1_as_for_400_changes(staff: Client, piece: Piece) -> None:
    def taken() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(page_of(piece)).status_code == 200
        return len(queries)

    taken()  # content types and the like are remembered
    renumbered(piece, 20)
    few = taken()
    renumbered(piece, 400)
    assert taken() == few <= 17


@pytest.mark.parametrize(("query", "status"), [("?cursor=nonsense", 422), ("?cursor=x&cursor=y", 422)])
def test_a_place_that_is_none_is_refused(staff: Client, piece: Piece, query: str, status: int) -> None:
    assert staff.get(page_of(piece, query)).status_code == status


def test_a_place_that_is_not_kept_any_more_is_gone(staff: Client, piece: Piece) -> None:
    renumbered(piece, 40)
    older = re.search(r'href="(\?cursor=[\w-]+)#history"', staff.get(page_of(piece)).content.decode())
    assert older
    HISTORIES[Piece].across_companies.all().delete()
    assert staff.get(page_of(piece, older[1])).status_code == 410


def test_without_a_history_it_tells_who_made_the_row(staff: Client, piece: Piece) -> None:
    """As of rows that were written before there was one, or whose history has been purged."""
    with every_company():
        HISTORIES[Piece].across_companies.all().delete()
    assert re.search(rf"^Created by {KEY} in a sync of 1 piece \S+ \S+ UTC$", told(staff, piece))
    SyncRun.across_companies.all().delete()  # as purge_runs does
    assert told(staff, piece).count("in a run whose receipt is gone") == 1


def test_what_a_client_sent_is_shown_not_run(staff: Client, sync: Sync, piece: Piece) -> None:
    script = "<script>alert(1)</script>"
    change(sync, piece, barcode=script)
    page = staff.get(page_of(piece)).content.decode()
    assert script not in page
    assert "X1 → &lt;script&gt;" in page
