"""`export_company`, `import_company`, `move_company`, `delete_company`: a company leaves with all that it has."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models

from pieces.models import Act, Component, Piece
from pieces.tests.factories import PieceFactory
from pieces.tests.families import path_of
from ractory.api.tests.client import Api
from sync.archives import LEFT_OUT, OWN, TABLES
from sync.tests.batches import Item, Sync
from sync.tests.undoing import PICTURES, content, run_of, undone
from tenants.caller import Role
from tenants.models import Company, User
from tenants.scope import every_company
from tenants.tests.commands import Manage
from tenants.tests.factories import PASSWORD, UserFactory, issue_key

# An export asks for one moment, which is a transaction's first word.
pytestmark = pytest.mark.django_db(transaction=True)

NEW = "https://two.example"


def everything(company: Company) -> dict[str, list[dict[str, Any]]]:
    """All rows of the company as they are in the database, but for what each database gives by itself."""
    with every_company():
        return {
            model.__name__: [
                {name: plain(value) for name, value in row.items() if name not in OWN}
                for row in rows_of(model, company).order_by("pk").values()
            ]
            for model in TABLES
        }


def plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def rows_of(model: type[models.Model], company: Company) -> "models.QuerySet[Any]":
    named = {"pk": company.guid} if model is Company else {"company": company}
    return models.QuerySet[Any](model).filter(**named)


@pytest.fixture
def archive(sync: Sync, pieces: list[Item], company: Company, manage: Manage, tmp_path: Path) -> Path:
    """Of a company with pictures, changes, deletions, refusals, answers under a key, users; closed."""
    UserFactory.create(company=company, email="anna@example.com", role=Role.OPERATOR)
    sync("pieces", *[item | {"picture": PICTURES[n], "info2": "ä\u2028\\."} for n, item in enumerate(pieces)])
    sync.api.delete(f"/api/v1/pieces/{pieces[0]['guid']}")
    sync("pieces", pieces[1] | {"piece_id": None})
    sync("pieces", pieces[2] | {"cell": "x"}, idempotency_key="one")
    assert manage("move_company", company.guid, "--close").code == 0
    path = tmp_path / "company.gz"
    outcome = manage("export_company", company.guid, path, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["rows"] == sum(map(len, everything(company).values()))
    return path


def test_every_table_with_rows_of_a_company_is_in_it_or_left_out_on_purpose() -> None:
    of_companies = {
        model
        for model in apps.get_models()
        if any(field.related_model in (Company, User) for field in model._meta.concrete_fields)
    }
    assert of_companies | {Company} == {*TABLES, *LEFT_OUT}


def test_a_company_leaves_and_comes_back_byte_for_byte(
    archive: Path, company: Company, sync: Sync, pieces: list[Item], manage: Manage
) -> None:
    stays = PieceFactory.create()
    others, before = everything(stays.company), everything(company)
    assert {name for name, rows in before.items() if rows} >= {"Act", "Deletion", "Piece", "PieceHistory", "SyncRun"}
    assert manage("delete_company", company.guid, "--archive", archive).code == 0
    assert everything(company) == before, "without --yes it only says what would go"
    outcome = manage("delete_company", company.guid, "--archive", archive, "--yes", "--json")
    assert outcome.code == 0, outcome.err
    assert not any(everything(company).values())
    assert sync.api.get("/api/v1/pieces").status_code == 401
    outcome = manage("import_company", archive)
    assert outcome.code == 0, outcome.err
    assert everything(company) == before
    assert everything(stays.company) == others
    assert manage("check_integrity").code == 0


def test_it_goes_on_there(archive: Path, company: Company, sync: Sync, pieces: list[Item], manage: Manage) -> None:
    before = content()
    assert manage("delete_company", company.guid, "--archive", archive, "--yes").code == 0
    assert manage("import_company", archive).code == 0
    replay = sync("pieces", pieces[2] | {"cell": "x"}, idempotency_key="one")
    assert replay["Idempotent-Replayed"] == "true"
    run = run_of(sync("pieces", pieces[1] | {"cell": "new"}))
    assert undone(sync, run) == {"changed": 1, "deleted": 0, "restored": 0}
    assert content() == before
    sync.api.post(f"/api/v1/pieces/{pieces[0]['guid']}/restore")
    history = sync.api.get(f"/api/v1/pieces/{pieces[0]['guid']}/history").json()
    assert [entry["action"] for entry in history] == ["restored", "deleted", "updated", "inserted"]
    login = sync.api.post("/api/v1/auth/login", {"email": "anna@example.com", "password": PASSWORD})
    assert login.status_code == 200
    assert {row["guid"] for row in followed(sync.api)[0]} >= {str(item["guid"]) for item in pieces}


def followed(api: Api) -> tuple[list[Any], str]:
    """All changes from the beginning, and the cursor behind them."""
    page = api.get("/api/v1/changes").json()
    return page["changes"], page["cursor"]


def test_who_follows_a_company_that_goes_is_told_and_nobody_else_misses_a_row(
    archive: Path, sync: Sync, company: Company, manage: Manage
) -> None:
    piece = PieceFactory.create()
    other, admin = Api().with_key(issue_key(piece.company)), Api().with_user(UserFactory.create(role=Role.SYSTEM_ADMIN))
    cursors = [(caller, followed(caller)[1]) for caller in (admin, sync.api, other)]
    assert manage("delete_company", company.guid, "--archive", archive, "--yes").code == 0
    other.delete(path_of(piece))
    answers = [caller.get(f"/api/v1/changes?after={cursor}") for caller, cursor in cursors]
    assert [answer.status_code for answer in answers[:2]] == [410, 401]
    # On SQLite the places of the acts that are gone are given again: all begin anew.
    told = answers[2] if answers[2].status_code == 200 else other.get("/api/v1/changes")
    assert str(piece.guid) in {row["guid"] for row in told.json()["changes"] if not row["is_active"]}


def changed(archive: Path, *edits: tuple[bytes, bytes], cut: int | None = None) -> Path:
    said = gzip.decompress(archive.read_bytes())
    for old, new in edits:
        assert old in said
        said = said.replace(old, new)
    path = archive.with_name("changed")
    path.write_bytes(said[:cut])
    return path


def test_an_archive_that_is_damaged_writes_nothing_and_removes_nothing(
    archive: Path, company: Company, manage: Manage, tmp_path: Path
) -> None:
    torn = archive.with_name("torn.gz")
    torn.write_bytes(archive.read_bytes()[:-100])
    lines = gzip.decompress(archive.read_bytes()).splitlines()
    short = archive.with_name("short")
    short.write_bytes(b"\n".join(lines[:5] + lines[6:]))
    empty = tmp_path / "empty"
    empty.touch()
    before = everything(company)
    damaged = {
        torn: "it is cut off or damaged",
        short: "it does not hold as many rows as it says",
        empty: "it is cut off or damaged",
        changed(archive, cut=-20): "it is cut off or damaged",
    }
    for path, said in damaged.items():
        outcome = manage("delete_company", company.guid, "--archive", path, "--yes")
        assert outcome.complaint == f"{path}: {said}; nothing was removed"
    missing = tmp_path / "missing"
    assert "No such file" in manage("import_company", missing).complaint
    assert everything(company) == before
    assert manage("delete_company", company.guid, "--archive", archive, "--yes").code == 0
    for path, said in damaged.items():
        assert manage("import_company", path).complaint == f"{path}: {said}; nothing was written"
    other = changed(archive, (b'"piece_id"', b'"piece_no"'))
    assert "another version" in manage("import_company", other).complaint
    assert not any(everything(company).values())


def test_what_is_here_already_is_refused(archive: Path, company: Company, manage: Manage) -> None:
    assert "is here already" in manage("import_company", archive).complaint
    assert manage("delete_company", company.guid, "--archive", archive, "--yes").code == 0
    UserFactory.create(email="anna@example.com")
    assert "with the email anna@example.com" in manage("import_company", archive).complaint
    assert not any(everything(company).values())


def test_rows_that_break_a_rule_are_refused(
    archive: Path, company: Company, pieces: list[Item], manage: Manage
) -> None:
    assert manage("delete_company", company.guid, "--archive", archive, "--yes").code == 0
    forged = changed(archive, (b'"x"', b'"y"'))
    assert "its rows break piece_digest" in manage("import_company", forged).complaint
    assert not any(everything(company).values())


def test_an_archive_that_is_not_of_all_there_is_removes_nothing(
    archive: Path, company: Company, sync: Sync, pieces: list[Item], manage: Manage
) -> None:
    before = everything(company)
    manage("move_company", company.guid, "--open")
    assert "it is open" in manage("delete_company", company.guid, "--archive", archive, "--yes").complaint
    assert sync("pieces", pieces[1] | {"cell": "later"}).status_code == 200
    manage("move_company", company.guid, "--close")
    complaint = manage("delete_company", company.guid, "--archive", archive, "--yes").complaint
    assert "does not hold all that there is" in complaint
    assert len(everything(company)["Piece"]) == len(before["Piece"])


def test_a_company_that_is_being_moved_is_read_and_not_written(
    sync: Sync, pieces: list[Item], component: Component, company: Company, manage: Manage
) -> None:
    admin = Api().with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None))
    manage("move_company", company.guid, "--close")
    assert sync.api.get("/api/v1/pieces").status_code == 200
    refused = [
        sync("pieces", pieces[0]),
        sync.api.delete(path_of(component)),
        sync.api.post("/api/v1/sync/snapshots", {"entity": "pieces"}),
        Api().with_user(UserFactory.create(company=company)).post("/api/v1/api-keys", {"scopes": "sync:read"}),
        admin.delete(path_of(component)),
        Sync(admin)("pieces", pieces[0] | {"cell": "new"}),
        admin.post("/api/v1/api-keys", {"description": "", "scopes": "sync:read", "company_guid": str(company.guid)}),
    ]
    for response in refused:
        assert response.status_code == 503
        assert "is being moved" in response.json()["detail"]
        assert response["Retry-After"] == "5"
    with every_company():
        assert Act.objects.count() == 1
    assert Sync(Api().with_key(issue_key(PieceFactory.create().company)))("pieces").status_code == 200
    manage("move_company", company.guid, "--open")
    assert sync("pieces", pieces[0] | {"cell": "new"}).status_code == 200


def test_callers_of_a_company_that_has_moved_are_told_where_it_is(
    sync: Sync, pieces: list[Item], company: Company, manage: Manage
) -> None:
    user = UserFactory.create(company=company)
    with_user = Api().with_user(user)
    admin = Api().with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None))
    assert "close it" in manage("move_company", company.guid, "--to", NEW).complaint
    manage("move_company", company.guid, "--close")
    assert "not an address" in manage("move_company", company.guid, "--to", "two.example").complaint
    assert manage("move_company", company.guid, "--to", NEW + "/").code == 0
    assert sync("pieces", pieces[0], query="?dry_run=true")["Location"] == f"{NEW}/api/v1/sync/pieces?dry_run=true"
    login = {"email": user.email, "password": PASSWORD}
    for response in (
        sync.api.get("/api/v1/changes"),
        sync("pieces", pieces[0]),
        with_user.get("/api/v1/auth/me"),
        Api().post("/api/v1/auth/login", login),
    ):
        assert response.status_code == 308
        assert response.json() == {"detail": f"The company has moved to {NEW}. Use that address."}
        assert response["Location"].startswith(f"{NEW}/api/v1/")
    assert Api().post("/api/v1/auth/login", login | {"password": "wrong"}).status_code == 401
    assert admin.get("/api/v1/pieces").status_code == 200
    of_it = UserFactory.create(role=Role.SYSTEM_ADMIN, company=company)
    assert Api().post("/api/v1/auth/login", {"email": of_it.email, "password": PASSWORD}).status_code == 200
    assert Sync(admin)("pieces", pieces[0] | {"cell": "new"}).status_code == 503


@pytest.mark.postgresql
def test_who_closes_a_company_waits_for_those_who_write(
    sync: Sync, pieces: list[Item], company: Company, manage: Manage
) -> None:
    """Many writers at once: what was answered with 200 was there when the company was closed."""
    key = issue_key(company)

    def write(number: int) -> list[str]:
        client, written = Sync(Api().with_key(key)), []
        for turn in range(30):
            item = {name: value for name, value in pieces[0].items() if name != "guid"}
            answer = client("pieces", item | {"piece_id": f"{number}-{turn}"})
            assert answer.status_code in (200, 503), answer.content
            if answer.status_code == 503:
                break
            written.append(f"{number}-{turn}")
        connection.close()
        return written

    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write, number) for number in range(4)]
        while not Piece.across_companies.filter(piece_id__in=["0-2", "3-2"]).exists():
            pass
        assert manage("move_company", company.guid, "--close").code == 0
        with every_company():
            there = set(Piece.objects.values_list("piece_id", flat=True))
        written = {name for each in writing for name in each.result()}
    with every_company():
        assert written <= there
        assert there == set(Piece.objects.values_list("piece_id", flat=True))
    assert len(written) < 120
