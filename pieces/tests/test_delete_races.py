"""Deleting and restoring while others write, with real threads: never an active row below a deleted one."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections, transaction

from pieces.models import LEVELS, Component, Deletion, Piece
from pieces.tests.factories import PieceFactory
from pieces.tests.families import Family, is_active, path_of
from ractory.api.tests.client import Api
from tenants.scope import every_company

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

ROUNDS = 15


@contextmanager
def threads() -> Iterator[Callable[..., "Future[Any]"]]:
    """Starts work in threads, each with a database connection of its own."""

    def closing(work: Callable[..., Any], *args: Any) -> Any:
        try:
            return work(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor() as pool:
        yield lambda work, *args: pool.submit(closing, work, *args)


def wait_until_blocked() -> None:
    """Until some connection waits for a lock."""
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if (cursor.fetchone() or (0,))[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def orphans() -> int:
    """Active rows below a deleted one."""
    with every_company():
        return sum(
            level.objects.filter(**{f"{parent}__is_active": False}).count()
            for level in LEVELS
            for parent in level.parents
        )


def piece_of(family: Family, number: object) -> dict[str, Any]:
    piece = family.piece
    return {
        **{name: str(getattr(piece, name)) for name in ("project_guid", "component_guid", "assembly_guid")},
        "company_guid": str(piece.company_guid),
        "piece_id": f"new-{number}",
    }


def test_a_delete_waits_for_a_sync_below_and_takes_what_it_wrote(key: str, family: Family) -> None:
    with threads() as start:
        with every_company(), transaction.atomic():
            assert Component.objects.filter(guid=family.component.guid).shared("guid")  # as a sync does
            deleting = start(Api().with_key(key).delete, path_of(family.component))
            wait_until_blocked()
            late = PieceFactory.create(component=family.component, assembly=None)
        assert deleting.result().status_code == 204
    assert is_active(late, family.piece, family.component) == [False, False, False]
    with every_company():
        assert Deletion.objects.get().pieces == 2


@pytest.mark.parametrize("kind", ["project", "component", "assembly"])
def test_a_delete_and_syncs_below_leave_no_active_row_below_a_deleted_one(key: str, family: Family, kind: str) -> None:
    refused = 0
    for number in range(ROUNDS):
        together = Barrier(4)

        def sync(name: str, together: Barrier = together) -> int:
            together.wait()
            body = {"pieces": [piece_of(family, name)]}
            return int(Api().with_key(key).post("/api/v1/sync/pieces", body).status_code)

        def delete(together: Barrier = together, number: int = number) -> int:
            together.wait()
            time.sleep(number * 0.007)  # from "before any sync" to "after all of them"
            return int(Api().with_key(key).delete(path_of(family[kind])).status_code)

        with threads() as start:
            syncs = [start(sync, f"{number}-{writer}") for writer in range(3)]
            assert start(delete).result() == 204
        assert {result.result() for result in syncs} <= {200, 422}
        refused += sum(result.result() == 422 for result in syncs)
        assert orphans() == 0
        with every_company():
            assert not Piece.objects.exists()
        assert Api().with_key(key).post(f"{path_of(family[kind])}/restore").status_code == 204
    assert refused < 3 * ROUNDS, "no sync ever came before a delete"


def test_of_two_deletes_at_once_one_finds_nothing(key: str, family: Family) -> None:
    for _ in range(ROUNDS):
        together = Barrier(2)

        def delete(together: Barrier = together) -> int:
            together.wait()
            return int(Api().with_key(key).delete(path_of(family.project)).status_code)

        with threads() as start:
            results = [start(delete) for _ in range(2)]
        assert sorted(result.result() for result in results) == [204, 404]
        assert Api().with_key(key).post(f"{path_of(family.project)}/restore").status_code == 204


def test_deletes_of_a_parent_and_its_child_leave_each_with_one_deletion(key: str, family: Family) -> None:
    for _ in range(ROUNDS):
        together = Barrier(2)

        def delete(kind: str, together: Barrier = together) -> int:
            together.wait()
            return int(Api().with_key(key).delete(path_of(family[kind])).status_code)

        with threads() as start:
            upper, lower = start(delete, "project"), start(delete, "assembly")
        assert upper.result() == 204
        assert lower.result() in (204, 404)
        assert is_active(family.project, family.component, family.assembly, family.piece) == [False] * 4
        client = Api().with_key(key)
        assert client.post(f"{path_of(family.project)}/restore").status_code == 204
        if lower.result() == 204:
            assert is_active(family.assembly, family.piece) == [False, False]
            assert client.post(f"{path_of(family.assembly)}/restore").status_code == 204
        assert is_active(family.piece) == [True]


def test_a_restore_and_a_delete_of_the_parent_leave_no_orphan(key: str, family: Family) -> None:
    client = Api().with_key(key)
    for _ in range(ROUNDS):
        assert client.delete(path_of(family.piece)).status_code == 204
        together = Barrier(2)

        def restore(together: Barrier = together) -> int:
            together.wait()
            return int(Api().with_key(key).post(f"{path_of(family.piece)}/restore").status_code)

        def delete(together: Barrier = together) -> int:
            together.wait()
            return int(Api().with_key(key).delete(path_of(family.component)).status_code)

        with threads() as start:
            restored, deleted = start(restore), start(delete)
        assert deleted.result() == 204
        assert restored.result() in (204, 409)
        assert orphans() == 0
        assert client.post(f"{path_of(family.component)}/restore").status_code == 204
        if restored.result() == 409:
            assert client.post(f"{path_of(family.piece)}/restore").status_code == 204
