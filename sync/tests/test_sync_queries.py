"""The number of statements of a sync does not depend on the size of the batch, and what they look at grows with it."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces.models import Assembly, Component
from pieces.tests.factories import AssemblyFactory
from sync.tests.batches import Item, Sync, component_item, full_piece


@pytest.fixture
def assembly(component: Component) -> Assembly:
    return AssemblyFactory.create(component=component)


def batches(assembly: Assembly, size: int) -> Iterator[tuple[str, list[Item]]]:
    """The same steps for a batch of any size; what they do to one piece they do to all."""
    pieces = [full_piece(assembly, number) for number in range(size)]
    yield "inserted", pieces
    yield "unchanged", pieces
    yield "unchanged in other bytes", [dict(reversed(item.items())) for item in pieces]
    yield "changed", [item | {"cell": "x"} for item in pieces]
    yield "partly", [{name: item[name] for name in (*REQUIRED, "trolley")} | {"trolley": "y"} for item in pieces]
    yield "renamed", [item | {"piece_id": f"new-{item['piece_id']}"} for item in pieces]
    yield "moved", [item | {"assembly_guid": None} for item in pieces]
    yield "deleted", [item | {"is_active": False} for item in pieces]
    yield "restored", pieces
    yield "faulty", [item | {"project_guid": item["guid"]} for item in pieces]


REQUIRED = ("guid", "piece_id", "project_guid", "component_guid", "company_guid")


def counted(sync: Sync, assembly: Assembly, size: int) -> dict[str, int]:
    counts = {}
    for name, items in batches(assembly, size):
        with CaptureQueriesContext(connection) as queries:
            response = sync("pieces", *items)
        assert response.status_code == (422 if name == "faulty" else 200)
        counts[name] = len(queries)
    return counts


def spared_by_one_deletion() -> int:
    """Several Deletions (on PostgreSQL), and their roots, take a temporary table each."""
    return 4 if connection.vendor == "postgresql" else 3


def test_the_number_of_queries_is_the_same_for_1_and_for_1000_pieces(sync: Sync, assembly: Assembly) -> None:
    other = AssemblyFactory.create(company=assembly.company)
    one, many = counted(sync, assembly, 1), counted(sync, other, 1000)
    many["unchanged"] -= 1  # of many items, a few are tried first
    one["deleted"] += spared_by_one_deletion()
    assert one == many
    assert one["unchanged"] < one["unchanged in other bytes"] < one["changed"] < one["inserted"] + 2


def test_the_number_of_queries_is_the_same_for_1_and_for_1000_components(sync: Sync, assembly: Assembly) -> None:
    def count(size: int, **fields: object) -> int:
        items = [component_item(assembly.project, code=f"{size}-{number}", **fields) for number in range(size)]
        with CaptureQueriesContext(connection) as queries:
            assert sync("components", *items).json() == {"inserted": size, "updated": 0}
        return len(queries)

    assert count(1) == count(1000)
    assert count(1, is_active=False) + spared_by_one_deletion() == count(1000, is_active=False)


def steps(call: Callable[[], object]) -> int:
    """How much the database looked at: thousands of SQLite's instructions, or the rows that PostgreSQL read."""
    if connection.vendor == "sqlite":
        thousands = count()
        connection.ensure_connection()
        connection.connection.set_progress_handler(lambda: next(thousands) < 0, 1000)
        call()
        connection.connection.set_progress_handler(None, 0)
        return next(thousands)

    def rows_read() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
            return int((cursor.fetchone() or (0,))[0])

    before = rows_read()
    call()
    connection.check_constraints()  # what would be looked at when the transaction ends
    return rows_read() - before


def test_what_a_batch_deletes_restores_or_inserts_as_deleted_costs_in_proportion(
    sync: Sync, assembly: Assembly
) -> None:
    """Each row finds its own deletion: not among all those of the batch, nor of the company."""
    if connection.vendor == "postgresql":  # which plans a key's check once: in a test while a table may still be tiny
        with connection.cursor() as cursor:
            cursor.execute("DISCARD PLANS; SET LOCAL enable_seqscan = off")
    few, many = 200, 800
    cost: dict[int, dict[str, int]] = {}
    for size in (few, many):
        items = [component_item(assembly.project, guid=uuid.uuid4()) for _ in range(size)]
        dead = [item | {"guid": uuid.uuid4(), "is_active": False} for item in items]
        sync("components", *items)
        batches = {"delete": [item | {"is_active": False} for item in items], "restore": items, "insert": dead}
        cost[size] = {name: steps(partial(sync, "components", *batch)) for name, batch in batches.items()}
    for name in cost[few]:
        assert cost[many][name] <= 6 * cost[few][name], (name, cost)
