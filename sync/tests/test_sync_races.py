"""Requests that meet: real threads on a real PostgreSQL, each with a connection of its own."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from pieces.models import LEVELS_BY_KIND, Act, Component, Piece
from pieces.querysets import VERSION, fetched
from pieces.tests.factories import ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.test_delete_races import threads, wait_until_blocked
from ractory.api.tests.client import Api
from ractory.api.tests.threads import at_once
from sync.submission import MAX_WAIT
from sync.tests.batches import Item, Sync, component_item, full_piece, piece_item, row_of
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import CompanyFactory, issue_key

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

ROUNDS = 12


def posting(company: Company, plural: str, items: Sequence[Item]) -> Callable[[], Any]:
    sync = Sync(Api().with_key(issue_key(company)))
    return lambda: sync(plural, *items)


def assert_fit() -> None:
    """No active row below a deleted one, and every row's parents are its parent's parents."""
    with every_company():
        for model in LEVELS_BY_KIND.values():
            for row in model.all_objects.all():
                for kind in model.parents:
                    parent = getattr(row, kind)
                    if parent is not None:
                        assert parent.is_active or not row.is_active
                        assert all(getattr(row, f"{k}_guid") == getattr(parent, f"{k}_guid") for k in parent.parents)


def test_two_companies_that_post_the_same_new_guid_get_one_200_and_one_422() -> None:
    for _ in range(ROUNDS):
        components = [ComponentFactory.create() for _ in range(2)]
        guid = uuid.uuid4()
        calls = [posting(row.company, "pieces", [piece_item(row, guid=guid)]) for row in components]
        responses = at_once(*calls)
        assert sorted(response.status_code for response in responses) == [200, 422]
        winner = next(row for row, response in zip(components, responses, strict=True) if response.status_code == 200)
        assert row_of("piece", guid).company_guid == winner.company_guid
        loser = next(response for response in responses if response.status_code == 422)
        assert loser.json()["detail"][0]["loc"] == ["body", "pieces", 0, "guid"]


def test_two_requests_that_want_one_piece_id_get_one_200_and_one_422() -> None:
    for _ in range(ROUNDS):
        component = ComponentFactory.create()
        responses = at_once(*[posting(component.company, "pieces", [piece_item(component)]) for _ in range(2)])
        assert sorted(response.status_code for response in responses) == [200, 422]


def test_the_same_new_guids_of_one_company_are_inserted_once() -> None:
    component = ComponentFactory.create()
    items = [full_piece(component, number) for number in range(300)]
    responses = at_once(*[posting(component.company, "pieces", items) for _ in range(4)])
    assert [response.status_code for response in responses] == [200] * 4
    assert sum(response.json()["inserted"] for response in responses) == 300


def test_overlapping_batches_in_opposite_orders_all_succeed() -> None:
    component = ComponentFactory.create()
    items = [full_piece(component, number) for number in range(200)]
    for number in range(ROUNDS // 2):
        batches = [[item | {"cell": f"{number}-{client}"} for item in items] for client in range(4)]
        calls = [
            posting(component.company, "pieces", batch[:: -1 if client % 2 else 1])
            for client, batch in enumerate(batches)
        ]
        assert [response.status_code for response in at_once(*calls)] == [200] * 4
        with every_company():
            assert len(set(Piece.objects.values_list("cell", flat=True))) == 1  # whole batches, one after the other


def test_partial_updates_of_one_piece_lose_nothing() -> None:
    component = ComponentFactory.create()
    piece = PieceFactory.create(component=component, assembly=None)
    names = ("cell", "trolley", "barcode", "client", "dealer", "gasket")
    for number in range(ROUNDS):
        base = piece_item(component, guid=piece.guid, piece_id=piece.piece_id)
        calls = [posting(component.company, "pieces", [base | {name: str(number)}]) for name in names]
        assert [response.status_code for response in at_once(*calls)] == [200] * len(names)
        row = row_of("piece", piece.guid)
        assert [getattr(row, name) for name in names] == [str(number)] * len(names)


def test_a_rows_version_changes_whichever_order_transactions_write_in() -> None:
    """Ids of transactions are given in another order than that of their writes: nothing may be made up of them."""
    component = ComponentFactory.create()
    first, second = (PieceFactory.create(component=component) for _ in range(2))

    def versions() -> str:
        with every_company(), transaction.atomic():
            rows = Piece.all_objects.filter(guid__in=[first.guid, second.guid]).order_by("guid")
            return str(fetched(rows.values_list(VERSION), lock="FOR NO KEY UPDATE"))

    with ExitStack() as stack:
        dsn = connection.get_connection_params()
        dsn = {name: dsn[name] for name in ("dbname", "user", "password", "host", "port") if name in dsn}
        seeing_all = "-c ractory.company=*"
        writers = [stack.enter_context(psycopg.connect(**dsn, options=seeing_all)) for _ in range(4)]
        for writer in writers:
            writer.execute("SELECT pg_current_xact_id()")
        seen = set()
        for one, other in ((1, 2), (0, 3)):  # the ids of either pair add up to the same
            for writer, piece in ((writers[one], first), (writers[other], second)):
                writer.execute("UPDATE pieces_piece SET cell = 'x' WHERE guid = %s", [piece.guid])
                writer.commit()
            seen.add(versions())
    assert len(seen) == 2


def test_a_piece_put_below_a_component_that_is_being_deleted_or_moved_ends_up_consistent() -> None:
    company = CompanyFactory.create()
    projects = [ProjectFactory.create(company=company) for _ in range(2)]
    for number in range(ROUNDS):
        component: Component = ComponentFactory.create(project=projects[0])
        piece = PieceFactory.create(component=component, assembly=None)
        new = piece_item(component, guid=uuid.uuid4(), piece_id=f"new-{number}")
        changed = piece_item(component, guid=piece.guid, piece_id=piece.piece_id, cell="x")
        away = component_item(projects[number % 2], guid=component.guid, code="away", is_active=number % 3 != 0)
        responses = at_once(
            posting(company, "pieces", [new]),
            posting(company, "pieces", [changed]),
            posting(company, "components", [away]),
        )
        assert {response.status_code for response in responses} <= {200, 422}
        assert responses[2].status_code == 200
        assert_fit()


def test_a_write_that_waits_too_long_and_starts_over_names_an_act_that_is_there() -> None:
    """Not the one that went with the savepoint."""
    piece = PieceFactory.create()
    change = posting(piece.company, "pieces", [piece_item(piece.assembly, guid=piece.guid, barcode="changed")])
    with threads() as start:
        with every_company(), transaction.atomic():
            Piece.objects.select_for_update().get(guid=piece.guid)
            writing = start(change)
            wait_until_blocked()
            time.sleep(2 * MAX_WAIT / 1000)
        assert writing.result().status_code == 200
    row = row_of("piece", piece.guid)
    assert row.barcode == "changed"
    assert Act.across_companies.get().guid == row.changed_in
