"""Undos that meet other writers: real threads on a real PostgreSQL; all ends as if one of them had come first."""

import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pieces.models import HISTORIES, Act, Component, Piece, Project
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import path_of
from ractory.api.tests.client import Api
from ractory.api.tests.threads import at_once
from sync.tests.batches import Sync, assembly_item, component_item, full_piece, piece_item, row_of
from sync.tests.test_sync_races import assert_fit, posting
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import CompanyFactory, issue_key

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

ROUNDS = 6


def undoing(company: Company, run: str, query: str = "") -> Callable[[], Any]:
    api = Api().with_key(issue_key(company))
    return lambda: api.post(f"/api/v1/sync/runs/{run}/undo{query}")


def at_once_with_undo(company: Company, run: str, call: Callable[[], Any], number: int) -> list[Any]:
    """What the undo of the run and the call answer, the call begun the later the greater the number of the round.

    An undo looks for long before it locks; others would come first in each round.
    """
    started = time.perf_counter()
    undoing(company, run, "?dry_run=true")()
    pause = (time.perf_counter() - started) * number / ROUNDS

    def call_later() -> Any:
        time.sleep(pause)
        return call()

    return at_once(undoing(company, run), call_later)


def sync_of(company: Company) -> Sync:
    return Sync(Api().with_key(issue_key(company)))


def changed(sync: Sync, component: Component) -> tuple[list[dict[str, Any]], str]:
    """Pieces, and the run that has changed them."""
    items = [full_piece(component, number, cell="a") for number in range(40)]
    sync("pieces", *items)
    return items, sync("pieces", *(item | {"cell": "b"} for item in items))["X-Sync-Run"]


def states(component: Component) -> set[tuple[str, str]]:
    with every_company():
        return set(Piece.objects.filter(component=component).values_list("cell", "trolley"))


def test_an_undo_and_a_sync_of_the_same_rows_end_as_if_one_had_come_first() -> None:
    company = CompanyFactory.create()
    sync = sync_of(company)
    for number, query in enumerate(["", "?conflicts=skip"] * (ROUNDS // 2)):
        component = ComponentFactory.create(company=company)
        items, run = changed(sync, component)
        some_fields = [
            piece_item(component, guid=item["guid"], piece_id=item["piece_id"], trolley="t")
            for item in items[:: -1 if number % 4 < 2 else 1]
        ]
        undone, synced = at_once(undoing(company, run, query), posting(company, "pieces", some_fields))
        assert synced.status_code == 200
        if is_undone := undone.status_code == 200 and undone.json()["changed"] > 0:
            assert undone.json()["changed"] == len(items)
        elif query:
            assert (undone.status_code, undone.json()["skipped"]) == (200, len(items))
        else:
            assert (undone.status_code, len(undone.json()["conflicts"])) == (409, len(items))
        assert states(component) == {("a" if is_undone else "b", "t")}
        with every_company():
            kept = HISTORIES[Piece].objects.filter(guid__in=[item["guid"] for item in items])
            assert kept.count() == len(items) * (3 if is_undone else 2)


def test_of_two_undos_of_a_run_one_is_done() -> None:
    company = CompanyFactory.create()
    sync = sync_of(company)
    for query in ["", "?conflicts=skip"] * (ROUNDS // 2):
        component = ComponentFactory.create(company=company)
        _, run = changed(sync, component)
        answers = at_once(undoing(company, run, query), undoing(company, run, query))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert "undone already" in refused.json()["detail"]
        assert {cell for cell, _ in states(component)} == {"a"}
        with every_company():
            assert Act.objects.filter(undoes=run).count() == 1


def test_an_undo_of_an_insert_and_an_insert_below_leave_no_active_row_below_a_deleted_one() -> None:
    company = CompanyFactory.create()
    sync, project = sync_of(company), ProjectFactory.create(company=company)
    for number in range(ROUNDS):
        guid = uuid.uuid4()
        run = sync("components", component_item(project, guid=guid))["X-Sync-Run"]
        new = piece_item(row_of("component", guid), guid=uuid.uuid4(), piece_id=f"{number}")
        undone, synced = at_once(undoing(company, run), posting(company, "pieces", [new]))
        assert sorted([undone.status_code, synced.status_code]) in ([200, 409], [200, 422])
        assert (undone.status_code == 200) is (synced.status_code == 422)
        assert row_of("component", guid).is_active is (undone.status_code == 409)
        assert_fit()


def test_an_undo_and_a_deletion_of_the_parent_end_as_if_one_had_come_first() -> None:
    company = CompanyFactory.create()
    sync = sync_of(company)
    for number in range(ROUNDS):
        piece = PieceFactory.create(company=company)
        run = sync.api.delete(path_of(piece))["X-Sync-Run"]
        path = path_of(row_of("component", piece.component_guid))
        delete = partial(Api().with_key(issue_key(company)).delete, path)
        undone, deleted = at_once_with_undo(company, run, delete, number)
        assert deleted.status_code == 204
        assert undone.status_code in (200, 409)
        assert not row_of("piece", piece.guid).is_active
        assert_fit()
        assert sync.api.post(f"{path}/restore").status_code == 204  # with the piece, if it was back in time
        assert row_of("piece", piece.guid).is_active is (undone.status_code == 200)


def test_an_undo_of_a_move_and_a_move_of_the_parent_end_consistent() -> None:
    company = CompanyFactory.create()
    sync = sync_of(company)
    for number in range(ROUNDS):
        projects: list[Project] = [ProjectFactory.create(company=company) for _ in range(2)]
        home, away = (ComponentFactory.create(project=projects[0]) for _ in range(2))
        assembly = AssemblyFactory.create(component=home)
        piece = PieceFactory.create(assembly=assembly)
        run = sync("assemblies", assembly_item(away, guid=assembly.guid))["X-Sync-Run"]
        item = component_item(projects[1], guid=home.guid, code=home.code)
        undone, moved = at_once_with_undo(company, run, posting(company, "components", [item]), number)
        assert moved.status_code == 200
        assert undone.status_code in (200, 409)
        assert_fit()
        where = home if undone.status_code == 200 else away
        assert row_of("piece", piece.guid).component_guid == where.guid


def test_undos_of_runs_that_swap_rows_do_not_end_in_a_deadlock() -> None:
    """In opposite orders of levels and rows: none is answered by an error of the server."""
    company = CompanyFactory.create()
    sync = sync_of(company)
    for _ in range(ROUNDS // 2):
        component = ComponentFactory.create(company=company)
        _, first = changed(sync, component)
        others = [full_piece(component, number, cell="a") for number in range(100, 140)]
        sync("pieces", *others)
        second = sync("pieces", *(item | {"cell": "c"} for item in others))["X-Sync-Run"]
        away = sync("components", component_item(component.project, guid=component.guid, designation="x"))
        runs = (first, second, away["X-Sync-Run"])
        answers = at_once(*(undoing(company, run) for run in runs))
        assert [answer.status_code for answer in answers] == [200] * 3
        assert {cell for cell, _ in states(component)} == {"a"}
        assert_fit()
