"""`manage.py undo_run`: a run, or all the runs of a file."""

import uuid
from pathlib import Path

import pytest

from pieces.models import Component, Piece
from pieces.tests.pasts import by_hand
from sync.models import FileImport, SyncRun
from sync.tests.batches import Sync, piece_item, row_of
from sync.tests.files import ndjson, small_piece
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage

pytestmark = pytest.mark.django_db


def cells() -> list[str | None]:
    with every_company():
        return list(Piece.objects.order_by("piece_id").values_list("cell", flat=True))


def test_a_run_is_put_back(manage: Manage, sync: Sync, component: Component) -> None:
    item = piece_item(component, guid=uuid.uuid4(), cell="a")
    sync("pieces", item)
    run = sync("pieces", item | {"cell": "b"})["X-Sync-Run"]
    planned = manage("undo_run", run, "--dry-run", "--json").json
    assert cells() == ["b"]
    outcome = manage("undo_run", run, "--json")
    assert outcome.code == 0
    counts = {"runs": 1, "changed": 1, "deleted": 0, "restored": 0, "skipped": 0}
    assert outcome.json == {"run_guid": outcome.json["run_guid"], **counts, "dry_run": False}
    assert planned == {**outcome.json, "run_guid": planned["run_guid"], "dry_run": True}
    assert cells() == ["a"]
    with every_company():
        receipt = SyncRun.objects.get(guid=outcome.json["run_guid"])
    assert (receipt.operation, receipt.actor, receipt.updated) == ("undo", "command:undo_run", 1)
    assert "undone already" in manage("undo_run", run).complaint
    assert manage("undo_run", outcome.json["run_guid"]).code == 0
    assert cells() == ["b"]


def test_conflicts_are_named_and_may_be_skipped(manage: Manage, sync: Sync, component: Component) -> None:
    items = [piece_item(component, guid=uuid.uuid4(), piece_id=name, cell="a") for name in "12"]
    sync("pieces", *items)
    run = sync("pieces", *(item | {"cell": "b"} for item in items))["X-Sync-Run"]
    later = sync("pieces", items[0] | {"cell": "c"})["X-Sync-Run"]
    refused = manage("undo_run", run)
    assert (refused.code, refused.out) == (1, "")
    assert f"pieces {items[0]['guid']}, written by run {later}" in refused.err
    assert manage("undo_run", run, "--skip-conflicts", "--json").json["skipped"] == 1
    assert cells() == ["c", "a"]


def test_a_file_is_put_back_batch_by_batch(
    manage: Manage, sync: Sync, company: Company, component: Component, tmp_path: Path
) -> None:
    first = small_piece(component, 1500, guid=str(uuid.uuid4()))
    others = [small_piece(component, number) for number in range(1499)]
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(ndjson([first, *others, first | {"cell": "again"}]))
    assert manage("import_pieces", path, "--company", company.guid).code == 0
    with every_company():
        whole = FileImport.objects.get().guid
    counts = {"runs": 2, "changed": 1, "deleted": 1500, "restored": 0, "skipped": 0}
    planned = manage("undo_run", whole, "--dry-run", "--json").json
    assert len(cells()) == 1500
    done = manage("undo_run", whole, "--json").json
    for answer in (planned, done):
        assert {name: answer[name] for name in counts} == counts
    assert cells() == []


def test_what_was_written_by_hand_after_two_batches_of_a_file_is_left_by_both(
    manage: Manage, sync: Sync, company: Company, component: Component, tmp_path: Path
) -> None:
    item = piece_item(component, guid=uuid.uuid4(), piece_id="2000", cell="a")
    sync("pieces", item)
    again = [small_piece(component, 2000, guid=str(item["guid"]), cell=cell) for cell in "bc"]
    others = [small_piece(component, number) for number in range(999)]
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(ndjson([again[0], *others, again[1]]))
    manage("import_pieces", path, "--company", company.guid)
    by_hand(row_of("piece", item["guid"]), cell="by hand")
    with every_company():
        whole = FileImport.objects.get().guid
    assert "1 row has been written since" in manage("undo_run", whole).err
    counts = {"runs": 2, "changed": 0, "deleted": 999, "skipped": 2}  # once in each
    done = manage("undo_run", whole, "--skip-conflicts", "--json").json
    assert {name: done[name] for name in counts} == counts
    assert cells() == ["by hand"]


def test_what_there_is_not_is_one_line(manage: Manage, db: None) -> None:
    missing = uuid.uuid4()
    assert f"There is no run {missing}" in manage("undo_run", missing).complaint
