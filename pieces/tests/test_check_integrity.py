"""`manage.py check_integrity`: clean on sound data, and it sees each kind of damage."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from pieces.content import content_of, digest_of
from pieces.models import Component, Deletion, Piece
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
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
        (new_content, ["piece_digest"]),
    ],
)
def test_each_kind_of_damage_is_counted(
    piece: Piece, capsys: pytest.CaptureFixture[str], damage: Callable[[Piece], dict[str, Any]], found: list[str]
) -> None:
    with transaction.atomic():
        Piece.across_companies.filter(guid=piece.guid).update(**damage(piece))
        assert counted(capsys) == dict.fromkeys(found, 1)
        transaction.set_rollback(True)  # PostgreSQL's foreign keys would refuse some of it


def test_an_active_row_below_a_deleted_one_is_counted(piece: Piece, capsys: pytest.CaptureFixture[str]) -> None:
    Component.across_companies.filter(guid=piece.component_guid).update(is_active=False, deleted_at=timezone.now())
    assert counted(capsys) == {
        "assembly_active_in_deleted_component": 1,
        "piece_active_in_deleted_component": 1,
        "component_deleted_without_deletion": 1,
    }


def test_a_picture_that_is_not_its_digests_is_counted(piece: Piece, capsys: pytest.CaptureFixture[str]) -> None:
    Piece.across_companies.filter(guid=piece.guid).update(picture=b"picture")
    assert counted(capsys) == {"piece_digest": 1}
