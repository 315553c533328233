"""Sync runs in the admin: the list with its charts, a run's faults, the home page; the own company's only."""

import html
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import Component
from pieces.receipts import SyncRun, first_guid
from pieces.tests.factories import ComponentFactory
from ractory.api.tests.client import Api
from sync.tests.batches import Sync, full_piece, piece_item
from tenants.models import ApiKey, Company
from tenants.scope import every_company
from tenants.tests.factories import issue_key
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/sync/syncrun/"


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def page_of(run: str) -> str:
    return f"{LIST}{run}/change/"


def made(company: Company, at: datetime, **fields: Any) -> SyncRun:
    """A run of that time."""
    values = {"entity": "pieces", "status": "succeeded", "http_status": 200, "actor": "user:x", "request_id": "r"}
    guid = uuid.UUID(int=first_guid(at).int + uuid.uuid4().int % 2**60)
    run: SyncRun = SyncRun.across_companies.create(guid=guid, company=company, started_at=at, **values | fields)
    return run


def charted(response: Any) -> list[dict[str, list[int]]]:
    """Of each chart, the last three days of each series."""
    found = re.findall(r'data-value="([^"]*)"', response.content.decode())
    charts = [json.loads(html.unescape(data)) for data in found]
    return [{series["label"]: series["data"][-3:] for series in chart["datasets"]} for chart in charts]


def test_a_run_is_listed_with_counts_and_caller(staff: Client, sync: Sync, component: Component) -> None:
    ApiKey.objects.update(description="RaConnect")
    sync("pieces", full_piece(component, 1), full_piece(component, 2))
    sync("pieces", full_piece(component, 1))
    text = text_of(staff.get(LIST))
    assert re.search(r"Sync of 1 piece done 1 unchanged \d+ ms key “RaConnect” ", text)
    assert re.search(r"Sync of 2 pieces done 2 inserted \d+ ms key “RaConnect” ", text)


def test_faults_are_readable_one_by_one_and_summed_up(staff: Client, sync: Sync, component: Component) -> None:
    lengths = [piece_item(component, piece_id=str(n), outer_length="12oo") for n in range(3)]
    refused = sync("pieces", *lengths, {"company_guid": component.company_guid}, piece_item(component, barcode=5))
    text = text_of(staff.get(page_of(refused["X-Sync-Run"])))
    assert "refused, 422" in text
    assert "3 × Outer length This is not a whole number: “12oo”" in text
    assert "2 1 Outer length This is not a whole number: “12oo” 3 2 Outer length" in text  # the second is called 1
    assert "4 Piece id This must be filled in" in text
    assert re.search(r"5 1 Barcode This is not a text: 5", text)
    assert "Summed up are" not in text


def test_faults_beyond_the_hundredth_are_summed_up_too(staff: Client, sync: Sync, component: Component) -> None:
    """Each of 300 pieces has four faults, so that the first hundred are those of the first 25."""
    wrong = {"piece_id": 5, "barcode": 7, "outer_length": "x", "project_guid": "none"}
    right = [piece_item(component, piece_id=f"W-{n}") for n in range(5)]
    items = [*([piece_item(component) | wrong] * 299), right[0] | {"cell": 1}, {"company_guid": component.company_guid}]
    refused = sync("pieces", *right, *items)
    text = text_of(staff.get(page_of(refused["X-Sync-Run"])))
    for said in (
        "299 × Outer length This is not a whole number: “x”",
        "299 × Piece id",
        "1 × Cell This is not a text: 1",
    ):
        assert said in text
    assert "These are the first of" in text
    run = SyncRun.across_companies.get(guid=refused["X-Sync-Run"])
    kinds = json.loads(run.fault_kinds_json)
    assert sum(kind["count"] for kind in kinds) == run.fault_count == 299 * 4 + 1 + 3
    assert [kind["count"] for kind in kinds] == sorted((kind["count"] for kind in kinds), reverse=True)
    assert "item" not in str(sync.api.get(f"/api/v1/sync/runs/{run.guid}").json())  # not on the wire
    SyncRun.across_companies.update(fault_kinds_json=json.dumps(kinds[1:]))  # as of more than a hundred kinds
    said = f"Summed up are the first {run.fault_count - 299} of {run.fault_count} faults."
    assert said in text_of(staff.get(page_of(str(run.guid))))


def test_a_fault_names_its_item_as_people_know_it(staff: Client, sync: Sync, component: Component) -> None:
    taken = full_piece(component, 1)
    sync("pieces", taken)
    named = [
        piece_item(component, piece_id="P & 1", barcode=5),
        piece_item(component, piece_id="piece-1"),  # by the plan: taken
    ]
    page = staff.get(page_of(sync("pieces", named[0])["X-Sync-Run"]))
    assert "1 P & 1 Barcode" in text_of(page)
    assert "/admin/pieces/piece/find/?q=P%20%26%201" in page.content.decode()
    assert "1 piece-1 Piece id" in text_of(staff.get(page_of(sync("pieces", named[1])["X-Sync-Run"])))
    nameless = {"guid": taken["guid"], "company_guid": taken["company_guid"]}
    assert f"1 {taken['guid']} " in text_of(staff.get(page_of(sync("pieces", nameless)["X-Sync-Run"])))


def test_a_run_of_one_names_it_and_leads_to_where_it_is(staff: Client, sync: Sync, component: Component) -> None:
    run = sync("pieces", full_piece(component, 1))["X-Sync-Run"]
    page = staff.get(page_of(run))
    assert "Sync of piece piece-1 done" in text_of(page)
    with every_company():
        project = component.project
    for entity in (component, project):
        assert f'href="/admin/pieces/{entity.kind}/{entity.guid}/change/"' in page.content.decode()
    tried = sync("pieces", full_piece(component, 2), query="?dry_run=true")["X-Sync-Run"]
    assert "This was a dry run: nothing was written." in text_of(staff.get(page_of(tried)))


def test_guids_in_faults_lead_to_what_they_name(staff: Client, sync: Sync, component: Component) -> None:
    sync("pieces", full_piece(component, 1))
    refused = sync("pieces", piece_item(component, piece_id="piece-1"))
    holder = full_piece(component, 1)["guid"]
    assert f"/admin/pieces/piece/find/?q={holder}" in staff.get(page_of(refused["X-Sync-Run"])).content.decode()


def test_what_a_client_sent_is_shown_not_run(staff: Client, sync: Sync, component: Component) -> None:
    script = "<script>alert(1)</script>"
    item = piece_item(component, outer_length=script) | {script: 1}
    refused = sync("pieces", item, x_request_id="id", idempotency_key=script)
    page = staff.get(page_of(refused["X-Sync-Run"])).content.decode()
    assert script not in page
    assert html.escape(script, quote=False) in page


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"pieces": 1}', b""])
def test_a_batch_that_is_none_has_a_page_too(staff: Client, sync: Sync, body: bytes) -> None:
    refused = sync.api.post_raw("/api/v1/sync/pieces", body)
    text = text_of(staff.get(page_of(refused["X-Sync-Run"])))
    assert "This was refused" in text


def test_runs_of_others_do_not_exist(staff: Client, other_company: Company) -> None:
    component = ComponentFactory.create(company=other_company)
    sync = Sync(Api().with_key(issue_key(other_company, description="Theirs")))
    run = sync("pieces", piece_item(component))["X-Sync-Run"]
    assert staff.get(page_of(run)).status_code == 404
    assert staff.get(page_of("nonsense")).status_code == 404
    for path in (LIST, "/admin/"):
        assert "Theirs" not in text_of(staff.get(path))
        assert run not in staff.get(path).content.decode()
    assert charted(staff.get(LIST))[0] == {"inserted": [0] * 3, "changed": [0] * 3, "unchanged": [0] * 3}
    assert "Theirs" in text_of(system_admin().get(page_of(run)))


def test_the_charts_count_rows_and_faults_per_day(staff: Client, company: Company) -> None:
    now = timezone.now()
    yesterday = now - timedelta(days=1)
    made(company, now, inserted=5, updated=7, unchanged=3)
    made(company, now, inserted=1, dry_run=True)  # wrote nothing
    made(company, yesterday, inserted=2)
    made(company, yesterday, status="rejected", http_status=422, fault_count=250)
    made(company, now - timedelta(days=20), inserted=1000)
    rows, trouble = charted(staff.get(LIST))
    assert rows == {"inserted": [0, 2, 5], "changed": [0, 0, 4], "unchanged": [0, 0, 3]}
    assert trouble == {"faults": [0, 250, 0], "refused": [0, 1, 0]}


def test_the_list_is_filtered_by_time_status_and_entity(staff: Client, company: Company) -> None:
    now = timezone.now()
    made(company, now, actor="user:new")
    made(company, now - timedelta(days=3), actor="user:refused", status="rejected", entity="projects")
    made(company, now - timedelta(days=20), actor="user:old")

    def found(query: str) -> list[str]:
        text = text_of(staff.get(f"{LIST}?{query}"))
        return [name for name in ("new", "refused", "old") if f" ms {name} " in text]

    assert found("") == ["new", "refused"]
    assert found("days=1") == ["new"]
    assert found("days=30") == ["new", "refused", "old"]
    assert found("status=rejected") == ["refused"]
    assert found("entity=projects&days=30") == ["refused"]
    assert staff.get(f"{LIST}?actor__contains=x").status_code == 400


def test_a_moment_s_least_guid_parts_the_runs() -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert first_guid(at).version == 7
    assert first_guid(at - timedelta(milliseconds=1)) < first_guid(at) < first_guid(at + timedelta(milliseconds=1))
    assert SyncRun().guid > first_guid(timezone.now() - timedelta(seconds=1))
    assert SyncRun().guid < first_guid(timezone.now() + timedelta(seconds=1))


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_runs_can_not_be_changed(staff: Client, company: Company, method: str) -> None:
    run = made(company, timezone.now())
    assert getattr(staff, method)(page_of(str(run.guid))).status_code == 405
    assert staff.post(f"{LIST}{run.guid}/delete/", {"post": "yes"}).status_code == 403
    assert staff.get(f"{LIST}add/").status_code == 403
    assert SyncRun.across_companies.count() == 1


@pytest.mark.parametrize("path", [LIST, "/admin/", "/admin/tenants/apikey/"])
@pytest.mark.parametrize("who", ["staff", "system_admin"])
def test_pages_take_the_same_queries_for_1_and_for_40_runs(
    staff: Client, company: Company, path: str, who: str
) -> None:
    client = staff if who == "staff" else system_admin()

    def runs(count: int) -> int:
        for _ in range(count):
            issue_key(company)
            actor = f"api_key:{ApiKey.objects.latest('created_at').guid}"
            made(company, timezone.now(), status="rejected", actor=actor)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        assert not any("SELECT COUNT(" in query["sql"] for query in queries)
        return len(queries)

    runs(1)
    one = runs(0)
    assert runs(39) == one
    assert one <= 14
