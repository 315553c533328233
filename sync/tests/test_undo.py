"""`POST /api/v1/sync/runs/{guid}/undo`: what a run wrote is put back, all of it or nothing (contract, "Undo")."""

import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import HISTORIES, LEVELS, LEVELS_BY_KIND, Act, Component, Deletion, Operation, Piece
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import Family, family_of, is_active, path_of
from ractory.api.tests.client import Api
from sync import undo as undoing
from sync.models import SyncRun
from sync.tests.batches import (
    Item,
    Sync,
    all_rows,
    assembly_item,
    component_item,
    full_piece,
    piece_item,
    project_item,
    row_of,
)
from sync.tests.files import pieces_file
from sync.tests.test_sync_queries import spared_by_one_deletion
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.commands import Manage
from tenants.tests.factories import UserFactory, issue_key

RUNS = "/api/v1/sync/runs"
NOT_PUT_BACK = {"updated_at", "deleted_at", "deletion_guid", "changed_in", "sent_digest", "digest"}
PICTURES = [b64encode(bytes([n]) * 100).decode() for n in range(3)]


def run_of(response: Any) -> str:
    assert response.status_code in (200, 204), response.content
    return str(response["X-Sync-Run"])


def undo(sync: Sync, run: Any, query: str = "") -> Any:
    return sync.api.post(f"{RUNS}/{run}/undo{query}")


def undone(sync: Sync, run: Any, query: str = "") -> dict[str, Any]:
    """What an undo that succeeds answers, but the guid of its run."""
    response = undo(sync, run, query)
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    assert answer.pop("run_guid") == response["X-Sync-Run"]
    return answer


def counts(*, changed: int = 0, deleted: int = 0, restored: int = 0, **more: Any) -> dict[str, Any]:
    return {"changed": changed, "deleted": deleted, "restored": restored, **more}


def content() -> dict[uuid.UUID, Mapping[str, Any]]:
    """Every row, but for what an undo does not put back."""
    return {
        row["guid"]: {name: value for name, value in row.items() if name not in NOT_PUT_BACK}
        for rows in all_rows().values()
        for row in rows
    }


def receipt(sync: Sync, run: Any) -> dict[str, Any]:
    answer = sync.api.get(f"{RUNS}/{run}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def pieces(sync: Sync, component: Component) -> list[Item]:
    """Three pieces that a sync has made."""
    items = [full_piece(component, number) for number in range(3)]
    assert sync("pieces", *items).status_code == 200
    return items


# --- What is put back --------------------------------------------------------------------------


def test_changed_rows_are_what_they_were(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", pieces[0] | {"picture": PICTURES[0], "info2": "", "barcode": None})
    before = content()
    nonsense = dict.fromkeys(set(pieces[0]) - {"guid", "piece_id"} - {n for n in pieces[0] if n.endswith("_guid")})
    run = run_of(sync("pieces", *(item | nonsense | {"picture": PICTURES[1]} for item in pieces)))
    assert content() != before
    assert undone(sync, run) == counts(changed=3)
    assert content() == before


def test_inserted_rows_are_deleted(sync: Sync, component: Component) -> None:
    items = [full_piece(component, number) for number in range(2)]
    run = run_of(sync("pieces", *items, {name: v for name, v in full_piece(component, 3).items() if name != "guid"}))
    assert undone(sync, run) == counts(deleted=3)
    assert not Piece.objects.exists()
    assert Piece.all_objects.count() == 3


def test_deleted_rows_come_back_with_what_went_with_them_and_nothing_else(sync: Sync, family: Family) -> None:
    single = PieceFactory.create(assembly=family.assembly)
    sync.api.delete(path_of(single))
    before = content()
    run = run_of(sync("components", component_item(family.project, guid=family.component.guid, is_active=False)))
    assert is_active(family.component, family.assembly, family.piece) == [False] * 3
    assert undone(sync, run) == counts(restored=3)
    assert is_active(family.component, family.assembly, family.piece, single) == [True] * 3 + [False]
    assert content() == before | {family.component.guid: content()[family.component.guid]}
    assert row_of("component", family.component.guid).code == family.component.code


def test_restored_rows_are_deleted_again(sync: Sync, family: Family) -> None:
    sync.api.delete(path_of(family.component))
    before = content()
    item = component_item(family.project, guid=family.component.guid, designation="new")
    run = run_of(sync("components", item))
    assert is_active(family.component, family.assembly, family.piece) == [True] * 3
    assert undone(sync, run) == counts(deleted=3)
    assert content() == before


def test_moved_rows_go_back_with_everything_below_them(sync: Sync, family: Family) -> None:
    deleted = PieceFactory.create(assembly=family.assembly)
    sync.api.delete(path_of(deleted))
    other = ProjectFactory.create(company=family.project.company)
    before = content()
    run = run_of(sync("components", component_item(other, guid=family.component.guid, code=family.component.code)))
    assert row_of("piece", family.piece.guid).project_guid == other.guid
    assert undone(sync, run) == counts(changed=4)
    assert content() == before


def test_a_run_of_everything_at_once_is_undone_at_once(sync: Sync, family: Family) -> None:
    """Inserted, updated, moved, deleted, restored; and two that swap their piece_ids."""
    other = ComponentFactory.create(company=family.project.company)
    pieces = [PieceFactory.create(component=family.component, assembly=None) for _ in range(6)]
    items = [piece_item(family.component, guid=piece.guid, piece_id=piece.piece_id) for piece in pieces]
    sync("pieces", *items)
    sync("pieces", items[3] | {"is_active": False})
    before = content()
    run = run_of(
        sync(
            "pieces",
            items[0] | {"cell": "x"},
            items[1] | {"component_guid": other.guid, "project_guid": other.project_guid},
            items[2] | {"is_active": False},
            items[3],
            items[4] | {"piece_id": items[5]["piece_id"]},
            items[5] | {"piece_id": items[4]["piece_id"]},
            new := full_piece(family.component, 77),
        )
    )
    assert undone(sync, run) == counts(changed=4, deleted=2, restored=1)
    after = content()
    assert not after.pop(new["guid"])["is_active"]
    assert after == before


def test_pictures_come_back(sync: Sync, component: Component) -> None:
    items = [
        full_piece(component, number, picture=picture) for number, picture in enumerate([*PICTURES, None, PICTURES[0]])
    ]
    sync("pieces", *items)
    before = content()
    pictures = [PICTURES[1], None, PICTURES[2], PICTURES[0], PICTURES[0]]
    swapped = [4, 1, 2, 3, 0]  # the first and the last hand each other their piece_ids, so both are written twice
    run = run_of(
        sync(
            "pieces",
            *(
                item | {"picture": picture, "piece_id": f"piece-{number}", "cell": "x"}
                for item, picture, number in zip(items, pictures, swapped, strict=True)
            ),
        )
    )
    assert undone(sync, run) == counts(changed=5)
    assert content() == before


def test_large_pictures_come_back_a_few_at_a_time(
    sync: Sync, component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undoing, "MAX_PICTURES", 250)
    items = [full_piece(component, number, picture=PICTURES[number % 3]) for number in range(7)]
    sync("pieces", *items)
    before = content()
    run = run_of(sync("pieces", *(item | {"picture": None, "cell": f"{n % 2}"} for n, item in enumerate(items))))
    assert undone(sync, run) == counts(changed=7)
    assert content() == before
    for item in items:  # one entry for the undo, however often it wrote the row
        assert len(sync.api.get(f"/api/v1/pieces/{item['guid']}/history").json()) == 3


def test_a_deleted_row_that_was_changed_stays_deleted(sync: Sync, family: Family) -> None:
    sync.api.delete(path_of(family.project))
    item = piece_item(family.assembly, guid=family.piece.guid, is_active=False)
    before = content()
    run = run_of(sync("pieces", item | {"cell": "x"}))
    assert undone(sync, run) == counts(changed=1)
    assert content() == before


def test_what_was_taken_out_of_a_deleted_parent_goes_back_into_it(sync: Sync, family: Family) -> None:
    other = ProjectFactory.create(company=family.project.company)
    sync.api.delete(path_of(family.project))
    before = content()
    item = component_item(other, guid=family.component.guid, code=family.component.code)
    run = run_of(sync("components", item))
    assert is_active(family.component, family.piece) == [True, True]
    assert undone(sync, run) == counts(changed=2, deleted=3)
    assert content() == before


@pytest.mark.parametrize("kind", LEVELS_BY_KIND)
def test_a_delete_and_a_restore_by_the_api_are_undone(sync: Sync, family: Family, kind: str) -> None:
    before, rows = content(), family.from_level(kind)
    run = run_of(sync.api.delete(path_of(family[kind])))
    assert undone(sync, run) == counts(restored=len(rows))
    assert content() == before
    sync.api.delete(path_of(family[kind]))
    before = content()
    run = run_of(sync.api.post(f"{path_of(family[kind])}/restore"))
    assert undone(sync, run) == counts(deleted=len(rows))
    assert content() == before


def test_what_has_no_receipt_is_undone_by_its_act(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", pieces[0] | {"cell": "x"})
    act = Act.objects.get(guid=row_of("piece", pieces[0]["guid"]).changed_in)
    SyncRun.objects.all().delete()  # as purge_runs does in time
    assert undone(sync, act.guid) == counts(changed=1)
    assert row_of("piece", pieces[0]["guid"]).cell == pieces[0]["cell"]


def test_the_runs_of_an_import_are_undone(
    sync: Sync, manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 1200)
    assert manage("import_pieces", path, "--company", company.guid).code == 0
    first, second = SyncRun.objects.filter(operation=Operation.IMPORT).order_by("guid")
    assert undone(sync, second.guid) == counts(deleted=200)
    assert undone(sync, first.guid) == counts(deleted=1000)
    assert not Piece.objects.exists()


def test_an_undo_is_a_run_and_can_be_undone_itself(sync: Sync, pieces: list[Item], component: Component) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}, pieces[1] | {"is_active": False}, full_piece(component, 9)))
    first, after = content(), undo(sync, run)
    assert {name: receipt(sync, run_of(after))[name] for name in ("operation", "entity", "received", "status")} == {
        **{"operation": "undo", "entity": "pieces", "received": 3, "status": "succeeded"},
    }
    counted = {name: receipt(sync, run_of(after))[name] for name in ("inserted", "updated", "restored", "deleted")}
    assert counted == {"inserted": 0, "updated": 3, "restored": 1, "deleted": 1}
    assert undone(sync, run_of(after)) == counts(changed=1, deleted=1, restored=1)
    assert content() == first
    act = Act.objects.get(guid=row_of("piece", pieces[0]["guid"]).changed_in)
    assert (act.operation, act.undoes) == ("undo", uuid.UUID(run_of(after)))


def test_a_chain_of_undos_goes_back_and_forth(sync: Sync, family: Family) -> None:
    other = ProjectFactory.create(company=family.project.company)
    before = content()
    run = run_of(sync("components", component_item(other, guid=family.component.guid, designation="x")))
    after = content()
    for number in range(6):
        run = run_of(undo(sync, run))
        assert content() == (after if number % 2 else before)


def test_a_run_that_wrote_nothing_leaves_nothing_to_undo(sync: Sync, pieces: list[Item]) -> None:
    before = all_rows()
    unchanged, dry = sync("pieces", *pieces), sync("pieces", pieces[0] | {"cell": "x"}, query="?dry_run=true")
    refused = sync("pieces", pieces[0] | {"bar_rest": "x"})
    for response in (unchanged, dry, refused):
        assert undone(sync, response["X-Sync-Run"]) == counts()
    assert all_rows() == before


def test_what_was_done_last_is_taken_back_first_and_then_what_was_done_before(sync: Sync, family: Family) -> None:
    """What an undo writes is no conflict, if it has put back just what the run before had left."""
    other = ProjectFactory.create(company=family.project.company)
    item = component_item(family.project, guid=family.component.guid)
    changes: list[Item] = [
        {"designation": "x"},
        {"project_guid": other.guid},
        {"is_active": False},
        {},
        {"quantity": 5},
    ]
    runs, before = [], [content()]
    for change in changes:
        item |= change
        if not change:
            item.pop("is_active")
        runs.append(run_of(sync("components", item)))
        before.append(content())
    for run in reversed(runs):
        before.pop()
        assert undone(sync, run)
        assert content() == before[-1]


def test_an_undo_in_between_does_not_hide_who_else_has_written(sync: Sync, pieces: list[Item]) -> None:
    first = run_of(sync("pieces", *(item | {"cell": "a"} for item in pieces)))
    other = run_of(sync("pieces", pieces[0] | {"cell": "b"}))
    last = run_of(sync("pieces", *(item | {"cell": "c"} for item in pieces[:2])))
    assert undone(sync, last) == counts(changed=2)
    [(_, guid, run)] = conflicts(undo(sync, first))
    assert guid == str(pieces[0]["guid"])
    assert run not in (first, other, last)  # the undo wrote it last
    again = run_of(undo(sync, first, "?conflicts=skip"))
    assert undone(sync, other) == counts(changed=1)
    assert row_of("piece", pieces[0]["guid"]).cell == "a"
    assert undone(sync, again) == counts(changed=2)
    assert {row_of("piece", item["guid"]).cell for item in pieces} == {"a"}


def test_a_write_by_hand_after_an_undo_is_a_conflict(sync: Sync, pieces: list[Item]) -> None:
    first = run_of(sync("pieces", *(item | {"cell": "a"} for item in pieces)))
    last = run_of(sync("pieces", *(item | {"cell": "b"} for item in pieces)))
    assert undone(sync, last) == counts(changed=3)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pieces_piece SET cell = 'by hand' WHERE piece_id = 'piece-1'")
    assert [guid for _, guid, _ in conflicts(undo(sync, first))] == [str(pieces[1]["guid"])]


# --- What is in the way ------------------------------------------------------------------------


def conflicts(response: Any) -> list[tuple[str, str, str | None]]:
    assert response.status_code == 409, response.content
    return [(each["entity"], each["guid"], each["run_guid"]) for each in response.json()["conflicts"]]


def test_rows_written_since_are_conflicts_and_nothing_is_undone(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    later = run_of(sync("pieces", pieces[1] | {"cell": "y"}))
    before = all_rows()
    response = undo(sync, run)
    assert conflicts(response) == [("pieces", str(pieces[1]["guid"]), later)]
    assert "1 row" in response.json()["detail"]
    assert all_rows() == before
    told = receipt(sync, response["X-Sync-Run"])
    assert (told["operation"], told["status"], told["http_status"]) == ("undo", "rejected", 409)


def test_conflicts_can_be_skipped(sync: Sync, pieces: list[Item]) -> None:
    before = content()
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    sync("pieces", pieces[1] | {"cell": "y"})
    assert undone(sync, run, "?conflicts=skip") == counts(changed=2, skipped=1)
    after = content()
    assert after.pop(pieces[1]["guid"])["cell"] == "y"
    assert after == {guid: row for guid, row in before.items() if guid != pieces[1]["guid"]}
    assert undo(sync, run, "?conflicts=skip").status_code == 409  # it has been undone, as far as it could be


def test_where_nothing_is_in_the_way_nothing_is_skipped(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    assert undone(sync, run, "?conflicts=skip") == counts(changed=1, skipped=0)


def test_where_all_is_in_the_way_all_is_skipped_and_it_is_not_undone(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    last = run_of(sync("pieces", pieces[0] | {"cell": "y"}))
    assert undone(sync, run, "?conflicts=skip") == counts(skipped=1)
    assert undone(sync, last) == counts(changed=1)
    assert undone(sync, run) == counts(changed=1)


def test_a_write_by_hand_is_a_conflict_of_no_run(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pieces_piece SET cell = 'by hand' WHERE piece_id = 'piece-0'")
    assert conflicts(undo(sync, run)) == [("pieces", str(pieces[0]["guid"]), None)]
    assert undone(sync, run, "?conflicts=skip") == counts(changed=2, skipped=1)
    assert row_of("piece", pieces[0]["guid"]).cell == "by hand"


def test_the_first_hundred_conflicts_are_named(sync: Sync, component: Component) -> None:
    items = [piece_item(component, guid=uuid.uuid4(), piece_id=str(number)) for number in range(120)]
    run = run_of(sync("pieces", *items))
    sync("pieces", *(item | {"cell": "y"} for item in items))
    response = undo(sync, run)
    named = sorted(str(item["guid"]) for item in items)[:100]
    assert [guid for _, guid, _ in conflicts(response)] == named
    assert "120 rows" in response.json()["detail"]


def test_what_others_put_below_an_inserted_row_is_in_the_way_of_its_deletion(sync: Sync, company: Company) -> None:
    projects = [project_item(company, guid=uuid.uuid4()) for _ in range(2)]
    run = run_of(sync("projects", *projects))
    below = {"project_guid": projects[0]["guid"], "company_guid": company.guid, "code": "C", "guid": uuid.uuid4()}
    later = run_of(sync("components", below))
    assert conflicts(undo(sync, run)) == [("components", str(below["guid"]), later)]
    assert undone(sync, run, "?conflicts=skip") == counts(deleted=1, skipped=1)
    assert row_of("project", projects[0]["guid"]).is_active
    assert row_of("component", below["guid"]).is_active


def test_what_is_deleted_below_it_is_not_in_the_way(sync: Sync, company: Company) -> None:
    project = project_item(company, guid=uuid.uuid4())
    run = run_of(sync("projects", project))
    later = sync("components", {"project_guid": project["guid"], "company_guid": company.guid, "code": "C"})
    assert undone(sync, run_of(later)) == counts(deleted=1)
    assert undone(sync, run) == counts(deleted=1)


def test_a_row_below_that_was_written_since_keeps_what_is_above_it_where_it_is(sync: Sync, family: Family) -> None:
    other, twin = ProjectFactory.create(company=family.project.company), family_of(family.project.company)
    items = [component_item(other, guid=each.component.guid, code=each.component.code) for each in (family, twin)]
    run = run_of(sync("components", *items))
    piece = piece_item(row_of("assembly", family.assembly.guid), guid=family.piece.guid, cell="y")
    later = run_of(sync("pieces", piece))
    assert conflicts(undo(sync, run)) == [("pieces", str(family.piece.guid), later)]
    assert undone(sync, run, "?conflicts=skip") == counts(changed=3, skipped=1)
    assert row_of("component", family.component.guid).project_guid == other.guid
    assert row_of("piece", twin.piece.guid).project_guid == twin.project.guid


def test_a_piece_id_that_is_taken_since_is_in_the_way(sync: Sync, pieces: list[Item], component: Component) -> None:
    run = run_of(sync("pieces", pieces[0] | {"is_active": False}, pieces[1] | {"piece_id": "else"}))
    taker = piece_item(component, guid=uuid.uuid4(), piece_id="piece-1")
    later = run_of(sync("pieces", taker))
    before = all_rows()
    response = undo(sync, run)
    assert conflicts(response) == [("pieces", str(taker["guid"]), later)]
    assert "'piece-1'" in response.json()["detail"] or '"piece-1"' in response.json()["detail"]
    assert all_rows() == before
    assert undone(sync, run, "?conflicts=skip") == counts(restored=1, skipped=1)


def test_a_piece_id_below_that_is_taken_since_is_in_the_way(sync: Sync, family: Family) -> None:
    run = run_of(sync.api.delete(path_of(family.component)))
    other = ComponentFactory.create(project=family.project)
    taker = piece_item(other, guid=uuid.uuid4(), piece_id=family.piece.piece_id)
    later = run_of(sync("pieces", taker))
    assert conflicts(undo(sync, run)) == [("pieces", str(taker["guid"]), later)]
    assert undone(sync, run, "?conflicts=skip") == counts(skipped=1)
    assert not row_of("component", family.component.guid).is_active


@pytest.mark.parametrize("operation", ["move", "delete"])
def test_a_parent_that_is_deleted_since_is_in_the_way(sync: Sync, family: Family, operation: str) -> None:
    other = AssemblyFactory.create(component=family.component)
    item = piece_item(family.assembly, guid=family.piece.guid, piece_id=family.piece.piece_id)
    change = {"assembly_guid": other.guid} if operation == "move" else {"is_active": False}
    run = run_of(sync("pieces", item | change))
    later = run_of(sync.api.delete(path_of(family.assembly)))
    assert conflicts(undo(sync, run)) == [("assemblies", str(family.assembly.guid), later)]
    assert undone(sync, run, "?conflicts=skip") == counts(skipped=1)
    assert run_of(sync.api.post(f"{path_of(family.assembly)}/restore"))
    assert undone(sync, run)["changed"] + undone(sync, later, "?conflicts=skip")["skipped"] >= 1


def test_more_rules_in_the_way_than_tries_are_a_409(sync: Sync, component: Component) -> None:
    """Pieces that hand their piece_ids on in a long chain: each one left out is in the way of the next."""
    items = [piece_item(component, guid=uuid.UUID(int=n + 1), piece_id=f"old-{n}") for n in range(30)]
    sync("pieces", *items)
    shifted = [item | {"piece_id": f"old-{n + 1}"} for n, item in enumerate(items)]
    run = run_of(sync("pieces", *shifted))
    sync("pieces", piece_item(component, guid=uuid.UUID(int=99), piece_id="old-0"))
    before = all_rows()
    assert undo(sync, run).status_code == 409
    response = undo(sync, run, "?conflicts=skip")
    assert [guid for _, guid, _ in conflicts(response)] == [str(uuid.UUID(int=99))]
    assert all_rows() == before


def test_a_run_is_undone_once(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    first = run_of(undo(sync, run))
    for query in ("", "?conflicts=skip", "?dry_run=true"):
        response = undo(sync, run, query)
        assert response.status_code == 409
        assert first in response.json()["detail"]
        assert "conflicts" not in response.json()
        assert receipt(sync, response["X-Sync-Run"])["status"] == "rejected"


# --- A dry run ---------------------------------------------------------------------------------


def test_a_dry_run_answers_as_the_real_thing_and_writes_nothing(sync: Sync, family: Family) -> None:
    other = ProjectFactory.create(company=family.project.company)
    items = [
        component_item(other, guid=family.component.guid),
        component_item(other, guid=uuid.uuid4()),
        component_item(other, guid=uuid.uuid4(), is_active=False),
    ]
    run = run_of(sync("components", *items))
    before, acts = all_rows(), Act.objects.count()
    for query in ("", "&conflicts=skip"):
        response = undo(sync, run, f"?dry_run=true{query}")
        told = receipt(sync, response["X-Sync-Run"])
        assert (told["dry_run"], told["operation"], told["http_status"]) == (True, "undo", 200)
    answer = response.json()
    assert (all_rows(), Act.objects.count()) == (before, acts)
    assert {**undone(sync, run, "?conflicts=skip"), "dry_run": True} == {
        name: value for name, value in answer.items() if name != "run_guid"
    }


def test_a_dry_run_meets_the_conflicts_of_the_real_thing(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    sync("pieces", pieces[1] | {"cell": "y"})
    dry, real = undo(sync, run, "?dry_run=true"), undo(sync, run)
    assert dry.status_code == real.status_code == 409
    assert dry.json() == real.json()
    assert receipt(sync, dry["X-Sync-Run"])["dry_run"] is True


# --- What is not there, or not any more --------------------------------------------------------


def forget(**conditions: Any) -> None:
    for history in HISTORIES.values():
        history.objects.filter(**conditions).delete()


def test_what_is_not_kept_any_more_is_a_410(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    forget(guid=pieces[2]["guid"])
    before = all_rows()
    response = undo(sync, run)
    assert response.status_code == 410
    assert "not kept" in response.json()["detail"]
    assert all_rows() == before
    assert receipt(sync, response["X-Sync-Run"])["http_status"] == 410


def test_a_run_all_of_whose_rows_have_been_written_since_and_forgotten_is_a_410(
    sync: Sync, pieces: list[Item], component: Component
) -> None:
    run = run_of(sync("pieces", full_piece(component, 7)))
    sync("pieces", full_piece(component, 7, cell="y"))
    forget()
    assert undo(sync, run).status_code == 410


def test_a_run_whose_acts_are_forgotten_is_a_410(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    Act.objects.filter(run_guid=run).delete()
    assert undo(sync, run).status_code == 410


def age() -> None:
    """As if everything had been deleted long ago."""
    moment = timezone.now() - timedelta(days=900)
    Deletion.objects.update(created_at=moment)
    for level in LEVELS:
        level.all_objects.filter(is_active=False).update(deleted_at=moment)


def test_a_guid_that_came_again_after_a_purge_is_another_row(sync: Sync, manage: Manage, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    sync("pieces", pieces[0] | {"is_active": False})
    age()
    assert manage("purge_deleted", "--older-than", "365d", "--json").json["pieces"] == 1
    sync("pieces", pieces[0] | {"cell": "second life"})
    assert undone(sync, run) == counts(changed=2)
    assert row_of("piece", pieces[0]["guid"]).cell == "second life"


def test_what_is_being_purged_is_a_410(sync: Sync, family: Family) -> None:
    run = run_of(sync.api.delete(path_of(family.component)))
    Deletion.objects.update(purged_at=timezone.now())
    assert undo(sync, run).status_code == 410
    assert not row_of("component", family.component.guid).is_active


def test_a_run_of_which_all_is_purged_is_a_410(sync: Sync, manage: Manage, family: Family) -> None:
    run = run_of(sync.api.delete(path_of(family.component)))
    age()
    assert manage("purge_deleted", "--older-than", "365d", "--json").json["components"] == 1
    assert undo(sync, run).status_code == 410


@pytest.mark.parametrize(
    "guid", [uuid.uuid4(), "x", "%00", "a" * 2000, "%ED%A0%80", "..%2F", uuid.UUID(int=2**128 - 1)]
)
def test_a_run_that_does_not_exist_is_a_404(sync: Sync, guid: Any) -> None:
    response = undo(sync, guid)
    assert response.status_code == 404, response.content


def test_a_foreign_run_does_not_exist(sync: Sync, pieces: list[Item], other_company: Company) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    act = row_of("piece", pieces[0]["guid"]).changed_in
    foreign = Sync(Api().with_key(issue_key(other_company)))
    assert undo(foreign, run).status_code == undo(foreign, act).status_code == 404
    assert row_of("piece", pieces[0]["guid"]).cell == "x"


@pytest.mark.parametrize(
    "query",
    [
        *("?conflicts=keep", "?conflicts=", "?conflicts=skip&conflicts=skip", "?dry_run=perhaps", "?conflicts=%00"),
        *("?dry_run=true&dry_run=true", f"?conflicts={'s' * 5000}", "?conflicts=%ED%A0%80", "?company_guid=x"),
    ],
)
def test_a_bad_option_is_a_422(sync: Sync, pieces: list[Item], query: str) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    response = undo(sync, run, query)
    assert response.status_code == 422, response.content
    assert response.json()["detail"][0]["loc"][0] == "query"
    assert receipt(sync, response["X-Sync-Run"])["http_status"] == 422
    assert row_of("piece", pieces[0]["guid"]).cell == "x"


# --- Who may -----------------------------------------------------------------------------------


def test_who_may_sync_may_undo_and_nobody_else(sync: Sync, pieces: list[Item], company: Company) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    users = [UserFactory.create(company=company, role=role) for role in (Role.OPERATOR, Role.PROJECT_MANAGER)]
    may_not = [Api().with_user(user) for user in users] + [Api().with_key(issue_key(company, "sync:read"))]
    for api in may_not:
        response = undo(Sync(api), run)
        assert response.status_code == 403
        assert "X-Sync-Run" not in response
    assert undo(Sync(Api()), run).status_code == 401
    user = UserFactory.create(company=company, role=Role.INTEGRATION)
    answer = undo(Sync(Api().with_user(user)), run)
    assert receipt(sync, run_of(answer))["actor"].startswith("user:")


def test_a_batch_over_companies_is_undone_over_companies(other_company: Company, company: Company) -> None:
    admin = Sync(Api().with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN)))
    items = [project_item(each, guid=uuid.uuid4(), code="a") for each in (company, other_company)]
    admin("projects", *items)
    run = run_of(admin("projects", *(item | {"code": "b"} for item in items)))
    assert undone(admin, run) == counts(changed=2)
    assert [row_of("project", item["guid"]).code for item in items] == ["a", "a"]
    assert undo(admin, run).status_code == 409


def test_a_company_undoes_its_part_of_a_batch_over_companies(other_company: Company, company: Company) -> None:
    admin = Sync(Api().with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN)))
    own = Sync(Api().with_key(issue_key(company)))
    items = [project_item(each, guid=uuid.uuid4(), code="a") for each in (company, other_company)]
    run = run_of(admin("projects", *items))
    response = undo(own, run)
    assert response.json() == {"run_guid": run_of(response), **counts(deleted=1)}
    assert [row_of("project", item["guid"]).is_active for item in items] == [False, True]
    assert receipt(own, run_of(response))["company_guid"] == str(company.guid)
    refused = undo(own, run)
    assert (refused.status_code, "X-Sync-Run" in refused) == (409, True)
    assert undone(admin, run, f"?company_guid={other_company.guid}") == counts(deleted=1)


# --- What it costs -----------------------------------------------------------------------------


def everything(sync: Sync, component: Component, size: int) -> dict[str, str]:
    """Runs that do the same to one piece as to many; their guids."""
    items = [full_piece(component, number, picture=PICTURES[0]) for number in range(size)]
    other = AssemblyFactory.create(component=component)
    runs: dict[str, str] = {}
    changes: dict[str, Item] = {
        "inserted": {},
        "changed": {"cell": "x", "picture": PICTURES[1]},
        "moved": {"cell": "x", "picture": PICTURES[1], "assembly_guid": other.guid},
        "deleted": {"cell": "x", "picture": PICTURES[1], "assembly_guid": other.guid, "is_active": False},
    }
    for name, change in changes.items():
        runs[name] = run_of(sync("pieces", *(item | change for item in items)))
    return dict(reversed(runs.items()))


def test_the_number_of_queries_is_the_same_for_1_and_for_1000_rows(sync: Sync, component: Component) -> None:
    def counted(size: int) -> dict[str, int]:
        above = ComponentFactory.create(company=component.company)
        found = {}
        for name, run in everything(sync, above, size).items():
            with CaptureQueriesContext(connection) as queries:
                assert undo(sync, run).status_code == 200
            found[name] = len(queries)
        return found

    one, many = counted(1), counted(1000)
    one["inserted"] += spared_by_one_deletion()
    assert one == many


def conflicting(sync: Sync, component: Component, size: int) -> Callable[[str], int]:
    items = [full_piece(component, number) for number in range(size)]
    run = run_of(sync("pieces", *items))
    sync("pieces", *(item | {"cell": "y"} for item in items))

    def count(query: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert undo(sync, run, query).status_code in (200, 409)
        return len(queries)

    return count


def test_conflicts_cost_no_query_each(sync: Sync, company: Company) -> None:
    one, many = (conflicting(sync, ComponentFactory.create(company=company), size) for size in (1, 300))
    assert one("") == many("")
    assert one("?conflicts=skip") == many("?conflicts=skip")


def test_a_cascade_is_undone_without_reading_what_it_took(sync: Sync, family: Family) -> None:
    """Of the rows that follow not one is fetched, and no statement is made for each."""
    items = [full_piece(family.component, number) for number in range(100, 600)]
    run_of(sync("pieces", *items))
    run = run_of(sync.api.delete(path_of(family.project)))

    with CaptureQueriesContext(connection) as queries:
        assert undone(sync, run) == counts(restored=504)
    assert len(queries) < 60
    assert not [query["sql"] for query in queries if len(query["sql"]) > 20_000]
    assert LEVELS[-1].objects.count() == 501


def test_an_assembly_below_a_component_of_a_batch_is_its_own(sync: Sync, family: Family) -> None:
    """Rows of one batch are put back each for itself; what they have below them stays as it is."""
    item = assembly_item(family.component, guid=family.assembly.guid, trolley="t")
    run = run_of(sync("assemblies", item, assembly_item(family.component, guid=uuid.uuid4())))
    sync("pieces", piece_item(family.assembly, guid=family.piece.guid, piece_id="p", cell="kept"))
    assert undone(sync, run) == counts(changed=1, deleted=1)
    assert row_of("piece", family.piece.guid).cell == "kept"
    assert row_of("assembly", family.assembly.guid).trolley is None
