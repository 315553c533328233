"""What is in the way of a restore: told piece by piece before and after, with what to do; and restoring what fits."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.integrity import broken_invariants
from pieces.models import Deletion, Entity, Piece
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from pieces.tests.families import Family, family_of, is_active
from sync.models import SyncRun
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory
from tenants.tests.staff import admin_of, session_of, text_of

pytestmark = pytest.mark.django_db

TRASH, RESTORE = "/admin/pieces/deletion/", "/admin/pieces/deletion/restore/"


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company, email="anna@example.com")


def remove(client: Client, entity: Entity) -> str:
    """Deletes it; the guid of the deletion."""
    assert client.post(f"/admin/pieces/{entity.kind}/remove/", {"guid": str(entity.guid)}).status_code == 302
    with every_company():
        return str(Deletion.objects.latest("guid").guid)


def replaced(client: Client, family: Family, number: int) -> tuple[str, list[Piece]]:
    """A component goes with so many pieces and two more; then others come by the names of the first ones."""
    copies(family.piece, number, piece_id="'W-' || n")
    PieceFactory.create(assembly=family.assembly, piece_id="kept")
    deletion = remove(client, family.component)
    elsewhere = PieceFactory.create(project=family.project, piece_id="other")
    names = [f"W-{n}" for n in range(1, number + 1)]
    return deletion, [
        PieceFactory.create(component=elsewhere.component, assembly=None, piece_id=name) for name in names
    ]


def test_every_piece_in_the_way_is_listed_before_and_after_with_what_to_do(staff: Client, family: Family) -> None:
    deletion, holders = replaced(staff, family, 4)
    before = staff.get(f"{RESTORE}?guid={deletion}")
    after = staff.post(RESTORE, {"guid": deletion})
    assert "Nothing was restored. Something is in the way: see below." in text_of(after)
    with every_company():
        for page in (before, after):
            text, html = text_of(page), page.content.decode()
            assert f"In {family.project.code}" not in text
            assert "4 pieces can’t come back" in text
            for holder in holders:
                held = Piece.all_objects.get(piece_id=holder.piece_id, is_active=False)
                assert f'href="/admin/pieces/piece/{held.guid}/change/"' in html
                assert f'href="/admin/pieces/piece/{holder.guid}/change/"' in html
                assert f'href="/admin/pieces/piece/{holder.guid}/edit/">Rename {holder}' in html
            assert f"{holders[0].project.code} › {holders[0].component.code}" in text
    assert is_active(family.component, family.piece) == [False, False]


def test_those_that_fit_come_back_and_the_others_can_follow(staff: Client, family: Family) -> None:
    deletion, holders = replaced(staff, family, 3)
    answer = staff.post(RESTORE, {"guid": deletion, "fitting": "yes"}, follow=True)
    assert "Restored: 1 component, 1 assembly, 2 pieces. What did not fit is still in the trash." in text_of(answer)
    assert is_active(*family.from_level("component")) == [True] * 3
    assert "5 were deleted" in text_of(staff.get("/admin/"))  # those that stay are not counted again
    assert "1 assembly, 2 pieces" in text_of(staff.get(f"{TRASH}?state=restored"))
    listed = text_of(staff.get(TRASH))
    assert re.search(r"piece W-\d and 2 more \S+ › \S+ nothing .* anna@example.com", listed)
    with every_company():
        assert sum(broken_invariants().values()) == 0
        run = SyncRun.objects.latest("guid")
        assert (run.operation, run.restored) == ("restore", 4)
        left = str(Deletion.objects.get(kind="piece").guid)
    text = text_of(staff.get(f"{RESTORE}?guid={left}"))
    assert "This brings back, but for what is listed below 3 pieces" in text
    assert "3 pieces can’t come back" in text
    remove(staff, holders[0])
    remove(staff, holders[1])
    text = text_of(staff.post(RESTORE, {"guid": left, "fitting": "yes"}, follow=True))
    assert "Restored: 2 pieces." in text
    remove(staff, holders[2])
    with every_company():
        [last] = Deletion.objects.filter(kind="piece", roots=1, restored_at=None, root_guid__in=_inactive("W-3"))
        assert sum(broken_invariants().values()) == 0
    assert "Restored: 1 piece." in text_of(staff.post(RESTORE, {"guid": str(last.guid)}, follow=True))


def _inactive(piece_id: str) -> Any:
    """The first deleted one of this name: what was left, not what was in its way."""
    return Piece.all_objects.filter(piece_id=piece_id, is_active=False).order_by("created_at").values("guid")[:1]


def test_a_restore_in_part_is_undone_like_any_other(staff: Client, family: Family) -> None:
    deletion, holders = replaced(staff, family, 2)
    staff.post(RESTORE, {"guid": deletion, "fitting": "yes"})
    with every_company():
        run = SyncRun.objects.latest("guid").guid
    assert "Undone" in text_of(staff.post(f"/admin/sync/syncrun/{run}/undo/", follow=True))
    assert is_active(family.component, family.piece, *holders) == [False, False, True, True]
    with every_company():
        assert sum(broken_invariants().values()) == 0


def test_nothing_that_fits_is_said(staff: Client, family: Family) -> None:
    deletion = remove(staff, family.piece)
    PieceFactory.create(assembly=family.assembly, piece_id=family.piece.piece_id)
    text = text_of(staff.post(RESTORE, {"guid": deletion, "fitting": "yes"}))
    assert "Nothing was restored." in text
    assert "1 piece can’t come back" in text
    with every_company():
        assert not Deletion.objects.get().restored_at
    assert is_active(family.piece) == [False]


def test_of_two_of_one_name_the_first_comes_back(staff: Client, family: Family) -> None:
    deletions = [remove(staff, family.piece)]
    twin = PieceFactory.create(assembly=family.assembly, piece_id=family.piece.piece_id)
    deletions.append(remove(staff, twin))
    query = "&".join(f"guid={guid}" for guid in deletions)
    assert "which comes back before it" in text_of(staff.get(f"{RESTORE}?{query}"))
    text = text_of(staff.post(RESTORE, {"guid": deletions, "fitting": "yes"}, follow=True))
    assert "Restored: 1 piece." in text
    assert is_active(family.piece, twin) == [True, False]


def test_a_deleted_parent_is_named_and_can_come_back_together(staff: Client, family: Family) -> None:
    piece = remove(staff, family.piece)
    component = remove(staff, family.component)
    project = remove(staff, family.project)
    preview = f"{RESTORE}?guid={piece}"
    for above, entity in ((project, family.project), (component, family.component)):
        page = staff.get(preview)
        assert f"Restore {entity} together with these" in text_of(page)
        preview = f"{RESTORE}?guid={piece}" + "".join(
            f"&guid={guid}" for guid in dict.fromkeys((*re.findall("guid=([^&]+)", preview)[1:], above))
        )
        assert preview.replace("&", "&amp;") in page.content.decode()
    whole = text_of(staff.get(preview))
    assert "What these are in is deleted" not in whole
    assert "This brings back 1 project, 1 component, 1 assembly, 1 piece What" in whole
    assert "What these are in" in text_of(staff.post(RESTORE, {"guid": [piece, project]}))
    assert is_active(family.project) == [False]
    text = text_of(staff.post(RESTORE, {"guid": [piece, project], "fitting": "yes"}, follow=True))
    assert "Restored: 1 project. What did not fit is still in the trash." in text
    staff.post(RESTORE, {"guid": [piece, component]})
    assert all(is_active(*family.from_level("project")))


def test_a_preview_takes_the_same_queries_for_1_and_for_30_in_the_way(staff: Client, family: Family) -> None:
    def taken(*deletions: str) -> int:
        query = "&".join(f"guid={guid}" for guid in deletions)
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(f"{RESTORE}?{query}").status_code == 200
        return len(queries)

    first, _ = replaced(staff, family, 1)
    one = taken(first)
    assert taken(first) == one <= 20
    second, _ = replaced(staff, family_of(family.piece.company), 30)
    assert taken(second) == one


def test_who_may_not_change_is_not_told_to_rename(family: Family, company: Company) -> None:
    deletion, _ = replaced(admin_of(company), family, 1)
    manager = session_of(UserFactory.create(company=company, role=Role.PROJECT_MANAGER))
    text = text_of(manager.get(f"{RESTORE}?guid={deletion}"))
    assert "Rename" not in text.replace("rename", "")
    assert "Leave it" in text
