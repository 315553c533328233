"""Purging while others restore, sync, delete and purge, with real threads: nothing is torn apart, nobody is stopped."""

import time
from collections import Counter
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces import purging
from pieces.acts import Origin
from pieces.changes import Acts, Root, delete_one, restore, restore_root
from pieces.integrity import broken_invariants
from pieces.models import Component, Deletion, Operation, Piece
from pieces.purging import Purge
from pieces.tests.copies import copies
from pieces.tests.families import Family, family_of, is_active, path_of
from pieces.tests.test_delete_races import threads, wait_until_blocked
from ractory.api.tests.client import Api
from tenants.models import Company
from tenants.scope import every_company

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

ORIGIN = Origin(Operation.DELETE, "test")
ROUNDS = 8


@pytest.fixture(autouse=True)
def _in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "SLICE", 3)


def deleted_long_ago(family: Family) -> Deletion:
    with every_company():
        delete_one(Component, family.component.guid, origin=ORIGIN, now=timezone.now() - timedelta(days=400))
        deletion: Deletion = Deletion.objects.latest("guid")
        return deletion


def new_purge() -> Purge:
    return Purge(before=timezone.now() - timedelta(days=1))


def purge() -> Counter[str]:
    run = new_purge()
    with every_company():
        assert all(rows >= 0 for rows in run.slices())
    return run.removed


def pieces() -> Counter[bool]:
    with every_company():
        return Counter(Piece.all_objects.values_list("is_active", flat=True))


def broken() -> dict[str, int]:
    with every_company():
        return {name: count for name, count in broken_invariants().items() if count}


def test_a_purge_waits_for_a_restore_and_takes_nothing_of_it(family: Family) -> None:
    copies(family.piece, 9)
    deleted_long_ago(family)
    with threads() as start:
        with every_company(), transaction.atomic():
            restore_root(Component, family.component.guid, acts=Acts(ORIGIN))
            purging_ = start(purge)
            wait_until_blocked()
        assert not any(purging_.result().values())
    assert pieces() == {True: 10}


def test_a_restore_waits_for_the_mark_of_a_purge_and_is_refused(key: str, family: Family) -> None:
    deletion = deleted_long_ago(family)
    with threads() as start:
        with every_company(), transaction.atomic():
            new_purge()._mark([deletion.guid])
            restoring = start(Api().with_key(key).post, f"{path_of(family.component)}/restore")
            wait_until_blocked()
        assert restoring.result().status_code == 409
    assert pieces() == {False: 1}


def test_a_purge_that_goes_on_leaves_what_a_sync_has_just_restored(family: Family) -> None:
    copies(family.piece, 9)
    deletion = deleted_long_ago(family)
    with every_company():
        assert next(new_purge().slices()) == 3
    with threads() as start:
        with every_company(), transaction.atomic():
            acts = Acts(ORIGIN)
            acts.of(family.component.company_guid)
            assert not restore(Component, [Root(family.component.guid, deletion.guid)], acts=acts)
            purging_ = start(purge)
            wait_until_blocked()
        assert not any(purging_.result().values())
    assert pieces() == {True: 7}
    assert broken() == {}


@pytest.mark.parametrize("way", ["restore", "sync"])
def test_whoever_comes_first_has_all_of_it(key: str, family: Family, way: str) -> None:
    """Or, by a sync, what a purge has left of it; by a restore never a part."""
    copies(family.piece, 9)
    names = ("guid", "code", "project_guid", "company_guid")
    item = {name: str(getattr(family.component, name)) for name in names}
    statuses: Counter[int] = Counter()
    for number in range(ROUNDS):
        deleted_long_ago(family)
        before = pieces()[False]
        together = Barrier(3)

        def back(together: Barrier = together, number: int = number) -> int:
            together.wait()
            time.sleep(number * 0.002)
            client = Api().with_key(key)
            if way == "sync":
                return int(client.post("/api/v1/sync/components", {"components": [item]}).status_code)
            return int(client.post(f"{path_of(family.component)}/restore").status_code)

        def away(together: Barrier = together) -> Counter[str]:
            together.wait()
            return purge()

        with threads() as start:
            backs, purges = start(back), [start(away), start(away)]
        statuses[backs.result()] += 1
        gone = sum((each.result() for each in purges), Counter[str]())
        assert pieces()[True] + gone["pieces"] == before
        assert broken() == {}
        if way == "restore":
            assert (backs.result(), pieces()[True]) in ((204, before), (404, 0), (409, 0))
        with every_company():
            if not Component.objects.filter(guid=family.component.guid).exists() or not pieces()[True]:
                break  # gone for good
    assert statuses.keys() <= ({200} if way == "sync" else {204, 404, 409})
    assert is_active(family.project) == [True]


def test_what_to_purge_is_found_by_an_index_however_many_rows_are_active(family: Family, company: Company) -> None:
    lively = family_of(company)
    copies(lively.component, 500, guid="md5('c' || n)::uuid")
    copies(lively.assembly, 2000, guid="md5('a' || n)::uuid", component_guid="md5('c' || n %% 500 + 1)::uuid")
    parents = {"assembly_guid": "md5('a' || n %% 2000 + 1)::uuid", "component_guid": "md5('c' || n %% 500 + 1)::uuid"}
    copies(lively.piece, 20_000, **parents)
    deletion = deleted_long_ago(family)
    with every_company():
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        run = new_purge()
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            run._keep_back([deletion.guid])
            run._mark([deletion.guid])
            run._remove(Piece, [deletion.guid])
            purging._forget(guid__any_of=[deletion.guid])
            transaction.set_rollback(True)
    seen = [query["sql"] for query in queries if "pieces_" in query["sql"] and "SAVEPOINT" not in query["sql"]]
    assert len(seen) > 8
    with connection.cursor() as cursor:
        for sql in seen:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan on pieces_piece " not in plan, plan
