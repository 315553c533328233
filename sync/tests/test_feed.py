"""`GET /api/v1/changes`: every row that has been written since a cursor, once, as it is now."""

import uuid
from typing import Any

import pytest

from pieces.models import LEVELS
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory, ProjectFactory
from pieces.tests.families import family_of, path_of
from ractory.api.tests.client import Api
from sync import feed
from sync.tests.batches import Sync, component_item, project_item
from sync.tests.follower import Follower, Json, stored
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

pytestmark = pytest.mark.django_db(transaction=True)  # a row of a transaction that is under way is beyond the horizon

PLURALS = [level.plural for level in LEVELS]


@pytest.fixture
def follower(sync: Sync) -> Follower:
    return Follower(sync.api.get)


def guids(changes: list[Json]) -> list[str]:
    return [change["guid"] for change in changes]


def order(company: Company, number: int = 0) -> list[tuple[str, Any]]:
    """The batches of a project with one of each below it, from the top."""
    guid = [uuid.UUID(int=number * 10 + n + 1) for n in range(4)]
    above: Any = {"company_guid": company.guid, "project_guid": guid[0]}
    within = {**above, "component_guid": guid[1]}
    return [
        ("projects", {"code": f"P{number}", "guid": guid[0], "company_guid": company.guid}),
        ("components", {**above, "code": "C", "guid": guid[1]}),
        ("assemblies", {**within, "guid": guid[2]}),
        ("pieces", {**within, "assembly_guid": guid[3 - 1], "guid": guid[3], "piece_id": "1"}),
    ]


def send(sync: Sync, batches: list[tuple[str, Any]]) -> None:
    for plural, item in batches:
        assert sync(plural, item).status_code == 200


def test_without_a_cursor_all_rows_come_parents_first(follower: Follower, company: Company) -> None:
    family_of(company)
    [page] = follower.pages()
    assert [change["entity"] for change in page["changes"]] == PLURALS
    assert follower.mirror == stored(company=company)
    assert page["more"] is False


def test_an_empty_company_has_no_changes(follower: Follower) -> None:
    assert follower.follow() == []
    assert follower.follow() == []


def test_what_is_written_later_comes_once_as_it_is_now(follower: Follower, sync: Sync, company: Company) -> None:
    follower.follow()
    send(sync, order(company))
    answer = sync("projects", {**order(company)[0][1], "code": "later"})
    [project, *rest] = follower.follow()
    assert [change["entity"] for change in rest] == PLURALS[1:]
    assert (project["object"]["code"], project["is_active"]) == ("later", True)
    assert project["run_guid"] == answer.headers["X-Sync-Run"]
    assert (project["guid"], project["updated_at"]) == tuple(project["object"][name] for name in ("guid", "updated_at"))
    assert follower.follow() == []


def test_a_batch_that_changes_nothing_is_no_change(follower: Follower, sync: Sync, company: Company) -> None:
    send(sync, order(company))
    follower.follow()
    send(sync, order(company))
    assert follower.follow() == []


def test_a_dry_run_and_a_refused_batch_are_no_changes(follower: Follower, sync: Sync, company: Company) -> None:
    follower.follow()
    assert sync("projects", project_item(company), query="?dry_run=true").status_code == 200
    assert sync("projects", project_item(company), {"code": 1}).status_code == 422
    assert follower.follow() == []


def test_deletion_and_restore_bring_all_that_they_took(follower: Follower, sync: Sync, company: Company) -> None:
    family = family_of(company)
    follower.follow()
    for call, is_active in ((sync.api.delete, False), (lambda path: sync.api.post(f"{path}/restore"), True)):
        answer = call(path_of(family.project))
        assert answer.status_code == 204
        changes = follower.follow()
        assert [(change["entity"], change["is_active"]) for change in changes] == [
            (name, is_active) for name in PLURALS
        ]
        assert {change["run_guid"] for change in changes} == {answer.headers["X-Sync-Run"]}
        assert follower.mirror == stored(company=company)


def test_a_move_brings_what_is_below_with_its_new_parents(follower: Follower, sync: Sync, company: Company) -> None:
    family, home = family_of(company), ProjectFactory.create(company=company)
    follower.follow()
    moved = component_item(home, guid=family.component.guid, code=family.component.code)
    assert sync("components", moved).status_code == 200
    changes = follower.follow()
    assert [(change["entity"], change["object"]["project_guid"]) for change in changes] == [
        (plural, str(home.guid)) for plural in PLURALS[1:]
    ]
    assert follower.mirror == stored(company=company)


@pytest.mark.parametrize(("limit", "window"), [(1, 1), (2, 3), (3, 200), (7, 3), (1000, 200)])
def test_pages_of_any_size_say_the_same(
    sync: Sync, company: Company, monkeypatch: pytest.MonkeyPatch, limit: int, window: int
) -> None:
    """In a first copy and in what comes after it; with acts that write one row, and some that write many."""
    monkeypatch.setattr(feed, "WINDOW", window)
    for number in range(3):
        send(sync, order(company, number))
    follower = Follower(sync.api.get, limit=limit)
    seen = []
    for page in follower.pages():
        assert len(page["changes"]) <= limit
        seen += guids(page["changes"])
    assert len(seen) == len(set(seen)) == 12
    assert follower.mirror == stored(company=company)
    for plural in PLURALS:
        items = [item for number in range(2, 6) for name, item in order(company, number) if name == plural]
        changed = {"code": "x"} if plural in ("projects", "components") else {"trolley": "y"}
        assert sync(plural, *(item | changed for item in items)).status_code == 200
    sync.api.delete(f"/api/v1/projects/{uuid.UUID(int=1)}")
    changes = follower.follow()
    assert len(changes) == len(set(guids(changes))) == 4 * 4 + 4
    assert follower.mirror == stored(company=company)


def test_what_is_written_between_two_pages_of_a_copy_is_not_missed(sync: Sync, company: Company) -> None:
    for number in range(1, 6):
        send(sync, order(company, number))
    follower = Follower(sync.api.get, limit=3)
    for number, page in enumerate(follower.pages()):
        if number < 6:
            send(sync, order(company, 6 - number))  # some that are copied, some that are not, some that are new
            sync("pieces", {**order(company, 1 + number % 5)[3][1], "trolley": f"T{number}"})
            sync.api.delete(f"/api/v1/assemblies/{uuid.UUID(int=10 * (1 + number % 5) + 3)}")
        assert page["changes"] or page["more"] or number > 6
    assert follower.mirror == stored(company=company)


def test_in_a_copy_a_child_never_comes_before_its_new_parent(sync: Sync, company: Company) -> None:
    family_of(company)
    follower = Follower(sync.api.get, limit=1)
    follower.page()  # all projects
    send(sync, order(company))
    seen = [change["guid"] for change in follower.follow()]
    parts = [str(item["guid"]) for _, item in order(company)]
    assert [guid for guid in seen if guid in parts] == parts


def test_now_is_a_cursor_without_rows(sync: Sync, company: Company) -> None:
    send(sync, order(company))
    follower = Follower(sync.api.get)
    assert follower.page(after="now") == {"changes": [], "cursor": follower.cursor, "more": False}
    assert follower.follow() == []
    send(sync, order(company, 1))
    assert len(follower.follow()) == 4


def test_many_acts_without_rows_are_passed_over_page_by_page(
    follower: Follower, sync: Sync, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WINDOW", 2)
    monkeypatch.setattr(feed, "WINDOWS", 3)
    follower.follow()
    for number in range(20):
        assert sync("projects", project_item(company, guid=uuid.UUID(int=5), code=str(number))).status_code == 200
    pages = list(follower.pages())
    assert [len(page["changes"]) for page in pages] == [0, 0, 0, 1]
    assert follower.mirror == stored(company=company)


def test_only_the_entities_that_are_asked_for(sync: Sync, company: Company) -> None:
    follower = Follower(sync.api.get, entity="pieces,projects")
    family_of(company)
    assert [change["entity"] for change in follower.follow()] == ["projects", "pieces"]
    send(sync, order(company))
    assert [change["entity"] for change in follower.follow()] == ["projects", "pieces"]
    follower.parameters["entity"] = "projects,pieces"  # the same, however they are named
    assert follower.follow() == []


def test_fields_are_those_of_lists(sync: Sync, company: Company) -> None:
    family = family_of(company, picture=b"\1\2", barcode="B")
    of = {plural: sync.api.get(f"/api/v1/{plural}?detail=true").json()[0] for plural in PLURALS}
    full = Follower(sync.api.get, detail="true").follow()
    assert {change["entity"]: change["object"] for change in full} == of
    chosen = Follower(sync.api.get, fields="barcode,code,piece_count").follow()
    assert {change["entity"]: change["object"] for change in chosen} == {
        "projects": {"code": family.project.code, "piece_count": 1},
        "components": {"code": family.component.code, "piece_count": 1},
        "assemblies": {"piece_count": 1},
        "pieces": {"barcode": "B"},
    }
    assert guids(chosen) == guids(full)
    of_pieces = Follower(sync.api.get, fields="barcode").follow()
    assert [change["object"] for change in of_pieces] == [{}, {}, {}, {"barcode": "B"}]


def test_a_page_of_pictures_ends_by_its_size(sync: Sync, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_PAGE_BYTES", 2 * 1024 * 1024)
    piece = PieceFactory.create(company=company, picture=bytes(256 * 1024))
    copies(piece, 11)
    send(sync, order(company))
    follower = Follower(sync.api.get, detail="true")
    pages = [[change["entity"] for change in page["changes"]] for page in follower.pages()]
    assert sum(map(len, pages)) == 12 + 3 + 4
    assert max(page.count("pieces") for page in pages) <= 6  # of 13


def test_another_company_has_a_feed_of_its_own(sync: Sync, company: Company, other_company: Company) -> None:
    follower = Follower(sync.api.get)
    foreign = family_of(other_company)
    assert follower.follow() == []
    theirs = Sync(Api().with_key(issue_key(other_company)))
    theirs.api.delete(path_of(foreign.project))
    send(theirs, order(other_company))
    assert follower.follow() == []
    send(sync, order(company, 1))
    assert len(follower.follow()) == 4


def test_an_administrator_follows_every_company_or_one(sync: Sync, company: Company, other_company: Company) -> None:
    admin = Api().with_user(UserFactory.create(role="SystemAdmin", company=None))
    every, one = Follower(admin.get), Follower(admin.get, company_guid=str(company.guid))
    every.follow()
    one.follow()
    send(Sync(admin), order(other_company))
    both = [project_item(owner, code="both", guid=uuid.uuid4()) for owner in (company, other_company)]
    assert Sync(admin)("projects", *both).status_code == 200
    assert {str(item["guid"]) for item in both} < set(guids(every.follow()))
    assert guids(one.follow()) == [str(both[0]["guid"])]
    assert one.mirror == stored(company=company)
