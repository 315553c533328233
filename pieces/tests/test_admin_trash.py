"""Deleting and restoring in the admin: the preview, the act, the conflicts; in one transaction, and nobody else's."""

import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.models import Deletion, Entity
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family, is_active
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db

TRASH, RESTORE = "/admin/pieces/deletion/", "/admin/pieces/deletion/restore/"
EMAIL = "anna@example.com"
UNKNOWN = str(uuid.UUID(int=7))  # the same in every process that collects the tests


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company, email=EMAIL)


def remove(client: Client, *entities: Entity) -> int:
    guids = [str(entity.guid) for entity in entities]
    return client.post(f"/admin/pieces/{entities[0].kind}/remove/", {"guid": guids}).status_code


def deletions() -> list[Deletion]:
    with every_company():
        return list(Deletion.objects.order_by("guid"))


def test_the_preview_counts_what_goes_and_deletes_nothing(staff: Client, family: Family) -> None:
    copies(family.piece, 339)
    text = text_of(staff.get(f"/admin/pieces/component/remove/?guid={family.component.guid}"))
    assert "1 component, 1 assembly, 340 pieces" in text
    assert is_active(family.component)
    assert not deletions()


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_comes_back(staff: Client, family: Family, kind: str) -> None:
    below = family.from_level(kind)
    assert remove(staff, family[kind]) == 302
    assert not any(is_active(*below))
    [deletion] = deletions()
    assert deletion.actor == f"user:{EMAIL}"
    listed = text_of(staff.get(TRASH))
    assert f"{kind} {family[kind]}" in listed
    assert EMAIL in listed
    assert f"Deleted by {EMAIL}" in text_of(staff.get(f"/admin/pieces/{kind}/{family[kind].guid}/change/"))
    preview = text_of(staff.get(f"{RESTORE}?guid={deletion.guid}"))
    assert f"1 {kind}" in preview
    answer = staff.post(RESTORE, {"guid": str(deletion.guid)})
    assert answer["Location"] == f"/admin/pieces/{kind}/{family[kind].guid}/change/"
    assert all(is_active(*below))
    history = text_of(staff.get(answer["Location"]))
    assert history.index(f"Restored by {EMAIL}") < history.index(f"Deleted by {EMAIL}")
    assert f"{kind} {family[kind]}" not in text_of(staff.get(TRASH))
    assert f"{kind} {family[kind]}" in text_of(staff.get(f"{TRASH}?state=restored"))


def test_a_piece_tells_through_what_it_went(staff: Client, family: Family) -> None:
    remove(staff, family.component)
    page = staff.get(f"/admin/pieces/piece/{family.piece.guid}/change/")
    assert f"Deleted by {EMAIL} together with component {family.component.code}" in text_of(page)


def test_what_was_deleted_before_is_not_said_to_have_gone_again(staff: Client, family: Family) -> None:
    remove(staff, family.piece)
    remove(staff, family.component)
    text = text_of(staff.get(f"/admin/pieces/piece/{family.piece.guid}/change/"))
    assert "together with" not in text
    preview = text_of(staff.get(f"{RESTORE}?guid={deletions()[1].guid}"))
    assert "1 component, 1 assembly Component" in preview or "1 component, 1 assembly What" in preview


def test_many_go_and_come_back_in_one_act(staff: Client, company: Company) -> None:
    pieces = [PieceFactory.create(company=company) for _ in range(3)]
    marked = {
        "action": "delete_chosen",
        "_selected_action": [str(piece.guid) for piece in pieces],
        "select_across": "1",
    }
    preview = staff.post("/admin/pieces/piece/", marked)["Location"]
    assert "3 pieces" in text_of(staff.get(preview))
    assert remove(staff, *pieces) == 302
    chosen = [str(deletion.guid) for deletion in deletions()]
    preview = staff.post(TRASH, {"action": "restore_selected", "_selected_action": chosen})["Location"]
    assert "3 pieces" in text_of(staff.get(preview))
    staff.post(RESTORE, {"guid": chosen})
    assert is_active(*pieces) == [True] * 3


def test_parents_and_children_deleted_apart_come_back_together(staff: Client, family: Family) -> None:
    for kind in reversed(KINDS):
        remove(staff, family[kind])
    answer = staff.post(RESTORE, {"guid": [str(deletion.guid) for deletion in deletions()]})
    assert answer.status_code == 302
    assert all(is_active(*family.from_level("project")))


def test_the_same_act_twice_is_explained(staff: Client, family: Family, company: Company) -> None:
    remove(staff, family.piece)
    again = staff.post("/admin/pieces/piece/remove/", {"guid": str(family.piece.guid)})
    assert "Nothing was deleted. Some of these have been deleted meanwhile." in text_of(again)
    guid = {"guid": str(deletions()[0].guid)}
    staff.post(RESTORE, guid)
    assert "Some of these have been restored, or purged, meanwhile." in text_of(staff.post(RESTORE, guid))
    assert len(deletions()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_deletes_or_restores_what_is_another_company_s(staff: Client, foreign: Family, kind: str) -> None:
    assert remove(staff, foreign[kind]) == 404
    assert staff.get(f"/admin/pieces/{kind}/remove/?guid={foreign[kind].guid}").status_code == 404
    assert is_active(foreign[kind]) == [True]
    assert remove(system_admin(), foreign[kind]) == 302
    [deletion] = deletions()
    assert str(deletion.guid) not in staff.get(TRASH).content.decode()
    for answer in (staff.post(RESTORE, {"guid": str(deletion.guid)}), staff.get(f"{RESTORE}?guid={deletion.guid}")):
        assert answer.status_code == 404
    assert is_active(foreign[kind]) == [False]


def test_a_foreign_one_among_own_ones_stops_it_all(staff: Client, family: Family, foreign: Family) -> None:
    answer = staff.post("/admin/pieces/piece/remove/", {"guid": [str(family.piece.guid), str(foreign.piece.guid)]})
    assert "Nothing was deleted." in text_of(answer)
    assert is_active(family.piece, foreign.piece) == [True, True]


@pytest.mark.parametrize("path", ["/admin/pieces/piece/remove/", RESTORE])
@pytest.mark.parametrize("guid", ["", "nonsense", UNKNOWN])
def test_nothing_chosen_is_404(staff: Client, path: str, guid: str) -> None:
    assert staff.get(f"{path}?guid={guid}").status_code == 404
    assert staff.post(path, {"guid": guid}).status_code == 404


def test_deletions_themselves_are_kept(staff: Client, family: Family) -> None:
    remove(staff, family.piece)
    [deletion] = deletions()
    assert staff.post(f"{TRASH}{deletion.guid}/delete/", {"post": "yes"}).status_code == 403
    assert staff.get(f"{TRASH}{deletion.guid}/change/")["Location"].endswith(f"restore/?guid={deletion.guid}")
    assert len(deletions()) == 1


def test_the_trash_takes_the_same_queries_for_1_and_for_30(staff: Client, company: Company) -> None:
    def taken() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(TRASH).status_code == 200
        assert not any("COUNT(" in query["sql"] for query in queries)
        return len(queries)

    pieces = [PieceFactory.create(company=company) for _ in range(30)]
    remove(staff, pieces[0])
    one = taken()
    remove(staff, *pieces[1:])
    assert taken() == one
