"""Complete sets: what a source does not send any more goes, and nothing else (contract, "Complete sets")."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces.integrity import broken_invariants
from pieces.models import Assembly, Component, Deletion, Piece
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from sync.models import SeenBatch, Snapshot, SyncRun
from sync.tests.batches import Item, Sync, assembly_item, component_item, faults, full_piece, piece_item
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage
from tenants.tests.factories import UserFactory

SNAPSHOTS = "/api/v1/sync/snapshots"

# Real transactions: what a snapshot has seen are those that had been committed.
pytestmark = pytest.mark.django_db(transaction=True)


class Source:
    """One that sends all pieces of a project, and completes the set."""

    def __init__(self, sync: Sync, component: Component, **scope: Any) -> None:
        self.sync, self.component = sync, component
        self.scope = scope or {"project_guid": str(component.project_guid)}
        self.guid = ""

    def open(self, **body: Any) -> Any:
        answer = self.sync.api.post(SNAPSHOTS, {"entity": "pieces", **self.scope, **body})
        assert answer.status_code == 201, answer.content
        self.guid = answer.json()["guid"]
        return answer.json()

    def push(self, *items: Item, query: str = "") -> Any:
        return self.sync("pieces", *items, query=f"?snapshot={self.guid}{query}")

    def complete(self, query: str = "", **body: Any) -> Any:
        return self.sync.api.post(f"{SNAPSHOTS}/{self.guid}/complete{query}", body)

    def shown(self) -> Any:
        return self.sync.api.get(f"{SNAPSHOTS}/{self.guid}")


@pytest.fixture
def source(sync: Sync, component: Component) -> Source:
    return Source(sync, component)


@pytest.fixture
def pieces(sync: Sync, component: Component) -> list[Item]:
    items = [full_piece(component, number) for number in range(6)]
    assert sync("pieces", *items).status_code == 200
    return items


def active() -> set[str]:
    with every_company():
        return set(Piece.objects.values_list("piece_id", flat=True))


def names(*items: Item) -> set[str]:
    return {item["piece_id"] for item in items}


def test_what_is_not_sent_goes_as_one_deletion_and_comes_back_by_one_restore(
    source: Source, pieces: list[Item], sync: Sync
) -> None:
    opened = source.open()
    assert (opened["status"], opened["seen"], opened["max_deleted"], opened["entity"]) == ("open", 0, "10%", "pieces")
    assert source.push(*pieces[:2]).json() == {"inserted": 0, "updated": 2}  # not written, and seen all the same
    source.push(pieces[2] | {"cell": "new"}, pieces[2] | {"guid": str(uuid.uuid4()), "piece_id": "another"})
    done = source.complete()
    assert done.status_code == 200
    assert done.json() == {"seen": 4, "deleted": 3, "run_guid": done["X-Sync-Run"]}
    assert active() == names(*pieces[:3]) | {"another"}
    assert source.complete().json() == done.json()
    assert source.complete("?dry_run=true").json()["deleted"] == 3
    assert source.shown().json()["status"] == "completed"
    receipt = sync.api.get(f"/api/v1/sync/runs/{done['X-Sync-Run']}").json()
    assert (receipt["operation"], receipt["received"], receipt["deleted"]) == ("complete", 4, 3)
    with every_company():
        assert list(Deletion.objects.values_list("kind", "roots")) == [("piece", 3)]
        assert broken_invariants().items() >= {"piece_history_unconnected": 0}.items()
    assert sync.api.post(f"/api/v1/pieces/{pieces[5]['guid']}/restore").status_code == 204
    assert active() == names(*pieces) | {"another"}
    with every_company():
        assert Deletion.objects.get().restored_at


def test_an_undo_brings_all_of_it_back(source: Source, pieces: list[Item], sync: Sync) -> None:
    source.open(max_deleted=6)
    source.push(pieces[0])
    run = source.complete()["X-Sync-Run"]
    assert active() == names(pieces[0])
    answer = sync.api.post(f"/api/v1/sync/runs/{run}/undo").json()
    assert (answer["changed"], answer["deleted"], answer["restored"]) == (0, 0, 5)
    assert active() == names(*pieces)


def test_one_that_is_sent_again_comes_back_alone(source: Source, pieces: list[Item], sync: Sync) -> None:
    source.open()
    source.complete(max_deleted=6)
    sync("pieces", pieces[1])
    assert active() == names(pieces[1])
    with every_company():
        assert Deletion.objects.get().restored_at is None
    sync("pieces", *pieces)
    with every_company():
        assert Deletion.objects.get().restored_at


def test_what_others_added_brought_back_or_moved_in_since_stays(
    source: Source, pieces: list[Item], sync: Sync, component: Component
) -> None:
    elsewhere = ComponentFactory.create(company=component.company)
    away = full_piece(elsewhere, 90)
    sync(
        "pieces",
        pieces[0] | {"is_active": False},
        away,
        pieces[5] | {"component_guid": elsewhere.guid} | {"project_guid": elsewhere.project_guid},
    )
    source.open()
    moved_in = away | {"project_guid": str(component.project_guid), "component_guid": str(component.guid)}
    sync("pieces", pieces[0], moved_in, full_piece(component, 91), pieces[1] | {"cell": "edited since"})
    sync("pieces", full_piece(component, 91) | {"cell": "twice"})
    sync("pieces", pieces[2] | {"component_guid": elsewhere.guid, "project_guid": elsewhere.project_guid})
    assert source.complete(max_deleted=9).json()["deleted"] == 3  # 1, 3 and 4
    stays = {pieces[0]["piece_id"], pieces[2]["piece_id"], pieces[5]["piece_id"]}
    assert active() == stays | names(away, full_piece(component, 91))


def test_the_ceiling(source: Source, sync: Sync, component: Component) -> None:
    items = [piece_item(component, guid=str(uuid.uuid4()), piece_id=str(number)) for number in range(200)]
    sync("pieces", *items)
    source.open()
    source.push(*items[:179])
    refused = source.complete()
    assert refused.status_code == 409
    body = refused.json()
    assert (body["would_delete"], body["max_deleted"]) == (21, 20)
    assert "X-Sync-Run" in refused
    assert len(active()) == 200
    assert source.complete("?dry_run=true", max_deleted="10.5%").json()["deleted"] == 21
    assert len(active()) == 200
    assert source.complete(max_deleted="10%").status_code == 409
    assert source.complete(max_deleted=21).json()["deleted"] == 21


@pytest.mark.parametrize("ceiling", [-1, True, "ten", "101%", "5", 2**40, [], 1.5])
def test_a_ceiling_that_is_none(source: Source, pieces: list[Item], ceiling: Any) -> None:
    source.open()
    for answer in (
        source.complete(max_deleted=ceiling),
        source.sync.api.post(SNAPSHOTS, {"entity": "pieces", "max_deleted": ceiling}),
    ):
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "max_deleted"]


def test_an_item_outside_is_a_fault_though_it_is_stored_so(source: Source, pieces: list[Item], sync: Sync) -> None:
    elsewhere = ComponentFactory.create(company=source.component.company)
    other = full_piece(elsewhere, 50)
    sync("pieces", other)
    source.open()
    answer = source.push(pieces[0], other)
    assert faults(answer) == [("pieces", 1, "project_guid")]
    assert answer.json()["detail"][0]["type"] == "outside_snapshot"
    assert source.shown().json()["seen"] == 0


def test_nothing_of_a_refused_or_a_dry_batch_is_seen(source: Source, pieces: list[Item]) -> None:
    source.open()
    assert source.push(pieces[0], pieces[1] | {"outer_length": "long"}).status_code == 422
    assert source.push(*pieces, query="&dry_run=true").status_code == 200
    assert source.shown().json()["seen"] == 0


def test_a_batch_that_is_sent_twice_under_one_key_is_seen_once(source: Source, pieces: list[Item], sync: Sync) -> None:
    source.open()
    for _ in range(2):
        sync("pieces", *pieces, query=f"?snapshot={source.guid}", idempotency_key="k")
    assert SeenBatch.objects.count() == 1
    source.complete()
    assert sync("pieces", *pieces, query=f"?snapshot={source.guid}").status_code == 409


@pytest.mark.parametrize("narrow", ["component_guid", "assembly_guid", None])
def test_sets_of_a_component_an_assembly_and_the_company(sync: Sync, component: Component, narrow: str | None) -> None:
    assembly: Assembly = AssemblyFactory.create(component=component)
    inside, beside = (
        piece_item(assembly, guid=str(uuid.uuid4())),
        piece_item(component, piece_id="2", guid=str(uuid.uuid4())),
    )
    far = full_piece(ComponentFactory.create(company=component.company), 3)
    sync("pieces", inside, beside, far)
    scope = {"component_guid": component.guid, "assembly_guid": assembly.guid}
    source = Source(sync, component, **({narrow: str(scope[narrow])} if narrow else {"entity": "pieces"}))
    source.open()
    gone = {"component_guid": 2, "assembly_guid": 1, None: 3}[narrow]
    assert source.complete(max_deleted=3).json()["deleted"] == gone
    assert len(active()) == 3 - gone


def test_a_set_of_components_takes_what_is_below(sync: Sync, component: Component) -> None:
    kept, gone = (component_item(component.project, guid=str(uuid.uuid4()), code=code) for code in "ab")
    sync("components", kept, gone, component_item(component.project, guid=str(component.guid)))
    sync(
        "assemblies", {**assembly_item(component), "component_guid": gone["guid"], "guid": (below := str(uuid.uuid4()))}
    )
    sync("pieces", piece_item(component) | {"component_guid": gone["guid"], "assembly_guid": below})
    opened = sync.api.post(SNAPSHOTS, {"entity": "components", "project_guid": str(component.project_guid)}).json()[
        "guid"
    ]
    sync("components", kept, component_item(component.project, guid=str(component.guid)), query=f"?snapshot={opened}")
    done = sync.api.post(f"{SNAPSHOTS}/{opened}/complete")
    assert done.json()["deleted"] == 1
    assert active() == set()
    assert sync.api.get(f"/api/v1/sync/runs/{done['X-Sync-Run']}").json()["deleted"] == 3
    assert sync.api.post(f"/api/v1/components/{gone['guid']}/restore").status_code == 204
    assert active() == {"1"}


def test_what_can_not_be_opened(sync: Sync, component: Component, other_company: Company) -> None:
    theirs = ProjectFactory.create(company=other_company)
    for body, where in (
        ({"entity": "windows"}, "entity"),
        ({}, "entity"),
        ({"entity": "pieces", "project_guid": str(theirs.guid)}, "project_guid"),
        ({"entity": "pieces", "project_guid": str(uuid.uuid4())}, "project_guid"),
        ({"entity": "pieces", "project_guid": "x\0"}, "project_guid"),
        ({"entity": "projects", "project_guid": str(component.project_guid)}, "project_guid"),
        ({"entity": "components", "assembly_guid": str(uuid.uuid4())}, "assembly_guid"),
    ):
        answer = sync.api.post(SNAPSHOTS, body)
        assert answer.status_code == 422, body
        assert answer.json()["detail"][0]["loc"] == ["body", where]
    assert sync.api.post(SNAPSHOTS, {"entity": "pieces", "company_guid": str(other_company.guid)}).status_code == 403
    assert sync("pieces", query=f"?snapshot={uuid.uuid4()}").status_code == 404
    assert sync("pieces", query="?snapshot=none").status_code == 422


def test_one_of_another_entity_is_a_fault(sync: Sync, source: Source) -> None:
    source.open()
    answer = sync("components", query=f"?snapshot={source.guid}")
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "snapshot"])


def test_given_up_and_expired(source: Source, pieces: list[Item], sync: Sync, manage: Manage) -> None:
    source.open()
    assert sync.api.delete(f"{SNAPSHOTS}/{source.guid}").status_code == 204
    assert source.shown().status_code == source.complete().status_code == 404
    source.open()
    source.push(*pieces)
    snapshot = Snapshot.objects.get()
    Snapshot.objects.update(opened_at=snapshot.opened_at - timedelta(hours=25))
    for answer in (
        source.shown(),
        source.push(*pieces),
        source.complete(),
        sync.api.delete(f"{SNAPSHOTS}/{source.guid}"),
    ):
        assert answer.status_code == 410
    assert active() == names(*pieces)
    assert manage("purge_runs", "--json").json["snapshots"] == 0
    Snapshot.objects.update(opened_at=snapshot.opened_at - timedelta(hours=49))
    assert manage("purge_runs", "--json").json["snapshots"] == 1
    assert not SeenBatch.objects.exists()
    assert source.complete().status_code == 404


def test_a_system_admins(source: Source, sync: Sync, pieces: list[Item], other_company: Company) -> None:
    sync.api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None))
    assert sync.api.post(SNAPSHOTS, {"entity": "pieces"}).json()["detail"][0]["loc"] == ["body", "company_guid"]
    PieceFactory.create(company=other_company)
    source.open()
    source.push(*pieces[:1])
    assert source.complete(max_deleted=5).json()["deleted"] == 5
    own = sync.api.post(SNAPSHOTS, {"entity": "pieces", "company_guid": str(other_company.guid)}).json()["guid"]
    assert faults(sync("pieces", pieces[0], query=f"?snapshot={own}")) == [("pieces", 0, "company_guid")]
    assert sync.api.post(f"{SNAPSHOTS}/{own}/complete").json()["deleted"] == 1


def test_the_number_of_statements_does_not_grow(source: Source, sync: Sync, component: Component) -> None:
    def counted(size: int) -> int:
        items = [
            piece_item(component, guid=str(uuid.uuid4()), piece_id=f"{size}-{number}") for number in range(2 * size)
        ]
        sync("pieces", *items)
        source.open()
        source.push(*items[:size])
        with CaptureQueriesContext(connection) as queries:
            assert source.complete(max_deleted=9999).status_code == 200
        return len(queries)

    assert counted(1) == counted(400)


def test_a_receipt_of_what_would_go(source: Source, pieces: list[Item]) -> None:
    source.open()
    run = source.complete("?dry_run=true")["X-Sync-Run"]
    with every_company():
        receipt = SyncRun.objects.get(guid=run)
    assert (receipt.dry_run, receipt.deleted, receipt.operation) == (True, 6, "complete")
    assert active() == names(*pieces)
