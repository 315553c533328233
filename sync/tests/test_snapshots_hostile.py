"""Complete sets against what no client should send, and against what happens around them meanwhile."""

import uuid
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces.models import Component, Piece
from pieces.tests.factories import ComponentFactory
from ractory.api.tests.client import Api
from sync.models import SeenBatch, Snapshot
from sync.tests.batches import Item, Sync, component_item, faults, piece_item, project_item
from sync.tests.test_snapshots import SNAPSHOTS, Source, active, names, pieces, source
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage
from tenants.tests.factories import issue_key

__all__ = ["pieces", "source"]

pytestmark = pytest.mark.django_db(transaction=True)


def path_of(source: Source) -> str:
    return f"{SNAPSHOTS}/{source.guid}/complete"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"max_deleted": NaN}', "application/json", 400),
        (b'{"max_deleted": "\\u0000"}', "application/json", 422),
        (b'{"max_deleted": "\\ud800"}', "application/json", 400),
        (b'{"max_deleted": null}', "application/json", 422),
        (b'{"max_deleted": %d}' % 10**400, "application/json", 400),
        (b"max_deleted=0", "application/x-www-form-urlencoded", 415),
        (b'{"max_deleted": "' + b"1" * 70_000 + b'"}', "application/json", 413),
    ],
)
def test_a_body_that_is_none_completes_nothing(
    source: Source, pieces: list[Item], body: bytes, content_type: str, status: int
) -> None:
    source.open(max_deleted=6)
    for path in (path_of(source), SNAPSHOTS):
        assert source.sync.api.post_raw(path, body, content_type).status_code == status
    assert active() == names(*pieces)


def test_an_unknown_field_is_refused_as_it_may_be_a_misspelt_ceiling_or_scope(
    source: Source, pieces: list[Item]
) -> None:
    source.open()
    assert faults(source.complete(max_delete=0)) == [("max_delete",)]
    answer = source.sync.api.post(SNAPSHOTS, {"entity": "pieces", "project": str(source.component.project_guid)})
    assert faults(answer) == [("project",)]
    assert active() == names(*pieces)


def test_a_parent_that_is_null_is_no_set_of_the_whole_company(source: Source) -> None:
    answer = source.sync.api.post(SNAPSHOTS, {"entity": "pieces", "project_guid": None})
    assert faults(answer) == [("project_guid",)]


def test_the_ceiling_of_a_body_without_a_length_holds(source: Source, pieces: list[Item]) -> None:
    source.open(max_deleted=6)
    body = {"wsgi.input": BytesIO(b'{"max_deleted": 5}'), "wsgi.input_terminated": True}
    extra: Any = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", **body}
    answer = source.sync.api.generic("POST", path_of(source), "", "application/json", **extra)
    assert (answer.status_code, answer.json().get("would_delete")) == (409, 6), answer.content
    assert active() == names(*pieces)


@pytest.mark.parametrize("guid", ["x", "\0", "0" * 5000, str(uuid.uuid4()), "%ED%A0%80"])
def test_a_guid_that_is_none_is_a_404(source: Source, guid: str) -> None:
    api = source.sync.api
    source.guid = guid
    answers = [api.get(f"{SNAPSHOTS}/{guid}"), api.delete(f"{SNAPSHOTS}/{guid}"), source.complete()]
    assert [answer.status_code for answer in answers] == [404] * 3


def test_another_company_neither_sees_nor_fills_nor_completes_it(
    source: Source, pieces: list[Item], other_company: Company
) -> None:
    source.open(max_deleted=6)
    stranger = Sync(Api().with_key(issue_key(other_company)))
    theirs = ComponentFactory.create(company=other_company)
    assert stranger.api.get(f"{SNAPSHOTS}/{source.guid}").status_code == 404
    assert stranger.api.delete(f"{SNAPSHOTS}/{source.guid}").status_code == 404
    assert stranger.api.post(path_of(source)).status_code == 404
    assert stranger("pieces", piece_item(theirs), query=f"?snapshot={source.guid}").status_code == 404
    assert active() == names(*pieces)


def test_a_set_of_projects_is_of_the_company_and_takes_what_is_below(
    sync: Sync, company: Company, component: Component, pieces: list[Item]
) -> None:
    kept = project_item(company, code="kept", guid=str(uuid.uuid4()))
    sync("projects", kept)
    projects = Source(sync, component, entity="projects")
    projects.open()
    sync("projects", kept, query=f"?snapshot={projects.guid}")
    assert projects.complete().json()["deleted"] == 1
    assert active() == set()
    assert sync.api.post(f"/api/v1/projects/{component.project_guid}/restore").status_code == 204
    assert active() == names(*pieces)


def test_a_parent_that_is_deleted_meanwhile_leaves_nothing_to_delete(
    source: Source, pieces: list[Item], sync: Sync
) -> None:
    source.open(max_deleted=6)
    source.push(pieces[0])
    path = f"/api/v1/projects/{source.component.project_guid}"
    assert sync.api.delete(path).status_code == 204
    assert faults(source.push(pieces[1] | {"cell": "new"}))[0][:2] == ("pieces", 0)
    assert source.complete("?dry_run=true").json()["deleted"] == 0
    assert sync.api.post(f"{path}/restore").status_code == 204
    assert source.complete().json()["deleted"] == 5  # they were there, and are again
    assert active() == names(pieces[0])


def test_a_parent_that_is_moved_takes_its_rows_out_of_one_set_and_not_of_its_own(
    source: Source, pieces: list[Item], sync: Sync, component: Component
) -> None:
    whole, own = source, Source(sync, component, component_guid=str(component.guid))
    whole.open(max_deleted=6)
    own.open(max_deleted=6)
    elsewhere = ComponentFactory.create(company=component.company).project
    sync("components", component_item(elsewhere, guid=component.guid))
    assert whole.complete().json()["deleted"] == 0
    assert faults(own.push(pieces[0])) == [("pieces", 0, "component_guid")]  # it names its old project
    assert own.push(pieces[0] | {"project_guid": elsewhere.guid}).status_code == 200
    assert own.complete().json()["deleted"] == 5


def test_tombstones_and_matches_of_a_batch_are_seen(
    source: Source, pieces: list[Item], sync: Sync, component: Component
) -> None:
    source.open(max_deleted=6)
    unnamed = {name: value for name, value in pieces[1].items() if name != "guid"}
    answer = source.push(
        pieces[0] | {"is_active": False},
        unnamed,
        piece_item(component, piece_id="not there", is_active=False),
        piece_item(component, piece_id="new"),
        query="&match=piece_id",
    )
    assert answer.status_code == 200
    assert source.shown().json()["seen"] == 3
    done = source.complete()
    assert (done.json()["seen"], done.json()["deleted"]) == (3, 4)
    assert active() == names(pieces[1]) | {"new"}
    sync.api.post(f"/api/v1/pieces/{pieces[2]['guid']}/restore")
    assert active() == names(*pieces[1:]) | {"new"}  # not the one that its own tombstone took


def test_a_tombstone_that_matches_nothing_is_outside_like_one_that_does(
    source: Source, pieces: list[Item], sync: Sync
) -> None:
    elsewhere = ComponentFactory.create(company=source.component.company)
    sync("pieces", piece_item(elsewhere, piece_id="there"))
    source.open()
    tombstones = [piece_item(elsewhere, piece_id=name, is_active=False) for name in ("there", "not there")]
    answer = source.push(*tombstones, query="&match=piece_id")
    assert faults(answer) == [("pieces", n, "project_guid") for n in range(2)]
    assert {fault["type"] for fault in answer.json()["detail"]} == {"outside_snapshot"}


def test_what_comes_again_byte_for_byte_is_seen_and_kept_within_the_set(
    source: Source, pieces: list[Item], sync: Sync
) -> None:
    """The rows know the bytes, so nothing is decoded: neither the guids nor the parents."""
    source.open(max_deleted=6)
    with CaptureQueriesContext(connection) as queries:
        answer = source.push(*pieces[:5])
    assert answer.json() == {"inserted": 0, "updated": 5}
    assert not [query for query in queries if "picture_digest" in query["sql"]]
    with every_company():
        beside = ComponentFactory.create(project=source.component.project)
    narrow = Source(sync, source.component, component_guid=str(beside.guid))
    narrow.open()
    assert faults(narrow.push(*pieces[:2])) == [("pieces", n, "component_guid") for n in range(2)]
    assert source.complete().json() == {"seen": 5, "deleted": 1, "run_guid": source.complete().json()["run_guid"]}


def test_replays_answer_for_the_set_that_they_were_sent_for(source: Source, pieces: list[Item], sync: Sync) -> None:
    source.open(max_deleted=6)
    first = source.guid

    def push() -> Any:
        return sync("pieces", *pieces[:5], query=f"?snapshot={source.guid}", idempotency_key="k")

    assert push().status_code == 200
    source.complete()
    again = push()
    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    source.open()
    assert push().status_code == 422  # another request under this key
    assert source.shown().json()["seen"] == 0
    source.guid = first
    assert source.push(*pieces[:5]).status_code == 409


def test_a_dry_run_of_a_batch_is_refused_as_the_batch_would_be(source: Source, pieces: list[Item]) -> None:
    source.open(max_deleted=6)
    source.complete()
    assert source.push(*pieces, query="&dry_run=true").status_code == 409


@pytest.mark.parametrize(("seconds", "status"), [(-60, 200), (1, 410)])
def test_it_ends_after_a_day(source: Source, pieces: list[Item], seconds: int, status: int) -> None:
    source.open(max_deleted=6)
    opened_at = Snapshot.objects.get().opened_at
    Snapshot.objects.update(opened_at=opened_at - timedelta(days=1, seconds=seconds))
    assert source.shown().status_code == status
    assert source.push(pieces[0]).status_code == status
    assert source.complete().status_code == status


def test_a_row_that_was_purged_and_sent_again_meanwhile_stays(
    source: Source, pieces: list[Item], sync: Sync, manage: Manage
) -> None:
    source.open(max_deleted=6)
    sync("pieces", pieces[0] | {"is_active": False})
    with every_company():
        Piece.all_objects.filter(is_active=False).update(deleted_at=Snapshot.objects.get().opened_at - timedelta(9))
        deletion = Piece.all_objects.get(is_active=False).deletion
        deletion.created_at -= timedelta(9)
        deletion.save()
    assert manage("purge_deleted", "--older-than", "1d", "--json").json["pieces"] == 1
    sync("pieces", pieces[0])
    assert source.complete().json()["deleted"] == 5
    assert active() == names(pieces[0])


def test_ten_thousand_batches_are_completed_as_fast_as_one(
    source: Source, pieces: list[Item], sync: Sync, company: Company
) -> None:
    def took() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert source.complete("?dry_run=true").json()["deleted"] == 4
        return len(queries)

    source.open(max_deleted=6)
    source.push(*pieces[:2])
    one = took()
    with every_company():
        batch = {"snapshot_id": source.guid, "company": company, "guids": SeenBatch.objects.get().guids}
        SeenBatch.objects.bulk_create(SeenBatch(**batch) for _ in range(10_000))
    assert took() == one
    assert source.shown().json()["seen"] == 2


def test_percentages_are_exact(source: Source, sync: Sync, component: Component) -> None:
    sync("pieces", *[piece_item(component, piece_id=str(number)) for number in range(1000)])
    for percent, allowed in (("0.57%", 5), ("5.7%", 57), ("0%", 0), ("29%", 290), ("99.99%", 999)):
        source.open(max_deleted=percent)
        assert source.complete().json()["max_deleted"] == allowed


def test_nothing_but_guids_of_the_batch_is_noted(source: Source, component: Component) -> None:
    source.open()
    assert source.push().status_code == 200
    gone = source.push(piece_item(component, is_active=False), query="&match=piece_id")
    assert gone.status_code == 200
    assert not SeenBatch.objects.exists()


def test_a_company_without_rows_is_a_complete_set_of_nothing(sync: Sync, component: Component) -> None:
    assemblies = Source(sync, component, entity="assemblies")
    assemblies.open()
    assert assemblies.complete().json()["deleted"] == 0
    assert assemblies.complete("?dry_run=maybe").status_code == 422


def test_an_item_of_a_set_with_if_updated_at(source: Source, pieces: list[Item], sync: Sync) -> None:
    source.open(max_deleted=6)
    read = sync.api.get(f"/api/v1/pieces/{pieces[0]['guid']}").json()["updated_at"]
    sync("pieces", pieces[0] | {"cell": "theirs"})
    answer = source.push(pieces[0] | {"cell": "ours", "if_updated_at": read})
    assert faults(answer) == [("pieces", 0, "if_updated_at")]
    assert source.shown().json()["seen"] == 0
