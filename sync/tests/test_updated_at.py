"""`updated_at` only ever grows: whoever writes, however long a write waits, whatever the clocks (contract, "Sync")."""

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from pieces.bulk import database_clock
from pieces.models import LEVELS
from pieces.tests.factories import ProjectFactory
from pieces.tests.families import KINDS, Family, path_of
from pieces.tests.test_delete_races import threads, wait_until_blocked
from ractory.api.tests.client import Api
from sync.submission import MAX_WAIT
from sync.tests.batches import Item, Sync, component_item, piece_item, row_of
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import issue_key

Way = Callable[[Api, Family], Any]


NEW = uuid.UUID(int=7)


def item_of(family: Family, **fields: object) -> Item:
    return component_item(family.project, guid=family.component.guid, code=family.component.code, **fields)


def synced(api: Api, family: Family) -> Any:
    return Sync(api)("components", item_of(family, designation="changed"))


def inserted(api: Api, family: Family) -> Any:
    return Sync(api)("pieces", piece_item(family.assembly, guid=NEW))


def deleted_by_sync(api: Api, family: Family) -> Any:
    return Sync(api)("components", item_of(family, is_active=False))


def moved(api: Api, family: Family) -> Any:
    other = ProjectFactory.create(company=family.project.company)
    return Sync(api)("components", item_of(family, project_guid=other.guid))


def deleted(api: Api, family: Family) -> Any:
    return api.delete(path_of(family.component))


def restored(api: Api, family: Family) -> Any:
    return api.post(f"{path_of(family.component)}/restore")


def restored_by_sync(api: Api, family: Family) -> Any:
    return Sync(api)("components", item_of(family))


def restored_by_command(api: Api, family: Family) -> None:
    call_command("restore_deletion", str(family.component.guid))


def stamps(family: Family) -> list[Any]:
    """The `updated_at` of the component and of what is below it."""
    return [row_of(member.kind.value, member.guid).updated_at for member in family.from_level("component")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "ways",
    [
        [synced],
        [moved],
        [deleted, restored],
        [deleted_by_sync, restored_by_sync],
        [deleted, restored_by_command],
    ],
)
def test_it_grows_although_a_clock_was_an_hour_ahead(api: Api, key: str, family: Family, ways: list[Way]) -> None:
    ahead = timezone.now() + timedelta(hours=1)
    with every_company():
        for model in LEVELS:
            model.all_objects.update(updated_at=ahead)
    last = [ahead] * 3
    for way in ways:
        way(api.with_key(key), family)
        now = stamps(family)
        written = 1 if way is synced else 3
        assert all(later > earlier for earlier, later in zip(last[:written], now, strict=False)), way
        assert max(now) < ahead + timedelta(minutes=1)
        last = now


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_new_row_that_waits_for_a_parent_is_stamped_when_it_has_it(key: str, family: Family, kind: str) -> None:
    with threads() as start:
        with every_company(), transaction.atomic():
            type(family[kind]).objects.select_for_update().get(guid=family[kind].guid)
            writing = start(inserted, Api().with_key(key), family)
            wait_until_blocked()
            released = database_clock()
        writing.result()
    row = row_of("piece", NEW)
    assert row.updated_at == row.created_at > released


CASCADES = (moved, deleted, deleted_by_sync, restored, restored_by_command)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("way", "kind"), [(synced, "component"), *((way, kind) for way in CASCADES for kind in KINDS[1:])]
)
def test_a_write_that_waits_for_a_row_is_stamped_when_it_has_it(key: str, family: Family, kind: str, way: Way) -> None:
    """So that whoever asks for what is newer than the greatest stamp so far does not miss it."""
    api, waited_for = Api().with_key(key), family[kind]
    if way in (restored, restored_by_command):
        deleted(api, family)
    with threads() as start:
        with every_company(), transaction.atomic():
            type(waited_for).all_objects.select_for_update().get(guid=waited_for.guid)
            writing = start(way, api, family)
            wait_until_blocked()
            time.sleep(2 * MAX_WAIT / 1000 if way is synced else 0)
            released = database_clock()
        writing.result()
    assert row_of(kind, waited_for.guid).updated_at > released


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_hosts_whose_clocks_differ_write_in_the_order_of_the_database(
    company: Company, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, last = Api().with_key(issue_key(company)), stamps(family)[0]
    for number, offset in enumerate((3, -3, 3600, -3600)):
        now = timezone.now() + timedelta(seconds=offset)
        with monkeypatch.context() as host:
            host.setattr(timezone, "now", lambda now=now: now)
            Sync(api)("components", item_of(family, designation=str(number)))
        stamp = row_of("component", family.component.guid).updated_at
        assert last < stamp < timezone.now() + timedelta(seconds=2)
        last = stamp
