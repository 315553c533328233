"""Deleting, restoring and moving by sync, with what is below."""

import uuid

import pytest

from pieces.models import Assembly, Component, Deletion, Piece
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from sync.tests.batches import (
    Sync,
    actions,
    all_rows,
    assembly_item,
    component_item,
    faults,
    piece_item,
    project_item,
    row_of,
)
from tenants.scope import every_company

REPRESENTATION = {"prefer": "return=representation"}


@pytest.fixture
def assembly(component: Component) -> Assembly:
    return AssemblyFactory.create(component=component)


@pytest.fixture
def piece(assembly: Assembly) -> Piece:
    return PieceFactory.create(assembly=assembly)


def active(*rows: Component | Assembly | Piece) -> list[bool]:
    return [row_of(row.kind, row.guid).is_active for row in rows]


def delete_component(sync: Sync, component: Component) -> None:
    item = component_item(component.project, guid=component.guid, code=component.code, is_active=False)
    assert actions(sync("components", item, **REPRESENTATION)) == ["deleted"]


@pytest.mark.parametrize("plural", ["projects", "components", "assemblies", "pieces"])
def test_a_full_object_is_sent_back_as_it_was_read_and_is_unchanged(sync: Sync, piece: Piece, plural: str) -> None:
    picture = {} if plural == "projects" else {"picture": "cGljdHVyZQ=="}
    [read] = sync.api.get(f"/api/v1/{plural}?detail=true").json()
    assert sync(plural, read | picture).status_code == 200
    [read] = sync.api.get(f"/api/v1/{plural}?detail=true").json()
    assert any(name.endswith("_count") for name in read) == (plural != "pieces")
    answer = sync(plural, read, prefer="return=representation, handling=strict")
    assert actions(answer) == ["unchanged"]
    assert "X-Ignored-Fields" not in answer


def test_a_count_of_another_level_is_an_unknown_field(sync: Sync, component: Component) -> None:
    answer = sync("pieces", piece_item(component, piece_count=1), prefer="handling=strict")
    assert faults(answer) == [("pieces", 0, "piece_count")]


def test_is_active_false_deletes_the_entity_and_what_is_below(
    sync: Sync, component: Component, assembly: Assembly, piece: Piece
) -> None:
    delete_component(sync, component)
    assert active(component, assembly, piece) == [False, False, False]
    with every_company():
        deletion = Deletion.objects.get()
    assert (deletion.kind, deletion.root_guid) == ("component", component.guid)
    assert (deletion.components, deletion.assemblies, deletion.pieces) == (0, 1, 1)
    assert deletion.actor.startswith("api_key:")
    assert {row_of(row.kind, row.guid).deletion_guid for row in (component, assembly, piece)} == {deletion.guid}


def test_each_entity_that_a_batch_deletes_is_a_deletion_of_its_own(sync: Sync, component: Component) -> None:
    pieces = [PieceFactory.create(component=component, assembly=None) for _ in range(3)]
    items = [piece_item(component, guid=row.guid, piece_id=row.piece_id, is_active=False) for row in pieces]
    sync("pieces", *items)
    assert len({row_of("piece", row.guid).deletion_guid for row in pieces}) == 3


def test_a_new_item_may_be_deleted_from_the_start(sync: Sync, component: Component) -> None:
    item = piece_item(component, guid=uuid.uuid4(), is_active=False)
    response = sync("pieces", item, **REPRESENTATION)
    assert (actions(response), response.json()["inserted"]) == (["inserted"], 1)
    row = row_of("piece", item["guid"])
    assert (row.is_active, row.deleted_at is not None, row.deletion_guid is not None) == (False, True, True)


def test_a_new_item_that_is_deleted_may_be_below_deleted_parents(
    sync: Sync, component: Component, assembly: Assembly
) -> None:
    delete_component(sync, component)
    dead = piece_item(assembly, guid=uuid.uuid4(), is_active=False)
    assert actions(sync("pieces", dead, **REPRESENTATION)) == ["inserted"]
    assert not row_of("piece", dead["guid"]).is_active
    alive = piece_item(assembly, piece_id="2")
    places = [("pieces", 1, "component_guid"), ("pieces", 1, "assembly_guid")]
    assert faults(sync("pieces", dead | {"guid": uuid.uuid4()}, alive)) == places  # the first does not vouch for it
    missing = dead | {"guid": uuid.uuid4(), "assembly_guid": uuid.uuid4()}
    assert faults(sync("pieces", missing)) == [("pieces", 0, "assembly_guid")]


def test_a_second_identical_deletion_is_unchanged(sync: Sync, component: Component) -> None:
    item = piece_item(component, guid=uuid.uuid4(), is_active=False)
    sync("pieces", item)
    before = all_rows()
    assert actions(sync("pieces", item, **REPRESENTATION)) == ["unchanged"]
    assert actions(sync("pieces", item | {"cell": "1"}, **REPRESENTATION)) == ["updated"]
    row = row_of("piece", item["guid"])
    assert (row.cell, row.deletion_guid) == ("1", before["piece"][0]["deletion_guid"])


def test_what_is_below_a_deleted_parent_may_be_deleted_from_the_top_down(
    sync: Sync, component: Component, piece: Piece
) -> None:
    delete_component(sync, component)
    item = piece_item(component, guid=piece.guid, piece_id=piece.piece_id, assembly_guid=piece.assembly_guid)
    gone = item | {"is_active": False}
    assert actions(sync("pieces", gone, **REPRESENTATION)) == ["updated"]  # the factory's row has no digest yet
    assert actions(sync("pieces", gone, **REPRESENTATION)) == ["unchanged"]
    assert faults(sync("pieces", item)) == [("pieces", 0, "component_guid"), ("pieces", 0, "assembly_guid")]
    elsewhere = ComponentFactory.create(project=component.project)
    moved = gone | {"component_guid": elsewhere.guid}
    assert faults(sync("pieces", moved)) == [("pieces", 0, "assembly_guid")]


def test_syncing_a_deleted_guid_restores_it_with_what_its_deletion_took(
    sync: Sync, component: Component, assembly: Assembly, piece: Piece
) -> None:
    alone = PieceFactory.create(component=component, assembly=None)
    sync("pieces", piece_item(component, guid=alone.guid, piece_id=alone.piece_id, is_active=False))
    delete_component(sync, component)
    item = component_item(component.project, guid=component.guid, code="new")
    response = sync("components", item, **REPRESENTATION)
    assert (actions(response), response.json()["updated"]) == (["restored"], 1)
    assert active(component, assembly, piece, alone) == [True, True, True, False]
    assert row_of("component", component.guid).code == "new"
    with every_company():
        assert Deletion.objects.get(kind="component").restored_at is not None


def test_a_restore_that_would_double_a_piece_id_is_refused(sync: Sync, component: Component, piece: Piece) -> None:
    delete_component(sync, component)
    other = ComponentFactory.create(project=component.project)
    sync("pieces", piece_item(other, piece_id=piece.piece_id))
    before = all_rows()
    response = sync("components", component_item(component.project, guid=component.guid))
    assert faults(response) == [("components", 0, "guid")]
    assert all_rows() == before


def test_nothing_is_put_below_a_deleted_parent(sync: Sync, component: Component, piece: Piece) -> None:
    delete_component(sync, component)
    item = piece_item(component, guid=piece.guid, piece_id=piece.piece_id, assembly_guid=None)
    assert faults(sync("pieces", item)) == [("pieces", 0, "component_guid")]


def test_a_kept_assembly_must_fit_the_new_component(sync: Sync, component: Component, piece: Piece) -> None:
    other = ComponentFactory.create(project=component.project)
    moved = piece_item(other, guid=piece.guid, piece_id=piece.piece_id)
    assert faults(sync("pieces", moved)) == [("pieces", 0, "assembly_guid")]
    assert actions(sync("pieces", moved | {"assembly_guid": None}, **REPRESENTATION)) == ["updated"]


def test_a_moved_component_carries_everything_below_along(
    sync: Sync, component: Component, assembly: Assembly, piece: Piece
) -> None:
    gone = PieceFactory.create(assembly=assembly)
    sync("pieces", piece_item(assembly, guid=gone.guid, piece_id=gone.piece_id, is_active=False))
    project = ProjectFactory.create(company=component.company)
    sync("components", component_item(project, guid=component.guid))
    rows = [row_of(row.kind, row.guid) for row in (component, assembly, piece, gone)]
    assert [row.project_guid for row in rows] == [project.guid] * 4
    assert [row.is_active for row in rows] == [True, True, True, False]
    assert all(now.updated_at > old.updated_at for now, old in zip(rows[1:3], (assembly, piece), strict=True))
    same = piece_item(rows[1], guid=piece.guid, piece_id=piece.piece_id)
    assert actions(sync("pieces", same, **REPRESENTATION)) == ["updated"]  # the factory's row has no digest yet
    assert actions(sync("pieces", same, **REPRESENTATION)) == ["unchanged"]


def test_a_moved_assembly_carries_its_pieces_along(sync: Sync, assembly: Assembly, piece: Piece) -> None:
    other = ComponentFactory.create(company=assembly.company)
    sync("assemblies", assembly_item(other, guid=assembly.guid))
    row = row_of("piece", piece.guid)
    assert (row.project_guid, row.component_guid, row.assembly_guid) == (other.project_guid, other.guid, assembly.guid)


def test_a_move_onto_taken_piece_ids_is_refused(sync: Sync, component: Component, piece: Piece) -> None:
    there = ComponentFactory.create(company=component.company)
    holder = PieceFactory.create(component=there, piece_id=piece.piece_id)
    before = all_rows()
    response = sync("components", component_item(there.project, guid=component.guid))
    assert faults(response) == [("components", 0, "project_guid")]
    assert str(holder.guid) in response.json()["detail"][0]["msg"]
    assert all_rows() == before


def test_two_components_may_swap_projects_with_pieces_of_the_same_piece_id(sync: Sync, component: Component) -> None:
    other = ComponentFactory.create(company=component.company)
    for parent in (component, other):
        PieceFactory.create(component=parent, assembly=None, piece_id="1")
    swapped = [
        component_item(other.project, guid=component.guid),
        component_item(component.project, guid=other.guid),
    ]
    assert sync("components", *swapped).json() == {"inserted": 0, "updated": 2}
    with every_company():
        assert dict(Piece.objects.values_list("component_guid", "project_guid")) == {
            component.guid: other.project_guid,
            other.guid: component.project_guid,
        }


def test_two_components_that_bring_the_same_piece_id_clash(sync: Sync, component: Component) -> None:
    other = ComponentFactory.create(company=component.company)
    for parent in (component, other):
        PieceFactory.create(component=parent, assembly=None, piece_id="1")
    project = ProjectFactory.create(company=component.company)
    response = sync("components", *[component_item(project, guid=row.guid) for row in (component, other)])
    assert len(faults(response)) == 1


def test_a_component_may_be_moved_and_restored_in_one_go(
    sync: Sync, component: Component, assembly: Assembly, piece: Piece
) -> None:
    delete_component(sync, component)
    project = ProjectFactory.create(company=component.company)
    response = sync("components", component_item(project, guid=component.guid), **REPRESENTATION)
    assert actions(response) == ["restored"]
    rows = [row_of(row.kind, row.guid) for row in (component, assembly, piece)]
    assert [(row.is_active, row.project_guid) for row in rows] == [(True, project.guid)] * 3


def test_deleting_a_project_takes_all_levels(sync: Sync, component: Component, piece: Piece) -> None:
    item = project_item(component.company, guid=component.project_guid, is_active=False)
    sync("projects", item)
    assert active(component, piece) == [False, False]
    sync("projects", item | {"is_active": True})
    assert active(component, piece) == [True, True]
