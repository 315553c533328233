"""Guids and piece_ids: whose they are, what a batch may do with them, and what it may not."""

import uuid

import pytest

from pieces.models import Component
from pieces.tests.factories import ComponentFactory, PieceFactory, ProjectFactory
from ractory.api.tests.client import Api
from sync.tests.batches import (
    Sync,
    actions,
    all_rows,
    component_item,
    faults,
    full_piece,
    piece_item,
    project_item,
    row_of,
)
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import UserFactory

REPRESENTATION = {"prefer": "return=representation"}
SIZE = 300


def test_a_guid_of_another_company_is_refused_and_its_row_untouched(
    sync: Sync, component: Component, other_company: Company
) -> None:
    foreign = PieceFactory.create(company=other_company)
    before = all_rows()
    batch = [piece_item(component, guid=foreign.guid), piece_item(component, piece_id="2")]
    assert faults(sync("pieces", *batch)) == [("pieces", 0, "guid")]
    assert all_rows() == before


def test_a_parent_of_another_company_does_not_exist(sync: Sync, component: Component, other_company: Company) -> None:
    foreign = ComponentFactory.create(company=other_company)
    item = piece_item(component, project_guid=foreign.project_guid, component_guid=foreign.guid)
    response = sync("pieces", item)
    assert faults(response) == [("pieces", 0, "project_guid"), ("pieces", 0, "component_guid")]
    missing = sync("pieces", piece_item(component, component_guid=uuid.uuid4()))
    kinds = {fault["type"] for fault in response.json()["detail"] + missing.json()["detail"]}
    assert kinds == {"parent_not_found"}


def test_the_same_guid_twice_is_a_fault_on_each_but_the_first(sync: Sync, component: Component) -> None:
    guid = uuid.uuid4()
    batch = [piece_item(component, guid=guid, piece_id=str(number)) for number in range(3)]
    assert faults(sync("pieces", *batch)) == [("pieces", 1, "guid"), ("pieces", 2, "guid")]


@pytest.mark.parametrize("plural", ["projects", "components"])
def test_guids_that_were_chosen_to_collide_cost_no_more_than_others(
    sync: Sync, component: Component, monkeypatch: pytest.MonkeyPatch, plural: str
) -> None:
    """The hash of a UUID is its number modulo 2 ** 61 - 1: in a dict each would be compared with all others."""
    compared = 0
    equal = uuid.UUID.__eq__

    def counted(self: uuid.UUID, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(self, other)

    def comparisons(guids: list[uuid.UUID]) -> int:
        nonlocal compared
        items = [project_item(component.company, guid=guid, code=str(guid)) for guid in guids]
        sync("projects", *items)
        if plural == "components":
            items = [
                component_item(component.project, guid=guid, project_guid=guid, code=str(number))
                for number, guid in enumerate(guids)
            ]
        compared = 0
        for code in ("a", "b"):
            response = sync(plural, *[item | {"code": code} for item in items])
            assert response.status_code == 200, response.content
        listed = sync.api.get(f"/api/v1/{plural}?detail=true&limit=1000")
        assert len(listed.json()) >= SIZE
        return compared

    monkeypatch.setattr(uuid.UUID, "__eq__", counted)
    modulus = 2**61 - 1
    colliding = [uuid.UUID(int=(number + 1) * modulus) for number in range(SIZE)]
    assert len({hash(guid) for guid in colliding}) == 1
    assert comparisons(colliding) <= comparisons([uuid.uuid4() for _ in range(SIZE)]) + 10 * SIZE


def test_a_taken_piece_id_is_refused_with_the_guid_that_holds_it(sync: Sync, component: Component) -> None:
    holder = PieceFactory.create(component=component, piece_id="1")
    response = sync("pieces", piece_item(component, piece_id="1"))
    assert faults(response) == [("pieces", 0, "piece_id")]
    assert str(holder.guid) in response.json()["detail"][0]["msg"]


def test_a_piece_id_twice_in_one_batch_is_a_fault_on_the_second(sync: Sync, component: Component) -> None:
    assert faults(sync("pieces", piece_item(component), piece_item(component))) == [("pieces", 1, "piece_id")]


def test_the_piece_that_keeps_its_piece_id_has_it_wherever_it_stands(sync: Sync, component: Component) -> None:
    holder = PieceFactory.create(component=component, piece_id="1")
    keeping = piece_item(component, guid=holder.guid, piece_id="1", cell="x")
    assert faults(sync("pieces", piece_item(component, piece_id="1"), keeping)) == [("pieces", 0, "piece_id")]


def test_a_piece_id_is_free_in_another_project_and_once_its_piece_is_deleted(sync: Sync, component: Component) -> None:
    holder = PieceFactory.create(component=component, piece_id="1")
    elsewhere = ComponentFactory.create(company=component.company)
    assert sync("pieces", piece_item(elsewhere, piece_id="1")).status_code == 200
    gone = piece_item(component, guid=holder.guid, piece_id="1", is_active=False)
    assert actions(sync("pieces", piece_item(component, piece_id="1"), gone, **REPRESENTATION)) == [
        "inserted",
        "deleted",
    ]


def test_pieces_may_swap_their_piece_ids_in_one_batch(sync: Sync, component: Component) -> None:
    items = [full_piece(component, number) for number in range(3)]
    sync("pieces", *items)
    rotated = [item | {"piece_id": items[(n + 1) % 3]["piece_id"]} for n, item in enumerate(items)]
    assert sync("pieces", *rotated).json() == {"inserted": 0, "updated": 3}
    assert [row_of("piece", item["guid"]).piece_id for item in items] == ["piece-1", "piece-2", "piece-0"]
    assert all(row_of("piece", item["guid"]).is_active for item in items)


def test_a_deleted_piece_comes_back_only_while_its_piece_id_is_free(sync: Sync, component: Component) -> None:
    item = full_piece(component, 1)
    sync("pieces", item | {"is_active": False})
    sync("pieces", piece_item(component, piece_id="piece-1"))
    assert faults(sync("pieces", item)) == [("pieces", 0, "piece_id")]
    assert actions(sync("pieces", item | {"piece_id": "other"}, **REPRESENTATION)) == ["restored"]


def test_a_system_admins_batch_may_mix_companies(api: Api, component: Component, other_company: Company) -> None:
    sync = Sync(api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)))
    foreign = ComponentFactory.create(company=other_company)
    assert sync("pieces", piece_item(component), piece_item(foreign)).json() == {"inserted": 2, "updated": 0}
    crossed = piece_item(component, company_guid=other_company.guid)
    assert faults(sync("pieces", crossed)) == [("pieces", 0, "project_guid"), ("pieces", 0, "component_guid")]


def test_a_system_admin_who_names_a_company_is_held_to_it(
    api: Api, component: Component, other_company: Company
) -> None:
    sync = Sync(api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)))
    query = f"?company_guid={other_company.guid}"
    assert sync("pieces", piece_item(component), query=query).status_code == 403
    assert sync("projects", project_item(other_company), query=query).status_code == 200


def test_a_system_admins_unknown_company_is_a_fault(api: Api, db: None) -> None:
    sync = Sync(api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)))
    response = sync("projects", {"code": "P", "company_guid": uuid.uuid4()})
    assert faults(response) == [("projects", 0, "company_guid")]


def test_a_system_admin_cannot_move_a_row_to_another_company(
    api: Api, component: Component, other_company: Company
) -> None:
    sync = Sync(api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)))
    elsewhere = ProjectFactory.create(company=other_company)
    stolen = component_item(elsewhere, guid=component.guid)
    assert faults(sync("components", stolen)) == [("components", 0, "guid")]
    assert row_of("component", component.guid).company_guid == component.company_guid
