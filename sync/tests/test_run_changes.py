"""`GET /api/v1/sync/runs/{guid}/changes`: what a run did, row by row (contract, "History")."""

import json
import uuid
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces import history as reading_history
from pieces.models import HISTORIES, Act, Component, Piece
from pieces.tests.factories import ComponentFactory, ProjectFactory
from pieces.tests.families import Family, path_of
from ractory.api.tests.client import Api
from sync.models import SyncRun
from sync.tests.batches import Item, Sync, component_item, full_piece, piece_item, project_item, row_of
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory, issue_key

RUNS = "/api/v1/sync/runs"
Change = dict[str, Any]


def changes(sync: Sync, run: Any, query: str = "") -> list[Change]:
    response = sync.api.get(f"{RUNS}/{run}/changes{query}")
    assert response.status_code == 200, response.content
    found: list[Change] = response.json()
    return found


def told(found: list[Change]) -> list[tuple[str, str, str, Any]]:
    return [(each["entity"], each["guid"], each["action"], each["changes"]) for each in found]


def paged(sync: Sync, path: str) -> list[list[Change]]:
    pages = []
    while path:
        response = sync.api.get(path)
        assert response.status_code == 200, response.content
        pages.append(response.json())
        path = response.get("Link", "").removesuffix('>; rel="next"').removeprefix("<http://testserver")
    return pages


def test_each_row_of_a_batch_is_told_as_its_own_history_tells_it(sync: Sync, component: Component) -> None:
    items = [piece_item(component, guid=uuid.UUID(int=n), piece_id=f"{n}", cell="a") for n in range(1, 5)]
    sync("pieces", *items[:3])
    other = ComponentFactory.create(project=component.project)
    batch = [
        items[0] | {"cell": "b"},
        items[1] | {"is_active": False},
        items[2] | {"component_guid": other.guid},
        items[3],
    ]
    run = sync("pieces", *batch)["X-Sync-Run"]
    found = changes(sync, run)
    moved = {"component_guid": [str(component.guid), str(other.guid)]}
    assert told(found)[0] == ("pieces", str(items[0]["guid"]), "updated", {"cell": ["a", "b"]})
    assert told(found)[2] == ("pieces", str(items[2]["guid"]), "moved", moved)
    assert [each["action"] for each in found] == ["updated", "deleted", "moved", "inserted"]
    for each in found:
        assert each.pop("entity") == "pieces"
        newest, *_ = sync.api.get(f"/api/v1/pieces/{each.pop('guid')}/history").json()
        assert each == newest
        assert each["run_guid"] == run


def test_what_went_along_is_told_too_from_the_top_down(sync: Sync, family: Family) -> None:
    rows = [family.component, family.assembly, family.piece]
    names = [(row.plural, str(row.guid)) for row in rows]
    deleted = sync.api.delete(path_of(family.component))["X-Sync-Run"]
    restored = sync.api.post(f"{path_of(family.component)}/restore")["X-Sync-Run"]
    other = ProjectFactory.create(company=family.project.company)
    moved = sync("components", component_item(other, guid=family.component.guid))["X-Sync-Run"]
    undone = sync.api.post(f"{RUNS}/{moved}/undo")["X-Sync-Run"]
    for run, action in ((deleted, "deleted"), (restored, "restored"), (moved, "moved"), (undone, "moved")):
        found = changes(sync, run)
        assert [(each["entity"], each["guid"]) for each in found] == names
        assert {each["action"] for each in found} == {action}


def test_it_stays_the_same_whatever_happens_to_the_rows_later(sync: Sync, component: Component) -> None:
    items = [full_piece(component, number) for number in range(3)]
    inserted = sync("pieces", *items)["X-Sync-Run"]
    changed = sync("pieces", *(item | {"cell": "x"} for item in items))["X-Sync-Run"]
    before = [changes(sync, run) for run in (inserted, changed)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pieces_piece SET cell = 'by hand', barcode = 'by hand'")
    sync("pieces", *(item | {"cell": "y"} for item in items[:2]))
    sync.api.delete(path_of(component))
    assert [changes(sync, run) for run in (inserted, changed)] == before


def test_what_a_run_wrote_twice_is_told_once(sync: Sync, component: Component) -> None:
    items = [piece_item(component, guid=uuid.uuid4(), piece_id=name) for name in "ab"]
    sync("pieces", *items)
    run = sync("pieces", items[0] | {"piece_id": "b"}, items[1] | {"piece_id": "a"})["X-Sync-Run"]
    assert sorted(each["changes"]["piece_id"] for each in changes(sync, run)) == [["a", "b"], ["b", "a"]]


def test_an_act_without_a_receipt_is_told_by_its_own_guid(sync: Sync, component: Component) -> None:
    item = full_piece(component)
    run = sync("pieces", item)["X-Sync-Run"]
    expected = changes(sync, run)
    SyncRun.objects.all().delete()
    assert changes(sync, row_of("piece", item["guid"]).changed_in) == changes(sync, run) == expected


def test_a_run_that_wrote_nothing_is_an_empty_list(sync: Sync, component: Component) -> None:
    item = full_piece(component)
    sync("pieces", item)
    dry, refused = sync("pieces", item | {"cell": "x"}, query="?dry_run=true"), sync("pieces", item | {"bar_rest": "x"})
    for response in (sync("pieces", item), dry, refused):
        assert changes(sync, response["X-Sync-Run"]) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 1000])
def test_pages_follow_each_other_over_the_levels(sync: Sync, family: Family, limit: int) -> None:
    sync("pieces", *(full_piece(family.component, number) for number in range(10, 13)))
    run = sync.api.delete(path_of(family.project))["X-Sync-Run"]
    whole = changes(sync, run)
    assert [each["entity"] for each in whole] == ["projects", "components", "assemblies", *["pieces"] * 4]
    pages = paged(sync, f"{RUNS}/{run}/changes?limit={limit}")
    assert [each for page in pages for each in page] == whole
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert len(pages) == -(-7 // limit)


def test_a_page_of_long_rows_ends_early(sync: Sync, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    long = dict.fromkeys(("info2", "info3", "operations"), "x" * 3000)
    sync("pieces", *(full_piece(family.component, number, **long) for number in range(10, 22)))
    run = sync.api.delete(path_of(family.project))["X-Sync-Run"]
    whole = changes(sync, run)
    monkeypatch.setattr(reading_history, "MAX_PAGE_BYTES", 50_000)
    pages = paged(sync, f"{RUNS}/{run}/changes?limit=100")
    assert [each for page in pages for each in page] == whole
    assert len(pages) > 1


def test_the_number_of_queries_is_the_same_for_1_and_for_1000_rows(sync: Sync, company: Company) -> None:
    def counted(size: int) -> list[int]:
        component = ComponentFactory.create(company=company)
        items = [full_piece(component, number) for number in range(size)]
        runs = [sync("pieces", *batch) for batch in (items, [item | {"cell": "x"} for item in items])]
        runs.append(sync.api.delete(path_of(component)))
        counts = []
        for run in runs:
            with CaptureQueriesContext(connection) as queries:
                assert len(changes(sync, run["X-Sync-Run"], "?limit=1000")) == min(1000, size + (run is runs[-1]))
            counts.append(len(queries))
        return counts

    assert counted(25) == counted(999)


def test_what_is_not_kept_any_more_is_a_410(sync: Sync, component: Component) -> None:
    item: Item = full_piece(component)
    inserted = sync("pieces", item)["X-Sync-Run"]
    changed = sync("pieces", item | {"cell": "x"})["X-Sync-Run"]
    HISTORIES[Piece].objects.all().delete()
    assert sync.api.get(f"{RUNS}/{changed}/changes").status_code == 410
    assert changes(sync, inserted) == []
    Act.objects.filter(run_guid=inserted).delete()
    assert sync.api.get(f"{RUNS}/{inserted}/changes").status_code == 410


def test_a_row_that_was_taken_away_by_hand_is_a_410(sync: Sync, component: Component) -> None:
    item: Item = full_piece(component)
    sync("pieces", item)
    changed = sync("pieces", item | {"cell": "x"})["X-Sync-Run"]
    Piece.all_objects.all()._raw_delete("default")
    assert sync.api.get(f"{RUNS}/{changed}/changes").status_code == 410


@pytest.mark.parametrize("guid", [uuid.uuid4(), "x", "%00", "a" * 2000, "%ED%A0%80"])
def test_a_run_that_does_not_exist_is_a_404(sync: Sync, guid: Any) -> None:
    assert sync.api.get(f"{RUNS}/{guid}/changes").status_code == 404


def test_a_foreign_run_does_not_exist(sync: Sync, component: Component, other_company: Company) -> None:
    item = full_piece(component)
    run = sync("pieces", item)["X-Sync-Run"]
    foreign = Api().with_key(issue_key(other_company))
    for guid in (run, row_of("piece", item["guid"]).changed_in):
        assert foreign.get(f"{RUNS}/{guid}/changes").status_code == 404


def test_of_a_batch_over_companies_each_is_told_its_own_part(company: Company, other_company: Company) -> None:
    admin = Sync(Api().with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN)))
    items = [project_item(each, guid=uuid.uuid4(), code="a") for each in (company, other_company)]
    run = admin("projects", *items)["X-Sync-Run"]
    assert {each["guid"] for each in changes(admin, run)} == {str(item["guid"]) for item in items}
    for item in items:
        with every_company():
            own = Sync(Api().with_key(issue_key(Company.objects.get(guid=item["company_guid"]))))
        assert [each["guid"] for each in changes(own, run)] == [str(item["guid"])]
        assert [each["guid"] for each in changes(admin, run, f"?company_guid={item['company_guid']}")] == [
            str(item["guid"])
        ]


def test_a_key_that_only_reads_may_read_it(sync: Sync, component: Component) -> None:
    run = sync("pieces", full_piece(component))["X-Sync-Run"]
    reader = Sync(Api().with_key(issue_key(component.company, "sync:read")))
    assert changes(reader, run) == changes(sync, run)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=", "cursor=x", "cursor=%00", "limit=1&limit=1"])
def test_a_bad_parameter_is_a_422(sync: Sync, component: Component, query: str) -> None:
    run = sync("pieces", full_piece(component))["X-Sync-Run"]
    assert sync.api.get(f"{RUNS}/{run}/changes?{query}").status_code == 422


@pytest.mark.parametrize(
    "values", [[4, str(uuid.uuid4())], [5, str(uuid.uuid4())], [-1, str(uuid.uuid4())], [0, "x"], [0], [0, None]]
)
def test_a_cursor_that_nobody_was_given_is_no_error(sync: Sync, component: Component, values: list[Any]) -> None:
    run = sync("pieces", full_piece(component))["X-Sync-Run"]
    cursor = urlsafe_b64encode(json.dumps(["level,guid", *values]).encode()).decode().rstrip("=")
    assert sync.api.get(f"{RUNS}/{run}/changes", {"cursor": cursor}).status_code in (200, 422)
