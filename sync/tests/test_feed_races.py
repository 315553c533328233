"""The change feed while others write: a transaction that is under way holds back what is committed after it began."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from pieces.acts import Origin
from pieces.changes import Acts, soft_delete
from pieces.models import Deletion, Operation
from pieces.tests.families import Family, family_of, path_of
from pieces.tests.test_delete_races import threads
from ractory.api.tests.client import Api
from ractory.api.tests.test_metrics import TOKEN, scraped
from sync.tests.batches import Sync, project_item
from sync.tests.follower import Follower, stored
from tenants.models import Company
from tenants.scope import company_scope

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


class Undone(Exception):
    pass


def delete_slowly(family: Family, written: Event, may_end: Event, *, undone: bool) -> None:
    """Deletes the project, and waits between the last write and the commit."""
    company = family.project.company_guid
    try:
        with company_scope(company), transaction.atomic():
            deletion = Deletion(company_guid=company, kind="project", root_guid=family.project.guid)
            soft_delete([deletion], acts=Acts(Origin(Operation.DELETE, "slow")))
            written.set()
            assert may_end.wait(60)
            if undone:
                raise Undone
    except Undone:
        pass


@contextmanager
def deleting_slowly(family: Family, *, undone: bool = False) -> Iterator[None]:
    """Meanwhile the project is deleted, but not committed; it is at the end."""
    written, may_end = Event(), Event()
    with threads() as start:
        slow: Future[Any] = start(lambda: delete_slowly(family, written, may_end, undone=undone))
        try:
            assert written.wait(60)
            yield
        finally:
            may_end.set()
        slow.result()


@pytest.fixture
def family(company: Company) -> Family:
    return family_of(company)


def lag() -> float:
    with override_settings(METRICS_TOKEN=TOKEN):
        return scraped(Api())["ractory_feed_lag_seconds", frozenset()]


def test_what_is_committed_late_is_not_passed_by(sync: Sync, company: Company, family: Family) -> None:
    follower, fresh, now = (Follower(sync.api.get) for _ in range(3))
    follower.follow()
    with deleting_slowly(family):
        assert sync("projects", project_item(company)).status_code == 200
        assert follower.follow() == []  # it was written later, and is committed earlier
        now.page(after="now")
        assert len(fresh.follow()) == 4  # that the new project is there, it hears later
    late = [change["entity"] for change in follower.follow()]
    assert late == ["projects", "projects", "components", "assemblies", "pieces"]
    fresh.follow()
    assert follower.mirror == fresh.mirror == stored()
    assert len(now.follow()) == 5


def test_what_is_rolled_back_holds_nothing_back(sync: Sync, company: Company, family: Family) -> None:
    follower = Follower(sync.api.get)
    follower.follow()
    with deleting_slowly(family, undone=True):
        assert sync("projects", project_item(company)).status_code == 200
        assert follower.follow() == []
    assert [change["object"]["code"] for change in follower.follow()] == ["P-1"]
    assert follower.mirror == stored()


def test_a_copy_during_which_something_is_committed_late_misses_nothing(
    sync: Sync, company: Company, family: Family
) -> None:
    follower = Follower(sync.api.get, limit=1)
    with deleting_slowly(family):
        follower.page()
        assert sync("projects", project_item(company)).status_code == 200
        follower.page()
    follower.follow()
    assert follower.mirror == stored()


def test_the_lag_is_told_while_a_transaction_holds_the_feed_back(sync: Sync, company: Company, family: Family) -> None:
    assert sync("projects", project_item(company)).status_code == 200
    assert lag() == 0
    with deleting_slowly(family):
        assert lag() == 0  # nothing is hidden yet
        assert sync("projects", project_item(company)).status_code == 200
        time.sleep(0.3)
        assert 0.3 <= lag() < 60
    assert lag() == 0


def test_a_deletion_that_waits_for_a_purge_or_the_other_way_round_harms_no_reader(
    sync: Sync, company: Company, family: Family
) -> None:
    """Asking never waits: neither for rows that are locked nor for their company."""
    follower = Follower(sync.api.get)
    with deleting_slowly(family), transaction.atomic():
        Company.objects.select_for_update(no_key=True).get(guid=company.guid)
        assert len(follower.follow()) == 4
    assert sync.api.get(path_of(family.project)).status_code == 404
