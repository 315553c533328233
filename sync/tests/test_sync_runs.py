"""The receipts: every sync request of a known caller leaves one, refused ones too, and the company can read them."""

import uuid
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import Act, Component
from pieces.tests.factories import ComponentFactory
from ractory.api.tests.client import Api
from sync.models import SyncRun
from sync.tests.batches import Sync, full_piece, piece_item, row_of
from tenants.caller import KeyScope, Role
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

RUNS = "/api/v1/sync/runs"
FIELDS = {
    *("guid", "entity", "status", "http_status", "received", "inserted", "updated", "unchanged", "restored", "deleted"),
    *("dry_run", "errors", "ignored_fields", "actor", "request_id", "idempotency_key", "started_at", "duration_ms"),
    *("company_guid", "operation"),
}


def receipt(sync: Sync, response: Any) -> dict[str, Any]:
    answer = sync.api.get(f"{RUNS}/{response['X-Sync-Run']}")
    assert answer.status_code == 200
    run: dict[str, Any] = answer.json()
    assert set(run) == FIELDS
    return run


def test_a_success_leaves_a_receipt_with_its_counts(sync: Sync, component: Component) -> None:
    items = [full_piece(component, number) for number in range(5)]
    sync("pieces", *items[:4])
    sync("pieces", items[3] | {"is_active": False})
    batch = [items[0], items[1] | {"cell": "x"}, items[2] | {"is_active": False}, items[3], items[4] | {"colour": 1}]
    response = sync("pieces", *batch, idempotency_key="k", x_request_id="r-1")
    run = receipt(sync, response)
    assert {name: run[name] for name in response.json()} == response.json() == {"inserted": 1, "updated": 4}
    expected = {
        "guid": response["X-Sync-Run"],
        "operation": "sync",
        "entity": "pieces",
        "status": "succeeded",
        "http_status": 200,
        "received": 5,
        "unchanged": 1,
        "restored": 1,
        "deleted": 1,
        "dry_run": False,
        "errors": [],
        "ignored_fields": ["colour"],
        "request_id": "r-1",
        "idempotency_key": "k",
        "company_guid": str(component.company_guid),
    }
    assert {name: run[name] for name in expected} == expected
    assert run["actor"].startswith("api_key:")
    assert run["started_at"].endswith("Z")


def test_a_row_names_the_runs_that_made_and_last_changed_it(sync: Sync, component: Component) -> None:
    item = full_piece(component)
    runs = [sync("pieces", item | {"cell": cell})["X-Sync-Run"] for cell in ("a", "b", "b")]
    row = row_of("piece", item["guid"])
    acts = [Act.across_companies.get(guid=guid) for guid in (row.created_in, row.changed_in)]
    assert [str(act.run_guid) for act in acts] == runs[:2]
    assert {(act.operation, act.company_guid, act.actor.partition(":")[0]) for act in acts} == {
        ("sync", component.company_guid, "api_key")
    }


def test_a_refused_batch_leaves_a_receipt_with_its_faults(sync: Sync, component: Component) -> None:
    response = sync("pieces", piece_item(component, bar_rest="x", barcode="a\0b"), {}, colour="\0")
    run = receipt(sync, response)
    assert (run["status"], run["http_status"], run["received"], run["inserted"]) == ("rejected", 422, 2, 0)
    assert run["errors"] == response.json()["detail"]


def test_only_100_faults_are_kept(sync: Sync, component: Component) -> None:
    run = receipt(sync, sync("pieces", *[{}] * 200))
    assert (len(run["errors"]), run["received"]) == (100, 200)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"pieces": [' + b"{}," * 1000 + b"{}]}", None, 400),
    ],
)
def test_every_refusal_has_a_receipt(sync: Sync, body: bytes, content_type: str | None, status: int) -> None:
    content_type, key = content_type or "application/json", "batch-7"
    response = sync.api.post_raw("/api/v1/sync/pieces", body, content_type, idempotency_key=key)
    run = receipt(sync, response)
    assert sync.api.get(f"/api/v1/sync/runs?idempotency_key={key}").json() == [run]
    assert (response.status_code, run["http_status"], run["status"]) == (status, status, "rejected")
    assert [error["msg"] for error in run["errors"]] == [response.json()["detail"]]


def test_who_may_not_write_gets_403_and_no_receipt(sync: Sync, api: Api, component: Component) -> None:
    foreign = ComponentFactory.create()
    refused = [sync("pieces", piece_item(foreign)), sync("pieces", query=f"?company_guid={foreign.company_guid}")]
    api.with_key(issue_key(component.company, KeyScope.SYNC_READ))
    refused.append(Sync(api)("pieces", piece_item(component)))
    assert [(answer.status_code, "X-Sync-Run" in answer) for answer in refused] == [(403, False)] * 3
    assert SyncRun.across_companies.count() == 0


def test_whoever_is_not_known_leaves_no_receipt(api: Api, db: None) -> None:
    response = Sync(api)("pieces")
    assert (response.status_code, "X-Sync-Run" in response) == (401, False)
    assert SyncRun.across_companies.count() == 0


def test_what_is_no_sync_leaves_no_receipt(sync: Sync) -> None:
    response = sync.api.get("/api/v1/sync/pieces")
    assert (response.status_code, "X-Sync-Run" in response) == (405, False)
    assert SyncRun.across_companies.count() == 0


def test_a_dry_run_has_a_receipt_and_no_data(sync: Sync, component: Component) -> None:
    run = receipt(sync, sync("pieces", piece_item(component), query="?dry_run=true"))
    assert (run["dry_run"], run["inserted"], run["status"]) == (True, 1, "succeeded")


def test_the_faults_of_a_refused_batch_are_counted_beyond_those_that_are_kept(sync: Sync) -> None:
    sync("pieces", *[{}] * 200)
    sync("pieces", {"colour": 1}, prefer="handling=strict")
    sync.api.post_raw("/api/v1/sync/pieces", b"{")
    counts = SyncRun.across_companies.order_by("guid").values_list("fault_count", flat=True)
    assert list(counts) == [800, 5, 1]


def test_a_page_ends_before_it_is_too_large_and_links_to_the_rest(sync: Sync, company: Company) -> None:
    long, short = orjson.dumps(["é" * 100] * 100).decode(), "[]"
    made = [
        SyncRun.objects.create(
            company=company, entity="pieces", status="succeeded", http_status=200, actor="x", ignored_json=names
        )
        for names in [short, *[long] * 450]
    ]
    found, sizes, url = [], [], f"{RUNS}?limit=1000"
    while url:
        page = sync.api.get(url)
        found += [run["guid"] for run in page.json()]
        sizes.append(len(page.content))
        url = page["Link"].split(";")[0].strip("<>") if "Link" in page else ""
    assert found == [str(run.guid) for run in reversed(made)]
    assert (len(sizes), max(sizes) < 9 * 2**20, sizes[0] > 7 * 2**20) == (2, True, True)


def test_receipts_of_another_company_do_not_exist(sync: Sync, component: Component, other_company: Company) -> None:
    run = sync("pieces", piece_item(component))["X-Sync-Run"]
    stranger = Api().with_key(issue_key(other_company))
    assert stranger.get(f"{RUNS}/{run}").status_code == 404
    assert stranger.get(RUNS).json() == []
    assert sync.api.get(f"{RUNS}/nonsense").status_code == 404
    assert sync.api.get(f"{RUNS}/{uuid.uuid4()}").status_code == 404


def test_the_list_is_newest_first_and_paged(sync: Sync, component: Component) -> None:
    runs = [sync("pieces", full_piece(component, number))["X-Sync-Run"] for number in range(5)]
    first = sync.api.get(f"{RUNS}?limit=2&count=true")
    assert [run["guid"] for run in first.json()] == runs[:2:-1]
    assert first["X-Total-Count"] == "5"
    found, url = [], f"{RUNS}?limit=2"
    while url:
        page = sync.api.get(url)
        found += [run["guid"] for run in page.json()]
        url = page["Link"].split(";")[0].strip("<>") if "Link" in page else ""
    assert found == runs[::-1]


def test_the_list_is_filtered(sync: Sync, component: Component) -> None:
    sync("pieces", {}, x_request_id="bad")
    sync("pieces", piece_item(component), idempotency_key="k")
    SyncRun.across_companies.filter(request_id="bad").update(started_at=timezone.now() - timedelta(days=2))
    sync("projects")

    def found(query: str) -> list[tuple[str, int]]:
        return [(run["entity"], run["http_status"]) for run in sync.api.get(f"{RUNS}?{query}").json()]

    assert found("entity=projects") == [("projects", 200)]
    assert found("status=rejected") == [("pieces", 422)]
    assert found("idempotency_key=k") == [("pieces", 200)]
    assert found("request_id=bad") == [("pieces", 422)]
    since = (timezone.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found(f"since={since}") == [("projects", 200), ("pieces", 200)]


@pytest.mark.parametrize("query", ["entity=piece", "status=ok", "since=yesterday", "limit=0", "cursor=x", "count=?"])
def test_a_bad_filter_is_422(sync: Sync, query: str) -> None:
    response = sync.api.get(f"{RUNS}?{query}")
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["query", query.split("=")[0]])


def test_a_system_admins_receipts(api: Api, component: Component) -> None:
    sync = Sync(api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)))
    other = ComponentFactory.create()
    assert receipt(sync, sync("pieces", piece_item(component)))["company_guid"] == str(component.company_guid)
    assert receipt(sync, sync("pieces", piece_item(component), piece_item(other)))["company_guid"] is None
    assert len(sync.api.get(RUNS).json()) == 2
    assert len(sync.api.get(f"{RUNS}?company_guid={component.company_guid}").json()) == 1


def test_the_list_costs_the_same_queries_for_1_and_for_50_runs(sync: Sync) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            sync.api.get(RUNS)
        return len(captured)

    sync("projects")
    one = queries()
    for _ in range(49):
        sync("projects")
    assert queries() == one
