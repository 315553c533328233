"""`POST /api/v1/sync/runs/{guid}/undo`: what a run wrote is put back, all of it or nothing (contract, "Undo")."""

import uuid
from pathlib import Path

import pytest
from django.db import connection

from pieces.models import LEVELS_BY_KIND, Act, Component, Operation, Piece
from pieces.tests.factories import ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import Family, is_active, path_of
from sync.models import SyncRun
from sync.tests.batches import Item, Sync, all_rows, component_item, full_piece, piece_item, row_of
from sync.tests.files import pieces_file
from sync.tests.undoing import PICTURES, conflicts, content, counts, receipt, run_of, undo, undone
from tenants.models import Company
from tenants.tests.commands import Manage

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


def test_pictures_that_were_taken_away_come_back_in_one_entry(sync: Sync, component: Component) -> None:
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
