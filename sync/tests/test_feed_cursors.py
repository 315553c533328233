"""Cursors of the change feed: opaque and checked, good for one feed, and ended with a 410 rather than with a gap."""

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import Act, Operation, Piece
from pieces.tests.factories import PieceFactory
from pieces.tests.families import family_of
from sync.feed import DATABASE, Cursor, Place
from sync.models import Feed
from sync.tests.batches import Sync, faults, project_item
from sync.tests.follower import Follower, stored
from tenants.models import Company
from tenants.tests.commands import Manage
from tenants.tests.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def follower(sync: Sync, company: Company) -> Follower:
    """It has copied all, and seen one change after that."""
    follower = Follower(sync.api.get)
    follower.follow()
    write(sync, company)
    follower.follow()
    return follower


def write(sync: Sync, company: Company) -> None:
    assert sync("projects", project_item(company)).status_code == 200


def place_of(follower: Follower) -> Cursor:
    assert follower.cursor
    return Cursor.decoded(follower.cursor)


def refused(answer: Any, code: str) -> None:
    assert [fault["type"] for fault in answer.json()["detail"]] == [code], answer.content
    assert faults(answer) == [("after",)]


def gone(follower: Follower) -> None:
    """The cursor has ended; without it all comes anew."""
    answer = follower.ask()
    assert answer.status_code == 410
    assert answer.json()["detail"].endswith("start again without after")
    follower.cursor, follower.mirror = None, {}
    follower.follow()
    assert follower.mirror == stored()


NONSENSE = (
    "",
    " ",
    "x",
    "NOW",
    "null",
    "AAAA",
    "AAAAAAAA",
    "=",
    "é",
    "\0",
    "\ud800",
    "😀",
    "W10",
    "now,",
    "x" * 1001,
    "x" * 5000,
)


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_a_422(sync: Sync, text: str) -> None:
    answer = sync.api.get("/api/v1/changes?after=" + quote(text.encode(errors="surrogatepass")))
    assert faults(answer) == [("after",)]


def test_a_cursor_that_is_cut_or_altered_anywhere_is_a_422(follower: Follower) -> None:
    assert follower.cursor
    whole = follower.cursor
    places = range(0, len(whole), 17)
    wrong = [whole[:place] + ("A" if whole[place] != "A" else "B") + whole[place + 1 :] for place in places]
    for text in (*wrong, *(whole[:place] for place in places), f"{whole}A", f"{whole}=", f" {whole}", f"{whole}\n"):
        follower.cursor = text
        assert faults(follower.ask()) == [("after",)]


@pytest.mark.parametrize(
    "forged",
    [
        {"since": Place(2**63 - 1, uuid.UUID(int=1))},
        {"since": Place(0, uuid.UUID(int=1))},
        {"until": Place(0, uuid.UUID(int=0))},
        {"until": Place(2**63 - 1, uuid.UUID(int=2**128 - 1)), "entity": "pieces", "act": uuid.UUID(int=0)},
        {"entity": "pieces", "guid": uuid.UUID(int=2**128 - 1), "act": uuid.UUID(int=3)},
        {"act": uuid.UUID(int=3), "guid": uuid.UUID(int=3)},
        {"entity": "users"},
        {"purges": -(2**80)},
        {"database": "\0" * 100},
    ],
)
def test_a_forged_one_does_no_harm(follower: Follower, forged: dict[str, Any]) -> None:
    cursor = place_of(follower)
    values = {name: getattr(cursor, name) for name in Cursor.__struct_fields__} | forged
    follower.cursor = Cursor(**values).encoded()
    assert follower.ask().status_code in (200, 410, 422)


def test_one_of_another_choice_is_a_422(follower: Follower) -> None:
    refused(follower.ask(entity="pieces"), "cursor_purpose")
    assert follower.ask(entity="pieces,assemblies,components,projects").status_code == 200
    assert follower.ask(fields="guid", limit=3).status_code == 200  # how it is shown is another matter


def test_one_of_another_company_is_a_422(follower: Follower, sync: Sync, company: Company) -> None:
    sync.api.with_user(UserFactory.create(role="SystemAdmin", company=None))
    refused(follower.ask(), "cursor_purpose")
    assert follower.ask(company_guid=company.guid).status_code == 200


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("entity=", "entity"),
        ("entity=windows", "entity"),
        ("entity=pieces,pieces", "entity"),
        ("entity=pieces%00", "entity"),
        ("fields=", "fields"),
        ("fields=guid,guid", "fields"),
        ("fields=digest", "fields"),
        ("fields=code&entity=pieces", "fields"),
        ("detail=perhaps", "detail"),
        ("after=now&after=now", "after"),
        ("company_guid=x", "company_guid"),
    ],
)
def test_a_bad_parameter_is_a_422(sync: Sync, query: str, name: str) -> None:
    assert faults(sync.api.get(f"/api/v1/changes?{query}")) == [(name,)]


def test_a_purge_of_the_companys_rows_ends_cursors_and_no_others(
    follower: Follower, sync: Sync, company: Company, other_company: Company, manage: Manage
) -> None:
    long_ago = timezone.now() - timedelta(days=400)
    theirs, ours = (PieceFactory.create(company=owner) for owner in (other_company, company))
    for piece in (theirs, ours):
        delete_one(Piece, piece.guid, origin=Origin(Operation.DELETE, "test"), now=long_ago)
    every = Follower(sync.api.with_user(UserFactory.create(role="SystemAdmin", company=None)).get)
    one = Follower(sync.api.get, company_guid=company.guid)
    every.follow()
    one.follow()
    purge = ("purge_deleted", "--older-than", "365d", "--company")
    manage(*purge, company.guid, "--dry-run")
    assert every.follow() == one.follow() == []
    manage(*purge, other_company.guid)
    assert one.follow() == []
    gone(every)
    manage(*purge, company.guid)
    answer = one.ask()
    assert answer.status_code == 410
    gone(every)
    manage(*purge, company.guid)  # of which nothing is left
    assert every.follow() == []


def test_a_purge_ends_a_copy_that_is_under_way(sync: Sync, company: Company, manage: Manage) -> None:
    family = family_of(company)
    delete_one(
        Piece, family.piece.guid, origin=Origin(Operation.DELETE, "test"), now=timezone.now() - timedelta(days=400)
    )
    follower = Follower(sync.api.get, limit=2)
    follower.page()
    manage("purge_deleted", "--older-than", "365d")
    gone(follower)


def test_a_restored_backup_ends_cursors_once_the_feed_is_restarted(
    follower: Follower, sync: Sync, company: Company, manage: Manage
) -> None:
    assert manage("restart_feed", "--dry-run", "--json").json == {"acts": 1}
    assert follower.follow() == []
    assert manage("restart_feed", "--json").json == {"acts": 1}
    gone(follower)
    write(sync, company)
    assert len(follower.follow()) == 1
    assert follower.mirror == stored()


def test_an_older_backup_ends_cursors_that_are_beyond_it_by_itself(
    follower: Follower, sync: Sync, company: Company
) -> None:
    """Its next act may have the position that one of the lost acts had."""
    lost = Act.across_companies.get()
    lost.delete()
    sync("projects", project_item(company))
    Act.across_companies.update(position=lost.position)
    gone(follower)


def test_acts_of_another_postgresql_whose_numbers_are_greater_hide_nothing(sync: Sync, company: Company) -> None:
    """As in a dump that has been restored into a new one, where nobody has restarted the feed."""
    write(sync, company)
    Act.across_companies.update(position=2**40)
    follower = Follower(sync.api.get)
    follower.follow()
    assert follower.mirror == stored()
    for _ in range(2):
        write(sync, company)
        follower.follow()
        assert follower.mirror == stored()


def test_the_identity_is_made_when_it_is_missing(sync: Sync) -> None:
    Feed.objects.all().delete()
    follower = Follower(sync.api.get)
    follower.follow()
    assert Feed.objects.get().identity
    assert follower.follow() == []
    Feed.objects.all().delete()
    gone(follower)


@pytest.mark.postgresql
def test_the_identity_is_that_of_the_cluster_the_timeline_and_the_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {DATABASE}")
        said = cursor.fetchone()
        cursor.execute(
            "SELECT system_identifier || '/' || lpad(to_hex(timeline_id), 8, '0') || '/' || "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) "
            "FROM pg_control_system(), pg_control_checkpoint()"
        )
        assert said == cursor.fetchone()
