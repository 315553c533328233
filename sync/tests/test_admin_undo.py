"""Taking a run back in the admin: what it did, the preview, the conflicts, the undo; once, and nobody else's."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.models import HISTORIES, Component, Piece
from sync.models import SyncRun
from sync.tests.batches import Sync, all_rows, full_piece, piece_item
from sync.tests.test_admin_editing import save
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory
from tenants.tests.staff import admin_of, session_of, system_admin, text_of

pytestmark = pytest.mark.django_db

LIST, TRASH, EMAIL = "/admin/sync/syncrun/", "/admin/pieces/deletion/", "anna@example.com"


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company, email=EMAIL)


@pytest.fixture
def made(sync: Sync, component: Component) -> str:
    """The run that made three pieces of 1200 mm."""
    return sent(sync, component, *(1200,) * 3)


@pytest.fixture
def changed(made: str, sync: Sync, component: Component) -> str:
    """The run that made nonsense of their lengths."""
    return sent(sync, component, 1, 2, 3)


def sent(sync: Sync, component: Component, *lengths: int, first: int = 0) -> str:
    """Sends pieces of these lengths; the guid of the run."""
    pieces = [full_piece(component, number, outer_length=length) for number, length in enumerate(lengths, first)]
    answer = sync("pieces", *pieces)
    assert answer.status_code == 200, answer.content
    return str(answer["X-Sync-Run"])


def lengths() -> list[int]:
    with every_company():
        return list(Piece.objects.order_by("piece_id").values_list("outer_length", flat=True))


def page_of(run: str, page: str = "change", query: str = "") -> str:
    return f"{LIST}{run}/{page}/{query}"


def undo(staff: Client, run: str, query: str = "") -> str:
    """Takes the run back; the guid of the undo's run."""
    answer = staff.post(page_of(run, "undo", query))
    assert answer.status_code == 302, text_of(answer)
    return re.fullmatch(rf"{LIST}([\w-]+)/change/", answer["Location"])[1]  # type: ignore[index]


def test_a_run_tells_what_it_did_row_by_row(staff: Client, changed: str) -> None:
    page = staff.get(page_of(changed))
    text = text_of(page)
    assert re.search(r"Sync of 3 pieces done .* 3 received 3 changed ", text)
    for number in range(3):
        assert re.search(rf"piece piece-{number} \S+ › \S+ changed Outer length 1200 mm → {number + 1} mm", text)
    with every_company():
        addresses = [f'href="/admin/pieces/piece/{piece.guid}/change/"' for piece in Piece.objects.all()]
    assert [page.content.decode().count(address) for address in addresses] == [1, 1, 1]


def test_new_rows_have_their_fields_and_those_taken_along_say_with_what(
    staff: Client, sync: Sync, made: str, component: Component
) -> None:
    assert re.search(r"piece piece-0 \S+ › \S+ created With \d\d fields", text_of(staff.get(page_of(made))))
    deleted = sync.api.delete(f"/api/v1/components/{component.guid}")["X-Sync-Run"]
    text = text_of(staff.get(page_of(deleted)))
    assert re.search(r"Deletion of component \S+ done .* 1 received 4 deleted", text)
    assert re.search(rf"component {component.code} \S+ deleted piece piece-", text)
    assert text.count(f"deleted together with component {component.code}") == 3


def test_many_rows_come_twenty_at_a_time_in_as_many_queries_as_few(
    staff: Client, sync: Sync, component: Component
) -> None:
    few, many = sent(sync, component, *range(2)), sent(sync, component, *range(50), first=2)

    def asked(run: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(page_of(run)).status_code == 200
        return len(queries)

    asked(few)
    assert asked(few) == asked(many)
    query: str | None = ""
    found = []
    while query is not None:
        page = staff.get(page_of(many, query=query))
        found.append(re.findall(r"piece (piece-\d+) \S+ › \S+ created", text_of(page)))
        more = re.search(r'href="(\?cursor=[\w-]+)#changes"', page.content.decode())
        query = more[1] if more else None
    assert [len(names) for names in found] == [20, 20, 10]
    assert {name for names in found for name in names} == {f"piece-{number}" for number in range(2, 52)}
    assert staff.get(page_of(many, query="?cursor=nonsense")).status_code == 422


def test_the_preview_counts_and_writes_no_row(staff: Client, changed: str) -> None:
    before = all_rows()
    text = text_of(staff.get(page_of(changed, "undo")))
    assert "Taking back the sync of 3 pieces puts back what it wrote. Rows: 3 changed " in text
    assert all_rows() == before
    assert "Undo this run …" in text_of(staff.get(page_of(changed)))


def test_what_is_undone_is_as_it_was_and_both_runs_lead_to_each_other(staff: Client, changed: str) -> None:
    taken_back = undo(staff, changed)
    assert lengths() == [1200] * 3
    run = SyncRun.across_companies.get(guid=taken_back)
    assert (run.operation, run.actor, run.updated, run.dry_run) == ("undo", f"user:{EMAIL}", 3, False)
    page = staff.get(page_of(taken_back))
    text = text_of(page)
    assert "Undone: 3 changed." in text
    assert "This took back what was written in a sync of 3 pieces ." in text
    assert "Outer length 2 mm → 1200 mm" in text
    assert page_of(changed) in page.content.decode()
    page = staff.get(page_of(changed))
    assert "This has been undone in an undo of 3 pieces ." in text_of(page)
    assert page_of(taken_back) in page.content.decode()
    assert "Undo this run" not in text_of(page)


def test_an_undo_can_be_undone(staff: Client, changed: str) -> None:
    undo(staff, undo(staff, changed))
    assert lengths() == [1, 2, 3]


def test_a_run_is_undone_once(staff: Client, changed: str) -> None:
    undo(staff, changed)
    for answer in (staff.get(page_of(changed, "undo")), staff.post(page_of(changed, "undo"))):
        assert "has been undone already" in text_of(answer)
        assert "undo the rest" not in text_of(answer)
    assert SyncRun.across_companies.filter(operation="undo").count() == 1


def test_what_others_wrote_since_is_named_and_can_be_left(
    staff: Client, sync: Sync, changed: str, component: Component
) -> None:
    later = sent(sync, component, 1500)
    for answer in (staff.get(page_of(changed, "undo")), staff.post(page_of(changed, "undo"))):
        assert re.search(r"written since\b.* Nothing was undone\.", text_of(answer))
        assert "piece piece-0 in a sync of 1 piece" in text_of(answer)
        assert page_of(later) in answer.content.decode()
        assert 'href="?conflicts=skip"' in answer.content.decode()
    assert lengths() == [1500, 2, 3]
    assert "2 changed, 1 left as they are" in text_of(staff.get(page_of(changed, "undo", "?conflicts=skip")))
    undo(staff, changed, "?conflicts=skip")
    assert lengths() == [1500, 1200, 1200]


def test_what_an_undo_took_is_in_the_trash_and_comes_back(staff: Client, made: str) -> None:
    taken = undo(staff, made)
    assert lengths() == []
    answer = staff.get(TRASH)
    assert text_of(answer).count(f"{EMAIL} in an undo of 3 pieces") == 3
    assert answer.content.decode().count(page_of(taken)) == 3
    undo(staff, taken)
    assert lengths() == [1200] * 3
    assert "in an undo" not in text_of(staff.get(TRASH))


def test_a_deletion_a_restore_and_a_change_by_hand_are_undone(staff: Client, made: str, component: Component) -> None:
    def last() -> str:
        return str(SyncRun.across_companies.latest("guid").guid)

    with every_company():
        piece = Piece.objects.order_by("piece_id")[0]
    assert save(staff, piece, outer_length="7").status_code == 302
    undo(staff, last())
    assert lengths() == [1200] * 3
    staff.post("/admin/pieces/component/remove/", {"guid": str(component.guid)})
    deletion = last()
    restored = undo(staff, deletion)
    assert lengths() == [1200] * 3
    undo(staff, restored)
    assert lengths() == []
    text = text_of(staff.get(LIST))
    for words in ("Change by hand of 1 piece", "Deletion of 1 component", "Undo of 1 component", "Sync of 3 pieces"):
        assert words in text
    assert re.search(r"Undo of 1 component done 4 restored", text)
    assert re.search(r"Deletion of 1 component done 4 deleted", text)


def test_the_list_is_filtered_by_operation(staff: Client, changed: str) -> None:
    undo(staff, changed)
    text = text_of(staff.get(f"{LIST}?operation=undo"))
    assert "Undo of 3 pieces done" in text
    assert "Sync of 3 pieces" not in text
    assert "Undo of" not in text_of(staff.get(f"{LIST}?operation=sync"))


def test_nothing_is_offered_where_nothing_was_written(
    staff: Client, sync: Sync, made: str, component: Component
) -> None:
    dry = sync("pieces", piece_item(component, piece_id="new"), query="?dry_run=true")
    refused = sync("pieces", piece_item(component, outer_length="12oo"))
    unchanged = sync("pieces", *(full_piece(component, number, outer_length=1200) for number in range(3)))
    for answer in (dry, refused, unchanged):
        assert "Undo this run" not in text_of(staff.get(page_of(answer["X-Sync-Run"])))
        assert staff.get(page_of(answer["X-Sync-Run"])).status_code == 200
    assert "Undo this run" in text_of(staff.get(page_of(made)))


def test_what_is_not_kept_any_more_is_said(staff: Client, changed: str) -> None:
    HISTORIES[Piece].across_companies.all().delete()
    text = text_of(staff.get(page_of(changed)))
    assert "is not kept any more" in text
    assert "Undo this run" not in text
    assert staff.get(page_of(changed, "undo")).status_code == 410
    assert staff.post(page_of(changed, "undo")).status_code == 410
    assert lengths() == [1, 2, 3]


@pytest.mark.parametrize("role", [Role.INTEGRATION, Role.PROJECT_MANAGER, Role.OPERATOR])
def test_who_may_not_sync_may_not_undo(company: Company, changed: str, role: Role) -> None:
    staff = session_of(UserFactory.create(company=company, role=role))
    assert "Undo this run" not in text_of(staff.get(page_of(changed)))
    assert staff.get(page_of(changed, "undo")).status_code == 403
    assert staff.post(page_of(changed, "undo")).status_code == 403
    assert lengths() == [1, 2, 3]


def test_the_runs_of_others_can_not_be_undone(changed: str, other_company: Company) -> None:
    stranger = admin_of(other_company)
    for page in ("change", "undo"):
        assert stranger.get(page_of(changed, page)).status_code == 404
        assert stranger.post(page_of(changed, page)).status_code in (404, 405)
    assert lengths() == [1, 2, 3]
    undo(system_admin(), changed)
    assert lengths() == [1200] * 3


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_undo_nothing(staff: Client, changed: str, method: str) -> None:
    answer: Any = getattr(staff, method)(page_of(changed, "undo"))
    assert answer.status_code == 405
    assert lengths() == [1, 2, 3]
