"""What is in the way of an undo, and what it would do: conflicts, and dry runs (contract, "Undo")."""

import uuid

import pytest
from django.db import connection

from pieces.models import Act, Component
from pieces.tests.factories import AssemblyFactory, ComponentFactory, ProjectFactory
from pieces.tests.families import Family, family_of, path_of
from sync.tests.batches import Item, Sync, all_rows, component_item, piece_item, project_item, row_of
from sync.tests.undoing import conflicts, content, counts, receipt, run_of, undo, undone
from tenants.models import Company

# --- What is in the way ------------------------------------------------------------------------


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
