"""`manage.py check_integrity`: clean on sound data, and it sees each kind of damage."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from pieces.content import content_of, digest_of
from pieces.models import Component, Deletion, Piece
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from tenants.tests.commands import Manage
from tenants.tests.factories import CompanyFactory


def counted(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """The invariants that are broken, with their counts."""
    code = 0
    try:
        call_command("check_integrity", "--json")
    except CommandError as error:
        code = error.returncode
    counts: dict[str, int] = json.loads(capsys.readouterr().out)
    broken = {name: count for name, count in counts.items() if count}
    assert code == bool(broken)
    return broken


@pytest.fixture
def piece(db: None) -> Piece:
    """A piece with a digest that holds."""
    piece: Piece = PieceFactory.create()
    content = content_of(Piece)
    row = Piece.across_companies.filter(guid=piece.guid)
    row.update(digest=digest_of(content, content.pick(row.values()[0])))
    return piece


def test_sound_data_is_clean(piece: Piece, capsys: pytest.CaptureFixture[str]) -> None:
    assert counted(capsys) == {}
    call_command("check_integrity")
    assert "piece_digest" in capsys.readouterr().out


def without_checks() -> None:
    """Until the transaction is rolled back, the database takes rows that its CHECKs refuse, as one without them did."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        else:
            connection.check_constraints()  # a table with checks that are still to come can't be altered
            for rule in ("piece_active_or_in_deletion", "piece_active_or_deleted"):
                cursor.execute(f"ALTER TABLE pieces_piece DROP CONSTRAINT {rule}")


@pytest.fixture(autouse=True)
def _checks(db: None) -> Iterator[None]:
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def other_company(piece: Piece) -> dict[str, Any]:
    return {"company": CompanyFactory.create()}


def other_project(piece: Piece) -> dict[str, Any]:
    return {"project": ProjectFactory.create(company=piece.company)}


def other_component(piece: Piece) -> dict[str, Any]:
    return {"component": ComponentFactory.create(project=piece.project)}


def other_assembly(piece: Piece) -> dict[str, Any]:
    return {"assembly": AssemblyFactory.create(company=piece.company)}


def no_deletion(piece: Piece) -> dict[str, Any]:
    return {"is_active": False, "deleted_at": timezone.now()}


def a_deletion(piece: Piece) -> dict[str, Any]:
    deletion = Deletion(company=piece.company, kind="piece", root_guid=piece.guid, actor="test")
    deletion.save()
    return {"deletion": deletion}


@pytest.mark.parametrize("damage", [no_deletion, a_deletion])
def test_the_database_refuses_a_row_that_is_inactive_without_a_deletion_or_active_with_one(
    piece: Piece, damage: Callable[[Piece], dict[str, Any]]
) -> None:
    with pytest.raises(IntegrityError, match="active_or_in_deletion"), transaction.atomic():
        Piece.across_companies.filter(guid=piece.guid).update(**damage(piece))


def active_and_deleted(piece: Piece) -> dict[str, Any]:
    return {"deleted_at": timezone.now()}


def deleted_at_no_time(piece: Piece) -> dict[str, Any]:
    return {"is_active": False, **a_deletion(piece)}


def new_content(piece: Piece) -> dict[str, Any]:
    return {"barcode": "changed behind our back"}


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (other_company, [f"piece_in_{kind}_of_other_company" for kind in ("project", "component", "assembly")]),
        (other_project, ["piece_in_component_of_other_project", "piece_in_assembly_of_other_project"]),
        (other_component, ["piece_in_assembly_of_other_component"]),
        (other_assembly, ["piece_in_assembly_of_other_component", "piece_in_assembly_of_other_project"]),
        (no_deletion, ["piece_deleted_without_deletion"]),
        (a_deletion, ["piece_active_with_deletion"]),
        (active_and_deleted, ["piece_active_or_deleted"]),
        (deleted_at_no_time, ["piece_active_or_deleted"]),
        (new_content, ["piece_digest"]),
    ],
)
def test_each_kind_of_damage_is_counted(
    piece: Piece, capsys: pytest.CaptureFixture[str], damage: Callable[[Piece], dict[str, Any]], found: list[str]
) -> None:
    with transaction.atomic():
        without_checks()
        Piece.across_companies.filter(guid=piece.guid).update(**damage(piece))
        assert counted(capsys) == dict.fromkeys(found, 1)
        transaction.set_rollback(True)  # PostgreSQL's foreign keys would refuse some of it


def test_an_active_row_below_a_deleted_one_is_counted(piece: Piece, capsys: pytest.CaptureFixture[str]) -> None:
    deletion = Deletion(company=piece.company, kind="component", root_guid=piece.component_guid, actor="test")
    deletion.save()
    component = Component.across_companies.filter(guid=piece.component_guid)
    component.update(is_active=False, deleted_at=timezone.now(), deletion=deletion)
    assert counted(capsys) == {"assembly_active_in_deleted_component": 1, "piece_active_in_deleted_component": 1}


def test_a_picture_that_is_not_its_digests_is_counted(piece: Piece, capsys: pytest.CaptureFixture[str]) -> None:
    Piece.across_companies.filter(guid=piece.guid).update(picture=b"picture")
    assert counted(capsys) == {"piece_digest": 1}


def test_the_rows_are_named_when_they_are_asked_for(piece: Piece, manage: Manage) -> None:
    twin = PieceFactory.create(component=piece.component)
    Piece.across_companies.filter(guid=twin.guid).update(digest=b"0" * 16)
    outcome = manage("check_integrity", "--rows", "--json")
    assert outcome.code == 1
    assert outcome.json["rows"] == {"piece_digest": [str(twin.guid)]}
    outcome = manage("check_integrity", "--rows", "5")
    assert f"piece_digest  {twin.guid}\n" in outcome.out
    assert outcome.err == "manage.py check_integrity: error: 1 rows break an invariant\n"
