"""Undos of what is not there or not any more, who may undo, and what it costs (contract, "Undo")."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import HISTORIES, LEVELS, Act, Component, Deletion
from pieces.tests.factories import AssemblyFactory, ComponentFactory
from pieces.tests.families import Family, path_of
from ractory.api.tests.client import Api
from sync.tests.batches import Item, Sync, all_rows, assembly_item, full_piece, piece_item, project_item, row_of
from sync.tests.test_sync_queries import spared_by_one_deletion
from sync.tests.undoing import PICTURES, counts, receipt, run_of, undo, undone
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.commands import Manage
from tenants.tests.factories import UserFactory, issue_key

# --- What is not there, or not any more --------------------------------------------------------


def forget(**conditions: Any) -> None:
    for history in HISTORIES.values():
        history.objects.filter(**conditions).delete()


def test_what_is_not_kept_any_more_is_a_410(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    forget(guid=pieces[2]["guid"])
    before = all_rows()
    response = undo(sync, run)
    assert response.status_code == 410
    assert "not kept" in response.json()["detail"]
    assert all_rows() == before
    assert receipt(sync, response["X-Sync-Run"])["http_status"] == 410


def test_a_run_all_of_whose_rows_have_been_written_since_and_forgotten_is_a_410(
    sync: Sync, pieces: list[Item], component: Component
) -> None:
    run = run_of(sync("pieces", full_piece(component, 7)))
    sync("pieces", full_piece(component, 7, cell="y"))
    forget()
    assert undo(sync, run).status_code == 410


def test_a_run_whose_acts_are_forgotten_is_a_410(sync: Sync, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    Act.objects.filter(run_guid=run).delete()
    assert undo(sync, run).status_code == 410


def age() -> None:
    """As if everything had been deleted long ago."""
    moment = timezone.now() - timedelta(days=900)
    Deletion.objects.update(created_at=moment)
    for level in LEVELS:
        level.all_objects.filter(is_active=False).update(deleted_at=moment)


def test_a_guid_that_came_again_after_a_purge_is_another_row(sync: Sync, manage: Manage, pieces: list[Item]) -> None:
    run = run_of(sync("pieces", *(item | {"cell": "x"} for item in pieces)))
    sync("pieces", pieces[0] | {"is_active": False})
    age()
    assert manage("purge_deleted", "--older-than", "365d", "--json").json["pieces"] == 1
    sync("pieces", pieces[0] | {"cell": "second life"})
    assert undone(sync, run) == counts(changed=2)
    assert row_of("piece", pieces[0]["guid"]).cell == "second life"


def test_what_is_being_purged_is_a_410(sync: Sync, family: Family) -> None:
    run = run_of(sync.api.delete(path_of(family.component)))
    Deletion.objects.update(purged_at=timezone.now())
    assert undo(sync, run).status_code == 410
    assert not row_of("component", family.component.guid).is_active


def test_a_run_of_which_all_is_purged_is_a_410(sync: Sync, manage: Manage, family: Family) -> None:
    run = run_of(sync.api.delete(path_of(family.component)))
    age()
    assert manage("purge_deleted", "--older-than", "365d", "--json").json["components"] == 1
    assert undo(sync, run).status_code == 410


@pytest.mark.parametrize(
    "guid", [uuid.uuid4(), "x", "%00", "a" * 2000, "%ED%A0%80", "..%2F", uuid.UUID(int=2**128 - 1)]
)
def test_a_run_that_does_not_exist_is_a_404(sync: Sync, guid: Any) -> None:
    response = undo(sync, guid)
    assert response.status_code == 404, response.content


def test_a_foreign_run_does_not_exist(sync: Sync, pieces: list[Item], other_company: Company) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    act = row_of("piece", pieces[0]["guid"]).changed_in
    foreign = Sync(Api().with_key(issue_key(other_company)))
    assert undo(foreign, run).status_code == undo(foreign, act).status_code == 404
    assert row_of("piece", pieces[0]["guid"]).cell == "x"


@pytest.mark.parametrize(
    "query",
    [
        *("?conflicts=keep", "?conflicts=", "?conflicts=skip&conflicts=skip", "?dry_run=perhaps", "?conflicts=%00"),
        *("?dry_run=true&dry_run=true", f"?conflicts={'s' * 5000}", "?conflicts=%ED%A0%80", "?company_guid=x"),
    ],
)
def test_a_bad_option_is_a_422(sync: Sync, pieces: list[Item], query: str) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    response = undo(sync, run, query)
    assert response.status_code == 422, response.content
    assert response.json()["detail"][0]["loc"][0] == "query"
    assert receipt(sync, response["X-Sync-Run"])["http_status"] == 422
    assert row_of("piece", pieces[0]["guid"]).cell == "x"


# --- Who may -----------------------------------------------------------------------------------


def test_who_may_sync_may_undo_and_nobody_else(sync: Sync, pieces: list[Item], company: Company) -> None:
    run = run_of(sync("pieces", pieces[0] | {"cell": "x"}))
    users = [UserFactory.create(company=company, role=role) for role in (Role.OPERATOR, Role.PROJECT_MANAGER)]
    may_not = [Api().with_user(user) for user in users] + [Api().with_key(issue_key(company, "sync:read"))]
    for api in may_not:
        response = undo(Sync(api), run)
        assert response.status_code == 403
        assert "X-Sync-Run" not in response
    assert undo(Sync(Api()), run).status_code == 401
    user = UserFactory.create(company=company, role=Role.INTEGRATION)
    answer = undo(Sync(Api().with_user(user)), run)
    assert receipt(sync, run_of(answer))["actor"].startswith("user:")


def test_a_batch_over_companies_is_undone_over_companies(other_company: Company, company: Company) -> None:
    admin = Sync(Api().with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN)))
    items = [project_item(each, guid=uuid.uuid4(), code="a") for each in (company, other_company)]
    admin("projects", *items)
    run = run_of(admin("projects", *(item | {"code": "b"} for item in items)))
    assert undone(admin, run) == counts(changed=2)
    assert [row_of("project", item["guid"]).code for item in items] == ["a", "a"]
    assert undo(admin, run).status_code == 409


def test_a_company_undoes_its_part_of_a_batch_over_companies(other_company: Company, company: Company) -> None:
    admin = Sync(Api().with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN)))
    own = Sync(Api().with_key(issue_key(company)))
    items = [project_item(each, guid=uuid.uuid4(), code="a") for each in (company, other_company)]
    run = run_of(admin("projects", *items))
    response = undo(own, run)
    assert response.json() == {"run_guid": run_of(response), **counts(deleted=1)}
    assert [row_of("project", item["guid"]).is_active for item in items] == [False, True]
    assert receipt(own, run_of(response))["company_guid"] == str(company.guid)
    refused = undo(own, run)
    assert (refused.status_code, "X-Sync-Run" in refused) == (409, True)
    assert undone(admin, run, f"?company_guid={other_company.guid}") == counts(deleted=1)


# --- What it costs -----------------------------------------------------------------------------


def everything(sync: Sync, component: Component, size: int) -> dict[str, str]:
    """Runs that do the same to one piece as to many; their guids."""
    items = [full_piece(component, number, picture=PICTURES[0]) for number in range(size)]
    other = AssemblyFactory.create(component=component)
    runs: dict[str, str] = {}
    changes: dict[str, Item] = {
        "inserted": {},
        "changed": {"cell": "x", "picture": PICTURES[1]},
        "moved": {"cell": "x", "picture": PICTURES[1], "assembly_guid": other.guid},
        "deleted": {"cell": "x", "picture": PICTURES[1], "assembly_guid": other.guid, "is_active": False},
    }
    for name, change in changes.items():
        runs[name] = run_of(sync("pieces", *(item | change for item in items)))
    return dict(reversed(runs.items()))


def test_the_number_of_queries_is_the_same_for_1_and_for_1000_rows(sync: Sync, component: Component) -> None:
    def counted(size: int) -> dict[str, int]:
        above = ComponentFactory.create(company=component.company)
        found = {}
        for name, run in everything(sync, above, size).items():
            with CaptureQueriesContext(connection) as queries:
                assert undo(sync, run).status_code == 200
            found[name] = len(queries)
        return found

    one, many = counted(1), counted(1000)
    one["inserted"] += spared_by_one_deletion()
    assert one == many


def conflicting(sync: Sync, component: Component, size: int) -> Callable[[str], int]:
    items = [full_piece(component, number) for number in range(size)]
    run = run_of(sync("pieces", *items))
    sync("pieces", *(item | {"cell": "y"} for item in items))

    def count(query: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert undo(sync, run, query).status_code in (200, 409)
        return len(queries)

    return count


def test_conflicts_cost_no_query_each(sync: Sync, company: Company) -> None:
    one, many = (conflicting(sync, ComponentFactory.create(company=company), size) for size in (1, 300))
    assert one("") == many("")
    assert one("?conflicts=skip") == many("?conflicts=skip")


def test_a_cascade_is_undone_without_reading_what_it_took(sync: Sync, family: Family) -> None:
    """Of the rows that follow not one is fetched, and no statement is made for each."""
    items = [full_piece(family.component, number) for number in range(100, 600)]
    run_of(sync("pieces", *items))
    run = run_of(sync.api.delete(path_of(family.project)))

    with CaptureQueriesContext(connection) as queries:
        assert undone(sync, run) == counts(restored=504)
    assert len(queries) < 60
    assert not [query["sql"] for query in queries if len(query["sql"]) > 20_000]
    assert LEVELS[-1].objects.count() == 501


def test_an_assembly_below_a_component_of_a_batch_is_its_own(sync: Sync, family: Family) -> None:
    """Rows of one batch are put back each for itself; what they have below them stays as it is."""
    item = assembly_item(family.component, guid=family.assembly.guid, trolley="t")
    run = run_of(sync("assemblies", item, assembly_item(family.component, guid=uuid.uuid4())))
    sync("pieces", piece_item(family.assembly, guid=family.piece.guid, piece_id="p", cell="kept"))
    assert undone(sync, run) == counts(changed=1, deleted=1)
    assert row_of("piece", family.piece.guid).cell == "kept"
    assert row_of("assembly", family.assembly.guid).trolley is None
